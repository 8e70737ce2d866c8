# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Subtitles of a transcript with times: SubRip (SRT) and WebVTT.

Cues follow the usual broadcast guidelines: at most two lines of 42 columns (a Chinese character is two), of timed
words at most seven seconds, a new one after a pause or the end of a sentence. No line begins with closing punctuation
or ends with an opening bracket: it is broken earlier, not made longer. (Only a run of punctuation that fills a whole
line is cut.)

Where it is known who speaks, no cue has words of two speakers. SubRip writes the name before the text, WebVTT as the
cue's voice, which players show or tell apart as they like; both leave room for it in the first line.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any


LINE_WIDTH, MAX_LINES = 42, 2
MAX_SECONDS = 7.0
# A pause that ends a cue, and one that does so after the end of a sentence.
MAX_GAP, SENTENCE_GAP = 1.0, 0.2
# What begins no line, and what ends none.
_CLOSING = re.escape(",.!?:;)]}%»”’…‥、。，．！？：；）］｝％」』】〕〉》〗〙〛·・々ー〜～")
_OPENING = re.escape("([{«“‘¿¡（［｛「『【〔〈《〖〘〚￥＄")
# Blanks alone, or closing punctuation at the start of a piece, with the word that it begins (".5", "...and").
_LEADING = re.compile(
    rf"\s+$|(?:\s*[{_CLOSING}])+(?:(?<=[.,…])[^\W_\u2e80-\U0003ffff]+(?:\s*[{_CLOSING}])*)?(?:\s+$)?"
)
_TRAILING = re.compile(rf"\s*[{_OPENING}]+\s*$")
# Blanks, a word, or a character of a script that is written without blanks.
_UNIT = re.compile(r"\s+|[^\s\u2e80-\U0003ffff]+|.", re.DOTALL)
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’)）」』]*$")


@dataclass(frozen=True)
class Cue:
    """What is shown from `start` to `end` seconds; lines of `text` are separated by line breaks."""

    start: float
    end: float
    text: str
    speaker: str | None = None


def make_cues(chunks: Iterable[dict[str, Any]], duration: float) -> list[Cue]:
    """Cues of words or longer pieces of text with their times.

    Args:
        chunks: `{"text", "timestamp": (start, end)}` in order, as the pipeline's `chunks`: words, whose texts are put
            together as they are, or whole segments, of which long ones are cut in proportion to their characters.
            Times may be `None`: such pieces get the time between their neighbours. With `speaker`, each has its own
            cues.
        duration: Of the recording, in seconds.
    """
    chunks = list(chunks)
    speakers = [chunk.get("speaker") for chunk in chunks]
    pieces = zip(speakers, _complete_times(chunks, duration), strict=True)
    groups = groupby(pieces, key=itemgetter(0))
    return [cue for speaker, group in groups for cue in _cues_of([piece for _, piece in group], speaker)]


def _cues_of(pieces: list[tuple[str, float, float]], speaker: str | None) -> Iterator[Cue]:
    """Cues of consecutive pieces of one speaker, or of nobody who is known."""
    name = None if speaker is None else " ".join(speaker.split())
    indent = 0 if name is None else min(display_width(f"{name}: "), LINE_WIDTH // 2)
    open_pieces: list[tuple[str, float, float]] = []
    for piece in _cut_long_pieces(_keep_punctuation(pieces), indent):
        if open_pieces and _begins_new_cue(open_pieces, piece, indent):
            yield from _closed(open_pieces, indent, name)
            open_pieces = []
        open_pieces.append(piece)
    yield from _closed(open_pieces, indent, name)


def format_srt(cues: Iterable[Cue]) -> str:
    """SubRip: numbered cues, comma before the milliseconds, the speaker's name before the text."""
    blocks = (
        f"{number}\n{_format_time(cue.start, ',')} --> {_format_time(cue.end, ',')}\n"
        f"{'' if cue.speaker is None else f'{cue.speaker}: '}{cue.text}\n"
        for number, cue in enumerate(cues, start=1)
    )
    return "\n".join(blocks)


def format_vtt(cues: Iterable[Cue]) -> str:
    """WebVTT: the speaker as the cue's voice, `<v Name>`; `&`, `<` and `>` are written as character references."""
    blocks = (
        f"{_format_time(cue.start, '.')} --> {_format_time(cue.end, '.')}\n"
        f"{'' if cue.speaker is None else f'<v {_escaped(cue.speaker)}>'}{_escaped(cue.text)}\n"
        for cue in cues
    )
    return "\n".join(["WEBVTT\n", *blocks])


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


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


def _keep_punctuation(pieces: list[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Closing punctuation moved to the piece before it, opening brackets to the one after; pieces left empty go."""
    kept: list[tuple[str, float, float]] = []
    opening, opened = "", 0.0
    for text, start, end in pieces:
        text, start = opening + text, opened if opening else start
        leading = _LEADING.match(text) if kept else None
        if leading:
            before, began, ended = kept[-1]
            text = text[leading.end() :]
            alone = not text.strip() and start - ended <= MAX_GAP
            kept[-1] = before + leading.group(), began, end if alone else ended
        trailing = _TRAILING.search(text)
        opening, opened = (trailing.group(), start if trailing.start() == 0 else end) if trailing else ("", 0.0)
        text = text[: trailing.start()] if trailing else text
        if text:
            kept.append((text, start, end))
    return [*kept, (opening, opened, pieces[-1][2])] if opening else kept


def _cut_long_pieces(pieces: list[tuple[str, float, float]], indent: int) -> Iterator[tuple[str, float, float]]:
    """Pieces that fit into a cue: of a longer one the lines, which share its time by their width."""
    for text, start, end in pieces:
        if len(_break_lines(text, LINE_WIDTH, indent)) <= MAX_LINES:
            yield text, start, end
            continue
        parts = _break_lines(text, LINE_WIDTH)
        widths = [display_width(part) for part in parts]
        for number, part in enumerate(parts):
            begin, stop = (sum(widths[:count]) / sum(widths) for count in (number, number + 1))
            yield part, start + (end - start) * begin, start + (end - start) * stop


def _begins_new_cue(open_pieces: list[tuple[str, float, float]], piece: tuple[str, float, float], indent: int) -> bool:
    text, start, end = piece
    shown = "".join(part for part, *_ in open_pieces)
    gap = start - open_pieces[-1][2]
    return (
        len(_wrap(shown + text, LINE_WIDTH, indent)) > MAX_LINES
        or end - open_pieces[0][1] > MAX_SECONDS
        or gap > MAX_GAP
        or (gap > SENTENCE_GAP and _SENTENCE_END.search(shown.strip()) is not None)
    )


def _closed(pieces: list[tuple[str, float, float]], indent: int, speaker: str | None) -> Iterator[Cue]:
    """The cue of pieces, if they have a text."""
    text = "".join(text for text, *_ in pieces).strip()
    if text:
        yield Cue(pieces[0][1], pieces[-1][2], "\n".join(_wrap(text, LINE_WIDTH, indent)), speaker)


def _wrap(text: str, width: int, indent: int = 0) -> list[str]:
    """Lines of at most `width` columns, broken at blanks, or between characters of two columns.

    `indent` columns of the first line are taken.
    """
    # A line break or tab of the text is a blank like others: an empty line would end the cue.
    lines = _break_lines(text, width, indent)
    return [re.sub(r"[\t-\r\x1c-\x1e\x85\u2028\u2029]+", " ", line.strip()) for line in lines]


def _break_lines(text: str, full_width: int, indent: int = 0) -> list[str]:
    """Parts of a text that make its lines, with the blanks around them: together they are the text."""
    lines, line = [], ""
    blocks = list(_blocks(text))
    # Beside a name, a first word that fits a line is not cut.
    first_width = max(full_width - indent, min(full_width, display_width(blocks[0].strip()))) if blocks else full_width
    for block in blocks:
        width = full_width if lines else first_width
        if line.strip() and display_width(f"{line}{block}".strip()) > width:
            lines.append(line)
            line, width = "", full_width
        line += block
        while display_width(line.strip()) > width:
            place = _place_to_cut(line, width)
            lines.append(line[:place])
            line, width = line[place:], full_width
    if line.strip():
        return [*lines, line]
    return [*lines[:-1], lines[-1] + line] if lines else []


def _blocks(text: str) -> Iterator[str]:
    """Runs of units between which a line may be broken: punctuation stays with its word, blanks stand after theirs."""
    block = ""
    for unit in _UNIT.findall(text):
        if block.strip() and not unit.isspace() and not _is_bound(block, unit):
            yield block
            block = ""
        block += unit
    if block:
        yield block


def _is_bound(before: str, after: str) -> bool:
    """Whether no line may end with `before` while the next one begins with `after`."""
    if before[-1:].isspace():
        before = before.rstrip()
    elif not (_is_unspaced(before[-1]) or _is_unspaced(after[0])):
        return True  # inside a word
    return (
        bool(re.match(f"[{_CLOSING}]", after) or re.search(f"[{_OPENING}]$", before)) or display_width(after[0]) == 0
    )


def _is_unspaced(character: str) -> bool:
    return character >= "\u2e80"


def _place_to_cut(line: str, width: int) -> int:
    """Where to cut a line whose words leave no place: as late as the width allows, punctuation permitting."""
    indent = len(line) - len(line.lstrip())
    last = max(indent + 1, max(end for end in range(len(line)) if display_width(line[indent:end]) <= width))
    allowed = (end for end in range(last, indent, -1) if not _is_cut_bad(line[indent:end], line[end:]))
    return next(allowed, last)


def _is_cut_bad(before: str, after: str) -> bool:
    bad = re.match(rf"\s*[{_CLOSING}]", after) or re.search(rf"[{_OPENING}]\s*$", before)
    return bool(bad) or display_width(after[0]) == 0


def display_width(text: str) -> int:
    """Columns: two of a Chinese character, none of an accent or of what nobody sees."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


FORMATS = {"srt": format_srt, "vtt": format_vtt}
