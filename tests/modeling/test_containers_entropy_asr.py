# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Files whose headers state no length, or a wrong one, and files that were put together, are read to their end."""

import os
import struct
import threading

import numpy as np
import pytest
import torch
from files_read_back import NOISE, RATE, check_read_whole, check_refused, encode, with_flac_total

from entropy_asr.modeling.audio import (
    AudioError,
    audio_blocks,
    audio_duration,
    load_audio,
    load_or_blocks,
    measure_duration,
)


LOSSY = {"format": "OGG", "subtype": "VORBIS"}, {"format": "OGG", "subtype": "OPUS"}
LOSSLESS = [{"format": name} for name in ("WAV", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC")]


def with_field(data: bytes, after: bytes, offset: int, code: str, value: int) -> bytes:
    """A file with another number at `offset` bytes from where `after` first is."""
    changed = bytearray(data)
    struct.pack_into(code, changed, data.index(after) + offset, value)
    return bytes(changed)


# Where the header states the size of the samples, and what it counts beside them.
SIZE_FIELDS = {
    "WAV": (b"data", 4, "<I", 0),
    "RF64": (b"ds64", 16, "<Q", 0),
    "W64": (b"data", 16, "<Q", 24),
    "AIFF": (b"SSND", 4, ">I", 8),
    "AU": (b".snd", 8, ">I", 0),
    "CAF": (b"data", 4, ">q", 4),
}


def with_size(name: str, value: int, samples: np.ndarray = NOISE) -> bytes:
    return with_field(encode(samples, format=name), *SIZE_FIELDS[name][:3], value)


@pytest.fixture(scope="module")
def pcm():
    return load_audio(encode(format="WAV"))


@pytest.mark.parametrize("name", SIZE_FIELDS)
@pytest.mark.parametrize("share", [0.5, 0.01, 0.97])
def test_header_that_states_too_little_loses_nothing(name, share, pcm):
    stated = int(share * 2 * len(NOISE)) // 2 * 2
    check_read_whole(with_size(name, stated + SIZE_FIELDS[name][3]), pcm)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("WAV", value) for value in (0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF - 36)),
        *(("RF64", value) for value in (0, 2**64 - 1, 2**63 - 1)),
        *(("W64", value) for value in (0, 24, 2**63 - 1)),
        *(("AIFF", value) for value in (0, 8, 0xFFFFFFFF, 0x7FFFF000)),
        *(("AU", value) for value in (0, 0xFFFFFFFF)),
        *(("CAF", value) for value in (-1, 0, 4)),
    ],
)
def test_header_that_states_no_length_loses_nothing(name, value, pcm):
    check_read_whole(with_size(name, value), pcm)
    # Two such files in one have two headers, the second of which is no sound.
    check_read_whole(with_size(name, value) * 2, np.concatenate([pcm, pcm]))


def test_aiff_header_with_wrong_frames(pcm):
    for frames in (0, len(NOISE) // 2):
        check_read_whole(with_field(encode(format="AIFF"), b"COMM", 10, ">I", frames), pcm)


@pytest.mark.parametrize("file_format", [*LOSSLESS, *LOSSY, {"format": "MP3"}], ids=lambda f: "-".join(f.values()))
@pytest.mark.parametrize("number", [2, 3])
def test_files_put_together_are_read_whole(file_format, number):
    data = encode(**file_format)
    once = load_audio(data)
    audio = load_audio(data * number)
    assert len(audio) == pytest.approx(number * len(once), abs=3000 * number if file_format["format"] == "MP3" else 0)
    if file_format["format"] != "MP3":
        np.testing.assert_array_equal(audio, np.tile(once, number))
    assert audio_duration(data * number) == pytest.approx(len(audio) / RATE, abs=0.001)
    np.testing.assert_array_equal(np.concatenate(list(audio_blocks(data * number))), audio)


@pytest.mark.parametrize("file_format", [LOSSY[0], LOSSY[1], *LOSSLESS], ids=lambda f: "-".join(f.values()))
def test_files_put_together_may_differ(file_format):
    rate = 48000 if file_format.get("subtype") == "OPUS" else 44100
    stereo = np.random.default_rng(1).standard_normal((3 * rate, 2)).astype(np.float32) * 0.1
    first, second = encode(**file_format), encode(stereo, rate, **file_format)
    for one, other in ((first, second), (second, first)):
        audio = load_audio(one + other)
        np.testing.assert_array_equal(audio, np.concatenate([load_audio(one), load_audio(other)]))
        blocks = np.concatenate(list(audio_blocks(one + other)))
        assert len(blocks) == len(audio)
        np.testing.assert_allclose(blocks, audio, atol=1e-3)
        assert audio_duration(one + other) == pytest.approx(5.0)
    with pytest.raises(AudioError, match=f"{rate} Hz"):
        load_audio(first + second, sampling_rate=RATE)


def test_file_of_another_format_behind_one(pcm):
    for first in ("WAV", "AIFF", "W64", "AU", "CAF"):
        audio = load_audio(encode(format=first) + encode(format="FLAC"))
        np.testing.assert_array_equal(audio, np.tile(pcm, 2))


@pytest.mark.parametrize("second", ["WAV", "AIFF", "CAF"])
@pytest.mark.parametrize("first", [{"format": "FLAC"}, *LOSSY], ids=lambda f: "-".join(f.values()))
def test_file_of_another_format_behind_one_without_a_stated_end(first, second, pcm):
    data = encode(**first)
    audio = load_audio(data + encode(format=second))
    np.testing.assert_array_equal(audio, np.concatenate([load_audio(data), pcm]))


def test_mp3_behind_a_wav_is_no_noise():
    wav, mp3 = encode(format="WAV"), encode(format="MP3")
    np.testing.assert_array_equal(load_audio(wav + mp3), np.concatenate([load_audio(wav), load_audio(mp3)]))


@pytest.mark.parametrize("file_format", LOSSLESS[:-1], ids=lambda f: f["format"])
def test_truncated_file_put_behind_a_whole_one_is_refused(file_format):
    data = encode(**file_format)
    check_refused(data + data[:-1000], "truncated")


def riff_chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


@pytest.mark.parametrize(
    "tail",
    [
        riff_chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 6) + b"Lavf58"),
        riff_chunk(b"id3 ", b"ID3\4\0\0\0\0\1\0" + bytes(128)),
        riff_chunk(b"bext", bytes(602)) + riff_chunk(b"mine", bytes(range(256)) * 20),
        b"TAG" + bytes(125),
        b"ID3\4\0\0\0\0\1\0" + bytes(range(128)),
        b"APETAGEX\0\0\0\0" + struct.pack("<I", 2000) + bytes(2016),
        bytes(5000),
        b"\r\n",
        bytes(range(1, 100)),
        riff_chunk(b"LIST", bytes(3000))[:2000],
        riff_chunk(b"LIST", bytes(30)) + bytes(4000),
    ],
    ids=["LIST", "id3 chunk", "two chunks", "ID3v1", "ID3v2", "APE", "zeros", "newline", "few", "cut LIST", "padded"],
)
def test_what_is_no_sound_behind_a_wav_is_left_out(tail, pcm):
    data = encode(format="WAV")
    check_read_whole(data + tail, pcm)
    odd = load_audio(encode(NOISE[:-1], format="WAV", subtype="PCM_U8"))
    for padding in (b"", b"\0"):
        audio = load_audio(encode(NOISE[:-1], format="WAV", subtype="PCM_U8")[: 44 + len(odd)] + padding + tail)
        np.testing.assert_array_equal(audio, odd)


@pytest.mark.parametrize("file_format", LOSSLESS, ids=lambda f: f["format"])
@pytest.mark.parametrize(
    "tail", [b"TAG" + bytes(125), bytes(2000), b"APETAGEX\0\0\0\0" + struct.pack("<I", 2000) + bytes(2016)]
)
def test_tags_and_padding_behind_other_formats_are_left_out(file_format, tail, pcm):
    check_read_whole(encode(**file_format) + tail, pcm)


def test_wav_with_a_second_chunk_of_samples_is_refused():
    check_refused(encode(format="WAV") + riff_chunk(b"data", bytes(5000)), "a second chunk of samples")


def test_wav_without_samples_has_none():
    empty = encode(NOISE[:0], format="WAV")
    for data in (empty, empty + riff_chunk(b"LIST", bytes(50))):
        with pytest.raises(AudioError, match="holds no samples"):
            load_audio(data)


def test_truncated_header_is_refused():
    check_refused(encode(format="WAV")[:30], "ends before its samples begin")
    check_refused(encode(format="FLAC")[:60], "truncated|damaged|decoded")


def test_mp3_tag_that_states_too_much_is_not_believed():
    data = encode(np.tile(NOISE, 3), format="MP3")
    place = max(data.find(b"Xing"), data.find(b"Info"))
    lying = bytearray(data)
    lying[place + 8 : place + 12] = (5000).to_bytes(4)
    assert audio_duration(bytes(lying)) is None
    with pytest.raises(AudioError, match="truncated or damaged"):
        measure_duration(bytes(lying))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_read_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    data = encode(format="WAV")
    writer = threading.Thread(target=(tmp_path / "pipe.wav").write_bytes, args=(data,), daemon=True)
    writer.start()
    assert len(load_or_blocks(tmp_path / "pipe.wav", 30)) == len(load_audio(data))
    writer.join(10)


def test_duration_of_files_and_mappings(tmp_path):
    path = tmp_path / "pipe.flac"
    path.write_bytes(with_flac_total(encode(format="FLAC"), 0))
    for source in (path, str(path), {"bytes": path.read_bytes(), "path": None}, {"bytes": None, "path": str(path)}):
        assert audio_duration(source) is None
        assert measure_duration(source) == 2.0
    assert measure_duration({"array": np.zeros(8000), "sampling_rate": 8000}) == 1.0
    half = torch.zeros(8000, dtype=torch.bfloat16, requires_grad=True)
    assert audio_duration({"array": half, "sampling_rate": 8000}) == 1.0
    assert audio_duration({"samples": [0, 0, 0, 0], "sampling_rate": 4}) == 1.0
    assert audio_duration({"samples": [[0], [0, 0]], "sampling_rate": 0}) is None
    with pytest.raises(AudioError, match="gone"):
        measure_duration(tmp_path / "gone.wav")
