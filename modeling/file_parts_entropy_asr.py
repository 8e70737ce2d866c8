# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Parts of a binary file, with a header of our own, as files: what a decoder is shown in place of what is there."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO


# What is searched together.
SCANNED_BYTES = 2**20


class ByteView(io.RawIOBase):
    """`head`, and behind it what `file` has from `start` to `end` (by default its end)."""

    def __init__(self, head: bytes, file: BinaryIO, start: int, end: int | None = None):
        self._head, self._file, self._start = head, file, start
        end = file_size(file) if end is None else end
        self._size = len(head) + max(0, end - start)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer) -> int:
        wanted = max(0, min(len(buffer), self._size - self._position))
        data = self._head[self._position :][:wanted]
        if len(data) < wanted:
            start = self._start + max(0, self._position - len(self._head))
            data += read_at(self._file, start, wanted - len(data))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


@dataclass(frozen=True)
class Part:
    """A recording in a file, as a decoder that believes headers can read it.

    Args:
        file: what the decoder is given.
        kind: name of the format (see `containers_entropy_asr.SIGNATURES`); None where it is not known.
        is_exact: whether the length that its header states is what is there.
        num_frames: samples of each channel that must be there, where the header that the decoder sees does not tell.
        has_tail: whether something follows the samples that is no audio, and that the decoder must not come to.
    """

    file: BinaryIO
    kind: str | None
    is_exact: bool = False
    num_frames: int | None = None
    has_tail: bool = False


class ContainerError(ValueError):
    """Why a file cannot be read whole."""


def part_view(file: BinaryIO, start: int, end: int, head: bytes = b"") -> BinaryIO:
    """Bytes from `start` to `end`, the first ones replaced by `head`; the file itself where that is all of it."""
    if not head and start == 0 and end == file_size(file):
        return file
    return ByteView(head, file, start + len(head), end)


def read_at(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)


def file_size(file: BinaryIO) -> int:
    return file.seek(0, io.SEEK_END)


def find_pattern(file: BinaryIO, pattern: re.Pattern, start: int, end: int) -> Iterator[int]:
    """Places at which `pattern` (of up to 64 bytes) matches, in order."""
    position = start
    while position < end:
        chunk = read_at(file, position, min(SCANNED_BYTES + 64, end - position))
        if not chunk:
            return
        for match in pattern.finditer(chunk):
            if match.start() < SCANNED_BYTES:
                yield position + match.start()
        position += SCANNED_BYTES


__all__ = ["ByteView", "ContainerError", "Part", "file_size", "find_pattern", "part_view", "read_at"]
