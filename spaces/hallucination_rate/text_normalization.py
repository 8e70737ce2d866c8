# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How English and Chinese text is written before it is compared, by error rates and by the hallucination rate.

Two strengths:

- [`normalize_english`], [`normalize_chinese`], [`normalize_other`]: what error rates are computed on. They keep what a
  recogniser is asked for: Chinese and Arabic numerals stay different, as do "OK" and "okay".
- [`write_as_spoken`]: what the hallucination rate is computed on. However a thing is written (numbers, times, years,
  dates, amounts, units, contractions, spellings, addresses), it is written in one way: it was said. English and
  Chinese rules apply to their own scripts, so mixed text needs no language.

How both differ from the usual Whisper normaliser: that one writes number words as digits and joins neighbours, so that
"seven seven seven" becomes "777" and, against "seven", counts as one substitution instead of two insertions. Digits
are therefore split again, one word each, on both sides.
"""

import re
import unicodedata
from functools import cache

from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

from .chinese_numbers import write_chinese_numbers
from .english_forms import after_normalizer, american_spelling, before_normalizer
from .units import CHARACTERS, fold_text, has_ideographs, to_simplified


def normalize_english(text: str) -> str:
    """Lower case, contractions written out, fillers and bracketed remarks dropped, number words as single digits.

    "Forty two" and "42" are both "4 2"; a lone 1 stays "one". Words are joined by single spaces.
    """
    return " ".join(_split_digits(_english_normalizer()(fold_text(text))).split())


def normalize_chinese(text: str) -> str:
    """Lower case without punctuation, symbols and white space; numerals and script stay as they are."""
    return "".join(character for character in fold_text(text).lower() if _is_scored(character))


def normalize_other(text: str) -> str:
    """Lower case without punctuation and symbols, for any language; words are joined by single spaces."""
    return " ".join(BasicTextNormalizer()(fold_text(text)).split())


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
    text = fold_text(_write_out_fractions(text)).lower()
    if with_chinese or has_ideographs(text):
        text = write_chinese_numbers(to_simplified(text))
    # Chinese characters, also those beside letters, are no matter of the English rules.
    parts = re.split(f"([{CHARACTERS}]+)", text)
    return " ".join(part if index % 2 else _write_english(part) for index, part in enumerate(parts) if part.strip())


def _write_english(text: str) -> str:
    if not any(map(str.isalnum, text)):  # between Chinese characters: a comma, a percent sign after its number
        return text.replace("%", "percent").strip()
    words = after_normalizer(_spoken_normalizer()(before_normalizer(text)))
    return " ".join(american_spelling(word) for word in _separate_digits(words).split())


def _write_out_fractions(text: str) -> str:
    """`2½` -> `2 1/2`, before the forms of Unicode make `21/2` of it."""
    return "".join(
        f" {unicodedata.normalize('NFKC', character).replace(chr(0x2044), '/')} "
        if "VULGAR FRACTION" in unicodedata.name(character, "")
        else character
        for character in text
    )


@cache
def _english_normalizer() -> EnglishTextNormalizer:
    # The British-American spelling table is not part of transformers; without it, spellings are compared as written.
    return EnglishTextNormalizer({})


@cache
def _spoken_normalizer() -> EnglishTextNormalizer:
    normalizer = EnglishTextNormalizer({})
    normalizer.ignore_patterns = r"(?!)"  # fillers stay: where nobody speaks, and in loops, they count
    return normalizer


def _is_scored(character: str) -> bool:
    """Letters, marks and numbers count; punctuation, symbols, separators and control characters do not."""
    return unicodedata.category(character)[0] in "LMN"


def _separate_digits(text: str) -> str:
    return re.sub(r"(?<=\d)(?=\d)", " ", text)


def _split_digits(text: str) -> str:
    # The normaliser writes a lone 1 as "one", so a 1 that has just become lone must be written so too.
    return re.sub(r"(?<!\S)1(?!\S)", "one", _separate_digits(text))
