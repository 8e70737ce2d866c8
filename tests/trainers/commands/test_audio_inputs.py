# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What `transcribe` makes of its arguments: files, folders, addresses, standard input, and the names of outputs."""

import os
from pathlib import Path

import pytest

from entropy_asr.trainers.commands.audio_inputs import find_recordings, name_outputs


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.wav",
        "e.avi",
        "a.MP3",
        "a.flac",
        "sub/a.wav",
        "sub/deep/c.opus",
        ".hidden.wav",
        ".git/d.wav",
        "notes.txt",
    ):
        path = tmp_path / "talks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.wav").touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def found(*files: str) -> tuple[list, list]:
    failures = []
    return find_recordings(files, lambda file, reason: failures.append((file, reason))), failures


def test_a_folder_is_its_recordings_sorted(folder):
    recordings, failures = found("talks")
    names = ["a.MP3", "a.flac", "b.wav", "e.avi", "sub/a.wav", "sub/deep/c.opus"]
    assert [recording.name for recording in recordings] == [os.path.join("talks", name) for name in names]
    assert failures == []
    assert name_outputs(recordings) == {
        "talks/a.MP3": "a.MP3",
        "talks/a.flac": "a.flac",
        "talks/b.wav": "b",
        "talks/e.avi": "e",
        "talks/sub/a.wav": "sub/a",
        "talks/sub/deep/c.opus": "sub/deep/c",
    }


def test_outputs_of_two_folders_are_kept_apart(folder):
    recordings, _ = found("talks", "other/")
    outputs = name_outputs(recordings)
    assert (outputs["talks/b.wav"], outputs["other/b.wav"]) == ("talks/b.wav", "other/b.wav")
    assert len({output.casefold() for output in outputs.values()}) == len(outputs) == 7


def test_files_of_one_name_are_refused(folder):
    with pytest.raises(ValueError, match=r"^b$"):
        name_outputs(found("talks/b.wav", "other/b.wav")[0])
    with pytest.raises(ValueError, match=r"^b$"):
        name_outputs(found("talks/b.wav", "talks/b.wav")[0])


def test_what_is_not_there_costs_nothing_else(folder):
    recordings, failures = found("gone.wav", "talks/b.wav", "empty", "talks/notes.txt")
    assert [recording.name for recording in recordings] == ["talks/b.wav", "talks/notes.txt"]
    assert failures == [
        ("gone.wav", "cannot be opened: No such file or directory"),
        ("empty", "there are no recordings in this folder"),
    ]


def test_addresses_and_standard_input_are_passed_on(folder):
    address = "https://example.org/talks/my%20talk.mp3?raw=1"
    recordings, failures = found(address, "-")
    assert (recordings[0].source(), failures) == (address, [])
    assert name_outputs(recordings) == {address: "my talk", "-": "stdin"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_read_once(folder):
    os.mkfifo("pipe.wav")
    writer = os.fork()
    if not writer:
        Path("pipe.wav").write_bytes(b"RIFF")
        os._exit(0)
    [recording], _ = found("pipe.wav")
    assert recording.source() == b"RIFF"
    os.waitpid(writer, 0)
