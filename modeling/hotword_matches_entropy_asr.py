# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which of the hotwords found in a phoneme hypothesis were said: at the boundaries of words, the longest, the nearest.

Where common words are known (`word_boundaries_entropy_asr.py`), a hotword counts if it explains the phonemes no worse
than they do. So "cat" is not in "cattle", "Anna" in "an apple", nor "New York" in "New Yorker". A hotword that sounds
like a common word, or like a phrase of common words, counts wherever that is at its place: whoever lists it wants it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, NamedTuple

import numpy as np

from .hotword_entries_entropy_asr import Entries, to_codes
from .hotwords_tolerant_entropy_asr import TolerantMatcher, import_daachorse
from .word_boundaries_entropy_asr import CommonWords, Reading, align_word, inside_unknown, is_derived


# What a hotword costs in a reading, in nats: that of a word of rank 2,400. Chosen on sentences that no reported figure
# is of (tests/benchmarks/benchmark_hotword_boundaries.py).
_HOTWORD_COST = 10.0
# Beyond that many hotwords, one of them is near to what was heard by chance in proportion to their number.
_MANY_HOTWORDS = 3000
# Two inexact matches of different sound about as cheap at one place: neither is given.
_CLEAR_NATS = 1.0
# Hotwords of so few phonemes are in many words that are not common ("Ann" in "anniversary"): one in whose place such a
# word costs hardly more is no match.
_SHORT, _CLEARLY_WORD = 2, 0.7
# Sums of the same costs in another order.
_ROUNDING = 1e-4
# Shorter words have to match exactly where nothing is known of their surroundings, and where something is: of their
# inexact matches all but few are wrong. A large index is slow with short ones, whose seeds are everywhere.
_SHORTEST_INEXACT, _SHORTEST_INEXACT_IN_CONTEXT, _LARGE_INDEX = 5, 4, 100_000
# Without common words: what a full edit costs in phonemes of length, and by how much the best must beat the next.
_DISTANCE_WEIGHT, _CLEAR_MARGIN = 3.0, 0.5


@dataclass(frozen=True, slots=True)
class HotwordMatch:
    """A hotword heard in `phonemes[start:end]`; `distance` in phonetically weighted edits, 0 for an exact match."""

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
        """Phoneme codes of the word, not of what was heard."""
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

    def __init__(self, entries: Entries, automaton: Any = None):
        self.entries = entries
        self.live = np.ones(len(entries), bool)
        # Overlapping matches need the standard kind; which of them win is decided in `drop_contained`.
        self.automaton = automaton or import_daachorse().CharwiseDoubleArrayAhoCorasick(entries.keys())
        self._tolerant: TolerantMatcher | None = None

    def live_pairs(self) -> Iterator[tuple[str, list[int]]]:
        return (pair for pair, live in zip(self.entries.pairs(), self.live.tolist(), strict=True) if live)

    def exact(self, text: str) -> Iterator[Candidate]:
        for start, end, entry in self.automaton.find_overlapping(text):
            if self.live[entry]:
                yield Candidate(start, end, self, entry)

    def tolerant(
        self, codes: np.ndarray, phonemes: list[str], tolerance: float, in_context: bool
    ) -> Iterator[Candidate]:
        """Inexact matches; the matcher of a tolerance is built at its first use."""
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
            reading = common.read(text, phonemes, [(one.start, one.end, _HOTWORD_COST) for one in kept])
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
    cost = _HOTWORD_COST if excess + _HOTWORD_COST <= _ROUNDING else _cost_as_common(one, common, text, phonemes)
    return excess + cost <= _ROUNDING


def _cost_as_common(candidate: Candidate, common: CommonWords, text: str, phonemes: Sequence[str]) -> float:
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


def choose_inexact(
    found: list[Candidate], common: CommonWords, text: str, phonemes: Sequence[str], num_hotwords: int
) -> list[Candidate]:
    """Of matches, exact or not, those that explain the hypothesis no worse than common words, misheard or not, do.

    Taken from the best one down, where no other of a different sound is about as good.

    Args:
        found: Matches of all words, exact ones too.
        common: The common words.
        text: The hypothesis, one character a phoneme.
        phonemes: The same as symbols.
        num_hotwords: How many are listened for.
    """
    if not found:
        return []
    codes = to_codes(text)
    reading = common.read_noisy(codes, phonemes)
    inexact_cost = _HOTWORD_COST + log(max(1.0, num_hotwords / _MANY_HOTWORDS))
    ranked: list[tuple[float, Candidate]] = []
    for candidate in found:
        cost, placed = _place(candidate, common, codes, reading)
        if is_derived(reading, phonemes, placed.end):
            continue
        own_cost = inexact_cost
        if not candidate.distance:
            own_cost = min(_HOTWORD_COST, _cost_as_common(candidate, common, text, phonemes))
        ranked.append((cost + own_cost - reading.before[-1], placed))
    ranked = sorted((row for row in ranked if row[0] <= _CLEAR_NATS), key=lambda row: row[0])
    return _clearly_best(ranked)


def _place(candidate: Candidate, common: CommonWords, codes: np.ndarray, reading: Reading) -> tuple[float, Candidate]:
    """What the whole costs with a match, without the word's own cost, and the match at the place where it is least."""
    slack = 1 if candidate.distance else 0
    first, last = max(0, candidate.start - slack), min(len(codes), candidate.end + slack)
    cost, start, end = align_word(candidate.codes(), codes[first:last], reading, first, common.mishearing)
    return cost, candidate._replace(start=start, end=end)


def _clearly_best(ranked: list[tuple[float, Candidate]]) -> list[Candidate]:
    """Of matches with how much dearer each makes the whole, in that order."""
    kept: list[Candidate] = []
    decided: list[Candidate] = []
    for excess, best in ranked:
        if excess > _ROUNDING or any(overlap(best, other) and not best.is_alike(other) for other in decided):
            continue
        decided.append(best)
        rivals = (other for more, other in ranked if excess <= more <= excess + _CLEAR_NATS and overlap(best, other))
        if all(best.codes().tobytes() == other.codes().tobytes() for other in rivals):
            kept.append(best)
    return kept


def choose_without_context(found: list[Candidate], exact: list[Candidate]) -> list[Candidate]:
    """Of inexact matches those that are clearly the best where they are, where no common words are known.

    Taken from the best one down: what overlaps a better one, exact, taken or given up as ambiguous, is left.
    """
    ranked = sorted(found, key=_score, reverse=True)
    decided = list(exact)
    kept: list[Candidate] = []
    for position, best in enumerate(ranked):
        if any(overlap(best, other) and _score(other) >= _score(best) for other in decided):
            continue
        decided.append(best)
        rivals = []
        for other in ranked[position + 1 :]:
            if _score(best) - _score(other) > _CLEAR_MARGIN:
                break
            if overlap(best, other):
                rivals.append(other)
        same = [other for other in rivals if other.codes().tobytes() == best.codes().tobytes()]
        if len(same) == len(rivals):
            kept += [best, *(other for other in same if other[:2] == best[:2])]
    return kept


def _score(candidate: Candidate) -> float:
    """Longer is better, and nearer: a full edit outweighs `_DISTANCE_WEIGHT` phonemes."""
    return len(candidate.codes()) - _DISTANCE_WEIGHT * candidate.distance


def overlap(one: Candidate, other: Candidate) -> bool:
    return one.start < other.end and other.start < one.end


__all__ = [
    "Candidate",
    "HotwordMatch",
    "IndexPart",
    "at_word_boundaries",
    "choose_inexact",
    "choose_without_context",
    "drop_contained",
]
