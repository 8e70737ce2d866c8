# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How a transcript is written: numbers in digits or in words, punctuation in full or half width.

A style rewrites what the model wrote and adds nothing: no mark, no capital, no word. Numbers are WeTextProcessing's
(the package `wetext`), for English, Mandarin and Japanese; English and Mandarin words stay where its digits may not
say what they do ([`~sure_numbers_entropy_asr`]). Without a style a text is left as the model wrote it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

from .languages_entropy_asr import AUTOMATIC, LANGUAGES, is_unspaced
from .sure_numbers_entropy_asr import sure_number


# What wetext calls the two directions, and the languages that it knows.
DIRECTIONS = {"written": "itn", "spoken": "tn"}
NUMBER_LANGUAGES = ("zh", "en", "ja")
# What wetext raises for texts that its grammars do not cover: English ones for "7十...", all for a backslash.
NO_READING = (AssertionError, RuntimeError)
WIDTHS = ("full", "half", "auto")
_HALF, _FULL = ",.?!:;()", "，。？！：；（）"
_TO_FULL = dict(zip(_HALF, _FULL, strict=True))
_TO_HALF = dict(zip(_FULL, _HALF, strict=True)) | {"、": ","}
# A mark with the blanks around it. Dots in a row are an ellipsis, which has no other width.
_ONE = re.escape(_HALF.replace(".", "") + _FULL + "、")
_MARK = re.compile(rf"(?P<before> *)(?P<mark>[{_ONE}]|(?<!\.)\.(?!\.))(?P<after> *)")
# Inside numbers, times, names of files and addresses: "3.5", "10:30", "example.com".
_INSIDE = re.compile(r"[A-Za-z0-9][,.:?!;][A-Za-z0-9]")


class Rewritten(NamedTuple):
    """Characters from `start` to `end` of a text, and what is written for them."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class TextStyle:
    """A way of writing transcripts.

    Args:
        numbers: "written" for digits ("$3.50", "25"), "spoken" for words; as the model writes them by default.
        punctuation: width of the marks that are there: "full", "half", or "auto", full behind Chinese characters and
            kana and half behind others; as the model writes them by default.

    Raises:
        ValueError: a value that is none of these.
    """

    numbers: str | None = None
    punctuation: str | None = None

    def __post_init__(self):
        for name, choices in (("numbers", tuple(DIRECTIONS)), ("punctuation", WIDTHS)):
            if getattr(self, name) not in (None, *choices):
                raise ValueError(f"`{name}` of a text style must be one of {choices}, not {getattr(self, name)!r}.")

    @staticmethod
    def of(given: Any) -> "TextStyle":
        """The style that is given as "written" or "spoken", as a dict of its fields, or as one.

        Raises:
            ValueError: it is none.
            ImportError: numbers without the extra `style`.
        """
        if isinstance(given, str):
            given = {"numbers": given}
        if isinstance(given, Mapping):
            if unknown := sorted(set(given) - set(TextStyle.__dataclass_fields__)):
                raise ValueError(f"`text_style` has no {unknown[0]!r}: it has `numbers` and `punctuation`.")
            given = TextStyle(**given)
        if type(given).__name__ != TextStyle.__name__:  # of a copy of this module, too: remote code
            raise ValueError(f"`text_style` must be 'written', 'spoken', or a dict, not {given!r}.")
        if given.numbers is not None:
            _normalizer("en", DIRECTIONS[given.numbers])
        return given

    def check(self, language: str | None) -> None:
        """Refuse numbers of a language whose numerals are not known.

        Raises:
            ValueError: such a language.
        """
        if self.numbers is not None and language not in (None, AUTOMATIC, *NUMBER_LANGUAGES):
            raise ValueError(
                f"`numbers` of a text style are known for {', '.join(NUMBER_LANGUAGES)}, not for {language}."
            )

    def __call__(self, text: str, language: str | None = None) -> str:
        """A text in this style.

        Args:
            text: as the model wrote it.
            language: code of its language; by default that of its letters.
        """
        return self.chunks([{"text": text, "timestamp": (None, None)}], language)[0]["text"]

    def chunks(self, chunks: list[dict[str, Any]], language: str | None = None) -> list[dict[str, Any]]:
        """Words of a text in this style; those that become one number are one, with the time of all of them.

        Args:
            chunks: `{"text", "timestamp": (start, end)}`, and maybe `confidence`, of which the least is that of all.
            language: code of their language; by default that of their letters.
        """
        if self.numbers is not None:
            for code in _languages_of("".join(chunk["text"] for chunk in chunks), language):
                chunks = _rewrite(chunks, numbers(_joined(chunks), code, self.numbers))
        if self.punctuation is not None:
            chunks = _rewrite(chunks, punctuation(_joined(chunks), self.punctuation))
        return chunks

    def styled(self, result: dict[str, Any], language: str | None, has_words: bool) -> dict[str, Any]:
        """A result of the pipeline, with its words where `has_words`; hypotheses stay as the model wrote them."""
        if not has_words:
            return result | {"text": self(result["text"], language)}
        chunks = self.chunks(result["chunks"], language)
        return result | {"text": _joined(chunks), "chunks": chunks}


def numbers(text: str, language: str, direction: str) -> list[Rewritten]:
    """Numbers of a text, and how else they are written.

    Args:
        text: the text.
        language: one of `NUMBER_LANGUAGES`.
        direction: "written" or "spoken".

    Raises:
        ImportError: without the extra `style`.
    """
    # Numerals are known in lower case, where letters stay in their places.
    lowered = "".join(low if len(low := one.lower()) == 1 else one for one in text)
    rules = _normalizer(language, DIRECTIONS[direction])
    try:
        spans = [(one.input_start, one.input_end) for one in rules.normalize_with_mapping(lowered).mappings]
    except NO_READING:
        return []
    # Each alone: the rules' mapping of a whole text has seconds in times ("08:30:00") that nobody said.
    found = [(*span, _normalized(rules, lowered[slice(*span)])) for span in spans]
    if direction == "written":
        reader = partial(_normalized, _normalizer(language, DIRECTIONS["spoken"]))
        found = [(*span, sure_number(language, lowered, *span, written, reader)) for *span, written in found]
    return [_least(start, text[start:end], written) for start, end, written in found if written is not None]


def _normalized(rules: Any, text: str) -> str:
    """A text as the rules write it; one that they cannot read stays as it is."""
    try:
        return rules.normalize(text)
    except NO_READING:
        return text


def punctuation(text: str, width: str) -> list[Rewritten]:
    """Marks of a text that have another width, and the blanks around them, which full-width marks have in them."""
    found = []
    for match in _MARK.finditer(text):
        mark, place = match["mark"], match.start("mark")
        if _INSIDE.fullmatch(text[place - 1 : place + 2] if place else ""):
            continue
        is_full = width == "full" if width != "auto" else _is_of_full_width(text, place)
        written = (_TO_FULL if is_full else _TO_HALF).get(mark, mark)
        if written == mark:
            continue
        if is_full:
            found += [Rewritten(*match.span("before"), ""), Rewritten(place, place + 1, written)]
            found += [Rewritten(*match.span("after"), "")]
            continue
        following = text[place + 1 : place + 2]
        blank_before = " " if mark == "（" and text[place - 1 : place].isalnum() else ""
        blank_after = " " if mark != "（" and (following.isalnum() or following == "（") else ""
        found.append(Rewritten(place, place + 1, f"{blank_before}{written}{blank_after}"))
    return [one for one in found if one.start < one.end]


def _is_of_full_width(text: str, place: int) -> bool:
    """Whether the letter before a mark, or else the one behind it, is of a script without blanks."""
    letters = [*reversed(text[:place]), *text[place + 1 :]]
    letter = next((one for one in letters if one.isalpha()), "a")
    return is_unspaced(letter) or "\u3040" <= letter <= "\u30ff"


def _languages_of(text: str, language: str | None) -> list[str]:
    """Languages whose numbers are looked for: that which is given, or those whose letters a text has."""
    if language not in (None, AUTOMATIC):
        return [language]
    has_digits = re.search("[0-9]", text) is not None
    found = [code for code in NUMBER_LANGUAGES if code in LANGUAGES and LANGUAGES[code].writes(text)]
    # What stands in digits is read once, by the language that the text is in.
    return found[:1] if has_digits else found


def _joined(chunks: Iterable[dict[str, Any]]) -> str:
    return "".join(chunk["text"] for chunk in chunks)


def _least(start: int, before: str, after: str) -> Rewritten:
    """What of a rewritten piece is another: "二十五个" and "25个" end alike."""
    end = start + len(before)
    while before and after and before[-1] == after[-1] and not after[-1].isascii():
        before, after, end = before[:-1], after[:-1], end - 1
    while before and after and before[0] == after[0] and not after[0].isascii():
        before, after, start = before[1:], after[1:], start + 1
    return Rewritten(start, end, after)


def _rewrite(chunks: list[dict[str, Any]], changes: Iterable[Rewritten]) -> list[dict[str, Any]]:
    """Chunks with the changes of their text; those that share a change become one."""
    done: list[dict[str, Any]] = []
    waiting, place = list(chunks), 0  # of the text's characters that were given out
    for change in changes:
        while waiting and place + len(waiting[0]["text"]) <= change.start:
            place += len(waiting[0]["text"])
            done.append(waiting.pop(0))
        group, length = [], 0
        while waiting and place + length < change.end:
            length += len(waiting[0]["text"])
            group.append(waiting.pop(0))
        text = _joined(group)
        text = text[: change.start - place] + change.text + text[change.end - place :]
        # Further changes may be in the same chunk: it goes on to be that of the source.
        waiting.insert(0, _one_of(group, text))
        place -= len(change.text) - (change.end - change.start)
    return [chunk for chunk in (*done, *waiting) if chunk["text"] or len(chunks) == 1]


def _one_of(group: list[dict[str, Any]], text: str) -> dict[str, Any]:
    """One chunk of several, which lasts as long as they do."""
    times = [time for chunk in group for time in chunk["timestamp"] if time is not None]
    merged = group[0] | {"text": text, "timestamp": (times[0], times[-1]) if times else (None, None)}
    scores = [chunk["confidence"] for chunk in group if chunk.get("confidence") is not None]
    return merged | ({"confidence": min(scores)} if scores else {})


@cache
def _normalizer(language: str, operator: str) -> Any:
    """WeTextProcessing for one language and direction.

    Raises:
        ImportError: without the extra `style`.
    """
    try:
        from wetext import Normalizer
    except ImportError as error:
        raise ImportError(
            f"Numbers in a text style need the package `wetext`, which cannot be imported ({error}): pip install "
            '"entropy-asr[style]"'
        ) from error
    return Normalizer(lang=language, operator=operator)


__all__ = ["Rewritten", "TextStyle", "numbers", "punctuation"]
