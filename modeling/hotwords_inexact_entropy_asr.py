# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which of the hotwords that are nearly in a phoneme hypothesis were said: those that explain it clearly the best.

`hotwords_tolerant_entropy_asr.py` finds them; exact matches are chosen by `hotword_matches_entropy_asr.py`.
"""

from collections.abc import Sequence
from math import log

import numpy as np

from .hotword_entries_entropy_asr import to_codes
from .hotword_matches_entropy_asr import HOTWORD_COST, ROUNDING, Candidate, cost_as_common
from .misheard_words_entropy_asr import MisheardWords, misheard
from .word_boundaries_entropy_asr import CommonWords, Reading, is_derived


# Beyond that many hotwords, one of them is near to the phonemes by chance in proportion to their number.
_MANY_HOTWORDS = 3000
# Two inexact matches of different sound about as cheap at one place: neither is given.
_CLEAR_NATS = 1.0
# Without common words: what a full edit costs in phonemes of length, and by how much the best must beat the next.
_DISTANCE_WEIGHT, _CLEAR_MARGIN = 3.0, 0.5


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
    words = misheard(common)
    reading = words.read(codes, phonemes)
    inexact_cost = HOTWORD_COST + log(max(1.0, num_hotwords / _MANY_HOTWORDS))
    ranked: list[tuple[float, Candidate]] = []
    for candidate in found:
        cost, placed = _place(candidate, words, codes, reading)
        if is_derived(reading, phonemes, placed.end):
            continue
        own_cost = inexact_cost
        if not candidate.distance:
            own_cost = min(HOTWORD_COST, cost_as_common(candidate, common, text, phonemes))
        ranked.append((cost + own_cost - reading.before[-1], placed))
    ranked = sorted((row for row in ranked if row[0] <= _CLEAR_NATS), key=lambda row: row[0])
    return _clearly_best(ranked)


def _place(candidate: Candidate, words: MisheardWords, codes: np.ndarray, reading: Reading) -> tuple[float, Candidate]:
    """What the whole costs with a match, without the word's own cost, and the match at the place where it is least."""
    slack = 1 if candidate.distance else 0
    first, last = max(0, candidate.start - slack), min(len(codes), candidate.end + slack)
    cost, start, end = words.align(candidate.codes(), codes[first:last], reading, first)
    return cost, candidate._replace(start=start, end=end)


def _clearly_best(ranked: list[tuple[float, Candidate]]) -> list[Candidate]:
    """Of matches with how much dearer each makes the whole, in that order."""
    kept: list[Candidate] = []
    decided: list[Candidate] = []
    for excess, best in ranked:
        if excess > ROUNDING or any(_overlap(best, other) and not best.is_alike(other) for other in decided):
            continue
        decided.append(best)
        rivals = (other for more, other in ranked if excess <= more <= excess + _CLEAR_NATS and _overlap(best, other))
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
        if any(_overlap(best, other) and _score(other) >= _score(best) for other in decided):
            continue
        decided.append(best)
        rivals = []
        for other in ranked[position + 1 :]:
            if _score(best) - _score(other) > _CLEAR_MARGIN:
                break
            if _overlap(best, other):
                rivals.append(other)
        same = [other for other in rivals if other.codes().tobytes() == best.codes().tobytes()]
        if len(same) == len(rivals):
            kept += [best, *(other for other in same if other[:2] == best[:2])]
    return kept


def _score(candidate: Candidate) -> float:
    """Longer is better, and nearer: a full edit outweighs `_DISTANCE_WEIGHT` phonemes."""
    return len(candidate.codes()) - _DISTANCE_WEIGHT * candidate.distance


def _overlap(one: Candidate, other: Candidate) -> bool:
    return one.start < other.end and other.start < one.end


__all__ = ["choose_inexact", "choose_without_context"]
