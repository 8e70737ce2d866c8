# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr stream`: what it prints for files and pipes, and what it refuses."""

import io
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from small_models import build_model, build_tokenizer, small_config

from entropy_asr.modeling import (
    EndpointSettings,
    EntropyASRFeatureExtractor,
    EntropyASRProcessor,
    HotwordIndex,
    StreamingTranscriber,
    load_pipeline,
)
from entropy_asr.trainers.commands import cli, stream_session
from entropy_asr.trainers.commands.stream_session import at_real_time, read_pcm


OPTIONS = ["--no_vad", "--max_segment", "3"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = build_tokenizer(["<|im_start|>", "<|im_end|>", "<|audio|>"])
    build_model(small_config()).save_pretrained(folder)
    EntropyASRProcessor.from_components(EntropyASRFeatureExtractor(), tokenizer, small_config()).save_pretrained(
        folder
    )
    return str(folder)


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    """Four seconds of a rising tone, int16."""
    time_axis = np.arange(64000) / 16000
    return (9000 * np.sin(2 * np.pi * (200 + 80 * time_axis) * time_axis)).astype(np.int16)


@pytest.fixture(scope="module")
def lines(checkpoint, samples) -> str:
    """What the transcriber makes of the samples, as the command prints it."""
    stream = StreamingTranscriber(
        load_pipeline(checkpoint, device="cpu"), use_vad=False, endpoints=EndpointSettings(max_segment=3)
    )
    finals = [update for update in stream.push(samples) + stream.finish() if update.is_final]
    return "".join(f"{update.start:.2f}\t{update.end:.2f}\t{' '.join(update.text.split())}\n" for update in finals)


def stream(capsys, checkpoint, *arguments) -> tuple[int, str, str]:
    status = cli.main(["stream", *arguments, "--model", checkpoint, "--device", "cpu"])
    output = capsys.readouterr()
    return status, output.out, output.err


def test_a_file_is_printed_segment_by_segment(capsys, checkpoint, samples, lines, tmp_path):
    soundfile.write(tmp_path / "tone.wav", samples, 16000)
    status, out, err = stream(capsys, checkpoint, str(tmp_path / "tone.wav"), *OPTIONS)
    assert (status, out) == (0, lines)
    assert out.startswith("0.00\t3.00\t") and out.count("\n") == 2
    assert err.count("ms later") == 2 and "/" in err


def test_quiet(capsys, checkpoint, samples, lines, tmp_path):
    soundfile.write(tmp_path / "tone.wav", samples, 16000)
    status, out, err = stream(capsys, checkpoint, str(tmp_path / "tone.wav"), "--quiet", *OPTIONS)
    assert (status, out) == (0, lines)
    assert "ms later" not in err and "\x1b" not in err


def test_standard_input(capsys, checkpoint, samples, lines, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(samples.tobytes())))
    status, out, _ = stream(capsys, checkpoint, "-", *OPTIONS)
    assert (status, out) == (0, lines)


@pytest.mark.slow
def test_a_pipe(checkpoint, samples, lines):
    """A real pipe, whose last byte is half a sample."""
    command = [
        sys.executable,
        "-m",
        "entropy_asr.trainers.commands.cli",
        "stream",
        "-",
        "--model",
        checkpoint,
        "--quiet",
    ]
    result = subprocess.run(
        [*command, "--device", "cpu", *OPTIONS], input=samples.tobytes() + b"\x00", capture_output=True, check=False
    )
    assert result.returncode == 0, result.stderr.decode()[-2000:]
    assert result.stdout.decode() == lines


class Trickle(io.RawIOBase):
    """A pipe that gives few and odd numbers of bytes."""

    def __init__(self, data: bytes):
        self.data, self.sizes = io.BytesIO(data), [1, 3, 7, 2, 5]

    def read1(self, size: int) -> bytes:
        self.sizes.append(self.sizes.pop(0))
        return self.data.read(min(size, self.sizes[0]))


def test_samples_are_put_together_from_any_bytes(samples):
    portions = list(read_pcm(Trickle(samples[:1000].tobytes() + b"\x01"), 16000))
    assert np.array_equal(np.concatenate(portions), samples[:1000])
    assert max(map(len, read_pcm(io.BytesIO(samples.tobytes()), 8000))) == 800


@pytest.mark.parametrize("size", [2, 3, 100000])
@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_file_on_standard_input_is_named_and_refused(capsys, checkpoint, samples, monkeypatch, container, size):
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format=container)

    class Pieces(io.BytesIO):
        def read1(self, _):
            return self.read(size)

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Pieces(file.getvalue())))
    status, out, err = stream(capsys, checkpoint, "-", *OPTIONS)
    assert (status, out) == (2, "")
    name = {"OGG": "Ogg"}.get(container, container)
    assert f"standard input is a {name} file, and raw PCM was expected" in err


def test_real_time_gives_no_portion_before_it_was_spoken(monkeypatch):
    """By a clock that only waiting moves."""
    now = [5.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(stream_session, "time", clock)
    given = [(round(now[0] - 5.0, 3), len(samples)) for samples in at_real_time(iter([np.zeros(800)] * 4), 16000)]
    assert given == [(0.05, 800), (0.1, 800), (0.15, 800), (0.2, 800)]


def test_hotwords_and_guards_are_passed_on(capsys, checkpoint, samples, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(stream_session, "StreamingTranscriber", lambda *args, **kwargs: calls.append(kwargs) or Deaf())
    soundfile.write(tmp_path / "tone.wav", samples, 16000)
    (tmp_path / "words.txt").write_text("Kaldi\n\nice fall\n")
    options = ["--hotwords", str(tmp_path / "words.txt"), "--hotword_tolerance", "0.2", "--no_guards"]
    assert stream(capsys, checkpoint, str(tmp_path / "tone.wav"), *options)[0] == 0
    assert stream(capsys, checkpoint, str(tmp_path / "tone.wav"), "--hotwords", "Kaldi", "WeNet")[0] == 0
    wanted = ("hotwords", "hotword_tolerance", "guards", "return_confidence", "return_language")
    assert [[call[name] for name in wanted] for call in calls] == [
        [["Kaldi", "ice fall"], 0.2, False, None, None],
        [["Kaldi", "WeNet"], None, None, None, None],
    ]


def test_an_index_file_of_hotwords_is_taken_as_by_transcribe(capsys, checkpoint, samples, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(stream_session, "StreamingTranscriber", lambda *args, **kwargs: calls.append(kwargs) or Deaf())
    soundfile.write(tmp_path / "tone.wav", samples, 16000)
    HotwordIndex({"Kaldi": ["k", "æ", "l"]}).save(tmp_path / "places.npz")
    arguments = [str(tmp_path / "tone.wav"), "--hotwords", str(tmp_path / "places.npz")]
    assert stream(capsys, checkpoint, *arguments)[0] == 0
    assert calls[0]["hotwords"].search(["k", "æ", "l"])
    assert stream(capsys, checkpoint, *arguments[:-1], str(tmp_path / "missing.txt"))[0] == 2


def test_the_language_of_each_segment_is_shown(capsys, checkpoint, samples, tmp_path):
    soundfile.write(tmp_path / "tone.wav", samples, 16000)
    _, out, err = stream(capsys, checkpoint, str(tmp_path / "tone.wav"), "--return_language", *OPTIONS)
    assert len(re.findall(r"ms later, (?:en|zh) [01]\.\d\d", err)) == out.count("\n") == 2


def test_confidence_and_flags_are_shown(capsys, checkpoint, samples, tmp_path):
    soundfile.write(tmp_path / "tone.wav", samples, 16000)
    _, out, err = stream(capsys, checkpoint, str(tmp_path / "tone.wav"), "--confidence", *OPTIONS)
    assert err.count("ms later, confidence ") == err.count(", length_limit") == out.count("\n") == 2


class Deaf:
    """Hears nothing."""

    def push(self, samples):
        return []

    def finish(self):
        return []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.wav", *OPTIONS], "missing.wav: cannot be opened"),
        (["-", "--chunk_ms", "100"], "multiple of 160 ms"),
        (["-", "--left_chunks", "-2"], "left_chunks"),
        (["-", "--max_segment", "0.1"], "max_segment"),
        (["-", "--min_silence", "-1"], "must be a number of seconds"),
        (["-", "--hotword_tolerance", "0.1"], "--hotword_tolerance needs --hotwords"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_2(capsys, checkpoint, arguments, reason):
    status, out, err = stream(capsys, checkpoint, *arguments)
    assert (status, out) == (2, "")
    assert reason in err and "Traceback" not in err
