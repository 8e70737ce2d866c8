# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Reading audio: what converts, and that a bad input is refused with its name and the reason."""

import io
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from entropy_asr.modeling.audio import AudioError, audio_blocks, audio_duration, load_audio


RATE = 16000


def tone(sampling_rate: int = RATE, seconds: float = 0.5, frequency: float = 440.0) -> np.ndarray:
    time = np.arange(round(sampling_rate * seconds)) / sampling_rate
    return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def encode(samples: np.ndarray, sampling_rate: int = RATE, **kwargs) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sampling_rate, **{"format": "WAV", **kwargs})
    return buffer.getvalue()


@pytest.mark.parametrize("sampling_rate", [8000, 11025, 22050, 44100, 48000, 192000])
def test_any_sampling_rate_becomes_16_khz(tmp_path, sampling_rate):
    path = tmp_path / "tone.wav"
    path.write_bytes(encode(tone(sampling_rate, seconds=1), sampling_rate, subtype="FLOAT"))
    audio = load_audio(path)
    assert audio.dtype == np.float32
    assert audio.shape == (RATE,)
    # The middle is the tone itself; resampling filters ring at the ends.
    np.testing.assert_allclose(audio[800:-800], tone(seconds=1)[800:-800], atol=2e-3)


def test_array_with_rate_equals_file_with_that_rate():
    samples = tone(44100)
    from_file = load_audio(encode(samples, 44100, subtype="FLOAT"))
    np.testing.assert_array_equal(load_audio(samples, sampling_rate=44100), from_file)
    np.testing.assert_array_equal(load_audio({"array": samples, "sampling_rate": 44100}), from_file)
    np.testing.assert_array_equal(load_audio({"raw": samples, "sampling_rate": 44100}), from_file)


def test_array_without_rate_is_at_the_target_rate():
    np.testing.assert_array_equal(load_audio(tone()), tone())
    assert load_audio(tone(8000), target_sampling_rate=8000).shape == (4000,)


@pytest.mark.parametrize(
    ("dtype", "scale", "offset"), [("int8", 2**7, 0), ("uint8", 2**7, 128), ("int16", 2**15, 0), ("int32", 2**31, 0)]
)
def test_integer_pcm_is_scaled_by_its_dtype(dtype, scale, offset):
    pcm = np.round(tone().astype(np.float64) * (scale - 1) + offset).astype(dtype)
    np.testing.assert_allclose(load_audio(pcm), tone(), atol=2 / scale + 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_float_tensors(dtype):
    audio = load_audio(torch.from_numpy(tone()).to(dtype).requires_grad_())
    assert audio.dtype == np.float32
    np.testing.assert_allclose(audio, tone(), atol=2e-3)


@pytest.mark.parametrize("channels", [2, 8])
@pytest.mark.parametrize("channels_first", [True, False])
def test_channels_are_averaged(channels, channels_first):
    signals = np.stack([tone() * gain for gain in np.linspace(0.1, 1.0, channels)])
    audio = load_audio(signals if channels_first else signals.T)
    np.testing.assert_allclose(audio, signals.mean(axis=0), atol=1e-6)


def test_eight_channel_file():
    audio = load_audio(encode(np.stack([tone()] * 8, axis=1), subtype="FLOAT"))
    np.testing.assert_allclose(audio, tone(), atol=1e-6)


def test_file_shorter_than_it_has_channels():
    data = encode(np.array([[0.5, 0.25]], np.float32), subtype="FLOAT")
    np.testing.assert_array_equal(load_audio(data), [0.375])
    np.testing.assert_array_equal(np.concatenate(list(audio_blocks(data))), [0.375])


class Decoder:
    """Like torchcodec's `AudioDecoder`: samples of shape (channels, samples) at their own rate."""

    def __init__(self, samples: np.ndarray, sampling_rate: int):
        self.samples = SimpleNamespace(data=torch.from_numpy(samples), sample_rate=sampling_rate)
        self.metadata = SimpleNamespace(duration_seconds_from_header=samples.shape[1] / sampling_rate)

    def get_all_samples(self) -> SimpleNamespace:
        return self.samples


class BrokenDecoder:
    def get_all_samples(self) -> SimpleNamespace:
        raise RuntimeError("Could not decode the packet")


def test_audio_decoder_of_a_dataset():
    stereo = np.stack([tone(44100), tone(44100) * 0.5])
    audio = load_audio(Decoder(stereo, 44100))
    np.testing.assert_array_equal(audio, load_audio(stereo, sampling_rate=44100))
    np.testing.assert_array_equal(np.concatenate(list(audio_blocks(Decoder(stereo, 44100), block_seconds=0.1))), audio)
    assert audio_duration(Decoder(stereo, 44100)) == 0.5
    # Two channels of one sample, though an array of that shape would be one channel of two.
    np.testing.assert_array_equal(load_audio(Decoder(np.array([[0.5], [0.25]], np.float32), RATE)), [0.375])


def test_audio_decoder_is_refused_with_the_reason():
    with pytest.raises(AudioError, match=r"BrokenDecoder: cannot be decoded.*Could not decode the packet"):
        load_audio(BrokenDecoder())
    assert audio_duration(BrokenDecoder()) is None
    with pytest.raises(AudioError, match=r"44100 Hz.*sampling_rate=16000"):
        load_audio(Decoder(np.zeros((1, 9), np.float32), 44100), sampling_rate=16000)
    with pytest.raises(AudioError, match="Decoder: holds no samples"):
        load_audio(Decoder(np.zeros((2, 0), np.float32), RATE))


@pytest.mark.parametrize("container", [list, np.asarray, torch.tensor])
def test_decoded_dataset_row(container):
    pcm = (tone() * 32767).astype(np.int16)
    row = {"samples": container(pcm.tolist()), "sampling_rate": RATE}
    np.testing.assert_array_equal(load_audio(row), load_audio(pcm))


def test_undecoded_dataset_row(tmp_path):
    data = encode(tone())
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    np.testing.assert_array_equal(load_audio({"bytes": data, "path": "inside-parquet.wav"}), load_audio(path))
    np.testing.assert_array_equal(load_audio({"bytes": None, "path": str(path)}), load_audio(path))


def test_overshoot_is_clipped():
    audio = load_audio(tone() * 2.5)
    assert audio.max() == 1.0
    assert audio.min() == -1.0


FORMATS = [
    {"format": "WAV"},
    {"format": "WAV", "subtype": "PCM_24"},
    {"format": "WAV", "subtype": "FLOAT"},
    {"format": "RF64"},
    {"format": "W64"},
    {"format": "AIFF"},
    {"format": "AU"},
    {"format": "CAF"},
    {"format": "FLAC"},
    {"format": "OGG", "subtype": "VORBIS"},
    {"format": "OGG", "subtype": "OPUS"},
    {"format": "MP3"},
]


@pytest.mark.parametrize("file_format", FORMATS, ids=lambda f: "-".join(f.values()))
@pytest.mark.parametrize("kept", [0.97, 0.5, 0.1])
def test_truncated_file_is_refused_and_the_whole_one_read(tmp_path, file_format, kept):
    noise = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32) * 0.1
    data = encode(noise, **file_format)
    assert load_audio(data).shape == (2 * RATE,)
    path = tmp_path / "cut.audio"
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(AudioError, match=r"cut\.audio.*(truncated|cannot be decoded)"):
        load_audio(path)


@pytest.mark.parametrize("placeholder", [0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF])
def test_wav_from_a_pipe_has_no_true_length_and_is_read(placeholder):
    data = bytearray(encode(tone()))
    data[4:8] = struct.pack("<I", placeholder)
    data[40:44] = struct.pack("<I", placeholder)
    assert load_audio(bytes(data)).shape == tone().shape


def test_wav_with_a_wrong_outer_size_is_read():
    data = bytearray(encode(tone()))
    data[4:8] = struct.pack("<I", len(data) + 100)
    assert load_audio(bytes(data)).shape == tone().shape


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is a text file\n" * 100, "cannot be decoded"),
        (bytes(5000), "cannot be decoded"),
        (b"RIFF", "cannot be decoded"),
        (encode(np.zeros(0, np.float32)), "no samples"),
        (encode(np.array([0.1, np.nan, np.inf], np.float32), subtype="FLOAT"), "2 of 3 samples are NaN or infinite"),
    ],
    ids=["empty", "text", "zeros", "four bytes", "no samples", "nan"],
)
@pytest.mark.parametrize("file_name", ["bad.wav", "bad.raw"])
def test_bad_file_is_named_with_the_reason(tmp_path, content, reason, file_name):
    path = tmp_path / file_name
    path.write_bytes(content)
    with pytest.raises(AudioError) as error:
        load_audio(path)
    assert str(path) in str(error.value)
    assert reason in str(error.value) or file_name == "bad.raw"


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(AudioError, match=r"gone\.wav.*No such file"):
        load_audio(tmp_path / "gone.wav")
    with pytest.raises(AudioError, match="directory"):
        load_audio(tmp_path)


def test_bad_bytes_of_a_row_are_named_by_its_path():
    with pytest.raises(AudioError, match=r"row-7\.ogg"):
        load_audio({"bytes": b"nonsense", "path": "row-7.ogg"})


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (np.zeros(0, np.float32), "no samples"),
        (np.zeros((2, 0), np.float32), "no samples"),
        (np.array([0.0, np.nan]), "NaN"),
        (np.array([0.0, -np.inf]), "infinite"),
        (np.zeros(10, np.complex64), "complex64"),
        (torch.zeros(10, dtype=torch.complex64), "complex64"),
        (np.zeros(10, np.int64), "int64"),
        (np.zeros(10, bool), "bool"),
        (np.array(["a"]), "<U1"),
        (np.zeros((2, 3, 4), np.float32), "got 3"),
        (np.zeros((), np.float32), "got 0"),
        (tone() * 32767, "integer dtype"),
        ([0.1, 0.2], "list"),
        (None, "NoneType"),
        (3, "int"),
        ({}, "expected one of"),
        ({"array": tone()}, "sampling_rate"),
        ({"array": tone(), "sampling_rate": 0}, "sampling rate"),
        ({"array": tone(), "sampling_rate": "16k"}, "sampling rate"),
        ({"samples": [0.1], "sampling_rate": RATE}, "int16"),
        ({"samples": [40000], "sampling_rate": RATE}, "int16"),
        ({"bytes": None, "path": None}, "expected one of"),
    ],
)
def test_bad_arrays_and_mappings_are_refused(source, reason):
    with pytest.raises(AudioError, match=reason):
        load_audio(source)


def test_contradicting_sampling_rate_is_refused():
    with pytest.raises(AudioError, match=r"8000 Hz.*sampling_rate=16000"):
        load_audio(encode(tone(8000), 8000), sampling_rate=16000)
    assert load_audio(encode(tone(8000), 8000), sampling_rate=8000).shape == (RATE // 2,)


def test_real_recordings_have_their_stated_duration(data_dir):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = []
    for file in sorted(data_dir.glob("*/data/test-*.parquet")):
        rows += parquet.read_table(file, columns=["audio", "duration"]).slice(0, 10).to_pylist()
    assert rows
    for row in rows:
        assert len(load_audio(row["audio"])) / RATE == pytest.approx(row["duration"], abs=0.02)


def wav_header(sampling_rate: int, channels: int, num_bytes: int) -> bytes:
    block = 2 * channels
    fields = (b"fmt ", 16, 1, channels, sampling_rate, sampling_rate * block % 2**32, block, 16, b"data", num_bytes)
    return b"RIFF" + struct.pack("<I", 36 + num_bytes) + b"WAVE" + struct.pack("<4sIHHIIHH4sI", *fields)


@pytest.mark.parametrize("sampling_rate", [1, 999, 768_001, 2**31 - 1])
def test_a_rate_that_nobody_records_at_is_refused(sampling_rate, tmp_path):
    """A second at 1 Hz would become 16,000 samples for each that is there."""
    path = tmp_path / "damaged.wav"
    path.write_bytes(wav_header(sampling_rate, 1, 3200) + bytes(3200))
    with pytest.raises(AudioError, match=f"damaged.wav: .*from 1000 to 768000 Hz, not {sampling_rate}"):
        load_audio(path)
    with pytest.raises(AudioError, match=f"from 1000 to 768000 Hz, not {sampling_rate}"):
        load_audio(np.zeros(100, np.float32), sampling_rate=sampling_rate)


def test_memory_for_a_block_does_not_grow_with_channels(monkeypatch):
    """libsndfile takes 1024 channels, and what a block needs is taken before it is known how much is there."""
    taken = []
    read = soundfile.SoundFile.read

    def watched(self, frames=-1, *args, **kwargs):
        taken.append(frames * self.channels)
        return read(self, frames, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", watched)
    samples = load_audio(wav_header(768_000, 1000, 400_000) + bytes(400_000))
    assert len(samples) > 0 or taken
    assert max(taken) <= 2**23


@pytest.mark.parametrize("source", ["path", "bytes"])
@pytest.mark.parametrize(
    ("container", "place", "value", "reason"),
    [("AIFF", b"SSND", 0xF0000000, "ends before its samples begin"), ("AU", b".snd", 0, "cannot begin at byte 0")],
)
def test_samples_that_a_damaged_header_puts_elsewhere(container, place, value, reason, source, tmp_path):
    """Behind the end of the file, memory for all that is before them would be taken; in the header, it never ended."""
    data = bytearray(encode(tone(), format=container, subtype="PCM_16"))
    field = data.index(place) + (8 if container == "AIFF" else 4)
    data[field : field + 4] = value.to_bytes(4)
    size = data.index(place) + 4
    if container == "AIFF":
        data[size : size + 4] = (0x7FFFFFFF).to_bytes(4)
    path = tmp_path / "talk.audio"
    path.write_bytes(data)
    with pytest.raises(AudioError, match=reason):
        load_audio(path if source == "path" else bytes(data))
