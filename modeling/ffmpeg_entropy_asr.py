# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sound of what libsndfile does not read (m4a, mp4, webm, wma, aac, ...), by the program `ffmpeg` where there is one.

ffmpeg is given the format to expect and may open nothing but the file: some formats, such as playlists, would have it
fetch others.
"""

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

import numpy as np

from .file_parts_entropy_asr import ContainerError


PROGRAM = "ffmpeg"
# ffmpeg that has written nothing for so long is stopped.
MAX_SILENT_SECONDS = 120.0
# What it says, without failing, of a file that it could not read whole.
_LOSSES = re.compile(r"prematurely|invalid data|corrupt|partial file|truncat|exhausted|error while decoding", re.I)
_COPIED_BYTES = 2**20


def is_installed() -> bool:
    """Whether there is an ffmpeg to run."""
    return shutil.which(PROGRAM) is not None


class FFmpegDecoder:
    """The first track of sound of a file, as ffmpeg decodes it.

    Args:
        path: the file.
        demuxer: ffmpeg's name of its format.

    Attributes:
        samplerate, channels: of the track, as soundfile calls them.

    Raises:
        ContainerError: ffmpeg cannot be run, or finds no sound; the reason is its own.
    """

    def __init__(self, path: str, demuxer: str):
        # AU has a short header, and no size has to be known.
        options = ["-nostdin", "-hide_banner", "-v", "error", "-xerror", "-protocol_whitelist", "file,pipe"]
        source = ["-f", demuxer, "-i", f"file:{os.path.abspath(path)}", "-map", "0:a:0"]
        sink = ["-vn", "-sn", "-dn", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [PROGRAM, *options, *source, *sink],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
        except OSError as error:
            self._errors.close()
            raise ContainerError(f"{PROGRAM} cannot be run: {error.strerror or error}") from error
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> None:
        header = self._read(24)
        if len(header) < 24:
            self._check_end()
            raise ContainerError("it holds no sound")
        offset, _, _, self.samplerate, self.channels = (
            int.from_bytes(header[place : place + 4]) for place in range(4, 24, 4)
        )
        self._read(offset - 24)

    def blocks(self, seconds: float) -> Iterator[np.ndarray]:
        """All samples, `(num_samples, num_channels)` float32, in blocks.

        Raises:
            ContainerError: at the end, where ffmpeg could not read the file whole.
        """
        size = max(1, round(seconds * self.samplerate)) * 4 * self.channels
        while data := self._read(size):
            whole = len(data) // (4 * self.channels) * self.channels
            yield np.frombuffer(data, dtype=">f4", count=whole).astype(np.float32).reshape(-1, self.channels)
        self._check_end()

    def _read(self, size: int) -> bytes:
        watch = threading.Timer(MAX_SILENT_SECONDS, self._process.kill)
        watch.start()
        try:
            return self._process.stdout.read(size)
        finally:
            watch.cancel()

    def _check_end(self) -> None:
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read(2**16).decode("utf-8", "replace").strip().splitlines()
        # `[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55d0]` and the file's name say nothing.
        said = [re.sub(r"^\[[^\]]*\] |file:\S*/", "", line).strip() for line in lines]
        if status or any(map(_LOSSES.search, said)):
            if any("matches no streams" in line for line in said):
                raise ContainerError("it holds no sound")
            reason = "; ".join(dict.fromkeys(said[:2])) or f"it ended with status {status}"
            raise ContainerError(f"cannot be decoded whole by ffmpeg: {reason}")

    def close(self) -> None:
        """Stop ffmpeg, wherever it is."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()


@contextmanager
def open_with_ffmpeg(file: BinaryIO, demuxer: str) -> Iterator[FFmpegDecoder]:
    """Decode a file with ffmpeg; one that is not on a disk is written there meanwhile, as mp4 needs it whole."""
    name = getattr(file, "name", None)
    with tempfile.TemporaryDirectory() as folder:
        if not isinstance(name, (str, os.PathLike)):
            name = os.path.join(folder, "audio")
            file.seek(0)
            with open(name, "wb") as copy:
                for data in iter(partial(file.read, _COPIED_BYTES), b""):
                    copy.write(data)
        decoder = FFmpegDecoder(os.fspath(name), demuxer)
        try:
            yield decoder
        finally:
            decoder.close()


__all__ = ["FFmpegDecoder", "is_installed", "open_with_ffmpeg"]
