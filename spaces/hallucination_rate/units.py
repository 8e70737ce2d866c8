# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Units in which a transcript is compared: words, and single characters of scripts without spaces.

Case, the form of Unicode ([`fold_text`]) and punctuation make no difference; nor does Chinese script (where `opencc`
is installed), nor where a word is cut: "U.S.A." is "USA", "7 7 7" is "777".
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any


_IDEOGRAPH = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Of scripts without spaces, as a class of a regular expression.
CHARACTERS = f"\u3040-\u30ff{_IDEOGRAPH}"
_ANY_IDEOGRAPH = re.compile(f"[{_IDEOGRAPH}]")
# Words of letters, marks and digits with inner apostrophes; or one character.
_UNIT = re.compile(rf"[{CHARACTERS}]|[^\W_{CHARACTERS}]+(?:'[^\W_{CHARACTERS}]+)*")
# Typed in place of an apostrophe; opening quotes and accents only where letters are on both sides.
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u02bc\u02bb\u2032\uff07", "'"))
_INNER_APOSTROPHE = re.compile(r"(?<=[\w\u0300-\u036f])[\u2018\u201b\u00b4`](?=\w)")
# An output of these alone says that there was nothing, as an empty one does: "...", a lone full stop, a dash.
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

    def select(self, indices: list[int]) -> "Units":
        """These units alone."""
        columns = ([column[index] for index in indices] for column in (self.texts, self.starts, self.ends))
        return Units(*map(tuple, columns), self.is_symbols)


def fold_text(text: str) -> str:
    """Text in one form, however it was typed: what of Unicode makes no difference to words.

    The same are composed and decomposed letters, full-width and plain ones, ligatures and their letters, the digits in
    circles and plain ones (all NFKC); any blanks, such as a no-break space; all apostrophes. What nobody sees is left
    out: zero-width characters, byte order marks, soft hyphens, marks of direction, selectors of an emoji's looks.
    Case, accents, punctuation and Chinese script stay as they are.

    Example:

    ```python
    >>> fold_text("ﬁve\\u200b don’t ＡＢＣ")
    "five don't ABC"
    ```
    """
    if text.isascii():
        return _INNER_APOSTROPHE.sub("'", text)
    text = unicodedata.normalize("NFKC", _INNER_APOSTROPHE.sub("'", text).translate(_APOSTROPHES))
    return "".join(character for character in text if not _is_invisible(character))


def _is_invisible(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind in ("Cf", "Me") or (kind == "Mn" and "VARIATION SELECTOR" in unicodedata.name(character, ""))


def _fold_in_place(text: str) -> tuple[str, list[int], list[int]]:
    """A text as [`fold_text`] gives it, and where in `text` each of its characters begins and ends."""
    text = _INNER_APOSTROPHE.sub("'", text)
    if text.isascii():
        return text, list(range(len(text))), list(range(1, len(text) + 1))
    begins = [index for index, character in enumerate(text) if not index or not _is_joined(character)]
    limits = list(pairwise([*begins, len(text)]))
    folded = [fold_text(text[start:end]) for start, end in limits]
    places = [limit for limit, characters in zip(limits, folded, strict=True) for _ in characters]
    return "".join(folded), [start for start, _ in places], [end for _, end in places]


def _is_joined(character: str) -> bool:
    """Whether it may become one with the character before it: accents, parts of Korean and Japanese letters."""
    joined = unicodedata.combining(character) or unicodedata.category(character)[0] == "M"
    return bool(joined) or "\u1160" <= character <= "\u11ff" or character in "\uff9e\uff9f"


def without_remarks(reference: str) -> str:
    """A reference without what a transcriber remarks in angle or square brackets: `<noise>`, `[laughter]`."""
    return re.sub(r"<[^<>]*>|\[[^\[\]]*\w[^\[\]]*\]", " ", reference)


def split_units(text: str) -> Units:
    """Units of a text: its words and characters; of a text without any its symbols ("♪♪♪", "!!!!")."""
    folded, begins, ends = _fold_in_place(text)
    # A mark that is no part of a letter, such as a vowel of Thai, is one of the word, which `re` does not know.
    shape = "".join("a" if unicodedata.category(character)[0] == "M" else character for character in folded)
    found = list(_UNIT.finditer(shape))
    is_symbols = not found
    if is_symbols:
        found = [match for match in re.finditer(r"\S", folded) if _is_symbol(match.group())]
    texts = tuple(_compared(folded[match.start() : match.end()]) for match in found)
    places = tuple(begins[match.start()] for match in found), tuple(ends[match.end() - 1] for match in found)
    return Units(texts, *places, is_symbols=is_symbols and bool(texts))


def _is_symbol(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS" and character not in _PAUSES


def _compared(unit: str) -> str:
    """Lower case, simplified."""
    return to_simplified(unicodedata.normalize("NFKC", unit.casefold()))


def to_simplified(text: str) -> str:
    """Chinese in simplified characters, where `opencc` is installed; otherwise as it is."""
    if text.isascii() or not has_ideographs(text):
        return text
    # Character by character: what a text means by one depends on its neighbours, and those may be misheard.
    return "".join(map(_simplified, text))


@lru_cache(maxsize=1 << 14)
def _simplified(character: str) -> str:
    converter = _converter()
    return converter.convert(character) if converter else character


def is_character(unit: str) -> bool:
    """Whether a unit is a character of a script without spaces."""
    return re.match(f"[{CHARACTERS}]", unit) is not None


def has_ideographs(text: str) -> bool:
    """Whether a text has Chinese characters (also as Japanese writes them)."""
    return not text.isascii() and _ANY_IDEOGRAPH.search(text) is not None


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


def join_spelled(hyp: Units, ref: Units) -> Units:
    """Join neighbouring units that spell a word of the reference: u s a, 7 7 7, 1 000 000.

    Each word is joined only as often as the reference has it more than the hypothesis: a loop of spelled words stays.

    Args:
        hyp: Of the hypothesis.
        ref: Of the reference.
    """
    missing = Counter(ref.texts) - Counter(hyp.texts)
    missing = Counter({word: count for word, count in missing.items() if len(word) > 1})
    if not missing:
        return hyp
    longest = max(map(len, missing))
    texts, starts, ends = [], [], []
    first = 0
    while first < len(hyp.texts):
        end = _end_of_spelled(hyp.texts, first, missing, longest)
        texts.append("".join(hyp.texts[first:end]))
        starts.append(hyp.starts[first])
        ends.append(hyp.ends[end - 1])
        if end > first + 1:
            missing[texts[-1]] -= 1
        first = end
    return Units(tuple(texts), tuple(starts), tuple(ends), hyp.is_symbols)


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
