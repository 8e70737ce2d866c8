# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What libsndfile does not read, and what is somewhere else: read through ffmpeg and fetched, or refused in words."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from entropy_asr.modeling import ffmpeg_entropy_asr
from entropy_asr.modeling.audio import (
    AudioError,
    audio_blocks,
    audio_duration,
    load_audio,
    load_or_blocks,
    measure_duration,
    readable_formats,
)


RATE = 16000
TIME = np.arange(2 * RATE) / RATE
SWEEP = (0.3 * np.sin(2 * np.pi * (200 * TIME + 100 * TIME**2))).astype(np.float32)
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
MP4_HEAD = b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(100)


def encode(**kwargs) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, SWEEP, RATE, **{"format": "WAV", **kwargs})
    return buffer.getvalue()


def convert(folder: Path, name: str, *options: str) -> Path:
    (folder / "in.wav").write_bytes(encode())
    command = ["ffmpeg", "-v", "error", "-y", "-i", folder / "in.wav", *options, folder / name]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"this ffmpeg cannot write {name}")
    return folder / name


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.m4a", ["-c:a", "aac"]),
        ("a.mp4", ["-f", "mp4", "-movflags", "frag_keyframe+empty_moov", "-c:a", "aac"]),
        ("a.webm", ["-c:a", "libopus"]),
        ("a.mkv", ["-c:a", "flac"]),
        ("a.wma", ["-c:a", "wmav2"]),
        ("a.aac", ["-c:a", "aac"]),
        ("a.ts", ["-c:a", "aac"]),
        ("a.ogg", ["-c:a", "libspeex"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_formats_that_ffmpeg_reads(tmp_path, name, options):
    path = convert(tmp_path, name, *options)
    audio = load_audio(path)
    # Encoders put up to a seventh of a second around the sound, or take as much away.
    assert len(audio) / RATE == pytest.approx(2.0, abs=0.15)
    correlation = np.correlate(audio, SWEEP, "full").max() / np.sqrt((audio**2).sum() * (SWEEP**2).sum())
    assert correlation > 0.95
    data = path.read_bytes()
    np.testing.assert_array_equal(load_audio(data), audio)
    np.testing.assert_array_equal(np.concatenate(list(audio_blocks({"bytes": data}, block_seconds=0.3))), audio)
    assert audio_duration(path) is None
    assert measure_duration(data) == pytest.approx(len(audio) / RATE)
    np.testing.assert_array_equal(load_or_blocks(path, 2.5), audio)
    np.testing.assert_array_equal(np.concatenate(list(load_or_blocks(path, 1.5))), audio)
    # Two in one file.
    assert len(load_audio(data + data)) == pytest.approx(2 * len(audio), abs=100)


@needs_ffmpeg
@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.webm", "libopus"), ("a.aac", "aac")])
def test_truncated_file_is_refused_with_ffmpegs_reason(tmp_path, name, codec):
    path = convert(tmp_path, name, "-c:a", codec)
    path.write_bytes(path.read_bytes()[:-2000])
    for read in (load_audio, lambda source: list(audio_blocks(source))):
        with pytest.raises(AudioError, match=rf"{name}: cannot be decoded whole by ffmpeg: \w+"):
            read(path)


@needs_ffmpeg
def test_video_without_sound_is_refused(tmp_path):
    path = tmp_path / "silent film.mp4"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=d=1:s=32x32", path]
    subprocess.run(command, check=True)
    with pytest.raises(AudioError, match=r"silent film\.mp4: it holds no sound"):
        load_audio(path)


@needs_ffmpeg
def test_names_and_playlists_lead_ffmpeg_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = convert(tmp_path, "a.m4a", "-c:a", "aac").rename(tmp_path / "-i concat:x|y.m4a")
    assert len(load_audio(path.name)) > RATE
    playlist = tmp_path / "list.m4a"
    playlist.write_text(f"#EXTM3U\n#EXTINF:1\n{tmp_path / 'in.wav'}\n")
    with pytest.raises(AudioError, match="cannot be decoded as audio"):
        load_audio(playlist)


def test_without_ffmpeg_one_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(ffmpeg_entropy_asr.shutil, "which", lambda name: None)
    path = tmp_path / "a.m4a"
    path.write_bytes(MP4_HEAD)
    for source in (path, {"bytes": MP4_HEAD, "path": "a.m4a"}):
        with pytest.raises(AudioError, match=r"a\.m4a: this is MP4, which libsndfile does not read; with .* ffmpeg"):
            load_audio(source)
    assert "M4A" not in readable_formats() and "FLAC" in readable_formats()
    monkeypatch.setattr(ffmpeg_entropy_asr.shutil, "which", lambda name: "/usr/bin/ffmpeg")
    assert "M4A" in readable_formats()
