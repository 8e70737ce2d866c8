# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How English and Chinese text is written before it is compared by the hallucination rate: as it is spoken.

However a thing is written (numbers, times, years, dates, amounts, units, contractions, spellings, addresses), it is
written in one way: it was said. English and Chinese rules apply to their own scripts, so mixed text needs no language.
Error rates are stricter: they keep what a recogniser is asked for, see `normalize` of the languages' entries.

How this differs from the usual Whisper normaliser: that one writes number words as digits and joins neighbours, so
that "seven seven seven" becomes "777" and, against "seven", counts as one substitution instead of two insertions.
Digits are therefore split again, one word each, on both sides.
"""

import re
import unicodedata
from functools import cache

from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from .chinese_numbers import write_chinese_numbers
from .english_forms import after_normalizer, american_spelling, before_normalizer
from .units import CHARACTERS, fold_text, has_ideographs, to_simplified


# Signs that are a unit and its power in one.
_AREAS = {"\u33a0": "cm\u00b2", "\u33a1": "m\u00b2", "\u33a2": "km\u00b2", "\u33a5": "m\u00b3"}
_AREA_SIGN = re.compile(f"[{''.join(_AREAS)}]")
# In so many in a row, "oh" beside a number may be its zeros; more are a loop.
_MOST_OH = 3
# Powers of numbers, of variables and of units.
_POWER = re.compile(r"(\d|\)|(?<![A-Za-z])(?:[A-Za-z]|[kcm]m|ft))([\u00b2\u00b3])")


def write_as_spoken(text: str, with_chinese: bool = False) -> str:
    """Text in which everything that is said alike is written alike, digits one by one.

    Args:
        text: In English, Chinese or both; other languages keep their words.
        with_chinese: Read times and amounts as Chinese does, though the text has none: what it is compared with has.

    Example:

    ```python
    >>> write_as_spoken("It's OK: 25 % of £1,200 at 3:30 p.m.") == write_as_spoken(
    ...     "it is okay twenty-five percent of twelve hundred pounds at half past three pm"
    ... )
    True
    >>> write_as_spoken("二〇二四年下午三点半") == write_as_spoken("2024年15:30")
    True
    ```
    """
    with_chinese = with_chinese or has_ideographs(text)
    text = fold_text(_write_out_powers(_write_out_fractions(text), with_chinese)).lower()
    if with_chinese:
        text = write_chinese_numbers(to_simplified(text))
    # Chinese characters, also those beside letters, are no matter of the English rules.
    parts = re.split(f"([{CHARACTERS}]+)", text)
    return " ".join(part if index % 2 else _write_english(part) for index, part in enumerate(parts) if part.strip())


def _write_english(text: str) -> str:
    if not any(map(str.isalnum, text)):  # between Chinese characters: a comma, a percent sign after its number
        return text.replace("%", "percent").strip()
    words = after_normalizer(_spoken_normalizer()(_write_oh(before_normalizer(text))))
    return " ".join(american_spelling(word) for word in _separate_digits(words).split())


def _write_out_fractions(text: str) -> str:
    """`2½` -> `2 1/2`, before the forms of Unicode make `21/2` of it."""
    return "".join(
        f" {unicodedata.normalize('NFKC', character).replace(chr(0x2044), '/')} "
        if "VULGAR FRACTION" in unicodedata.name(character, "")
        else character
        for character in text
    )


def _write_out_powers(text: str, with_chinese: bool) -> str:
    """`3²` -> `3 squared` or `3平方`, before the forms of Unicode make `32` of it; marks of footnotes stay."""
    text = _AREA_SIGN.sub(lambda match: _AREAS[match[0]], text)
    names = ("平方", "立方") if with_chinese else (" squared ", " cubed ")
    return _POWER.sub(lambda match: match[1] + names[match[2] == "\u00b3"], text)


@cache
def _spoken_normalizer() -> EnglishTextNormalizer:
    # The British-American spelling table is not part of transformers: `american_spelling` stands for it.
    normalizer = EnglishTextNormalizer({})
    normalizer.ignore_patterns = r"(?!)"  # fillers stay: where nobody speaks, and in loops, they count
    return normalizer


def _write_oh(text: str) -> str:
    """`oh` as another filler, "ah", where it is no zero of a number: the normaliser would make a zero of each."""
    return _runs_of_oh().sub(_filler_or_zeros, text)


@cache
def _runs_of_oh() -> re.Pattern:
    numbers = "|".join(sorted(_spoken_normalizer().standardize_numbers.decimals - {"o", "oh"}))
    number = rf"(?:[\d.]*\d|{numbers})"
    return re.compile(rf"(?<!\w)({number}(?: point)? )?(oh(?:\W+oh)*)(?!\w)(?= {number}(?!\w)(?P<numbered>))?")


def _filler_or_zeros(match: re.Match) -> str:
    is_number = match[1] is not None or match["numbered"] is not None
    if is_number and match[2].count("oh") <= _MOST_OH:
        return match[0]
    return (match[1] or "") + match[2].replace("oh", "ah")


def _separate_digits(text: str) -> str:
    return re.sub(r"(?<=\d)(?=\d)", " ", text)
