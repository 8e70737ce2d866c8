# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hotwords that are nearly in a phoneme hypothesis: bounded, phonetically weighted edit distance to many patterns.

Filter and verify. A pattern whose distance bound allows k full edits is cut into k + 1 seeds; whatever the edits are,
one seed is left whole, up to sounds of the same class (`phonetics_entropy_asr.py`), since leaving the class costs a
full edit. So an automaton over the seeds in class symbols finds every pattern that can be within its bound, and one
dynamic programme over all of them, vectorised by NumPy, tells which are.
"""

from collections.abc import Sequence

import numpy as np

from .hotword_entries_entropy_asr import import_daachorse
from .phonetics_entropy_asr import EDIT_COST, best_window, cost_matrix, sound_class


# Sums of float32 costs meet their bound exactly in decimal arithmetic only.
_ROUNDING = 1e-3
# Cost of what lies outside the hypothesis, more than any bound.
_OUTSIDE = 1e3
# Candidates verified at once: tables of a few MB, which stay in the cache.
_VERIFIED_AT_ONCE = 4096


class TolerantMatcher:
    """Finds the patterns that are not too short within `tolerance` x length of some part of a hypothesis.

    Args:
        codes: Phoneme codes of all patterns, one after the other, uint16.
        offsets: Where each pattern begins, and the end of the last: `(number of patterns + 1,)`.
        phonemes: Symbol of each code; code 0 is for symbols that are not known.
        tolerance: Largest distance for each phoneme of a pattern.
        shortest: Phonemes that a pattern needs to be found inexactly.
    """

    def __init__(
        self, codes: np.ndarray, offsets: np.ndarray, phonemes: list[str], tolerance: float, shortest: int = 5
    ):
        self.codes, self.offsets, self.phonemes, self.tolerance = codes, offsets, phonemes, tolerance
        self.shortest = shortest
        self.lengths = np.diff(offsets)
        self.bounds = (tolerance * self.lengths + _ROUNDING).astype(np.float32)
        classes = {name: number for number, name in enumerate(dict.fromkeys(map(sound_class, phonemes)))}
        self.class_of = np.array([classes[sound_class(phoneme)] for phoneme in phonemes], np.uint16)
        self.costs = np.full((len(phonemes), len(phonemes) + 1), _OUTSIDE, np.float32)
        self.costs[:, :-1] = cost_matrix(phonemes)
        self._index_seeds()

    def _index_seeds(self) -> None:
        """Automaton of distinct seeds; the patterns of seed i are at `seed_starts[i]` to `seed_starts[i + 1]`."""
        entries, shifts, sizes = self._cut_into_seeds()
        text = self._to_text(self.class_of[self.codes])
        begins = self.offsets[entries] + shifts
        seeds: dict[str, int] = {}
        limits = zip(begins.tolist(), (begins + sizes).tolist(), strict=True)
        numbers = np.array([seeds.setdefault(text[begin:end], len(seeds)) for begin, end in limits], np.int64)
        order = np.argsort(numbers, kind="stable")
        self.seed_entries, self.seed_shifts = entries[order].astype(np.int32), shifts[order].astype(np.int32)
        self.seed_starts = np.concatenate([[0], np.bincount(numbers, minlength=len(seeds)).cumsum()])
        self.automaton = import_daachorse().CharwiseDoubleArrayAhoCorasick(list(seeds))

    def _cut_into_seeds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`(entry, shift in the pattern, length)` of all seeds, as three arrays."""
        edits = (self.bounds / EDIT_COST).astype(np.int64)
        parts: list[tuple[np.ndarray, ...]] = []
        long_enough = self.lengths >= self.shortest
        for count in np.unique(edits[long_enough]).tolist():
            entries = np.flatnonzero((edits == count) & long_enough)
            lengths = self.lengths[entries]
            for seed in range(count + 1):
                begin, end = seed * lengths // (count + 1), (seed + 1) * lengths // (count + 1)
                parts.append((entries, begin, end - begin))
        if not parts:
            return tuple(np.zeros(0, np.int64) for _ in range(3))
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    @staticmethod
    def _to_text(classes: np.ndarray) -> str:
        return (classes.astype("<u2") + np.uint16(0x100)).tobytes().decode("utf-16-le")

    def search(self, codes: np.ndarray, live: np.ndarray) -> list[tuple[int, int, int, float]]:
        """`(pattern, start, end, distance)` of each pattern near some part of a hypothesis, at its best place there.

        Args:
            codes: Phoneme codes of the hypothesis, uint16.
            live: Which patterns count.
        """
        entries, starts = self._candidates(codes)
        keep = live[entries]
        entries, starts = entries[keep], starts[keep]
        found: dict[tuple[int, int, int], float] = {}
        for length in np.unique(self.lengths[entries]).tolist():
            chosen = np.flatnonzero(self.lengths[entries] == length)
            for first in range(0, len(chosen), _VERIFIED_AT_ONCE):
                part = chosen[first : first + _VERIFIED_AT_ONCE]
                near = part[self._within_bound(codes, entries[part], starts[part], length)]
                for entry, start in zip(entries[near].tolist(), starts[near].tolist(), strict=True):
                    place = self._locate(codes, entry, start)
                    found[place[:3]] = place[3]
        return [(*place, distance) for place, distance in found.items()]

    def _candidates(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Patterns with a seed in the hypothesis, and where they would start there; each pair once."""
        hits = self.automaton.find_overlapping(self._to_text(self.class_of[codes]))
        if not hits:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        begins, _, seeds = np.array(hits, np.int64).T
        firsts, counts = self.seed_starts[seeds], np.diff(self.seed_starts)[seeds]
        # Positions of all hits' patterns in the seed table: firsts[0], firsts[0] + 1, ..., firsts[1], ...
        rows = np.arange(counts.sum()) + np.repeat(firsts - np.concatenate([[0], counts.cumsum()[:-1]]), counts)
        entries = self.seed_entries[rows].astype(np.int64)
        starts = np.repeat(begins, counts) - self.seed_shifts[rows]
        width = len(codes) + int(self.lengths.max()) + 1  # starts are above -lengths.max()
        pairs = np.unique(entries * width + starts + int(self.lengths.max()))
        return pairs // width, pairs % width - int(self.lengths.max())

    def _within_bound(self, codes: np.ndarray, entries: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
        """Which candidates of one length are within their bound, `(candidates,)` bool.

        Semi-global edit distance of each pattern to its window of the hypothesis, a row of the table at a time.
        """
        bound = float(self.bounds[entries[0]])
        slack = int(bound / EDIT_COST)
        places = starts[:, None] + np.arange(-slack, length + slack)  # (candidates, window)
        inside = (places >= 0) & (places < len(codes))
        windows = np.where(inside, codes[places.clip(0, len(codes) - 1)], len(self.phonemes))
        patterns = self.codes[self.offsets[entries][:, None] + np.arange(length)]  # (candidates, length)
        steps = EDIT_COST * np.arange(places.shape[1] + 1, dtype=np.float32)
        row = np.zeros((len(entries), len(steps)), np.float32)
        alive = np.arange(len(entries))
        for position in range(length):
            reached = row + np.float32(EDIT_COST)
            np.minimum(
                reached[:, 1:], row[:, :-1] + self.costs[patterns[:, position][:, None], windows], out=reached[:, 1:]
            )
            row = np.minimum.accumulate(reached - steps, axis=1) + steps
            hopeful = row.min(axis=1) <= bound
            if not hopeful.any():
                return np.zeros(len(entries), bool)
            if hopeful.mean() < 0.7:  # most candidates fail early
                row, windows, patterns, alive = row[hopeful], windows[hopeful], patterns[hopeful], alive[hopeful]
        result = np.zeros(len(entries), bool)
        result[alive[row.min(axis=1) <= bound]] = True
        return result

    def _locate(self, codes: np.ndarray, entry: int, start: int) -> tuple[int, int, int, float]:
        pattern = self.codes[self.offsets[entry] : self.offsets[entry + 1]]
        slack = int(self.bounds[entry] / EDIT_COST)
        first = max(0, start - slack)
        window = codes[first : max(0, start + len(pattern) + slack)]
        distance, begin, end = best_window(self._symbols(pattern), self._symbols(window))
        return entry, first + begin, first + end, distance

    def _symbols(self, codes: Sequence[int] | np.ndarray) -> list[str]:
        return [self.phonemes[code] for code in np.asarray(codes).tolist()]
