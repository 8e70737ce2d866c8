# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Audio files become blocks of samples: all that a file holds, or an error that says why not.

libsndfile decodes what it can (WAV, FLAC, Ogg Opus/Vorbis, MP3, AIFF, ...), ffmpeg the rest where it is installed.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from .containers_entropy_asr import FFMPEG_DEMUXERS, RARE_CODEC_DEMUXERS, split_container
from .ffmpeg_entropy_asr import FFmpegDecoder, is_installed, open_with_ffmpeg
from .file_parts_entropy_asr import ContainerError, Part, file_size
from .optional_parts_entropy_asr import needed_for


# A header states the length of an MP3 or FLAC file; one that the decoder does not know is a huge number.
UNKNOWN_LENGTH = 2**62
# Of all channels together.
MAX_BLOCK_SAMPLES = 2**23
# libsndfile's codes: a format that it does not know or a codec that it does not have, the "unspecified internal error"
# that is what its MP3 decoder says to data that it cannot find a frame in, and the FLAC decoder's loss of its place.
UNKNOWN_FORMATS, DAMAGED = (1, 3, 4), (29, 158)
_URL = re.compile(r"(https?|hf)://", re.I)


class AudioError(ValueError):
    """Audio that cannot be used; the message names the input and the reason."""


def is_url(source: Any) -> bool:
    """Whether this is text that begins with http://, https:// or hf://."""
    return isinstance(source, str) and _URL.match(source) is not None


def fetched(source: Any) -> Any:
    """The bytes that a URL leads to or that come out of a named pipe, each of which is to be read once; or a source of
    another kind as it is.

    Raises:
        AudioError: it cannot be fetched.
    """
    if not is_url(source):
        is_pipe = isinstance(source, str | os.PathLike) and Path(source).is_fifo()
        return Path(source).read_bytes() if is_pipe else source
    with needed_for("a URL"):
        from .url_entropy_asr import fetch_url
    try:
        return fetch_url(source)
    except OSError as error:
        raise AudioError(f"{source}: it cannot be fetched: {error}") from error


class _Decoder(soundfile.SoundFile):
    """Reads without soundfile's seek after each read, which loses what an MP3 frame needs of the frames before."""

    def seekable(self) -> bool:
        return False


@dataclass(frozen=True)
class Recording:
    """A recording in a file, to be read in order.

    Args:
        sampling_rate: in Hz.
        num_channels: its channels.
        blocks: its samples, `(num_samples, num_channels)` float32; raises [`AudioError`] where they end too early.
    """

    sampling_rate: int
    num_channels: int
    blocks: Iterator[np.ndarray]


def readable_formats() -> list[str]:
    """Names of the formats that can be read here and now; ffmpeg adds some where it is installed."""
    formats = ["WAV", "FLAC", "MP3", "Ogg (Opus, Vorbis)", "AIFF", "AU", "CAF", "W64"]
    return formats + (["M4A", "MP4", "WebM", "MKV", "WMA", "AAC", "AMR", "MOV", "AVI"] if is_installed() else [])


def recordings(file: BinaryIO, name: str, block_seconds: float) -> Iterator[Recording]:
    """The recordings of a file, mostly one; each is to be read before the next one is asked for.

    Args:
        file: an open file.
        name: what errors call it.
        block_seconds: seconds of audio that are decoded together.

    Raises:
        AudioError: the file cannot be read whole.
    """
    with _named(name):
        for part in _parts(file):
            with _open(part) as decoder:
                blocks = _read(decoder, part, block_seconds, name)
                yield Recording(decoder.samplerate, decoder.channels, blocks)


def stated_duration(file: BinaryIO) -> float | None:
    """Seconds of a file by its headers, where these can be trusted; `None` where only decoding gives them."""
    try:
        parts = _parts(file)
        if not all(part.is_exact for part in parts):
            return None
        infos = [soundfile.info(_rewound(part.file)) for part in parts]
    except (AudioError, ContainerError, soundfile.LibsndfileError, OSError, TypeError, ValueError):
        return None
    known = all(info.frames < UNKNOWN_LENGTH for info in infos)
    return sum(info.frames / info.samplerate for info in infos) if known else None


@contextmanager
def _named(name: str) -> Iterator[None]:
    """One error for whatever is wrong with a file, when it is opened or while it is read."""
    try:
        yield
    except ContainerError as error:
        raise AudioError(f"{name}: {error}") from error
    except soundfile.LibsndfileError as error:
        reason = "its data is damaged" if error.code in DAMAGED else error.error_string
        raise AudioError(f"{name}: cannot be decoded as audio: {reason}") from error
    except TypeError as error:  # soundfile's answer to a headerless file named .raw
        raise AudioError(f"{name}: cannot be decoded as audio: {error}") from error


def _parts(file: BinaryIO) -> list[Part]:
    if file_size(file) == 0:
        raise ContainerError("the file is empty (0 bytes)")
    return split_container(file)


@contextmanager
def _open(part: Part) -> Iterator[_Decoder | FFmpegDecoder]:
    """A decoder for a part."""
    demuxer = FFMPEG_DEMUXERS.get(part.kind)
    if demuxer is None:
        try:
            decoder = _Decoder(_rewound(part.file))
        except soundfile.LibsndfileError as error:
            demuxer = RARE_CODEC_DEMUXERS.get(part.kind) if error.code in UNKNOWN_FORMATS else None
            if demuxer is None or not is_installed():
                raise
        else:
            with decoder:
                yield decoder
            return
    if not is_installed():
        raise ContainerError(
            f"this is {part.kind}, which libsndfile does not read; with the program ffmpeg installed it can be read"
        )
    with open_with_ffmpeg(part.file, demuxer) as decoder:
        yield decoder


def _read(decoder: _Decoder | FFmpegDecoder, part: Part, block_seconds: float, name: str) -> Iterator[np.ndarray]:
    """All samples of a part; if some are missing, that is raised at its end."""
    with _named(name):
        if isinstance(decoder, FFmpegDecoder):
            yield from decoder.blocks(block_seconds)
            return
        # A damaged header may state a rate and channels of any number, and memory for a block is taken at once.
        size = max(1, min(round(block_seconds * decoder.samplerate), MAX_BLOCK_SAMPLES // decoder.channels))
        stated = decoder.frames if part.num_frames is None else part.num_frames
        num_frames = 0
        while wanted := min(size, stated - num_frames) if part.has_tail else size:
            block = decoder.read(wanted, dtype="float32", always_2d=True)
            if not len(block):
                break
            num_frames += len(block)
            yield block
        if num_frames < stated < UNKNOWN_LENGTH:
            decoded = f"{num_frames} of {stated} samples could be decoded"
            raise ContainerError(f"the file is truncated or damaged ({decoded})")


def _rewound(file: BinaryIO) -> BinaryIO:
    file.seek(0)
    return file


__all__ = ["AudioError", "Recording", "fetched", "is_url", "readable_formats", "recordings", "stated_duration"]
