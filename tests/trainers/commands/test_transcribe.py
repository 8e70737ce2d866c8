# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr transcribe`: folders, standard input, addresses, missing files and extras. The model is a stand-in."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import entropy_asr.modeling  # noqa: F401 (before its pipeline is replaced)
from entropy_asr.trainers.commands import checks, cli


class Lengths:
    """Hears how many hundredths of a second a recording has."""

    def __init__(self):
        self.calls: list[dict] = []

    def __call__(self, items, **options):
        self.calls.append({"items": items, **options})
        return [self.result(item, options.get("return_timestamps")) for item in items]

    def result(self, item, return_timestamps) -> dict:
        samples = item
        if isinstance(item, str | bytes):
            samples, _ = soundfile.read(io.BytesIO(item) if isinstance(item, bytes) else item)
        text = f"长度 {len(samples) // 160}"
        chunks = {"chunks": [{"text": text, "timestamp": (0.0, 0.1)}]} if return_timestamps else {}
        return {"text": text, "flags": [], **chunks}


@pytest.fixture
def pipeline(monkeypatch) -> Lengths:
    pipeline = Lengths()
    module = SimpleNamespace(load_pipeline=lambda model, device=None, dtype=None: pipeline)
    monkeypatch.setitem(sys.modules, "entropy_asr.modeling.pipeline_entropy_asr", module)
    return pipeline


@pytest.fixture
def talks(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, hundredths in (("talks/a.wav", 10), ("talks/day two/a.flac", 20), ("talks/day two/b.wav", 30)):
        write(tmp_path / name, hundredths)
    (tmp_path / "talks" / "notes.txt").write_text("none")
    return tmp_path / "talks"


def write(path: Path | io.BytesIO, hundredths: int, **options) -> None:
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(hundredths * 160, 0.1), 16000, **options)


def run(*arguments: str) -> int:
    return cli.main(["transcribe", *arguments, "--model", "m"])


def test_all_recordings_of_a_folder(pipeline, talks, capsys):
    assert run("talks") == 0
    expected = "talks/a.wav\t长度 10\ntalks/day two/a.flac\t长度 20\ntalks/day two/b.wav\t长度 30\n"
    assert capsys.readouterr().out == expected
    assert run("talks", "-o", "out") == 0
    written = {str(path.relative_to("out")): path.read_text("utf-8") for path in Path("out").rglob("*.txt")}
    assert written == {"a.txt": "长度 10\n", "day two/a.txt": "长度 20\n", "day two/b.txt": "长度 30\n"}
    assert run("talks", "--format", "srt") == 2
    assert "needs --output_dir" in capsys.readouterr().err


@pytest.mark.parametrize(("hundredths", "is_long"), [(10, False), (3100, True)])
def test_standard_input_is_one_file(pipeline, talks, capsys, monkeypatch, hundredths, is_long):
    data = io.BytesIO()
    write(data, hundredths, format="FLAC")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data.getvalue())))
    assert run("-", "talks/a.wav", "--format", "json", "-o", "out") == 0
    assert json.loads(Path("out/stdin.json").read_text("utf-8")) == {
        "file": "-",
        "text": f"长度 {hundredths}",
        "flags": [],
    }
    assert Path("out/a.json").is_file()
    assert any(isinstance(item, bytes) for call in pipeline.calls for item in call["items"]) == is_long


def test_empty_standard_input_is_named(pipeline, talks, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO()))
    assert run("-", "talks/a.wav") == 1
    output = capsys.readouterr()
    assert output.out == "talks/a.wav\t长度 10\n"
    assert output.err.startswith("entropy-asr: error: -: ") and output.err.count("\n") == 1


def test_a_missing_file_among_others_costs_nothing_else(pipeline, talks, capsys):
    assert run("gone.wav", "talks/a.wav", "gone folder/") == 1
    output = capsys.readouterr()
    assert output.out == "talks/a.wav\t长度 10\n"
    assert output.err.splitlines() == [
        f"entropy-asr: error: {name}: cannot be opened: No such file or directory"
        for name in ("gone.wav", "gone folder/")
    ]


def test_an_output_that_cannot_be_written_costs_nothing_else(pipeline, talks, capsys):
    Path("out/b.txt").mkdir(parents=True)
    assert run("talks/day two/b.wav", "talks/a.wav", "-o", "out") == 1
    assert Path("out/a.txt").read_text("utf-8") == "长度 10\n"
    assert "talks/day two/b.wav: its output cannot be written: " in capsys.readouterr().err


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_subtitles_have_the_times_of_segments_without_the_extra(pipeline, talks, capsys, monkeypatch, format):
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert run("talks/a.wav", "--format", format) == 0
    output = capsys.readouterr()
    assert "长度 10" in output.out and "-->" in output.out
    assert output.err.count("\n") == 1 and output.err.startswith("entropy-asr: warning: subtitles have the times of")
    assert pipeline.calls[0]["return_timestamps"] is True
    # Asked for, they are no compromise; and words that are asked for are refused.
    assert run("talks/a.wav", "--format", format, "--timestamps", "segment") == 0
    assert capsys.readouterr().err == ""
    assert run("talks/a.wav", "--format", format, "--timestamps", "word") == 2
    assert "--timestamps word needs the extra g2p" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_json_on_any_console_is_json(pipeline, talks, monkeypatch, encoding):
    name = "北京 é.wav"
    write(talks / name, 10)
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", console)
    assert run(f"talks/{name}", "--format", "json") == 0
    printed = console.buffer.getvalue().decode(encoding)
    assert json.loads(printed) == [{"file": f"talks/{name}", "text": "长度 10", "flags": []}]


def test_files_are_utf8_whatever_the_console(pipeline, talks, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    for format, name in (("text", "a.txt"), ("srt", "a.srt"), ("json", "a.json")):
        assert run("talks/a.wav", "--format", format, "-o", "out") == 0
        assert "长度 10" in (Path("out") / name).read_bytes().decode("utf-8")


def test_addresses_go_to_the_reader_of_audio(pipeline, talks, capsys, monkeypatch):
    from entropy_asr.modeling import audio

    seen = []
    monkeypatch.setattr(audio, "load_audio", lambda source: seen.append(source) or np.zeros(1600))
    monkeypatch.setattr(audio, "audio_duration", lambda source: None)
    address = "https://example.org/my%20talk.mp3?raw=1"
    assert run(address, "-o", "out") == 0
    assert seen == [address]
    assert Path("out/my talk.txt").read_text("utf-8") == "长度 10\n"
