# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The length of MP3 files, by counting their frames, and how libsndfile gets to know it.

An MP3 file may state its number of frames in a Xing or Info tag, in a first frame without sound. Encoders that write
to a pipe leave it out, and in files that were put together it is that of the first one. libsndfile then estimates the
length by the bit rate of the first frame, or believes the tag, and reads no further than that. The true number takes
no decoding: each frame gives its size in its header.
"""

import re
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from .file_parts_entropy_asr import ByteView, file_size, read_at


# Bit rates of layer III in kbit/s; the first stands for a free one, which nobody uses (ISO/IEC 11172-3, 13818-3).
MPEG_1_BIT_RATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG_2_BIT_RATES = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
# MPEG-1, MPEG-2 and MPEG-2.5 by their number in a header: bit rates, sampling rates in Hz, samples of a frame.
VERSIONS = {
    3: (MPEG_1_BIT_RATES, (44100, 48000, 32000), 1152),
    2: (MPEG_2_BIT_RATES, (22050, 24000, 16000), 576),
    0: (MPEG_2_BIT_RATES, (11025, 12000, 8000), 576),
}
LAYER_3 = 1
MONO = 3
# What follows the last frame and is neither frame nor tag is padding up to here, as it is for libsndfile's decoder.
MAX_TRAILING_BYTES = 1024


class FrameHeader(NamedTuple):
    """What the four bytes at the beginning of a layer III frame say."""

    size: int  # of the frame in bytes, the header's four among them
    tag_offset: int  # where in the frame a Xing or Info tag is


def with_frame_count(file: BinaryIO) -> tuple[BinaryIO, bool]:
    """`file` itself, or a view of an MP3 file whose own count of frames is missing or too small, with the right one.

    A count that is too large is left as it is, for then frames are lost; beside it stands whether it is right.
    The right one counts what is damaged or cut off too, so that it is more than can be decoded of such a file.
    """
    start = skip_tags(file, 0)
    header = _read_header(file, start)
    if header is None:
        return file, False
    frame = read_at(file, start, header.size)
    tag = frame[header.tag_offset :][:12]
    has_tag = tag[:4] in (b"Xing", b"Info")
    stated = int.from_bytes(tag[8:]) if has_tag and tag[7] & 1 else 0
    # Fraunhofer's encoder writes a frame of its own kind, which libsndfile does not know.
    if has_tag or frame[36:40] == b"VBRI":
        start += header.size
    count = _count_frames(file, start)
    if count <= stated:
        return file, count == stated
    return ByteView(_xing_frame(frame[:4], count), file, start), True


def _count_frames(file: BinaryIO, position: int) -> int:
    """Frames from `position` on, with the one that the end of the file cuts off and one for each damaged place."""
    size = file_size(file)
    count = 0
    while position < size:
        if header := _read_header(file, position):
            position += header.size
            count += 1
        elif size_of_tag := tag_size(file, position):  # of a file that was put behind another one, or of the last one
            position += size_of_tag
        elif (found := _find_frame(file, position)) is not None:
            position = found
            count += 1
        else:
            return count + (size - position > MAX_TRAILING_BYTES)
    return count


def _find_frame(file: BinaryIO, position: int) -> int | None:
    """Where a frame is next, by its header and the one behind it: the bytes of one occur by chance."""
    size = file_size(file)
    while chunk := read_at(file, position, 2**16):
        for match in re.finditer(b"\xff", chunk):
            start = position + match.start()
            header = _read_header(file, start)
            if header and (start + header.size == size or _read_header(file, start + header.size)):
                return start
        position += len(chunk)
    return None


def skip_tags(file: BinaryIO, position: int) -> int:
    """Where the tags end that begin at `position`."""
    while size := tag_size(file, position):
        position += size
    return position


def begins_with_frames(data: bytes, num_frames: int = 3) -> bool:
    """Whether layer III frames of one kind follow each other: the bytes of one header occur by chance."""
    position = 0
    for _ in range(num_frames):
        header = _parse_header(data[position : position + 4])
        # Version, layer and sampling rate.
        if header is None or (data[position + 1] ^ data[1]) & 0xFE or (data[position + 2] ^ data[2]) & 0x0C:
            return False
        position += header.size
    return True


def tag_size(file: BinaryIO, position: int) -> int:
    """Bytes of the ID3v2, ID3v1 or APEv2 tag at `position`; 0 if there is none."""
    head = read_at(file, position, 16)
    if head[:3] == b"ID3" and len(head) > 9:
        # The size has 7 bits a byte, and leaves out the tag's header and footer.
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        return size + (20 if head[5] & 0x10 else 10)
    if head[:3] == b"TAG":
        return 128
    if head[:8] == b"APETAGEX":
        return 32 + int.from_bytes(head[12:], "little")
    return 0


def _read_header(file: BinaryIO, position: int) -> FrameHeader | None:
    return _parse_header(read_at(file, position, 4))


@lru_cache(maxsize=1024)
def _parse_header(data: bytes) -> FrameHeader | None:
    bits = int.from_bytes(data)
    version, layer, channels = bits >> 19 & 3, bits >> 17 & 3, bits >> 6 & 3
    rate_index, padding, bit_rate_index = bits >> 10 & 3, bits >> 9 & 1, bits >> 12 & 15
    if len(data) < 4 or bits >> 21 != 0x7FF or version not in VERSIONS or layer != LAYER_3:
        return None
    if rate_index == 3 or bit_rate_index in (0, 15):
        return None
    bit_rates, rates, num_samples = VERSIONS[version]
    size = num_samples * 1000 * bit_rates[bit_rate_index] // (8 * rates[rate_index]) + padding
    if num_samples == 1152:
        side_info_size = 17 if channels == MONO else 32
    else:
        side_info_size = 9 if channels == MONO else 17
    return FrameHeader(size, 4 + side_info_size)


def _xing_frame(header: bytes, count: int) -> bytes:
    """A frame without sound, of the kind of the one with `header`, that states the number of frames behind it."""
    # Without a checksum and padding, and with a bit rate at which there is room for the tag.
    bits = int.from_bytes(header) & ~0xF200 | 0x19000
    parsed = _parse_header(bits.to_bytes(4))
    tag = b"Xing" + (1).to_bytes(4) + count.to_bytes(4)
    return (bits.to_bytes(4).ljust(parsed.tag_offset, b"\0") + tag).ljust(parsed.size, b"\0")
