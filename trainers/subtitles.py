# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Subtitles of a transcript with times: SubRip (SRT) and WebVTT.

Cues follow the usual broadcast guidelines: at most two lines of 42 columns (a Chinese character is two), at most seven
seconds, a new one after a pause or the end of a sentence.
"""

import html
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


LINE_WIDTH, MAX_LINES = 42, 2
MAX_SECONDS = 7.0
# A pause that ends a cue, and one that does so after the end of a sentence.
MAX_GAP, SENTENCE_GAP = 1.0, 0.2
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’)）」』]*$")


@dataclass(frozen=True)
class Cue:
    """What is shown from `start` to `end` seconds; lines of `text` are separated by line breaks."""

    start: float
    end: float
    text: str


def make_cues(chunks: Iterable[dict[str, Any]], duration: float) -> list[Cue]:
    """Cues of words or longer pieces of text with their times.

    Args:
        chunks: `{"text", "timestamp": (start, end)}` in order, as the pipeline's `chunks`: words, whose texts are put
            together as they are, or whole segments, of which long ones are cut in proportion to their characters.
            Times may be `None`: such pieces get the time between their neighbours.
        duration: Of the recording, in seconds.
    """
    cues: list[Cue] = []
    open_pieces: list[tuple[str, float, float]] = []
    for piece in _cut_long_pieces(_complete_times(list(chunks), duration)):
        if open_pieces and _begins_new_cue(open_pieces, piece):
            cues.append(_close(open_pieces))
            open_pieces = []
        open_pieces.append(piece)
    if open_pieces:
        cues.append(_close(open_pieces))
    return [cue for cue in cues if cue.text]


def format_srt(cues: Iterable[Cue]) -> str:
    """SubRip: numbered cues, comma before the milliseconds."""
    blocks = (
        f"{number}\n{_format_time(cue.start, ',')} --> {_format_time(cue.end, ',')}\n{cue.text}\n"
        for number, cue in enumerate(cues, start=1)
    )
    return "\n".join(blocks)


def format_vtt(cues: Iterable[Cue]) -> str:
    """WebVTT: `&`, `<` and `>` in the text are written as character references."""
    blocks = (
        f"{_format_time(cue.start, '.')} --> {_format_time(cue.end, '.')}\n{html.escape(cue.text, quote=False)}\n"
        for cue in cues
    )
    return "\n".join(["WEBVTT\n", *blocks])


def _format_time(seconds: float, separator: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}{separator}{milliseconds % 1000:03d}"


def _complete_times(chunks: list[dict[str, Any]], duration: float) -> list[tuple[str, float, float]]:
    """`(text, start, end)` of each chunk, missing times filled in from its neighbours."""
    pieces, last = [], 0.0
    for position, chunk in enumerate(chunks):
        start, end = chunk["timestamp"]
        if start is None or end is None:
            later = (other["timestamp"][0] for other in chunks[position + 1 :] if other["timestamp"][0] is not None)
            start, end = last, next(later, duration)
        pieces.append((chunk["text"], start, end))
        last = end
    return pieces


def _cut_long_pieces(pieces: list[tuple[str, float, float]]) -> Iterator[tuple[str, float, float]]:
    """Pieces that fit into a cue: of a longer one the lines, which share its time by their width."""
    for text, start, end in pieces:
        parts = _wrap(text, LINE_WIDTH)
        if len(parts) <= MAX_LINES:
            yield text, start, end
            continue
        widths = [_width(part) for part in parts]
        for number, part in enumerate(parts):
            begin, stop = (sum(widths[:count]) / sum(widths) for count in (number, number + 1))
            # With a space before it, so that a part that is joined to the one before keeps its distance.
            spaced = part if _is_wide(part[0]) or not number else f" {part}"
            yield spaced, start + (end - start) * begin, start + (end - start) * stop


def _begins_new_cue(open_pieces: list[tuple[str, float, float]], piece: tuple[str, float, float]) -> bool:
    text, start, end = piece
    shown = "".join(part for part, *_ in open_pieces)
    gap = start - open_pieces[-1][2]
    return (
        len(_wrap(shown + text, LINE_WIDTH)) > MAX_LINES
        or end - open_pieces[0][1] > MAX_SECONDS
        or gap > MAX_GAP
        or (gap > SENTENCE_GAP and _SENTENCE_END.search(shown.strip()) is not None)
    )


def _close(pieces: list[tuple[str, float, float]]) -> Cue:
    text = "".join(text for text, *_ in pieces).strip()
    return Cue(pieces[0][1], pieces[-1][2], "\n".join(_wrap(text, LINE_WIDTH)))


def _wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken at spaces, or between characters of two columns."""
    if not any(map(_is_wide, text)):
        return textwrap.wrap(text.strip(), width, break_on_hyphens=False)
    lines, line = [], ""
    for unit in re.findall(r"\s+|[^\s\u2e80-\U0003ffff]+|.", text):
        if line.strip() and _width(line + unit) > width:
            lines.append(line.strip())
            line = ""
        line += unit
    return lines + ([line.strip()] if line.strip() else [])


def _width(text: str) -> int:
    return sum(2 if _is_wide(character) else 1 for character in text)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


FORMATS = {"srt": format_srt, "vtt": format_vtt}
