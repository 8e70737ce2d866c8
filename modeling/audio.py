# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One way in for audio: files, bytes, URLs, arrays and dataset rows become 16 kHz mono float32 in [-1, 1].

Anything that cannot be read in full is refused with an [`AudioError`] that names the input and the reason, so that a
batch can go on without it. Decoding is in `audio_files_entropy_asr`, resampling is soxr's, and several channels become
one as `channels_entropy_asr` says.
"""

import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import soxr
import torch

from .audio_files_entropy_asr import AudioError, fetched, is_url, readable_formats, recordings, stated_duration
from .channels_entropy_asr import ChannelMixer, mix_channels


# Float audio may overshoot full scale a little (lossy codecs, float masters); far beyond it, it is unscaled PCM.
MAX_FLOAT_PEAK = 16.0
# What is decoded together.
BLOCK_SECONDS = 10.0
# In Hz; what a damaged header states beyond them would become hours of samples.
MIN_RATE, MAX_RATE = 1000, 768_000
SAMPLE_DTYPES = (np.uint8, np.int8, np.int16, np.int32)


def load_audio(source: Any, sampling_rate: float | None = None, target_sampling_rate: int = 16000) -> np.ndarray:
    """Read `source` as mono audio at `target_sampling_rate`.

    Args:
        source: One of: a path; a URL (http, https or hf), as text; the bytes of an audio file; a 1-D or 2-D
            `np.ndarray` or `torch.Tensor` (floats in [-1, 1], or integer PCM, which is scaled by its dtype; of two
            axes the shorter one is the channels, the first one in a tie); a mapping `{"array", "sampling_rate"}`,
            `{"raw", "sampling_rate"}`, `{"samples", "sampling_rate"}` (int16) or `{"bytes", "path"}` (of which one
            may be `None`); or an `AudioDecoder` of torchcodec, which `datasets` gives for a decoded audio column.
        sampling_rate: Rate of `source` in Hz. Arrays without one are taken to be at `target_sampling_rate`. Files,
            mappings and decoders carry their own rate; one given beside it must agree.
        target_sampling_rate: Rate of the result in Hz.

    Returns:
        Float32 samples in [-1, 1], shape `(samples,)`. Channels are averaged, those that would cancel with their
        polarity corrected (see [`ChannelMixer`]); overshoot is clipped. A file that several were put together in is
        read whole.

    Raises:
        AudioError: The source is missing, unreadable, truncated, empty, not audio, of a wrong type or shape, or holds
            NaN or infinite samples.
    """
    name = _describe(source)
    return np.clip(_read(source, sampling_rate, target_sampling_rate, name), -1.0, 1.0, dtype=np.float32)


def audio_duration(source: Any, sampling_rate: float | None = None) -> float | None:
    """Seconds of `source` by its header or shape, without decoding; `None` where only reading gives them.

    A header is believed where the file's size or its last frame confirms it: [`measure_duration`] decodes the others.
    """
    source = _encoded(source)
    if isinstance(source, Mapping):
        for key in ("array", "raw", "samples"):
            if source.get(key) is not None:
                samples, rate = source[key], source.get("sampling_rate")
                if isinstance(samples, np.ndarray | torch.Tensor):
                    return audio_duration(samples, rate) if isinstance(rate, Real) else None
                # What cannot be read has no duration: reading it says why.
                is_list = key == "samples" and isinstance(samples, list) and isinstance(rate, Real) and rate
                return len(samples) / rate if is_list else None
        return None
    if isinstance(source, np.ndarray | torch.Tensor):
        return max(source.shape, default=0) / sampling_rate if sampling_rate else None
    if _is_decoder(source):
        duration = getattr(getattr(source, "metadata", None), "duration_seconds_from_header", None)
        return float(duration) if isinstance(duration, Real) else None
    if not _is_file(source) or is_url(source):
        return None
    try:
        with _open_binary(source, _describe(source)) as file:
            return stated_duration(file)
    except AudioError:
        return None


def measure_duration(source: Any, sampling_rate: float | None = None) -> float:
    """Seconds of `source`, decoded in blocks where its header does not state them.

    Raises:
        AudioError: as [`load_audio`], of what has to be decoded.
    """
    duration = audio_duration(source, sampling_rate)
    if duration is not None:
        return duration
    encoded = _encoded(source)
    if not _is_file(encoded):
        return len(load_audio(source, sampling_rate)) / 16000
    blocks = _native_blocks(encoded, sampling_rate, _describe(encoded), BLOCK_SECONDS)
    return sum(len(block.samples) / block.sampling_rate for block in blocks)


def load_or_blocks(
    source: Any, max_seconds: float, sampling_rate: float | None = None, target_sampling_rate: int = 16000
) -> np.ndarray | Iterator[np.ndarray]:
    """What lasts at most so long as [`load_audio`] gives it, longer recordings as [`audio_blocks`] does.

    Nothing is decoded twice: where only decoding shows how long a file is, what was decoded is a part of the result.

    Args:
        source, sampling_rate, target_sampling_rate: as in [`load_audio`].
        max_seconds: longest recording that is loaded whole, in seconds.

    Returns:
        Float32 samples in [-1, 1], shape `(samples,)`, or an iterator of consecutive blocks of them.

    Raises:
        AudioError: as [`load_audio`]; of a long recording the iterator raises what it meets.
    """
    source = fetched(source)
    duration = audio_duration(source, sampling_rate or target_sampling_rate)
    if duration is not None:
        load = load_audio if duration <= max_seconds else audio_blocks
        return load(source, sampling_rate, target_sampling_rate)
    encoded = _encoded(source)
    if not _is_file(encoded):
        samples = load_audio(source, sampling_rate, target_sampling_rate)
        is_long = len(samples) > max_seconds * target_sampling_rate
        return audio_blocks(samples, None, target_sampling_rate) if is_long else samples
    name = _describe(source)
    blocks = _native_blocks(encoded, sampling_rate, name, BLOCK_SECONDS)
    taken: list[NativeBlock] = []
    seconds = 0.0
    for block in blocks:
        taken.append(block)
        seconds += len(block.samples) / block.sampling_rate
        if seconds > max_seconds:
            return _resampled_blocks(chain(taken, blocks), target_sampling_rate, name)
    return np.clip(_joined(taken, target_sampling_rate, name), -1.0, 1.0, dtype=np.float32)


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
    source = _encoded(source)
    if _is_file(source):
        name = _describe(source)
        yield from _resampled_blocks(
            _native_blocks(source, sampling_rate, name, block_seconds), target_sampling_rate, name
        )
    else:
        samples = load_audio(source, sampling_rate, target_sampling_rate)
        size = round(block_seconds * target_sampling_rate)
        yield from (samples[start : start + size] for start in range(0, len(samples), size))


def _is_file(source: Any) -> bool:
    """Whether this is a file: its path, its address or its bytes."""
    return isinstance(source, bytes | bytearray | memoryview | str | os.PathLike)


def _encoded(source: Any) -> Any:
    """The bytes or the path of a mapping that holds a file; other sources as they are."""
    if isinstance(source, Mapping) and all(source.get(key) is None for key in ("array", "raw", "samples")):
        return next((source[key] for key in ("bytes", "path") if source.get(key) is not None), source)
    return source


def _open_binary(source: Any, name: str) -> BinaryIO:
    """A file of bytes, of a path or of what a URL leads to."""
    source = fetched(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    if isinstance(source, os.PathLike) and (scheme := re.match(r"(https?|hf):/", os.fspath(source))):
        raise AudioError(f"{name}: a URL is given as text, not as a path (a path has only one / behind {scheme[1]}:)")
    try:
        path = Path(source)
        return io.BytesIO(path.read_bytes()) if path.is_fifo() else path.open("rb")
    except (OSError, ValueError) as error:
        raise AudioError(f"{name}: cannot be opened: {getattr(error, 'strerror', None) or error}") from error


class NativeBlock(NamedTuple):
    """Mono samples `(samples,)` of a file at the rate in Hz of the recording (by its number) that they are from."""

    recording: int
    sampling_rate: float
    samples: np.ndarray


def _native_blocks(source: Any, sampling_rate: float | None, name: str, block_seconds: float) -> Iterator[NativeBlock]:
    """All samples of a file's recordings as they were stored, their channels mixed."""
    with _open_binary(source, name) as file:
        for number, recording in enumerate(recordings(file, name, block_seconds)):
            rate = _check_rate(sampling_rate, recording.sampling_rate, name)
            mixer = ChannelMixer(recording.num_channels, recording.sampling_rate)
            for block in recording.blocks:
                yield NativeBlock(number, rate, mixer.push(_checked_float(block, name)))
            yield NativeBlock(number, rate, mixer.finish())


def _resampled_blocks(blocks: Iterable[NativeBlock], target_rate: int, name: str) -> Iterator[np.ndarray]:
    """Clipped samples `(samples,)` at the target rate, block by block."""
    num_samples = 0
    for (_, rate), group in groupby(blocks, key=lambda block: block[:2]):
        resampler = soxr.ResampleStream(rate, target_rate, 1, "float32") if rate != target_rate else None
        for block in group:
            mono = block.samples if resampler is None else resampler.resample_chunk(block.samples)
            num_samples += len(mono)
            yield np.clip(mono, -1.0, 1.0)
        if resampler is not None:
            rest = resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
            num_samples += len(rest)
            yield np.clip(rest, -1.0, 1.0)
    if not num_samples:
        raise AudioError(f"{name}: holds no samples")


def _joined(blocks: Iterable[NativeBlock], target_rate: int, name: str) -> np.ndarray:
    """Samples `(samples,)` of all blocks at the target rate, in one piece."""
    pieces = []
    for (_, rate), group in groupby(blocks, key=lambda block: block[:2]):
        mono = np.concatenate([block.samples for block in group])
        if len(mono):
            pieces.append(_resample(mono, rate, target_rate, name))
    if not pieces:
        raise AudioError(f"{name}: holds no samples")
    return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]


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


def _read(source: Any, sampling_rate: float | None, target_rate: int, name: str) -> np.ndarray:
    """Any accepted source as mono float32 samples at the target rate."""
    if isinstance(source, Mapping):
        return _read_mapping(source, sampling_rate, target_rate, name)
    if _is_file(source):
        return _joined(_native_blocks(source, sampling_rate, name, BLOCK_SECONDS), target_rate, name)
    if isinstance(source, torch.Tensor):
        source = _tensor_to_array(source)
    if isinstance(source, np.ndarray):
        rate = _check_rate(sampling_rate, None, name) or target_rate
        return _resample(_to_mono_float(source, rate, name), rate, target_rate, name)
    if _is_decoder(source):
        return _read_decoder(source, sampling_rate, target_rate, name)
    raise AudioError(f"{name}: expected a path, bytes, an array, a tensor, a mapping or an audio decoder")


def _resample(mono: np.ndarray, rate: float, target_rate: int, name: str) -> np.ndarray:
    if rate == target_rate:
        return mono
    resampled = soxr.resample(mono, rate, target_rate)
    if not len(resampled):
        raise AudioError(f"{name}: too short, no samples are left at {target_rate} Hz")
    return resampled


def _is_decoder(source: Any) -> bool:
    """Whether `source` is like torchcodec's `AudioDecoder`, which takes FFmpeg to import."""
    return callable(getattr(source, "get_all_samples", None))


def _read_decoder(decoder: Any, sampling_rate: float | None, target_rate: int, name: str) -> np.ndarray:
    try:
        samples = decoder.get_all_samples()
    except (RuntimeError, ValueError, OSError) as error:
        raise AudioError(f"{name}: cannot be decoded as audio: {error}") from error
    rate = _check_rate(sampling_rate, samples.sample_rate, name)
    mono = _to_mono_float(_tensor_to_array(samples.data), rate, name, channel_axis=0)
    return _resample(mono, rate, target_rate, name)


def _read_mapping(source: Mapping, sampling_rate: float | None, target_rate: int, name: str) -> np.ndarray:
    for key in ("array", "raw", "samples"):
        if source.get(key) is not None:
            if source.get("sampling_rate") is None:
                raise AudioError(f"{name}: `{key}` needs a `sampling_rate` beside it")
            rate = _check_rate(sampling_rate, source["sampling_rate"], name)
            samples = _int16_samples(source[key], name) if key == "samples" else source[key]
            if not isinstance(samples, np.ndarray | torch.Tensor):
                raise AudioError(f"{name}: `{key}` takes an array or a tensor; a file goes under `bytes` or `path`")
            return _read(samples, rate, target_rate, name)
    for key in ("bytes", "path"):
        if source.get(key) is not None:
            return _read(source[key], sampling_rate, target_rate, name)
    raise AudioError(f"{name}: expected one of `array`, `raw`, `samples`, `bytes` or `path` to be set")


def _check_rate(given: float | None, own: float | None, name: str) -> float | None:
    """The source's rate in Hz; `given` (by the caller) and `own` (the file's) must agree where both are known."""
    rate = given if own is None else own
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.number) or not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(f"{name}: the sampling rate must be from {MIN_RATE} to {MAX_RATE} Hz, not {rate!r}")
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


def _to_mono_float(samples: np.ndarray, rate: float, name: str, channel_axis: int | None = None) -> np.ndarray:
    """Scale to [-1, 1] floats, refuse what is no audio, mix the channels: `(samples,)` float32.

    Of an array of two axes the shorter one is the channels, unless `channel_axis` says it.
    """
    if samples.ndim not in (1, 2):
        raise AudioError(f"{name}: expected 1 or 2 dimensions, got {samples.ndim}")
    if samples.size == 0:
        raise AudioError(f"{name}: holds no samples")
    scaled = _checked_float(samples, name)
    if scaled.ndim == 1:
        return scaled
    if channel_axis is None:
        channel_axis = 1 if scaled.shape[1] < scaled.shape[0] else 0
    return mix_channels(scaled if channel_axis == 1 else scaled.T, rate)


def _checked_float(samples: np.ndarray, name: str) -> np.ndarray:
    """Samples as floats, unless they are none that audio has."""
    scaled = _to_float(samples, name)
    finite = np.isfinite(scaled)
    if not finite.all():
        raise AudioError(f"{name}: {np.count_nonzero(~finite)} of {scaled.size} samples are NaN or infinite")
    peak = float(np.abs(scaled).max())
    if peak > MAX_FLOAT_PEAK:
        raise AudioError(
            f"{name}: float samples must be in [-1, 1] but reach {peak:g}; pass PCM with an integer dtype"
        )
    return scaled


def _to_float(samples: np.ndarray, name: str) -> np.ndarray:
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    if samples.dtype not in SAMPLE_DTYPES:
        raise AudioError(f"{name}: samples must be floats, uint8, int8, int16 or int32, not {samples.dtype}")
    info = np.iinfo(samples.dtype)
    full_scale = (int(info.max) - int(info.min) + 1) // 2
    middle = full_scale if info.min == 0 else 0  # unsigned 8-bit PCM is centred on 128
    return ((samples.astype(np.float64) - middle) / full_scale).astype(np.float32)


__all__ = [
    "AudioError",
    "audio_blocks",
    "audio_duration",
    "is_url",
    "load_audio",
    "load_or_blocks",
    "measure_duration",
    "mix_channels",
    "readable_formats",
]
