# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What words sound like, coarsely, and how much of one stretch of words is contained in another.

A misheard word is no hallucination: it sounds like what was said. So two stretches are compared by their sounds,
without word boundaries ("sea shells", "seashells"). The sounds are classes that keep few distinctions, because
mishearings and spellings blur the others: English words give their consonants by letter-to-sound rules (no dictionary,
no phonemizer), Chinese characters their initial and final without tone. Everything is a table or a rule, so that
results never vary.

Chinese needs `pypinyin`. Without it a character sounds like itself alone: homophones of up to two characters are still
taken for one substituted word by [`detection.detect`], longer ones count as unsupported, and a warning says so.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from rapidfuzz.distance import Levenshtein

from .units import has_ideographs


# Letters to classes of consonants, first match first; what no rule names (vowels) has no class. Voicing, kinds of
# hissing and final nasals make no difference; "r" is kept, though some accents do not speak it.
_LETTERS = re.compile(
    "|".join(
        f"(?P<{name}>{pattern})"
        for name, pattern in (
            (
                "silent",
                r"^(?:k(?=n)|g(?=n)|w(?=r)|p(?=[ns]))|(?<=[aeiou])gh(?=t|$|s$)|(?<=m)[bn]$|(?<=a)l(?=[kfm])|t(?=ch)",
            ),
            ("F_", r"(?<=[oa]u)gh$|ph|f|v"),
            ("SK", r"sch|sc(?![eiy])|sk"),
            ("KW", r"qu(?!e$)"),
            ("K_", r"que$|ck|ch(?=[lr])|c(?![eiyh])|q|k|g(?!e$|es$|[ei][aou]|y$|h)|gh"),
            ("KS", r"(?<!^)x"),
            ("J_", r"tch|ch|dg(?=e)|dj|j|g(?=e$|es$|[ei][aou]|y$)|t(?=ure)|d(?=u[aou])"),
            ("S_", r"sh|ss?(?=ion|ure)|[tc](?=i[ao])|sc|s|z|c|x"),
            ("D_", r"th"),
            ("T_", r"t|d"),
            ("P_", r"p|b"),
            ("M_", r"m"),
            ("N_", r"n"),
            ("L_", r"l"),
            ("R_", r"r"),
            ("W_", r"wh(?!o)|w(?=[aeiouy])"),
            ("H_", r"wh|(?:^|(?<=[aeiou]))h(?=[aeiouy])"),
            ("Y_", r"^y(?=[aeiou])"),
        )
    )
)
_DIGITS = ("SR", "WN", "T", "TR", "FR", "FF", "SKS", "SFN", "T", "NN")
_CHINESE_DIGITS = "零一二三四五六七八九"
# Initials that accents and recognisers take for each other.
_INITIALS = {"zh": "z", "ch": "c", "sh": "s", "p": "b", "t": "d", "k": "g", "l": "n"}


@cache
def _pinyin() -> Any:
    """The module; None without it."""
    try:
        import pypinyin
    except ImportError:
        return None
    return pypinyin


def can_read_chinese() -> bool:
    """Whether Chinese characters can be compared by their sound: `pypinyin` is installed."""
    return _pinyin() is not None


def sounds_of(words: Sequence[str], with_chinese: bool = False) -> list[tuple[str, ...]]:
    """Classes of sounds of each word, digit or Chinese character; digits beside Chinese are read in Chinese."""
    with_chinese = with_chinese or any(map(has_ideographs, words))
    text = [_CHINESE_DIGITS[int(word)] if with_chinese and _is_digit(word) else word for word in words]
    sounds = [() if has_ideographs(word) else _sounds_of_word(word) for word in text]
    for first, end in _runs([has_ideographs(word) for word in text]):
        sounds[first:end] = _sounds_of_characters("".join(text[first:end]))
    return sounds


def likeness(hyp: Sequence[str], ref: Sequence[str]) -> float:
    """How alike two stretches sound, 0 to 1: 1 - edit distance of their sounds / sounds of the longer one."""
    return Levenshtein.normalized_similarity(*_joined_sounds(hyp, ref))


def contained_share(hyp: Sequence[str], ref: Sequence[str]) -> float:
    """Share of the sounds of `hyp` that some part of `ref` has, in order; 1 where it has none.

    An edit distance with free ends in `ref`: sounds scattered over a long reference do not add up.
    """
    target, source = _joined_sounds(hyp, ref)
    return 1 - _window_distance(target, source) / len(target) if target else 1.0


def number_of_sounds(words: Sequence[str]) -> int:
    return sum(map(len, sounds_of(words)))


def _joined_sounds(*stretches: Sequence[str]) -> list[list[str]]:
    with_chinese = any(has_ideographs(word) for words in stretches for word in words)
    return [[sound for sounds in sounds_of(words, with_chinese) for sound in sounds] for words in stretches]


def _window_distance(pattern: list[str], text: list[str]) -> int:
    """Fewest edits that turn `pattern` into some stretch of `text`."""
    row = [0] * (len(text) + 1)
    for index, sound in enumerate(pattern):
        before, row[0] = row[0], index + 1
        for column, other in enumerate(text, start=1):
            cheapest = min(row[column] + 1, row[column - 1] + 1, before + (sound != other))
            before, row[column] = row[column], cheapest
    return min(row)


@lru_cache(maxsize=1 << 14)
def _sounds_of_word(word: str) -> tuple[str, ...]:
    if _is_digit(word):
        return tuple(_DIGITS[int(word)])
    letters = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c) and c != "'")
    if not letters.isascii():  # another script: every letter is a sound
        return tuple(letters)
    sounds = [sound for match in _LETTERS.finditer(letters) for sound in _classes(match.lastgroup)]
    return tuple(sound for index, sound in enumerate(sounds) if not index or sound != sounds[index - 1])


def _classes(name: str | None) -> str:
    return "" if name in (None, "silent") else name.replace("_", "")


def _is_digit(word: str) -> bool:
    return len(word) == 1 and word in "0123456789"


@lru_cache(maxsize=1 << 14)
def _sounds_of_characters(text: str) -> list[tuple[str, ...]]:
    reader = _pinyin()
    if reader is None:
        return [(character,) * 2 for character in text]
    syllables = reader.lazy_pinyin(text, style=reader.Style.NORMAL, errors=list, v_to_u=False)
    return [_sounds_of_syllable(syllable) for syllable in syllables]


def _sounds_of_syllable(syllable: str) -> tuple[str, ...]:
    match = re.fullmatch("(zh|ch|sh|[bpmfdtnlgkhjqxzcsryw]?)([a-zü]+)", syllable)
    if match is None:
        return (syllable,) * 2
    initial, final = match.groups()
    # The class of an initial is not that of the same letter in English: upper-case letters are English.
    return _INITIALS.get(initial, initial), final.replace("ng", "n")


def _runs(flags: list[bool]) -> list[tuple[int, int]]:
    """Bounds of the runs of true values."""
    runs, start = [], None
    for index, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = index
        elif not flag and start is not None:
            runs.append((start, index))
            start = None
    return runs
