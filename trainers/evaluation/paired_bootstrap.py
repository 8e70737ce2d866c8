# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Is the difference of two systems more than chance: of a test's utterances, of the seeds that models began with.

Utterances and seeds are crossed: every seed's models hear the same utterances. So each replicate draws utterances with
replacement, for both systems and all seeds alike, and seeds with replacement, of S only S - 1: the mean of S - 1 drawn
ones varies as the mean of S seeds does, where S drawn ones would vary by (S - 1) / S of it (Rao and Wu 1988).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


REPLICATES = 2000
# Student's t, two-sided 95 %, by degrees of freedom from 1 on; more are taken for ten.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class CountedSet:
    """What was counted on one test set.

    Args:
        first, second: Of each system, errors or other events, `(S, N)`: a row a seed, the same seeds and utterances.
        units: What they are divided by, `(N,)`: reference words, or ones.
    """

    first: np.ndarray
    second: np.ndarray
    units: np.ndarray

    def __post_init__(self):
        shape = np.shape(self.first)
        if len(shape) != 2 or not all(shape) or np.shape(self.second) != shape or np.shape(self.units) != shape[1:]:
            raise ValueError(
                f"Counts of both systems must be (seeds, utterances), and units (utterances,); got {shape}, "
                f"{np.shape(self.second)} and {np.shape(self.units)}."
            )
        if not np.sum(self.units) > 0:
            raise ValueError("There is nothing to divide by: a test set without units.")


@dataclass(frozen=True)
class Interval:
    """A value with its interval of 95 %; infinite where one seed cannot say how seeds differ."""

    value: float
    low: float
    high: float


def paired_difference(sets: Sequence[CountedSet], factor: float = 1.0, replicates: int = REPLICATES) -> Interval:
    """First system's rate minus `factor` times the second's; the mean over test sets, each rate over all its units.

    Args:
        sets: At least one; of the same seeds.
        factor: 1 for a difference; 0.5 asks whether the first has at most half of the second's.
        replicates: Number of draws.
    """
    if len({len(one.first) for one in sets}) != 1:
        raise ValueError("Test sets must have the same seeds, and there must be one at least.")
    num_seeds, rng = len(sets[0].first), np.random.default_rng(0)
    value = float(np.mean([_rate(one, factor, np.ones(len(one.units))).mean() for one in sets]))
    if num_seeds < 2:
        return Interval(value, -math.inf, math.inf)
    found = []
    for _ in range(replicates):
        seeds = rng.integers(num_seeds, size=num_seeds - 1)
        weights = [
            np.bincount(rng.integers(len(one.units), size=len(one.units)), minlength=len(one.units)) for one in sets
        ]
        rates = [_rate(one, factor, drawn)[seeds].mean() for one, drawn in zip(sets, weights, strict=True)]
        found.append(np.mean(rates))
    low, high = np.nanquantile(found, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _rate(one: CountedSet, factor: float, weights: np.ndarray) -> np.ndarray:
    """Of each seed, `(S,)`."""
    units = one.units @ weights
    return (one.first - factor * one.second) @ weights / units if units else np.full(len(one.first), np.nan)


def mean_over_seeds(values: Sequence[float]) -> Interval:
    """Mean and Student's interval of a figure that each seed has one of."""
    values = np.asarray(values, np.float64)
    if not len(values):
        raise ValueError("No seed has this figure.")
    if len(values) < 2:
        return Interval(float(values[0]), -math.inf, math.inf)
    half = STUDENT[min(len(values) - 1, len(STUDENT)) - 1] * values.std(ddof=1) / math.sqrt(len(values))
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def judge_claim(found: Interval, low: float | None, high: float | None) -> str:
    """Whether a value lies between two bounds, None for no bound; on a bound is not between them.

    Returns:
        "holds" where the whole interval does, "does not hold" where none of it does, "not decided here" otherwise, and
        where nothing differs: two systems that never err say nothing of which errs less.
    """
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return "not decided here"
    lowest, highest = -math.inf if low is None else low, math.inf if high is None else high
    if lowest < found.low and found.high < highest:
        return "holds"
    return "does not hold" if found.high < lowest or highest < found.low else "not decided here"
