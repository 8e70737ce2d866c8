# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Intervals of differences: against closed forms, and by how often they hold what was put in."""

import math

import numpy as np
import pytest

from entropy_asr.trainers.evaluation.paired_bootstrap import (
    CountedSet,
    Interval,
    judge_claim,
    mean_over_seeds,
    paired_difference,
)


def test_value_is_the_mean_over_sets_of_rates_over_units():
    first = CountedSet(np.array([[1, 2], [3, 0]]), np.array([[0, 0], [1, 1]]), np.array([4, 6]))
    second = CountedSet(np.array([[1], [1]]), np.array([[0], [0]]), np.array([2]))
    assert paired_difference([first], replicates=10).value == pytest.approx((3 / 10 + 1 / 10) / 2)
    assert paired_difference([first], 0.5, 10).value == pytest.approx((3 / 10 + 2 / 10) / 2)
    assert paired_difference([first, second], replicates=10).value == pytest.approx((0.2 + 0.5) / 2)


def test_interval_has_the_width_of_the_closed_form():
    """Seeds vary by s, utterances by u: the difference's variance is s^2 / S + u^2 / N, with units of one."""
    rng = np.random.default_rng(1)
    num_seeds, count = 40, 300
    seeds, utterances = rng.normal(0, 0.5, (num_seeds, 1)), rng.normal(0, 2, (1, count))
    second = rng.normal(5, 1, (1, count)).repeat(num_seeds, 0)
    one = CountedSet(second + 0.3 + seeds + utterances, second, np.ones(count))
    found = paired_difference([one])
    expected = 1.96 * math.sqrt(seeds.var(ddof=1) / num_seeds + utterances.var() / count)
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.08)


def test_what_both_get_wrong_alike_gives_no_width():
    hard = np.random.default_rng(0).integers(0, 9, (1, 50)).repeat(3, 0)
    found = paired_difference([CountedSet(hard + 1, hard, np.ones(50))], replicates=100)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_few_seeds_are_not_taken_for_more_alike_than_they_are():
    """Of three seeds at 0, 1 and 5 two are drawn: their means lie at 0 and 5 with a ninth each, as far as seeds go."""
    seeds = np.array([[0.0], [1.0], [5.0]]).repeat(4, 1)
    found = paired_difference([CountedSet(seeds, np.zeros((3, 4)), np.ones(4))])
    assert (found.value, found.low, found.high) == pytest.approx((2, 0, 5))


def test_one_seed_decides_nothing():
    found = paired_difference([CountedSet(np.array([[1, 1]]), np.array([[0, 0]]), np.ones(2))])
    assert found == Interval(1.0, -math.inf, math.inf) and judge_claim(found, 0, None) == "not decided here"
    assert mean_over_seeds([2.0]).high == math.inf


def test_students_interval_of_three_seeds():
    found = mean_over_seeds([1.0, 2.0, 3.0])
    assert found.value == 2 and found.high - 2 == pytest.approx(4.303 / math.sqrt(3))
    rng = np.random.default_rng(3)
    inside = [found.low <= 0 <= found.high for found in (mean_over_seeds(rng.normal(size=3)) for _ in range(4000))]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize(
    ("interval", "low", "high", "expected"),
    [
        ((-2, -1), None, 0, "holds"),
        ((1, 2), None, 0, "does not hold"),
        # Neither of two systems errs, or both alike: neither errs less.
        ((0, 0), None, 0, "not decided here"),
        ((0, 0), None, 0.01, "holds"),
        ((-1, 1), None, 0, "not decided here"),
        ((-0.01, 0.01), -0.02, 0.02, "holds"),
        ((0.03, 0.05), -0.02, 0.02, "does not hold"),
        ((-0.03, 0.0), -0.02, 0.02, "not decided here"),
        ((-0.02, 0.0), -0.02, 0.02, "not decided here"),
    ],
)
def test_verdicts(interval, low, high, expected):
    assert judge_claim(Interval(sum(interval) / 2, *interval), low, high) == expected


def test_counts_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match=r"\(seeds, utterances\)"):
        CountedSet(np.ones((2, 3)), np.ones((2, 4)), np.ones(3))
    with pytest.raises(ValueError, match="divide by"):
        CountedSet(np.ones((2, 3)), np.ones((2, 3)), np.zeros(3))
    one, other = (CountedSet(np.ones((seeds, 2)), np.ones((seeds, 2)), np.ones(2)) for seeds in (2, 3))
    with pytest.raises(ValueError, match="same seeds"):
        paired_difference([one, other])
