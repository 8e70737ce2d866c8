# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How different two phoneme sequences sound: a weighted edit distance over the built-in phoneme inventory.

Costs are this project's, in units of one clearly wrong phoneme. They follow what recognisers and listeners take for
each other (voicing, vowel reduction and length in English; tone, retroflexion and final nasals in Mandarin) and are
kept few, so that a bound on the distance has a meaning: a class of sounds is what one phoneme may turn into cheaply.

| change | cost |
| --- | --- |
| tone of the same Mandarin final | 0.3 |
| two sounds of one class | 0.5 |
| insertion, deletion, two vowels or two consonants of different classes | 1.0 |
| a vowel for a consonant | 2.0: no less than deleting one and inserting the other |
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .languages_entropy_asr import UNK_TOKEN, Language, readers


TONE_COST = 0.3
SAME_CLASS_COST = 0.5
EDIT_COST = 1.0


class _Sounds(NamedTuple):
    """What the languages with phonemes say of them.

    `toneless`: `ong1` -> `ong`, `ve4` -> `üe` (not to be taken for a consonant); of phonemes with a tone alone.
    """

    toneless: dict[str, str]
    vowels: frozenset[str]
    class_names: dict[str, str]

    def class_of(self, phoneme: str) -> str:
        sound = self.toneless.get(phoneme, phoneme)
        return self.class_names.get(sound, sound)


@lru_cache(maxsize=16)
def _sounds(languages: tuple[Language, ...]) -> _Sounds:
    """Sounds of several languages as one inventory: classes that share a sound are one."""
    toneless, classes = {}, []
    for language in languages:
        toneless |= language.g2p.toneless
        for group in language.g2p.sound_classes:
            joined = set(group.split()).union(*(known for known in classes if known & set(group.split())))
            classes = [known for known in classes if not known & joined] + [joined]
    names = {sound: " ".join(sorted(group)) for group in classes for sound in group}
    return _Sounds(toneless, frozenset().union(*(language.g2p.vowels for language in languages)), names)


def sound_class(phoneme: str) -> str:
    """Class of a phoneme: what differs in class differs by at least one full edit."""
    return _sounds(readers()).class_of(phoneme)


def substitution_cost(phoneme: str, other: str) -> float:
    """Cost of hearing one phoneme for another, symmetric: 0, 0.3, 0.5, 1 or 2."""
    return _substitution_cost(readers(), phoneme, other)


@lru_cache(maxsize=1 << 17)
def _substitution_cost(languages: tuple[Language, ...], phoneme: str, other: str) -> float:
    sounds = _sounds(languages)
    if UNK_TOKEN in (phoneme, other):  # stands for any sound that has no symbol: never a match, not even of itself
        return EDIT_COST
    if phoneme == other:
        return 0.0
    if sounds.toneless.get(phoneme, phoneme) == sounds.toneless.get(other, other):
        return TONE_COST
    if sounds.class_of(phoneme) == sounds.class_of(other):
        return SAME_CLASS_COST
    return EDIT_COST if (phoneme in sounds.vowels) == (other in sounds.vowels) else 2 * EDIT_COST


def cost_matrix(rows: Sequence[str], columns: Sequence[str] | None = None) -> np.ndarray:
    """Substitution costs `(len(rows), len(columns))` float32; of `rows` among themselves by default."""
    columns = rows if columns is None else columns
    costs = [[substitution_cost(row, column) for column in columns] for row in rows]
    return np.array(costs, dtype=np.float32).reshape(len(rows), len(columns))


def best_window(pattern: Sequence[str], text: Sequence[str]) -> tuple[float, int, int]:
    """Where a pattern is in a text: `(distance, start, end)` of the window of `text` nearest to it.

    Of windows equally near, the one that ends first, and of those the shortest.
    """
    costs = cost_matrix(pattern, text)
    forward = _edit_table(costs, free_ends=True)[-1]
    end = int(forward.argmin())
    backward = _edit_table(costs[::-1, :end][:, ::-1])[-1]
    return float(forward[end]), end - int(backward.argmin()), end


def _edit_table(costs: np.ndarray, free_ends: bool = False) -> np.ndarray:
    """Cheapest edits `(rows + 1, columns + 1)` between all prefixes; with `free_ends`, columns may be skipped before.

    The running minimum stands for insertions: min over k <= j of (row[k] + j - k).
    """
    rows, columns = costs.shape
    steps = EDIT_COST * np.arange(columns + 1, dtype=np.float32)
    table = np.zeros((rows + 1, columns + 1), dtype=np.float32)
    table[0] = 0.0 if free_ends else steps
    for row in range(rows):
        reached = table[row] + EDIT_COST
        reached[1:] = np.minimum(reached[1:], table[row, :-1] + costs[row])
        table[row + 1] = np.minimum.accumulate(reached - steps) + steps
    return table
