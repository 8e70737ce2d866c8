# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whether a number in digits surely says what was said in words; where it may not, a text keeps its words.

WeTextProcessing's rules for digits take "sixty four six" for 6046, "twenty four seven" for 2047, "wait a second" for
"wait a 2nd", "five thirty" for a time and 十七八岁 for "17-8岁". So what they write is read aloud again, in the ways
in which people read digits, and is taken only where one of these is what was said. Runs of single digits are taken
for a code from four on ("four six" are two numbers), and what is beside another number in words stays in words.
"""

import re
from collections.abc import Callable, Iterator

import cn2an

from .numerals_english_entropy_asr import read_numbers
from .numerals_mandarin_entropy_asr import DIGITS


# Reads a text with digits in words: WeTextProcessing's other direction.
Reader = Callable[[str], str]
ENGLISH_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_NUMBER_WORDS = {
    *ENGLISH_DIGITS,
    *_TEENS,
    *_TENS,
    *_ORDINALS,
    "oh",
    "hundred",
    "thousand",
    "million",
    "double",
    "triple",
}
# Times of day: without one of these, "five thirty" may be a room.
_TIME_WORDS = re.compile(r"o'clock|\b[ap] ?m\b")
MIN_CODE_DIGITS = 4
# What makes an exact number of an inexact one, and quarters of an hour, which the rules take for decimals.
_INEXACT, _QUARTER = "几多来余", "刻"
_MANDARIN_DIGITS = {digit: str(number) for number, digit in enumerate(DIGITS)} | {"幺": "1"}


def sure_number(language: str, text: str, start: int, end: int, written: str, reader: Reader) -> str | None:
    """What to write for a number of a text, or `None` where its words are surer.

    Args:
        language: code of its language.
        text: the text, in lower case.
        start, end: where the number is in it.
        written: what the rules write for it.
        reader: reads digits of this language aloud.
    """
    if not re.search("[0-9]", written):
        return None  # "mr." for "mister": no number
    if language == "en":
        return _sure_english(text, start, end, written, reader)
    return _sure_mandarin(text, start, end, written, reader) if language == "zh" else written


def _sure_english(text: str, start: int, end: int, written: str, reader: Reader) -> str | None:
    said = text[start:end]
    words = said.split()
    beside = [*re.findall(r"([a-z']+) +$", text[:start]), *re.findall(r"^ +([a-z']+)", text[end:])]
    if _NUMBER_WORDS & {*beside} or words[-1] in ("second", "seconds") or said in _ORDINALS:
        return None
    if ":" in written:
        written = re.sub(r"^0(?=\d:)", "", written)
        if not _TIME_WORDS.search(said):
            return None
    spelt = ["zero" if word in ("oh", "o") else word for word in words]
    if all(word in ENGLISH_DIGITS for word in spelt):
        code = "".join(str(ENGLISH_DIGITS.index(word)) for word in spelt)
        return written if len(code) >= MIN_CODE_DIGITS and written == code else None
    if _NUMBER_WORDS & {*re.findall("[a-z]+", written)}:
        return None  # "7-eleven"
    return written if _compact(said) in map(_compact, _english_readings(written, reader)) else None


def _compact(said: str) -> str:
    """English words without what speakers leave out or add: "two thousand (and) six", "a hundred"."""
    words = re.findall("[a-z]+", said.lower().replace("'", ""))
    return "".join("one" if word == "a" else word for word in words if word != "and")


def _english_readings(written: str, reader: Reader) -> Iterator[str]:
    yield reader(written)
    # Years and amounts as they are said, of whose numbers each is small.
    parts = " ".join(read_numbers(written.split()))
    yield re.sub(r"\d[\d,]*", lambda found: _english_integer(int(found[0].replace(",", ""))), parts)
    if re.fullmatch(r"\d{1,12}", written):
        yield _english_integer(int(written))


def _english_integer(number: int) -> str:
    """A whole number below a thousand billions in words."""
    if number < 20:
        return (*ENGLISH_DIGITS, *_TEENS)[number]
    if number < 100:
        ten, rest = divmod(number, 10)
        return _TENS[ten - 2] + (f" {ENGLISH_DIGITS[rest]}" if rest else "")
    units = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
    unit, name = next((unit, name) for unit, name in units if number >= unit)
    count, rest = divmod(number, unit)
    return f"{_english_integer(count)} {name}" + (f" {_english_integer(rest)}" if rest else "")


def _sure_mandarin(text: str, start: int, end: int, written: str, reader: Reader) -> str | None:
    said = text[start:end]
    if text[end : end + 1] in tuple(_INEXACT) or _QUARTER in said or re.search("[a-z~]", written):
        return None
    if re.fullmatch(r"\d+/\d+", written) and "分之" not in said:
        return None  # a day without its year
    code = "".join(_MANDARIN_DIGITS.get(one, "?") for one in said)
    if code == written:
        is_code = len(code) >= MIN_CODE_DIGITS or "幺" in said
        return written if is_code or len(code) == 1 else None
    return written if _plain(said) in map(_plain, _mandarin_readings(written, reader)) else None


def _mandarin_readings(written: str, reader: Reader) -> Iterator[str]:
    yield reader(written)
    if found := re.fullmatch(r"(\d{1,16})(\D*)", written):
        yield cn2an.an2cn(found[1], "low") + found[2]


def _plain(said: str) -> str:
    """Characters of which speakers have several for the same: 两 and 二, 幺 and 一, 号 and 日."""
    said = said.translate(str.maketrans("两幺号", "二一日"))
    return re.sub("(?<=分之)一(?=百)|^一(?=十)", "", said)


__all__ = ["sure_number"]
