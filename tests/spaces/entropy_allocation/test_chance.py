# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Chance levels and intervals."""

import numpy as np
import pytest

from entropy_asr.spaces.entropy_allocation.chance import bootstrap, canonical_order, chance_level


def test_chance_is_the_figure_of_random_pairs():
    rng = np.random.default_rng(0)
    first = rng.normal(size=200)
    chance = chance_level(lambda order: float(np.corrcoef(first[order], first)[0, 1]) ** 2, 200, 50, 0)
    assert chance["mean"] == pytest.approx(1 / 199, rel=0.5)
    assert chance["spread"] > 0 and chance["shuffles"] == 50


def test_the_interval_of_a_mean_is_that_of_the_textbook():
    values = np.random.default_rng(0).normal(5, 2, size=400)
    found = bootstrap(lambda rows: float(values[rows].mean()), float(values.mean()), 400, 2000, 0)
    low, high = found["interval"]
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.05)


def test_the_order_of_utterances_depends_on_them_alone():
    rows = np.random.default_rng(0).normal(size=(30, 4))
    mixed = np.random.default_rng(1).permutation(30)
    assert np.array_equal(rows[canonical_order(rows)], rows[mixed][canonical_order(rows[mixed])])
