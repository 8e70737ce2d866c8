# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The length of FLAC files, checked by their last frame (RFC 9639).

The header may state no length, or too little; the decoder stops where the header says. But each frame states its own
number, so the last one says how long the recording is. Where it does not confirm the header, the decoder is shown a
header without a length: then it reads as far as there are frames, and what it reads is counted.
"""

import re
from typing import BinaryIO

from .file_parts_entropy_asr import ContainerError, Part, find_pattern, part_view, read_at


# A file's beginning with its first block, which is of 34 bytes and says what the frames are like.
_BEGINNING = re.compile(rb"fLaC[\x00\x80]\0\0\x22")
_HEADER_BYTES = 4 + 4 + 34
_FRAME_SYNC = re.compile(rb"\xff[\xf8\xf9]")
# Where the last frame is looked for if the header does not say how long frames are; and what may follow it.
_TAIL_BYTES, _MAX_TAG_BYTES = 2**17, 2**16
_BLOCK_SIZES = {1: 192, **{code: 144 << code for code in range(2, 6)}, **{code: 1 << code for code in range(8, 16)}}


def flac_parts(file: BinaryIO, begin: int, size: int) -> list[Part]:
    """The recordings of FLAC files that were put together, or of one."""
    starts = list(find_pattern(file, _BEGINNING, begin, size))
    # What looks like a beginning inside of metadata, such as a picture's, is none.
    ends_of_metadata: list[int] = []
    kept: list[int] = []
    for start in starts:
        if not kept or start >= ends_of_metadata[-1]:
            kept.append(start)
            ends_of_metadata.append(end_of_metadata(file, start, size))
    ends = [*kept[1:], size]
    return [_part(file, *places) for places in zip(kept, ends_of_metadata, ends, strict=True)]


def end_of_metadata(file: BinaryIO, start: int, size: int) -> int:
    """Where the samples of a FLAC file that begins at `start` begin; a ContainerError where it ends before them."""
    position, is_last = start + 4, False
    while not is_last:
        header = read_at(file, position, 4)
        if len(header) < 4 or position >= size:
            raise ContainerError("the file is truncated (it ends before its samples begin)")
        is_last = header[0] >= 0x80
        position += 4 + int.from_bytes(header[1:])
    return position


def _part(file: BinaryIO, start: int, audio_start: int, end: int) -> Part:
    header = bytearray(read_at(file, start, _HEADER_BYTES))
    packed = int.from_bytes(header[18:26])
    stated = packed & (2**36 - 1)
    max_frame_size = int.from_bytes(header[15:18])
    end = _without_tags(file, audio_start, end)
    tail_start = max(audio_start, end - max(_TAIL_BYTES, max_frame_size + _MAX_TAG_BYTES))
    if stated and stated in _frame_ends(read_at(file, tail_start, end - tail_start), header):
        view = part_view(file, start, end)
        return Part(view, "FLAC", is_exact=True, num_frames=stated, has_tail=True)
    header[18:26] = (packed - stated).to_bytes(8)
    view = part_view(file, start, end, bytes(header))
    return Part(view, "FLAC", num_frames=stated or None)


def _without_tags(file: BinaryIO, start: int, end: int) -> int:
    """Where what an ID3v1 or APEv2 tag at the end leaves ends."""
    while end - start > 128:
        if read_at(file, end - 128, 3) == b"TAG":
            end -= 128
            continue
        footer = read_at(file, end - 32, 32)
        size = int.from_bytes(footer[12:16], "little")  # the footer's own 32 bytes among it
        if footer[:8] != b"APETAGEX" or size < 32:
            break
        end -= size + (32 if footer[23] & 0x80 else 0)
    return max(start, end)


def _frame_ends(data: bytes, header: bytes) -> set[int]:
    """Samples of a channel up to the end of each frame in `data`, by what their headers say."""
    # Encoders write frames of one size, which their number is multiplied by, but for the last one.
    fixed_size = int.from_bytes(header[8:10])
    ends = set()
    for match in _FRAME_SYNC.finditer(data):
        frame = data[match.start() : match.start() + 16]
        parsed = _parse_frame_header(frame)
        if parsed is not None:
            number, block_size = parsed
            ends.add((number if frame[1] & 1 else number * fixed_size) + block_size)
    return ends


def _parse_frame_header(data: bytes) -> tuple[int, int] | None:
    """Number of a frame, or of its first sample, and its samples of a channel; None if these bytes are no header."""
    if len(data) < 16:
        data = data.ljust(16, b"\0")
    num_bytes = 1 if data[4] < 0x80 else 8 - (data[4] ^ 0xFF).bit_length()
    if num_bytes > 7 or (data[4] & 0xC0) == 0x80:
        return None
    number = data[4] & (0x7F if num_bytes == 1 else 0x7F >> num_bytes)
    for byte in data[5 : 4 + num_bytes]:
        number = number << 6 | byte & 0x3F
    position = 4 + num_bytes
    size_code, rate_code = data[2] >> 4, data[2] & 15
    if size_code in (6, 7):
        width = size_code - 5
        block_size = int.from_bytes(data[position : position + width]) + 1
        position += width
    else:
        block_size = _BLOCK_SIZES.get(size_code, 0)
    position += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if not block_size or rate_code == 15 or _crc8(data[:position]) != data[position]:
        return None
    return number, block_size


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc


__all__ = ["flac_parts"]
