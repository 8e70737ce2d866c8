# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Units in which a transcript is compared: words, and single characters of scripts without spaces.

Case, width (NFKC) and punctuation make no difference; nor does Chinese script (where `opencc` is installed), nor where
a word is cut: "U.S.A." is "USA", "7 7 7" is "777".
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any


_IDEOGRAPH = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CHARACTER = f"\u3040-\u30ff{_IDEOGRAPH}"
# Words of letters, marks and digits with inner apostrophes; or one character.
_UNIT = re.compile(rf"[{_CHARACTER}]|[^\W_{_CHARACTER}]+(?:['’][^\W_{_CHARACTER}]+)*")
# An output of these alone says that nothing was heard, as an empty one does: "...", a lone full stop, a dash.
_PAUSES = frozenset(".．…‥⋯。｡・,，、-‐‑–—―")


@dataclass(frozen=True)
class Units:
    """Units of a text, with their places in it.

    Attributes:
        texts: As they are compared.
        starts, ends: First character and end (exclusive) of each in the raw text.
        is_symbols: Whether they are symbols, of a text that has no words.
    """

    texts: tuple[str, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    is_symbols: bool = False

    @property
    def is_speech(self) -> bool:
        """Whether there are words (or characters that stand for some)."""
        return bool(self.texts) and not self.is_symbols

    def span(self, first: int, end: int) -> tuple[int, int]:
        """Place in the text of units `first` to `end` (exclusive)."""
        return self.starts[first], self.ends[end - 1]


def split_units(text: str) -> Units:
    """Units of a text: its words and characters; of a text without any its symbols ("♪♪♪", "!!!!")."""
    found = list(_UNIT.finditer(text))
    is_symbols = not found
    if is_symbols:
        found = [match for match in re.finditer(r"\S", text) if _is_symbol(match.group())]
    texts = tuple(_compared(match.group()) for match in found)
    places = tuple(match.start() for match in found), tuple(match.end() for match in found)
    return Units(texts, *places, is_symbols=is_symbols and bool(texts))


def _is_symbol(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS" and character not in _PAUSES


def _compared(unit: str) -> str:
    """NFKC, lower case, simplified."""
    text = unicodedata.normalize("NFKC", unit).casefold().replace("’", "'")
    converter = _converter() if has_ideographs(text) else None
    # Character by character: what a text means by one depends on its neighbours, and those may be misheard.
    return converter.convert(text) if converter else text


def is_character(unit: str) -> bool:
    """Whether a unit is a character of a script without spaces."""
    return re.match(f"[{_CHARACTER}]", unit) is not None


def has_ideographs(text: str) -> bool:
    """Whether a text has Chinese characters (also as Japanese writes them)."""
    return re.search(f"[{_IDEOGRAPH}]", text) is not None


def can_simplify() -> bool:
    """Whether traditional and simplified characters can be compared as the same: `opencc` is installed."""
    return _converter() is not None


@cache
def _converter() -> Any:
    """From traditional to simplified characters; None without `opencc`, which the metric does not need otherwise."""
    try:
        from opencc import OpenCC
    except ImportError:
        return None
    return OpenCC("t2s")


def join_spelled(written: Units, said: Units) -> Units:
    """Join neighbouring units that spell a word of the reference: u s a, 7 7 7, 1 000 000.

    Each word is joined only as often as the reference has it more than the hypothesis: a loop of spelled words stays.

    Args:
        written: Of the hypothesis.
        said: Of the reference.
    """
    missing = Counter(said.texts) - Counter(written.texts)
    missing = Counter({word: count for word, count in missing.items() if len(word) > 1})
    if not missing:
        return written
    longest = max(map(len, missing))
    texts, starts, ends = [], [], []
    first = 0
    while first < len(written.texts):
        end = _end_of_spelled(written.texts, first, missing, longest)
        texts.append("".join(written.texts[first:end]))
        starts.append(written.starts[first])
        ends.append(written.ends[end - 1])
        if end > first + 1:
            missing[texts[-1]] -= 1
        first = end
    return Units(tuple(texts), tuple(starts), tuple(ends), written.is_symbols)


def _end_of_spelled(texts: tuple[str, ...], first: int, missing: Counter[str], longest: int) -> int:
    """End (exclusive) of the longest missing word that two units or more spell from `first` on; else of that unit."""
    end, spelled = first + 1, texts[first]
    for position in range(first + 1, len(texts)):
        spelled += texts[position]
        if len(spelled) > longest:
            break
        if missing[spelled] > 0:
            end = position + 1
    return end
