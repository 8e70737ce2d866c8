# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One way in for audio: files, bytes, arrays and dataset rows become 16 kHz mono float32 in [-1, 1].

Anything that cannot be read in full is refused with an [`AudioError`] that names the input and the reason, so that a
batch can go on without it. Decoding is soundfile's (WAV, FLAC, Ogg Opus/Vorbis, MP3, AIFF, ...), resampling is soxr's.
"""

import io
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr
import torch

from .mpeg_entropy_asr import with_frame_count


# Programs that write WAV to a pipe cannot know the length and put a placeholder this large (sox, espeak, ffmpeg).
STREAMED_SIZE = 0x7FFFF000
# Float audio may overshoot full scale a little (lossy codecs, float masters); far beyond it, it is unscaled PCM.
MAX_FLOAT_PEAK = 16.0
# An MP3 header states its length; one that the decoder does not know is a huge number.
UNKNOWN_LENGTH = 2**62
# libsndfile's "unspecified internal error" is what its MP3 decoder says to data that it cannot find a frame in.
INTERNAL_ERROR = 29
# What is decoded together.
BLOCK_SECONDS = 10.0
SAMPLE_DTYPES = (np.uint8, np.int8, np.int16, np.int32)


class AudioError(ValueError):
    """Audio that cannot be used; the message names the input and the reason."""


class _Decoder(soundfile.SoundFile):
    """Reads without soundfile's seek after each read, which loses what an MP3 frame needs of the frames before."""

    def seekable(self) -> bool:
        return False


def load_audio(source: Any, sampling_rate: float | None = None, target_sampling_rate: int = 16000) -> np.ndarray:
    """Read `source` as mono audio at `target_sampling_rate`.

    Args:
        source: One of: a path; the bytes of an audio file; a 1-D or 2-D `np.ndarray` or `torch.Tensor` (floats in
            [-1, 1], or integer PCM, which is scaled by its dtype; of two axes the shorter one is the channels, the
            first one in a tie); a mapping `{"array", "sampling_rate"}`, `{"raw", "sampling_rate"}`,
            `{"samples", "sampling_rate"}` (int16) or `{"bytes", "path"}` (of which one may be `None`); or an
            `AudioDecoder` of torchcodec, which `datasets` gives for a decoded audio column.
        sampling_rate: Rate of `source` in Hz. Arrays without one are taken to be at `target_sampling_rate`. Files,
            mappings and decoders carry their own rate; one given beside it must agree.
        target_sampling_rate: Rate of the result in Hz.

    Returns:
        Float32 samples in [-1, 1], shape `(samples,)`. Channels are averaged; overshoot is clipped.

    Raises:
        AudioError: The source is missing, unreadable, truncated, empty, not audio, of a wrong type or shape, or holds
            NaN or infinite samples.
    """
    name = _describe(source)
    mono, rate = _read(source, sampling_rate, name)
    rate = target_sampling_rate if rate is None else rate
    if rate != target_sampling_rate:
        mono = soxr.resample(mono, rate, target_sampling_rate)
        if not len(mono):
            raise AudioError(f"{name}: too short, no samples are left at {target_sampling_rate} Hz")
    return np.clip(mono, -1.0, 1.0, dtype=np.float32)


def audio_duration(source: Any, sampling_rate: float | None = None) -> float | None:
    """Seconds of `source` by its header or shape, without decoding; `None` where only reading it can tell."""
    if isinstance(source, Mapping):
        for key in ("array", "raw", "samples"):
            if source.get(key) is not None:
                samples, rate = source[key], source.get("sampling_rate")
                is_array = key == "samples" or isinstance(samples, np.ndarray | torch.Tensor)
                # What cannot be read has no duration: reading it tells why.
                return audio_duration(np.asarray(samples), rate) if is_array and isinstance(rate, Real) else None
        return audio_duration(next((source[key] for key in ("bytes", "path") if source.get(key) is not None), None))
    if isinstance(source, np.ndarray | torch.Tensor):
        return max(source.shape, default=0) / sampling_rate if sampling_rate else None
    if _is_decoder(source):
        duration = getattr(getattr(source, "metadata", None), "duration_seconds_from_header", None)
        return float(duration) if isinstance(duration, Real) else None
    if not isinstance(source, bytes | bytearray | memoryview | str | os.PathLike):
        return None
    try:
        with Path(source).open("rb") if isinstance(source, str | os.PathLike) else io.BytesIO(source) as file:
            info = soundfile.info(_rewound(with_frame_count(file)))
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError):
        return None
    return info.frames / info.samplerate if info.frames < UNKNOWN_LENGTH else None


def audio_blocks(
    source: Any,
    sampling_rate: float | None = None,
    target_sampling_rate: int = 16000,
    block_seconds: float = BLOCK_SECONDS,
) -> Iterator[np.ndarray]:
    """Read `source` as [`load_audio`] does, but in blocks, so that hours of audio need little memory.

    Args:
        source, sampling_rate, target_sampling_rate: as in [`load_audio`]; what is in memory already is cut up.
        block_seconds: seconds of audio read together.

    Yields:
        Float32 samples in [-1, 1], shape `(samples,)`; together the whole recording.

    Raises:
        AudioError: as [`load_audio`]; of a damaged file what could be read has been given before.
    """
    if isinstance(source, Mapping) and all(source.get(key) is None for key in ("array", "raw", "samples")):
        source = source["bytes"] if source.get("bytes") is not None else source.get("path")
    if isinstance(source, bytes | bytearray | memoryview):
        yield from _decode_blocks(io.BytesIO(source), sampling_rate, target_sampling_rate, block_seconds, source)
    elif isinstance(source, str | os.PathLike):
        try:
            with Path(source).open("rb") as file:
                yield from _decode_blocks(file, sampling_rate, target_sampling_rate, block_seconds, source)
        except OSError as error:
            raise AudioError(f"{_describe(source)}: cannot be opened: {error.strerror or error}") from error
    else:
        samples = load_audio(source, sampling_rate, target_sampling_rate)
        size = round(block_seconds * target_sampling_rate)
        yield from (samples[start : start + size] for start in range(0, len(samples), size))


def _decode_blocks(
    file: BinaryIO, sampling_rate: float | None, target_rate: int, block_seconds: float, source: Any
) -> Iterator[np.ndarray]:
    name = _describe(source)
    with _open_decoder(file, name) as decoder:
        rate = _check_rate(sampling_rate, decoder.samplerate, name)
        resampler = soxr.ResampleStream(rate, target_rate, 1, "float32") if rate != target_rate else None
        for mono in _mono_blocks(decoder, block_seconds, name):
            if resampler is not None:
                mono = resampler.resample_chunk(mono)
            yield np.clip(mono, -1.0, 1.0)
        if resampler is not None:
            yield np.clip(resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True), -1.0, 1.0)


def _mono_blocks(decoder: soundfile.SoundFile, block_seconds: float, name: str) -> Iterator[np.ndarray]:
    """All that a file holds, `(samples,)` at its own rate, in blocks; that it is truncated is told at its end."""
    size = max(1, round(block_seconds * decoder.samplerate))
    num_frames = 0
    while len(block := decoder.read(size, dtype="float32", always_2d=True)):
        num_frames += len(block)
        yield _to_mono_float(block, name, channel_axis=1)
    _check_complete(decoder, num_frames, name)
    if num_frames == 0:
        raise AudioError(f"{name}: holds no samples")


def _describe(source: Any) -> str:
    """How error messages call the input."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return f"audio of {len(source)} bytes"
    if isinstance(source, np.ndarray | torch.Tensor):
        return f"audio array of shape {tuple(source.shape)}"
    if isinstance(source, Mapping):
        return str(source.get("path") or f"audio mapping with keys {sorted(map(str, source))}")
    return f"audio of type {type(source).__name__}"


def _read(source: Any, sampling_rate: float | None, name: str) -> tuple[np.ndarray, float | None]:
    """Decode any accepted source to mono float32 samples and their sampling rate, `None` where nothing tells it."""
    if isinstance(source, Mapping):
        return _read_mapping(source, sampling_rate, name)
    if isinstance(source, str | os.PathLike):
        return _read_path(Path(source), sampling_rate, name)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(io.BytesIO(source), sampling_rate, name)
    if isinstance(source, torch.Tensor):
        source = _tensor_to_array(source)
    if isinstance(source, np.ndarray):
        return _to_mono_float(source, name), _check_rate(sampling_rate, None, name)
    if _is_decoder(source):
        return _read_decoder(source, sampling_rate, name)
    raise AudioError(f"{name}: expected a path, bytes, an array, a tensor, a mapping or an audio decoder")


def _is_decoder(source: Any) -> bool:
    """Whether `source` is like torchcodec's `AudioDecoder`, which takes FFmpeg to import."""
    return callable(getattr(source, "get_all_samples", None))


def _read_decoder(decoder: Any, sampling_rate: float | None, name: str) -> tuple[np.ndarray, float]:
    try:
        samples = decoder.get_all_samples()
    except (RuntimeError, ValueError, OSError) as error:
        raise AudioError(f"{name}: cannot be decoded as audio: {error}") from error
    mono = _to_mono_float(_tensor_to_array(samples.data), name, channel_axis=0)
    return mono, _check_rate(sampling_rate, samples.sample_rate, name)


def _read_mapping(source: Mapping, sampling_rate: float | None, name: str) -> tuple[np.ndarray, float | None]:
    for key in ("array", "raw", "samples"):
        if source.get(key) is not None:
            if source.get("sampling_rate") is None:
                raise AudioError(f"{name}: `{key}` needs a `sampling_rate` beside it")
            rate = _check_rate(sampling_rate, source["sampling_rate"], name)
            samples = _int16_samples(source[key], name) if key == "samples" else source[key]
            if not isinstance(samples, np.ndarray | torch.Tensor):
                raise AudioError(f"{name}: `{key}` takes an array or a tensor; a file goes under `bytes` or `path`")
            return _read(samples, None, name)[0], rate
    for key in ("bytes", "path"):
        if source.get(key) is not None:
            return _read(source[key], sampling_rate, name)
    raise AudioError(f"{name}: expected one of `array`, `raw`, `samples`, `bytes` or `path` to be set")


def _read_path(path: Path, sampling_rate: float | None, name: str) -> tuple[np.ndarray, float]:
    try:
        with path.open("rb") as file:
            return _decode(file, sampling_rate, name)
    except OSError as error:
        raise AudioError(f"{name}: cannot be opened: {error.strerror or error}") from error


def _decode(file: BinaryIO, sampling_rate: float | None, name: str) -> tuple[np.ndarray, float]:
    """Decode an audio file in full, or say why it cannot be."""
    with _open_decoder(file, name) as decoder:
        samples = np.concatenate(list(_mono_blocks(decoder, BLOCK_SECONDS, name)))
        return samples, _check_rate(sampling_rate, decoder.samplerate, name)


@contextmanager
def _open_decoder(file: BinaryIO, name: str) -> Iterator[soundfile.SoundFile]:
    """Open an audio file and tell in one way what is wrong with it, then or while it is read.

    libsndfile reads a truncated file of most formats to where it ends without a word, hence the checks of our own.
    """
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        raise AudioError(f"{name}: the file is empty (0 bytes)")
    if missing := _missing_end(file, size):
        raise AudioError(f"{name}: the file is truncated ({missing})")
    try:
        with _Decoder(_rewound(with_frame_count(file))) as decoder:
            yield decoder
    except soundfile.LibsndfileError as error:
        reason = "its data is damaged" if error.code == INTERNAL_ERROR else error.error_string
        raise AudioError(f"{name}: cannot be decoded as audio: {reason}") from error
    except TypeError as error:  # soundfile's answer to a headerless file named .raw
        raise AudioError(f"{name}: cannot be decoded as audio: {error}") from error


def _rewound(file: BinaryIO) -> BinaryIO:
    file.seek(0)
    return file


def _check_complete(decoder: soundfile.SoundFile, num_frames: int, name: str) -> None:
    """Refuse a file of which fewer frames could be decoded than it states."""
    if num_frames < decoder.frames < UNKNOWN_LENGTH:
        decoded = f"{num_frames} of {decoder.frames} samples could be decoded"
        raise AudioError(f"{name}: the file is truncated or damaged ({decoded})")
    if missing := _missing_chunk_data(decoder.extra_info):
        raise AudioError(f"{name}: the file is truncated ({missing})")


def _missing_end(file: BinaryIO, size: int) -> str | None:
    """Why a WAV or Ogg file of `size` bytes is incomplete, or `None` if it is complete or of another format."""
    file.seek(0)
    header = file.read(12)
    if header[:4] in (b"RIFF", b"RIFX") and header[8:] == b"WAVE":
        return _missing_wav_data(file, size, "little" if header[:4] == b"RIFF" else "big")
    if header[:4] == b"OggS":
        return _missing_ogg_data(file, size)
    return None


def _missing_wav_data(file: BinaryIO, size: int, byteorder: str) -> str | None:
    """Walk the RIFF chunks to `data` and compare its stated size with what the file holds."""
    position = 12
    while position + 8 <= size:
        file.seek(position)
        header = file.read(8)
        chunk_size = int.from_bytes(header[4:], byteorder)
        available = size - position - 8
        if header[:4] == b"data":
            if available < chunk_size < STREAMED_SIZE:
                return f"{available} of {chunk_size} bytes of samples are there"
            return None
        position += 8 + chunk_size + chunk_size % 2
    return "it ends before its samples begin"


def _missing_chunk_data(log: str) -> str | None:
    """Find in libsndfile's parse log a chunk (AIFF, AU, CAF, W64, RF64) that states more bytes than the file holds.

    WAV is left to `_missing_wav_data`: a wrong size of its outer chunk is common and harmless.
    """
    if "\nRIF" in log:
        return None
    for stated, actual in re.findall(r"(\d+) \(should be (\d+)\)", log):
        if int(actual) < int(stated) < STREAMED_SIZE:
            return f"{actual} of {stated} bytes are there"
    return None


def _missing_ogg_data(file: BinaryIO, size: int) -> str | None:
    """Whether the last Ogg page is whole (RFC 3533, section 6)."""
    tail_start = max(0, size - 2 * 65307)  # 65307 bytes is the longest page
    file.seek(tail_start)
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26] or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
        return "its last Ogg page is incomplete"
    return None


def _check_rate(given: float | None, own: float | None, name: str) -> float | None:
    """The source's rate in Hz; `given` (by the caller) and `own` (the file's) must agree where both are known."""
    rate = given if own is None else own
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.number) or not 0 < rate < math.inf:
        raise AudioError(f"{name}: the sampling rate must be a positive number of Hz, not {rate!r}")
    if given is not None and given != rate:
        raise AudioError(f"{name}: has a sampling rate of {rate} Hz, but sampling_rate={given} was passed")
    return rate


def _tensor_to_array(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    # NumPy has no bfloat16.
    return tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy()


def _int16_samples(samples: Any, name: str) -> np.ndarray:
    """PCM of a dataset row, which arrives as a list of Python ints unless the data set has a NumPy format."""
    if isinstance(samples, torch.Tensor):
        samples = samples.numpy()
    try:
        array = np.asarray(samples)
        in_range = array.size == 0 or (array.dtype.kind in "iu" and -32768 <= array.min() <= array.max() <= 32767)
    except ValueError as error:
        raise AudioError(f"{name}: `samples` is not an array: {error}") from error
    if not in_range:
        raise AudioError(f"{name}: `samples` must be int16 PCM, not {array.dtype} outside its range")
    return array.astype(np.int16)


def _to_mono_float(samples: np.ndarray, name: str, channel_axis: int | None = None) -> np.ndarray:
    """Scale to [-1, 1] floats, refuse what is no audio, average the channels: `(samples,)` float32.

    Of an array of two axes the shorter one is the channels, unless `channel_axis` says it.
    """
    if samples.ndim not in (1, 2):
        raise AudioError(f"{name}: expected 1 or 2 dimensions, got {samples.ndim}")
    if samples.size == 0:
        raise AudioError(f"{name}: holds no samples")
    scaled = _to_float(samples, name)
    finite = np.isfinite(scaled)
    if not finite.all():
        raise AudioError(f"{name}: {np.count_nonzero(~finite)} of {scaled.size} samples are NaN or infinite")
    peak = float(np.abs(scaled).max())
    if peak > MAX_FLOAT_PEAK:
        raise AudioError(
            f"{name}: float samples must be in [-1, 1] but reach {peak:g}; pass PCM with an integer dtype"
        )
    if scaled.ndim == 1:
        return scaled
    if channel_axis is None:
        channel_axis = 1 if scaled.shape[1] < scaled.shape[0] else 0
    return scaled.mean(axis=channel_axis, dtype=np.float32)


def _to_float(samples: np.ndarray, name: str) -> np.ndarray:
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    if samples.dtype not in SAMPLE_DTYPES:
        raise AudioError(f"{name}: samples must be floats, uint8, int8, int16 or int32, not {samples.dtype}")
    info = np.iinfo(samples.dtype)
    full_scale = (int(info.max) - int(info.min) + 1) // 2
    middle = full_scale if info.min == 0 else 0  # unsigned 8-bit PCM is centred on 128
    return ((samples.astype(np.float64) - middle) / full_scale).astype(np.float32)
