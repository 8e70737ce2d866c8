# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is in an audio file: which format it is, where its samples are, and whether more follows them.

Decoders believe the first header they meet. It may state no length (what writes to a pipe cannot know it), or less
than is there (a recorder that lost power, a size beyond 4 GiB), and files that were put together hold several headers.
So each format's structure is walked here, which takes no decoding, and a file becomes one or several [`Part`]s: views
with right headers, which together hold all of its samples. What follows samples and is known to be none (metadata,
tags, padding) is left out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .file_parts_entropy_asr import ContainerError, Part, file_size, find_pattern, part_view, read_at
from .flac_entropy_asr import end_of_metadata, flac_parts
from .mpeg_entropy_asr import begins_with_frames, skip_tags, with_frame_count


# Programs that write to a pipe cannot know the length and put a placeholder this large (sox, espeak, ffmpeg).
STREAMED_SIZE, STREAMED_SIZE_64 = 0x7FFFF000, 2**62
# What follows samples, is not known and is no longer than this is taken for padding.
MAX_TRAILING_BYTES = 1024
# Bytes of a container that tell which one it is; `.snd` has its sizes checked beside it.
SIGNATURES = {
    "WAV": rb"(?:RIFF|RIFX)....WAVE",
    "RF64": rb"(?:RF64|BW64)....WAVE",
    "W64": rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00",
    "AIFF": rb"FORM....AIF[FC]",
    "AU": rb"\.snd\0\0......\0\0\0.\0...\0\0\0.|dns\...\0\0.....\0\0\0...\0.\0\0\0",
    "CAF": rb"caff\x00\x01\x00\x00",
    "FLAC": rb"fLaC[\x00\x80]\0\0\x22",
    "Ogg": rb"OggS\0[\x00-\x07]",
    "MP3": rb"ID3[\x02-\x04][^\xff][\x00\x10\x20\x40\x60\x80\xa0\xc0\xe0][\0-\x7f]{4}",
    "WebM or Matroska": rb"\x1a\x45\xdf\xa3",
    "MP4": rb"\0\0..ftyp|....(?:moov|mdat|wide)|\0...(?:free|skip)",
    "WMA": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
    "AMR": rb"#!AMR(?:-WB)?(?:_MC1\.0)?\n",
    "AVI": rb"RIFF....AVI ",
    "FLV": rb"FLV\x01[\x01\x04\x05]",
    "AAC": rb"ADIF",
    "MPEG-TS": rb"\x47[^\x47]..(?:.{184}\x47...){4}",
    "MPEG-PS": rb"\0\0\x01\xba[\x40-\x7f\x21]",
    "WavPack": rb"wvpk",
    "TTA": rb"TTA[12][\x01\x02]\x00",
}
_PATTERNS = {name: re.compile(pattern, re.DOTALL) for name, pattern in SIGNATURES.items()}
# What libsndfile does not read, with the name of ffmpeg's demuxer.
FFMPEG_DEMUXERS = {
    "WebM or Matroska": "matroska",
    "MP4": "mov",
    "WMA": "asf",
    "AMR": "amr",
    "AVI": "avi",
    "FLV": "flv",
    "AAC": "aac",
    "MPEG-TS": "mpegts",
    "MPEG-PS": "mpeg",
    "WavPack": "wv",
    "TTA": "tta",
    "Ogg Speex": "ogg",
}
# Where another file begins that was put behind one of these.
_REPEATED = {
    "WebM or Matroska": rb"\x1a\x45\xdf\xa3[\x01-\xff]{1,8}?\x42[\x82\x86\xf2\xf3\xf7]",
    "MP4": rb"\0\0..ftyp[0-9A-Za-z ]{4}",
    "WMA": SIGNATURES["WMA"],
    "AMR": SIGNATURES["AMR"],
    "FLV": SIGNATURES["FLV"],
    "AVI": SIGNATURES["AVI"],
    "TTA": SIGNATURES["TTA"],
}
_REPEATED_PATTERNS = {name: re.compile(pattern, re.DOTALL) for name, pattern in _REPEATED.items()}
# The same of formats of which libsndfile reads the usual codecs only.
RARE_CODEC_DEMUXERS = {
    "WAV": "wav",
    "RF64": "wav",
    "W64": "w64",
    "AIFF": "aiff",
    "AU": "au",
    "CAF": "caf",
    "Ogg": "ogg",
}
# Longest beginning of a stream that is looked at: three MP3 frames.
SNIFFED_BYTES = 3 * 1441 + 4
LONGEST_SIGNATURE = 24
AU_HEADER_BYTES = 24
_W64_TAIL = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
# RIFF and IFF chunks beside the samples that files end with; others are known by a size that fits.
_METADATA_CHUNKS = {b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"cue ", b"smpl", b"_PMX", b"PEAK", b"JUNK"}
_SAMPLE_CHUNKS = {b"data", b"SSND"}
# Bytes of a chunk's name and of its size, the order of these, what chunks are aligned to; W64's count the header too.
_CHUNKS = {
    "WAV": (4, 4, "little", 2),
    "RIFX": (4, 4, "big", 2),
    "AIFF": (4, 4, "big", 2),
    "CAF": (4, 8, "big", 1),
    "W64": (16, 8, "little", 8),
}
_IFF = rb"(?:RIFF|RIFX)....WAVE|FORM....AIF[FC]|caff\x00\x01\x00\x00"
_OTHERS = {"FLAC": re.compile(_IFF + rb"|OggS\0\x02\0{8}", re.DOTALL), "Ogg": re.compile(_IFF, re.DOTALL)}
_NOT_ZERO = re.compile(rb"[^\0]")
_OGG_BEGINNING = re.compile(rb"OggS\0[\x02\x03\x06\x07]")


@dataclass(frozen=True)
class _Layout:
    """Where the samples of a format with one chunk of them are, and how its header states their size.

    Args:
        kind: of the chunks, see `_CHUNKS`.
        data: where they begin.
        stated: bytes of them by the header; None where it does not say.
        field: where the header states it.
        width: bytes of that field, in `byteorder`.
        extra: what the field counts beside the samples.
        chunk: bytes of a chunk's identifier and of its size; None for a format without chunks.
        alignment: chunks begin at multiples of this.
    """

    kind: str
    data: int
    stated: int | None
    field: int
    width: int
    byteorder: str
    extra: int = 0
    chunk: tuple[int, int] | None = (4, 4)
    alignment: int = 2


def container_of(head: bytes) -> str | None:
    """Name of the container that begins with `head`, up to `SNIFFED_BYTES` of it; None for anything else.

    Raw PCM does not begin like one by chance: what is looked for is at least four bytes long.
    """
    for name, pattern in _PATTERNS.items():
        if pattern.match(head):
            return name
    if begins_with_frames(head):
        return "MP3"
    return "AAC" if _begins_with_adts(head) else None


class StreamBeginning:
    """Watches the first bytes of what should be raw PCM for a file that was sent in its place."""

    def __init__(self):
        self._head = b""
        self._is_decided = False

    def push(self, data: bytes) -> str | None:
        """Name of the container that the stream begins with, as soon as it is known.

        Args:
            data: the next bytes of the stream, however few.
        """
        if self._is_decided:
            return None
        self._head += data[: SNIFFED_BYTES - len(self._head)]
        container = container_of(self._head)
        may_be_frames = len(self._head) < 2 or (self._head[0] == 0xFF and self._head[1] >= 0xE0)
        num_needed = SNIFFED_BYTES if may_be_frames else LONGEST_SIGNATURE
        self._is_decided = container is not None or len(self._head) >= num_needed
        return container


def _begins_with_adts(head: bytes) -> bool:
    """Whether frames of raw AAC follow each other, with the same sampling rate and profile."""
    position = 0
    for _ in range(3):
        frame = head[position : position + 7]
        if len(frame) < 7 or frame[0] != 0xFF or frame[1] & 0xF6 != 0xF0 or (frame[2] ^ head[2]) & 0xFC:
            return False
        size = int.from_bytes(frame[3:6]) >> 5 & 0x1FFF
        if size < 7:
            return False
        position += size
    return True


def split_container(file: BinaryIO) -> list[Part]:
    """The recordings of a file, one after another.

    Raises:
        ContainerError: it ends before its samples do, or holds what cannot be read with the rest.
    """
    parts: list[Part] = []
    start, size = 0, file_size(file)
    while start < size:
        begin = skip_tags(file, start)
        kind = container_of(read_at(file, begin, SNIFFED_BYTES))
        if kind in _LAYOUTS:
            part, start = _chunked_part(file, kind, begin, size)
            parts.append(part)
        elif kind in ("FLAC", "Ogg"):
            # Of these the end is not stated: a file of another format behind them is found by its beginning.
            # Metadata of FLAC may hold the header of the file that it was made from.
            first = end_of_metadata(file, begin, size) if kind == "FLAC" else begin + 4
            end = next(find_pattern(file, _OTHERS[kind], first, size), size)
            parts += flac_parts(file, begin, end) if kind == "FLAC" else _ogg_parts(file, begin, end)
            start = end
        elif kind in FFMPEG_DEMUXERS:
            return parts + _repeated_parts(file, kind, begin, size)
        else:
            view, is_exact = with_frame_count(part_view(file, start, size))
            return [*parts, Part(view, "MP3" if is_exact else kind, is_exact)]
    return parts


def _repeated_parts(file: BinaryIO, kind: str, begin: int, size: int) -> list[Part]:
    """Files that are left to ffmpeg, which reads the first one."""
    pattern = _REPEATED_PATTERNS.get(kind)
    starts = [] if pattern is None else list(find_pattern(file, pattern, begin, size))
    if not starts or starts[0] != begin:
        starts = [begin]
    return [Part(part_view(file, *places), kind) for places in zip(starts, [*starts[1:], size], strict=True)]


def _chunked_part(file: BinaryIO, kind: str, begin: int, size: int) -> tuple[Part, int]:
    """The recording at `begin` of a format with one chunk of samples, and where what follows it begins."""
    layout = _LAYOUTS[kind](file, begin, size)
    available = size - layout.data
    if available < 0:
        raise ContainerError("the file is truncated (it ends before its samples begin)")
    if layout.stated is not None and layout.stated > available:
        raise ContainerError(f"the file is truncated ({available} of {layout.stated} bytes of samples are there)")
    next_start = None if layout.stated is None else _end_of_rest(file, layout, begin, size)
    if next_start is not None:
        samples_end = layout.data + layout.stated
        # libsndfile reads W64 to its end, whatever its header says.
        view = part_view(file, begin, samples_end if kind == "W64" and samples_end < size else next_start)
        return Part(view, kind, is_exact=True), next_start
    samples_end = next(find_pattern(file, _PATTERNS[kind], layout.data, size), size)
    head = bytearray(read_at(file, begin, layout.data - begin))
    # A field that is too small for the size says that it is not known.
    value = min(samples_end - layout.data + layout.extra, 2 ** (8 * layout.width) - 1)
    field = layout.field - begin
    head[field : field + layout.width] = value.to_bytes(layout.width, layout.byteorder)
    return Part(part_view(file, begin, samples_end, bytes(head)), kind, is_exact=True), samples_end


def _end_of_rest(file: BinaryIO, layout: _Layout, begin: int, size: int) -> int | None:
    """Where what belongs to a recording ends: there the next one begins, or the file ends.

    `None` where the bytes behind the samples that the header states are neither metadata nor another recording: then
    they are samples too.
    """
    position = layout.data + layout.stated
    padding = -(position - begin) % layout.alignment
    for start in dict.fromkeys((position + padding, position)):  # not all writers pad
        if (end := _walk_rest(file, layout, start, size)) is not None:
            return end
    return size if layout.stated and _is_padding(file, position, size) else None


def _walk_rest(file: BinaryIO, layout: _Layout, start: int, size: int) -> int | None:
    """Walk over chunks and tags from `start` on."""
    position = start
    while position < size:
        if (behind := skip_tags(file, position)) > position:
            position = behind
            continue
        head = read_at(file, position, SNIFFED_BYTES)
        if container_of(head) is not None:
            return position
        chunk_size = _chunk_size(head, layout, size - position)
        if chunk_size is None:
            return size if position > start and _is_padding(file, position, size) else None
        position += chunk_size
    return size


def _chunk_size(head: bytes, layout: _Layout, available: int) -> int | None:
    """Bytes of the chunk that begins with `head`; None if it does not look like one."""
    if layout.chunk is None or len(head) < sum(layout.chunk):
        return None
    id_size, width = layout.chunk
    name = head[:4]
    size = int.from_bytes(head[id_size : id_size + width], layout.byteorder)
    size += 0 if layout.kind == "W64" else id_size + width
    fits = sum(layout.chunk) <= size <= available
    is_name = head[4:16] == _W64_TAIL if layout.kind == "W64" else all(0x20 <= byte < 0x7F for byte in name)
    if not is_name or not (fits or name in _METADATA_CHUNKS):
        return None
    if name in _SAMPLE_CHUNKS:
        raise ContainerError("it holds a second chunk of samples, which is not supported: save it as one recording")
    return max(sum(layout.chunk), size + -size % layout.alignment)


def _is_padding(file: BinaryIO, start: int, end: int) -> bool:
    """Whether bytes are few, or all zero."""
    return end - start <= MAX_TRAILING_BYTES or next(find_pattern(file, _NOT_ZERO, start, end), None) is None


def _chunks(file: BinaryIO, kind: str, position: int, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, size and place of the chunks of a file, up to the last one that begins in it."""
    id_size, width, byteorder, alignment = _CHUNKS[kind]
    while position + id_size + width <= size:
        header = read_at(file, position, id_size + width)
        chunk_size = int.from_bytes(header[id_size:], byteorder)
        yield header[:4], chunk_size, position
        length = max(chunk_size, id_size + width) if kind == "W64" else chunk_size + id_size + width
        position += length + -length % alignment
    raise ContainerError("the file is truncated (it ends before its samples begin)")


def _wav_layout(file: BinaryIO, begin: int, size: int) -> _Layout:
    """RIFF, little or big-endian, or RF64, whose sizes of 64 bits are in a chunk of their own."""
    magic = read_at(file, begin, 4)
    byteorder = "big" if magic == b"RIFX" else "little"
    kind = "RIFX" if magic == b"RIFX" else "WAV"
    wide = None
    for name, chunk_size, position in _chunks(file, kind, begin + 12, size):
        if name == b"ds64":
            wide = position + 16
        if name == b"data":
            data = position + 8
            if chunk_size == 0xFFFFFFFF and wide is not None:
                chunk_size = int.from_bytes(read_at(file, wide, 8), byteorder)
                known = chunk_size < STREAMED_SIZE_64
                return _Layout("RF64", data, chunk_size if known else None, wide, 8, byteorder)
            known = chunk_size < STREAMED_SIZE or chunk_size <= size - data
            return _Layout(kind, data, chunk_size if known else None, position + 4, 4, byteorder)
    raise AssertionError("the walk over chunks raises at its end")


def _w64_layout(file: BinaryIO, begin: int, size: int) -> _Layout:
    for name, chunk_size, position in _chunks(file, "W64", begin + 40, size):
        if name == b"data":
            known = 24 <= chunk_size < STREAMED_SIZE_64
            stated = chunk_size - 24 if known else None
            return _Layout("W64", position + 24, stated, position + 16, 8, "little", 24, (16, 8), 8)
    raise AssertionError("the walk over chunks raises at its end")


def _aiff_layout(file: BinaryIO, begin: int, size: int) -> _Layout:
    for name, chunk_size, position in _chunks(file, "AIFF", begin + 12, size):
        if name == b"SSND":
            extra = 8 + int.from_bytes(read_at(file, position + 8, 4))
            data = position + 8 + extra
            known = extra <= chunk_size and (chunk_size < STREAMED_SIZE or chunk_size - extra <= size - data)
            return _Layout("AIFF", data, chunk_size - extra if known else None, position + 4, 4, "big", extra)
    raise AssertionError("the walk over chunks raises at its end")


def _caf_layout(file: BinaryIO, begin: int, size: int) -> _Layout:
    for name, chunk_size, position in _chunks(file, "CAF", begin + 8, size):
        if name == b"data":
            known = 4 <= chunk_size < STREAMED_SIZE_64  # -1 says that it is not known
            stated = chunk_size - 4 if known else None
            return _Layout("CAF", position + 16, stated, position + 4, 8, "big", 4, (4, 8), 1)
    raise AssertionError("the walk over chunks raises at its end")


def _au_layout(file: BinaryIO, begin: int, size: int) -> _Layout:
    header = read_at(file, begin, 12)
    byteorder = "big" if header[:4] == b".snd" else "little"
    offset = int.from_bytes(header[4:8], byteorder)
    if offset < AU_HEADER_BYTES:
        raise ContainerError(f"its header is damaged (samples cannot begin at byte {offset})")
    data = begin + offset
    stated = int.from_bytes(header[8:], byteorder)
    known = 0 < stated < STREAMED_SIZE or 0 < stated <= size - data
    return _Layout("AU", data, stated if known else None, begin + 8, 4, byteorder, 0, None, 1)


_LAYOUTS = {"WAV": _wav_layout, "RF64": _wav_layout, "W64": _w64_layout, "AIFF": _aiff_layout, "CAF": _caf_layout}
_LAYOUTS["AU"] = _au_layout


def _ogg_parts(file: BinaryIO, begin: int, size: int) -> list[Part]:
    """The links of a chain of Ogg streams (RFC 3533, section 4); streams that begin together are one link."""
    starts, end_of_last = [begin], begin
    for position in find_pattern(file, _OGG_BEGINNING, begin, size):
        if position not in (begin, end_of_last):
            starts.append(position)
        end_of_last = position + _ogg_page_size(read_at(file, position, 27 + 255))
    parts = []
    for start, end in zip(starts, [*starts[1:], size], strict=True):
        # Nothing is said of what follows the last page, such as a tag.
        view = part_view(file, start, end)
        if not _ends_with_whole_page(view):
            raise ContainerError("the file is truncated (its last Ogg page is incomplete)")
        is_speex = b"Speex   " in read_at(view, 0, 64)
        parts.append(Part(view, "Ogg Speex" if is_speex else "Ogg", is_exact=not is_speex))
    return parts


def _ogg_page_size(page: bytes) -> int:
    """Bytes of the page that begins with `page`, or more than there are if even its header is cut off."""
    if len(page) < 27 or len(page) < 27 + page[26]:
        return 27 + 255 + 255 * 255
    return 27 + page[26] + sum(page[27 : 27 + page[26]])


def _ends_with_whole_page(file: BinaryIO) -> bool:
    """Whether the last Ogg page is whole (RFC 3533, section 6)."""
    tail = read_at(file, max(0, file_size(file) - 2 * 65307), 2 * 65307)  # 65307 bytes is the longest page
    page = tail[tail.rfind(b"OggS") :]
    return _ogg_page_size(page) <= len(page)


__all__ = ["FFMPEG_DEMUXERS", "RARE_CODEC_DEMUXERS", "StreamBeginning", "container_of", "split_container"]
