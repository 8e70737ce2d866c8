# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which of the hotwords found in a phoneme hypothesis were said: at the boundaries of words, the longest, the nearest.

Where common words are known (`word_boundaries_entropy_asr.py`), a hotword counts if it explains the phonemes no worse
than they do. So "cat" is not in "cattle", "Anna" in "an apple", nor "New York" in "New Yorker". A hotword that sounds
like a common word, or like a phrase of common words, counts wherever that is at its place: whoever lists it wants it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .hotword_entries_entropy_asr import Entries, import_daachorse
from .optional_parts_entropy_asr import needed_for
from .word_boundaries_entropy_asr import CommonWords, Reading, inside_unknown, is_derived


# What a hotword costs in a reading, in nats: that of a word of rank 2,400. Chosen on sentences that no reported figure
# is of (tests/benchmarks/benchmark_hotword_boundaries.py).
HOTWORD_COST = 10.0
# Hotwords of so few phonemes are in many words that are not common ("Ann" in "anniversary"): one in whose place such a
# word costs hardly more is no match.
_SHORT, _CLEARLY_WORD = 2, 0.7
# Sums of the same costs in another order.
ROUNDING = 1e-4
# Shorter words have to match exactly where nothing is known of their surroundings, and where something is: of their
# inexact matches all but few are wrong. A large index is slow with short ones, whose seeds are everywhere.
_SHORTEST_INEXACT, _SHORTEST_INEXACT_IN_CONTEXT, _LARGE_INDEX = 5, 4, 100_000


@dataclass(frozen=True, slots=True)
class HotwordMatch:
    """A hotword found in `phonemes[start:end]`; `distance` in phonetically weighted edits, 0 for an exact match."""

    word: str
    start: int
    end: int
    distance: float = 0.0


class Candidate(NamedTuple):
    """A match before it is known whether it is kept: `entry` of `part`."""

    start: int
    end: int
    part: "IndexPart"
    entry: int
    distance: float = 0.0

    def codes(self) -> np.ndarray:
        """Phoneme codes `(num_phonemes,)` of the word, not of what was found."""
        first, last = self.part.entries.code_offsets[self.entry : self.entry + 2].tolist()
        return self.part.entries.codes[first:last]

    def word(self) -> str:
        return self.part.entries.word(self.entry)

    def is_alike(self, other: "Candidate") -> bool:
        """Whether the other is at the same place and of the same sound."""
        return self[:2] == other[:2] and self.codes().tobytes() == other.codes().tobytes()

    def to_match(self) -> HotwordMatch:
        return HotwordMatch(self.word(), self.start, self.end, round(self.distance, 3))


class IndexPart:
    """Entries that share an automaton; `live` is False for those that were removed since."""

    def __init__(self, entries: Entries, automaton: Any = None, name: str = "a hotword index"):
        self.entries, self.name = entries, name
        self.live = np.ones(len(entries), bool)
        # Without entries there is nothing to find, and no need of the automaton's package.
        if automaton is None and len(entries):
            # Overlapping matches need the standard kind; which of them win is decided in `drop_contained`.
            automaton = import_daachorse().CharwiseDoubleArrayAhoCorasick(entries.keys())
        self.automaton = automaton
        self._tolerant: Any = None  # a TolerantMatcher

    def live_pairs(self) -> Iterator[tuple[str, list[int]]]:
        return (pair for pair, live in zip(self.entries.pairs(), self.live.tolist(), strict=True) if live)

    def exact(self, text: str) -> Iterator[Candidate]:
        for start, end, entry in self.automaton.find_overlapping(text) if self.automaton else ():
            if entry >= len(self.live):
                raise ValueError(f"{self.name}: its automaton finds words that are not in it: build it again.")
            if self.live[entry]:
                yield Candidate(start, end, self, entry)

    def tolerant(
        self, codes: np.ndarray, phonemes: list[str], tolerance: float, in_context: bool
    ) -> Iterator[Candidate]:
        """Inexact matches in codes `(num_phonemes,)`; the matcher of a tolerance is built at its first use."""
        with needed_for("`hotword_tolerance`"):
            from .hotwords_tolerant_entropy_asr import TolerantMatcher
        short_too = in_context and len(self.entries) <= _LARGE_INDEX
        shortest = _SHORTEST_INEXACT_IN_CONTEXT if short_too else _SHORTEST_INEXACT
        wanted = (tolerance, shortest, phonemes)
        last = self._tolerant
        if last is None or (last.tolerance, last.shortest, last.phonemes) != wanted:
            entries = self.entries
            last = TolerantMatcher(entries.codes, entries.code_offsets, list(phonemes), tolerance, shortest)
            self._tolerant = last
        for entry, start, end, distance in last.search(codes, self.live):
            if distance > 0:
                yield Candidate(start, end, self, entry, distance)


def at_word_boundaries(
    found: list[Candidate], common: CommonWords, text: str, phonemes: Sequence[str]
) -> list[Candidate]:
    """Of exact matches in a hypothesis (`text`: one character a phoneme) those that are words of it."""
    kept: list[Candidate] = []
    for _ in range(2):  # again with the first ones kept, which may be the neighbours of others
        if len(kept) < len(found):
            reading = common.read(text, phonemes, [(one.start, one.end, HOTWORD_COST) for one in kept])
            kept = [one for one in found if _is_word(one, reading, common, text, phonemes)]
            if not kept:
                break
    return kept


def _is_word(one: Candidate, reading: Reading, common: CommonWords, text: str, phonemes: Sequence[str]) -> bool:
    if is_derived(reading, phonemes, one.end):
        return False
    if one.end - one.start <= _SHORT and inside_unknown(reading, phonemes, one.start, one.end) < _CLEARLY_WORD:
        return False
    excess = reading.excess(one.start, one.end)
    cost = HOTWORD_COST if excess + HOTWORD_COST <= ROUNDING else cost_as_common(one, common, text, phonemes)
    return excess + cost <= ROUNDING


def cost_as_common(candidate: Candidate, common: CommonWords, text: str, phonemes: Sequence[str]) -> float:
    """What a match costs if it is no more than the common words that it is written as; infinite if it is none."""
    start, end = candidate.start, candidate.end
    if " " in candidate.word():
        return common.read(text[start:end], phonemes[start:end]).before[-1]
    return common.costs.get(text[start:end], float("inf"))


def drop_contained(candidates: list[Candidate]) -> list[Candidate]:
    """Leave out what lies inside a longer match; equal spans (words that sound the same) stay."""
    kept: list[Candidate] = []
    reach = 0
    for candidate in sorted(candidates, key=lambda found: (found.start, -found.end)):
        if candidate.end > reach or (kept and candidate[:2] == kept[-1][:2]):
            kept.append(candidate)
            reach = candidate.end
    return kept


__all__ = ["Candidate", "HotwordMatch", "IndexPart", "at_word_boundaries", "drop_contained"]
