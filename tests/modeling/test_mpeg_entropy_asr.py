# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MP3 files that do not state their length, are damaged, put together or among tags."""

import io
import struct

import numpy as np
import pytest
import soundfile

from entropy_asr.modeling.audio import AudioError, audio_blocks, audio_duration, load_audio


RATE = 16000


def encode(samples: np.ndarray, sampling_rate: int = RATE, **kwargs) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sampling_rate, **{"format": "WAV", **kwargs})
    return buffer.getvalue()


def mp3(sampling_rate: int = RATE, mode: str = "VARIABLE", channels: int = 1, seconds: float = 2.0) -> bytes:
    """Noise that is loud for a second and then hardly there, so that frames of variable bit rate differ in size."""
    shape = (round(seconds * sampling_rate), channels)
    noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    noise[:sampling_rate] *= 0.3
    noise[sampling_rate:] *= 0.001
    return encode(noise, sampling_rate, format="MP3", bitrate_mode=mode, compression_level=0.5)


def without_length(data: bytes) -> bytes:
    """An MP3 file less its first frame, which states the length; its tag ends before byte 200 of it."""
    return data[data.index(data[:2], 200) :]


def id3_tag(size: int) -> bytes:
    return b"ID3\4\0\0" + bytes([0, 0, size >> 7, size & 127]) + b"\xff\xfb" * (size // 2)


@pytest.mark.parametrize("sampling_rate", [8000, 16000, 44100])
@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_that_does_not_state_its_length_is_read_to_its_end(sampling_rate, mode, channels):
    data = mp3(sampling_rate, mode, channels)
    whole = load_audio(data, target_sampling_rate=sampling_rate)
    audio = load_audio(without_length(data), target_sampling_rate=sampling_rate)
    # The encoder puts 576 samples before the sound and fills the last frame; only the first frame tells how many.
    np.testing.assert_array_equal(audio[576:][: len(whole)], whole)
    assert 0 <= len(audio) - 576 - len(whole) < 3 * 1152
    assert audio_duration(without_length(data)) == len(audio) / sampling_rate


@pytest.mark.parametrize("tag", [b"Xing" + bytes(4), b"VBRI\0\1" + bytes(8)], ids=["no count", "Fraunhofer"])
def test_mp3_with_a_first_frame_that_libsndfile_cannot_use(tag):
    data = mp3()
    sound = without_length(data)
    first = data[:4] + bytes(9 if tag[:4] == b"Xing" else 32) + tag
    first = first.ljust(len(data) - len(sound), b"\0")
    np.testing.assert_array_equal(load_audio(first + sound), load_audio(sound))


@pytest.mark.parametrize("between", [b"", id3_tag(5000), b"TAG" + bytes(125) + id3_tag(100)], ids=["", "ID3", "both"])
@pytest.mark.parametrize("states_length", [True, False])
def test_mp3_files_put_together_are_read_as_one(tmp_path, between, states_length):
    data = mp3(44100) if states_length else without_length(mp3(44100))
    path = tmp_path / "two.mp3"
    path.write_bytes(id3_tag(3000) + data + between + data)
    audio = load_audio(path)
    assert len(audio) / RATE == pytest.approx(4, abs=0.2)
    loudness = np.abs(audio[: 4 * RATE]).reshape(4, RATE)[:, RATE // 4 : -RATE // 4].mean(axis=1)
    assert loudness[[0, 2]].min() > 10 * loudness[[1, 3]].max()
    assert audio_duration(path) == pytest.approx(len(audio) / RATE, abs=1e-3)
    assert audio_duration({"bytes": path.read_bytes()}) == audio_duration(path)


@pytest.mark.parametrize("block_seconds", [0.01, 0.37, 100])
@pytest.mark.parametrize("states_length", [True, False])
def test_blocks_of_an_mp3_are_together_the_whole(block_seconds, states_length):
    # A frame may need bytes of frames before it: blocks that were decoded each by itself would begin with clicks.
    data = mp3() if states_length else without_length(mp3())
    blocks = list(audio_blocks(data, block_seconds=block_seconds))
    np.testing.assert_array_equal(np.concatenate(blocks), load_audio(data))


@pytest.mark.parametrize(
    "tail", [b"TAG" + bytes(125), b"APETAGEX\0\0\0\0" + struct.pack("<I", 2000) + bytes(2016), bytes(1000)]
)
def test_tags_around_an_mp3_and_padding_are_no_sound(tail):
    data = without_length(mp3())
    np.testing.assert_array_equal(load_audio(id3_tag(2000) + id3_tag(10) + data + tail), load_audio(data))


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
@pytest.mark.parametrize("damage", ["cut", "cut in two", "hole", "large hole", "zeros at the end", "other rate"])
def test_damaged_mp3_that_does_not_state_its_length_is_refused(tmp_path, mode, damage):
    data = without_length(mp3(mode=mode))
    middle = len(data) // 2
    path = tmp_path / "bad.mp3"
    path.write_bytes(
        {
            "cut": data[:-10],
            "cut in two": data[: middle - 10],
            "hole": data[:middle] + bytes(600) + data[middle + 600 :],
            "large hole": data[:middle] + bytes(5000) + data[middle + 5000 :],
            "zeros at the end": data[:middle] + bytes(len(data) - middle),
            "other rate": data + without_length(mp3(44100)),
        }[damage]
    )
    with pytest.raises(AudioError, match=r"bad\.mp3: (the file is truncated or damaged|cannot be decoded.*damaged)"):
        load_audio(path)
    with pytest.raises(AudioError, match=r"bad\.mp3: (the file is truncated or damaged|cannot be decoded.*damaged)"):
        list(audio_blocks(path, block_seconds=0.1))
