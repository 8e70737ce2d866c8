# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr transcribe`: what it prints and passes on, bad files, folders, standard input. Models are stand-ins."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from fake_pipeline import write_wav

from entropy_asr.modeling import AudioError, load_audio
from entropy_asr.trainers.commands import checks, cli


class Lengths:
    """Hears how many hundredths of a second a recording has."""

    def __init__(self):
        self.calls: list[dict] = []

    def __call__(self, items, **options):
        self.calls.append({"items": [], **options})
        for number, item in enumerate(items):
            self.calls[-1]["items"].append(item)
            try:
                yield self.result(item, options.get("return_timestamps"))
            except AudioError as error:
                yield {"text": "", "error": f"item {number}: {error}"}

    def result(self, item, return_timestamps) -> dict:
        samples = load_audio(item)
        text = f"长度 {len(samples) // 160}"
        chunks = {"chunks": [{"text": text, "timestamp": (0.0, 0.1)}]} if return_timestamps else {}
        return {"text": text, "flags": [], **chunks}


@pytest.fixture
def lengths(monkeypatch) -> Lengths:
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


def test_all_recordings_of_a_folder(lengths, talks, capsys):
    assert run("talks") == 0
    expected = "talks/a.wav\t长度 10\ntalks/day two/a.flac\t长度 20\ntalks/day two/b.wav\t长度 30\n"
    assert capsys.readouterr().out == expected
    assert run("talks", "-o", "out") == 0
    written = {str(path.relative_to("out")): path.read_text("utf-8") for path in Path("out").rglob("*.txt")}
    assert written == {"a.txt": "长度 10\n", "day two/a.txt": "长度 20\n", "day two/b.txt": "长度 30\n"}
    assert run("talks", "--format", "srt") == 2
    assert "needs --output_dir" in capsys.readouterr().err


@pytest.mark.parametrize("hundredths", [10, 3100])
def test_standard_input_is_one_file(lengths, talks, capsys, monkeypatch, hundredths):
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
    assert lengths.calls[0]["items"] == [data.getvalue(), "talks/a.wav"]


def test_empty_standard_input_is_named(lengths, talks, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO()))
    assert run("-", "talks/a.wav") == 1
    output = capsys.readouterr()
    assert output.out == "talks/a.wav\t长度 10\n"
    assert output.err.startswith("entropy-asr: error: -: ") and output.err.count("\n") == 1


def test_a_missing_file_among_others_costs_nothing_else(lengths, talks, capsys):
    assert run("gone.wav", "talks/a.wav", "gone folder/") == 1
    output = capsys.readouterr()
    assert output.out == "talks/a.wav\t长度 10\n"
    assert output.err.splitlines() == [
        f"entropy-asr: error: {name}: cannot be opened: No such file or directory"
        for name in ("gone.wav", "gone folder/")
    ]


def test_an_output_that_cannot_be_written_costs_nothing_else(lengths, talks, capsys):
    Path("out/b.txt").mkdir(parents=True)
    assert run("talks/day two/b.wav", "talks/a.wav", "-o", "out") == 1
    assert Path("out/a.txt").read_text("utf-8") == "长度 10\n"
    assert "talks/day two/b.wav: its output cannot be written: " in capsys.readouterr().err


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_subtitles_have_the_times_of_segments_without_the_extra(lengths, talks, capsys, monkeypatch, format):
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert run("talks/a.wav", "--format", format) == 0
    output = capsys.readouterr()
    assert "长度 10" in output.out and "-->" in output.out
    assert output.err.count("\n") == 1 and output.err.startswith("entropy-asr: warning: subtitles have the times of")
    assert lengths.calls[0]["return_timestamps"] is True
    # Asked for, they are no compromise; and words that are asked for are refused.
    assert run("talks/a.wav", "--format", format, "--timestamps", "segment") == 0
    assert capsys.readouterr().err == ""
    assert run("talks/a.wav", "--format", format, "--timestamps", "word") == 2
    assert "--timestamps word needs the extra g2p" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_json_on_any_console_is_json(lengths, talks, monkeypatch, encoding):
    name = "北京 é.wav"
    write(talks / name, 10)
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", console)
    assert run(f"talks/{name}", "--format", "json") == 0
    printed = console.buffer.getvalue().decode(encoding)
    assert json.loads(printed) == [{"file": f"talks/{name}", "text": "长度 10", "flags": []}]


def test_files_are_utf8_whatever_the_console(lengths, talks, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    for format, name in (("text", "a.txt"), ("srt", "a.srt"), ("json", "a.json")):
        assert run("talks/a.wav", "--format", format, "-o", "out") == 0
        assert "长度 10" in (Path("out") / name).read_bytes().decode("utf-8")


def test_addresses_go_to_the_reader_of_audio(lengths, talks, capsys, monkeypatch):
    monkeypatch.setitem(globals(), "load_audio", lambda source: np.zeros(1600))
    address = "https://example.org/my%20talk.mp3?raw=1"
    assert run(address, "-o", "out") == 0
    assert lengths.calls[0]["items"] == [address]
    assert Path("out/my talk.txt").read_text("utf-8") == "长度 10\n"


def test_transcribe_prints_path_tab_text_in_order(pipeline, tmp_path, capsys):
    files = [write_wav(tmp_path / f"{n}.wav", n) for n in (30, 10, 20)]
    assert cli.main(["transcribe", *files, "--model", "m"]) == 0
    assert capsys.readouterr().out == "".join(
        f"{file}\tlength {n}\n" for file, n in zip(files, (30, 10, 20), strict=True)
    )


def test_transcribe_json(pipeline, tmp_path, capsys):
    files = [write_wav(tmp_path / f"{n}.wav", n) for n in (30, 10)]
    assert cli.main(["transcribe", *files, "--model", "m", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"file": files[0], "text": "length 30"},
        {"file": files[1], "text": "length 10"},
    ]


def test_transcribe_passes_every_option_on(pipeline, tmp_path):
    files = [write_wav(tmp_path / f"{n}.wav", 10) for n in range(3)]
    options = [
        "--language",
        "Chinese",
        "--batch_size",
        "2",
        "--num_beams",
        "4",
        "--device",
        "cpu",
        "--dtype",
        "bfloat16",
    ]
    assert cli.main(["transcribe", *files, "--model", "some/model", *options]) == 0
    assert pipeline.loaded == [("some/model", "cpu", "bfloat16")]
    passed = {"batch_size": 2, "generate_kwargs": {"num_beams": 4}, "language": "zh", "return_flags": True}
    assert pipeline.calls == [{"count": 3, "progress": True, **passed}]


def test_transcribe_passes_hypotheses_and_language_on(pipeline, tmp_path):
    file = write_wav(tmp_path / "a.wav")
    options = ["--format", "json", "--return_language", "--num_hypotheses", "4", "--rescoring_weight", "0"]
    assert cli.main(["transcribe", file, "--model", "m", "--language", "auto", *options]) == 0
    call = pipeline.calls[0]
    assert (call["return_language"], call["language"]) == (True, None)
    assert (call["num_return_sequences"], call["rescoring_weight"]) == (4, 0.0)


def test_transcribe_lets_segments_wait_for_each_other_where_context_is_carried(pipeline, tmp_path):
    files = [write_wav(tmp_path / f"{name}.wav") for name in "ab"]
    assert cli.main(["transcribe", *files, "--model", "m", "--carry_context"]) == 0
    assert cli.main(["transcribe", *files, "--model", "m"]) == 0
    passed = [(call["batch_size"], call.get("carry_context")) for call in pipeline.calls]
    assert passed == [(1, True), (8, None)]


def test_transcribe_passes_a_diarization_on(pipeline, tmp_path):
    files = [write_wav(tmp_path / f"{name}.wav") for name in "ab"]
    rttm = tmp_path / "all.rttm"
    rttm.write_text("SPEAKER a 1 0 1 <NA> <NA> Anna <NA> <NA>\n")
    for given in (files[:1], files):
        assert cli.main(["transcribe", *given, "--model", "m", "--format", "json", "--diarization", str(rttm)]) == 0
    # That of one file need not name it.
    assert [call["diarization"] for call in pipeline.calls] == [[str(rttm)], str(rttm)]


def test_transcribe_passes_a_text_style_on(pipeline, tmp_path):
    pytest.importorskip("wetext")
    file = write_wav(tmp_path / "a.wav")
    for options in (
        ["--numbers", "written"],
        ["--punctuation", "auto"],
        ["--numbers", "spoken", "--punctuation", "half"],
    ):
        assert cli.main(["transcribe", file, "--model", "m", *options]) == 0
    assert [call["text_style"] for call in pipeline.calls] == [
        *({"numbers": "written"}, {"punctuation": "auto"}, {"numbers": "spoken", "punctuation": "half"})
    ]


def test_transcribe_passes_hotwords_times_and_guards_on(pipeline, tmp_path):
    file = write_wav(tmp_path / "a.wav")
    words = tmp_path / "words.txt"
    words.write_text("Kaldi\n\n  New York \n", encoding="utf-8")
    options = ["--format", "json", "--confidence", "--timestamps", "phoneme", "--no_guards"]
    for hotwords in ([str(words)], ["Kaldi", "New York"], ["Kaldi", "--hotwords", "New York"]):
        arguments = [file, "--model", "m", "--hotwords", *hotwords, "--hotword_tolerance", "0.2", *options]
        assert cli.main(["transcribe", *arguments]) == 0
    expected = {
        "count": 1,
        "progress": True,
        "batch_size": 8,
        "generate_kwargs": {},
        "language": None,
        "return_flags": True,
        "return_timestamps": "phoneme",
        "return_confidence": True,
        "guards": False,
        "hotwords": ["Kaldi", "New York"],
        "return_hotwords": True,
        "hotword_tolerance": 0.2,
    }
    assert pipeline.calls == [expected] * 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--timestamps", "word"], "--timestamps needs --format"),
        (["--timestamps", "phoneme", "--format", "srt"], "not of phonemes"),
        (["--confidence", "--format", "vtt"], "--confidence needs --format json"),
        (["--diarization", "x.rttm"], "--diarization needs --format json, srt or vtt"),
        (["--diarization", "x.rttm", "--format", "vtt"], "--diarization x.rttm: there is no such file"),
        (["--return_language"], "--return_language needs --format json"),
        (["--num_hypotheses", "2"], "--num_hypotheses needs --format json"),
        (["--rescoring_weight", "0.2", "--format", "json"], "--rescoring_weight needs --num_hypotheses"),
        (["--carry_context", "--batch_size", "2"], "--batch_size must be 1"),
        (["--hotword_tolerance", "0.1"], "needs --hotwords"),
        (["--hotwords", "gone.txt"], "gone.txt: cannot be read"),
        (["--hotwords", "gone.npz"], "gone.npz: cannot be read"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_the_model_is_loaded(
    pipeline, tmp_path, capsys, options, reason
):
    assert cli.main(["transcribe", write_wav(tmp_path / "a.wav"), "--model", "m", *options]) == 2
    assert reason in capsys.readouterr().err
    assert pipeline.loaded == []


def test_subtitles_of_one_file_are_printed_and_of_several_written(pipeline, tmp_path, capsys):
    files = [write_wav(tmp_path / f"{name}.wav", n) for name, n in (("a", 30), ("b", 20))]
    assert cli.main(["transcribe", files[0], "--model", "m", "--format", "srt"]) == 0
    srt = "1\n00:00:00,000 --> 00:00:00,300\nlength 30\n"
    assert capsys.readouterr().out == srt
    assert cli.main(["transcribe", *files, "--model", "m", "--format", "vtt"]) == 2
    assert "--output_dir" in capsys.readouterr().err
    folder = tmp_path / "out"
    for kind in ("srt", "vtt", "text", "json"):
        assert cli.main(["transcribe", *files, "--model", "m", "--format", kind, "--output_dir", str(folder)]) == 0
    assert capsys.readouterr().out == ""
    assert (folder / "a.srt").read_text() == srt
    assert (folder / "b.vtt").read_text() == "WEBVTT\n\n00:00:00.000 --> 00:00:00.200\nlength 20\n"
    assert (folder / "b.txt").read_text() == "length 20\n"
    assert json.loads((folder / "a.json").read_text()) == {"file": files[0], "text": "length 30"}
    assert pipeline.calls[0]["return_timestamps"] == "word"


def test_files_of_one_name_are_not_written_over_each_other(pipeline, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    files = [write_wav(tmp_path / "a.wav"), write_wav(tmp_path / "other" / "a.wav")]
    assert cli.main(["transcribe", *files, "--output_dir", str(tmp_path / "out")]) == 2
    assert "a.txt" in capsys.readouterr().err


def test_transcript_that_was_stopped_is_told_on_stderr(pipeline, tmp_path, capsys):
    pipeline.looping = True
    file = write_wav(tmp_path / "a.wav")
    assert cli.main(["transcribe", file, "--model", "m"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{file}\tlength 10\n"
    assert f"warning: {file}: the transcript was stopped" in captured.err


def test_long_and_short_recordings_keep_their_order(pipeline, tmp_path, capsys):
    files = [write_wav(tmp_path / f"{name}.wav", n) for name, n in (("a", 10), ("long", 3100), ("b", 20))]
    assert cli.main(["transcribe", *files, "--model", "m"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == files


@pytest.fixture
def ten_files(tmp_path) -> tuple[list[str], list[str]]:
    """Four usable and six unusable files in one list, and the unusable ones."""
    whole = write_wav(tmp_path / "whole.wav", 40)
    good = [
        whole,
        write_wav(tmp_path / "channels.wav", 10, channels=8),
        write_wav(tmp_path / "rate.wav", 10, sampling_rate=192000),
        write_wav(tmp_path / "last.wav", 20),
    ]
    contents = {
        "truncated.wav": (tmp_path / "whole.wav").read_bytes()[:9000],
        "empty.wav": b"",
        "text.wav": b"not a recording\n" * 50,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    soundfile.write(tmp_path / "nan.wav", np.full(1600, np.nan, np.float32), 16000, subtype="FLOAT")
    short = write_wav(tmp_path / "short.wav", 1)
    bad = [*(str(tmp_path / name) for name in contents), str(tmp_path / "nan.wav"), str(tmp_path / "gone.wav"), short]
    return [good[0], *bad[:3], good[1], *bad[3:], *good[2:]], bad


@pytest.mark.parametrize("batch_size", ["1", "3", "16"])
def test_bad_files_are_told_one_by_one_and_all_others_transcribed(pipeline, ten_files, capsys, batch_size):
    files, bad = ten_files
    assert cli.main(["transcribe", *files, "--model", "m", "--batch_size", batch_size]) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [file for file in files if file not in bad]
    assert [line.split("\t")[1] for line in lines] == ["length 40", "length 10", "length 10", "length 20"]
    errors = [line for line in captured.err.splitlines() if line.startswith("entropy-asr: error: ")]
    assert len(errors) == len(bad)
    for file in bad:
        assert sum(file in error for error in errors) == 1
