# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Common words that may have been misheard: where words begin and end in phonemes that are wrong, too many or missing.

`word_boundaries_entropy_asr.py` tells that of phonemes as they are; here a dynamic programme over a trie of words
does (milliseconds).
"""

import math
from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np

from .phonetics_entropy_asr import EDIT_COST, cost_matrix
from .word_boundaries_entropy_asr import (
    NEVER,
    UNKNOWN_SHORT,
    UNKNOWN_WORD,
    CommonWords,
    Reading,
    costs_if_unknown,
    whole_syllables,
)


# Mishearing: a phoneme that is right, one too many, one missing; another one from the first to the last, by its sound.
_RIGHT, _INSERTED, _MISSING = 0.1, 6.5, 3.5
_OTHER, _OTHER_BY_SOUND, _OTHER_AT_MOST = 3.0, 3.0, 6.5
_FIRST_CHARACTER = 0x100


class MisheardWords:
    """Pronunciations of common words, each with its cost, and what mishearing costs.

    Args:
        costs, phonemes: As of [`CommonWords`].

    Attributes:
        mishearing: What it costs that one phoneme is recognised in place of another, `(phonemes, phonemes)` float32.
    """

    def __init__(self, costs: Mapping[str, float], phonemes: Sequence[str]):
        distances = cost_matrix(phonemes)
        other = np.minimum(_OTHER + _OTHER_BY_SOUND * distances / EDIT_COST, _OTHER_AT_MOST)
        self.mishearing = np.where(distances == 0, _RIGHT, other).astype(np.float32)
        self._forward = _Trie(costs, self.mishearing)
        self._backward = _Trie({text[::-1]: cost for text, cost in costs.items()}, self.mishearing)

    def read(self, codes: np.ndarray, phonemes: Sequence[str]) -> Reading:
        """Cheapest readings of phonemes some of which are wrong, too many or missing.

        Args:
            codes: Codes of the phonemes, `(length,)`.
            phonemes: The same as symbols.
        """
        whole, if_unknown = whole_syllables(phonemes), costs_if_unknown(phonemes)
        after = self._backward.cheapest(codes[::-1], whole[::-1], if_unknown[::-1])[::-1]
        return Reading(self._forward.cheapest(codes, whole, if_unknown), after)

    def align(
        self, pattern: np.ndarray, hypothesis: np.ndarray, reading: Reading, first: int
    ) -> tuple[float, int, int]:
        """Cheapest reading of the whole with a word in a part of it, misheard or not: `(cost, start, end)`.

        Args:
            pattern: Codes of the word.
            hypothesis: Codes of the part of the whole hypothesis that begins at `first`.
            reading: Of the whole.
            first: Place of the part.
        """
        substitutions = self.mishearing[np.ix_(pattern, hypothesis)].tolist()
        row = [(reading.before[first + place], first + place) for place in range(len(hypothesis) + 1)]
        for place in range(len(hypothesis)):
            row[place + 1] = min(row[place + 1], (row[place][0] + _INSERTED, row[place][1]))
        for sounds in substitutions:
            last, row = row, [(row[0][0] + _MISSING, row[0][1])]
            for place, cost in enumerate(sounds):
                row.append(
                    min(
                        (last[place][0] + cost, last[place][1]),
                        (last[place + 1][0] + _MISSING, last[place + 1][1]),
                        (row[place][0] + _INSERTED, row[place][1]),
                    )
                )
        ends = [(cost + reading.after[first + place], start, first + place) for place, (cost, start) in enumerate(row)]
        # Where leaving it out altogether is cheapest everywhere, it is not in the phonemes.
        return min((end for end in ends if end[1] < end[2]), default=(math.inf, first, first + len(hypothesis)))


class _Trie:
    """Common words by their beginnings, each node a beginning; words that are misheard are found along with others."""

    def __init__(self, words: Mapping[str, float], costs: np.ndarray):
        """`costs`: `MisheardWords.mishearing`."""
        children: dict[tuple[int, str], int] = {}
        parents, sounds, ends = [0], [0], []
        for word in words:
            node = 0
            for character in word:
                if (node, character) not in children:
                    children[node, character] = len(parents)
                    parents.append(node)
                    sounds.append(ord(character) - _FIRST_CHARACTER)
                node = children[node, character]
            ends.append(node)
        self.parents, self.ends = np.array(parents), np.array(ends, np.int64)
        self.sounds, self.costs = np.array(sounds), costs
        self.word_costs = np.array(list(words.values()), np.float32)
        self._costs_by_code: dict[int, np.ndarray] = {}

    def cheapest(self, codes: np.ndarray, whole: Sequence[bool], if_unknown: Sequence[float]) -> list[float]:
        """Cost of the cheapest reading up to each place of a hypothesis."""
        parents, ends, costs = self.parents, self.ends, [0.0]
        unknown = [NEVER] * 4  # unknown words of 1, 2, 3 and of more phonemes that go on
        ends_without_last = parents[ends]
        going = np.full(len(parents), NEVER, np.float32)  # (nodes,): cost of being at each, in the middle of a word
        going[0] = 0.0
        going = np.minimum(going, going.take(parents) + np.float32(_MISSING))
        for place, code in enumerate(codes.tolist(), start=1):
            going = np.minimum(going.take(parents) + self._substitution_costs(code), going + np.float32(_INSERTED))
            going[0] = NEVER
            word_ends = np.minimum(going.take(ends), going.take(ends_without_last) + np.float32(_MISSING))
            begun = costs[-1] + UNKNOWN_WORD if whole[place - 1] else NEVER
            unknown = [cost + if_unknown[place - 1] for cost in (begun, *unknown[:2], min(unknown[2:]))]
            best = float((word_ends + self.word_costs).min(initial=NEVER))
            if whole[place]:
                best = min(best, *(cost + more for cost, more in zip(unknown, (*UNKNOWN_SHORT, 0.0), strict=True)))
            costs.append(best)
            going[0] = best
            going = np.minimum(going, going.take(parents) + np.float32(_MISSING))
        return costs

    def _substitution_costs(self, code: int) -> np.ndarray:
        """`(nodes,)`: that the phoneme stands where each node's was said; of the few that occur they are kept."""
        if code not in self._costs_by_code:
            self._costs_by_code[code] = self.costs[self.sounds, code]
        return self._costs_by_code[code]


# Of each index' common words: their tries are built once.
_MISHEARD: WeakKeyDictionary[CommonWords, MisheardWords] = WeakKeyDictionary()


def misheard(common: CommonWords) -> MisheardWords:
    """The common words as they may be misheard, built at the first call for these."""
    if common not in _MISHEARD:
        _MISHEARD[common] = MisheardWords(common.costs, common.phonemes)
    return _MISHEARD[common]


__all__ = ["MisheardWords", "misheard"]
