# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Gaussian information against closed forms."""

import math

import numpy as np
import pytest

from entropy_asr.spaces.entropy_allocation.information import GaussianBlocks, expected_chance, standardized
from entropy_asr.spaces.entropy_allocation.pooling import components


def white(rng, num_rows: int, *sizes: int) -> list[np.ndarray]:
    """Blocks that are exactly uncorrelated, within and among each other, of variance 1."""
    scores = components(rng.normal(size=(num_rows, sum(sizes)))).scores
    return np.split(scores, np.cumsum(sizes)[:-1], axis=1)


@pytest.mark.parametrize("ridge", [1e-3, 0.1])
@pytest.mark.parametrize("size", [1, 7])
def test_of_a_block_with_itself(size, ridge):
    (block,) = white(np.random.default_rng(0), 300, size)
    expected = size / 2 * math.log2((1 + ridge) ** 2 / ((1 + ridge) ** 2 - 1))
    assert GaussianBlocks([block, block], ridge).pai() == pytest.approx(expected, abs=1e-6)


def test_of_uncorrelated_blocks_is_nothing():
    u, p, c = white(np.random.default_rng(0), 300, 4, 4, 4)
    assert GaussianBlocks([u, p, c], 1e-3).pai() == pytest.approx(0, abs=1e-9)
    assert GaussianBlocks([u, p, c], 1e-3).csai() == pytest.approx(0, abs=1e-9)


def test_columns_are_standardized_over_the_rows_at_hand():
    rows = np.array([[1.0, 5.0, -2.0], [3.0, 5.0, 4.0], [5.0, 5.0, 1.0]])
    found = standardized(rows)
    assert found.mean(0) == pytest.approx([0, 0, 0]) and (found**2).mean(0) == pytest.approx([1, 0, 1])


def test_of_independent_rows_is_near_its_expected_chance():
    rng = np.random.default_rng(0)
    values = [
        GaussianBlocks([standardized(rng.normal(size=(1000, 10))) for _ in range(2)], 1e-3).pai() for _ in range(20)
    ]
    assert expected_chance(10, 10, 1000) == pytest.approx(100 / (2000 * math.log(2)))
    assert np.mean(values) == pytest.approx(expected_chance(10, 10, 1000), rel=0.1)


def test_csai_is_nothing_where_meaning_is_linear_in_phonemes():
    rng = np.random.default_rng(0)
    (p,) = white(rng, 400, 5)
    u = standardized(rng.normal(size=(400, 5)) + p)
    c = standardized(p @ rng.normal(size=(5, 5)))
    assert GaussianBlocks([u, p, c], 1e-9).csai() == pytest.approx(0, abs=1e-6)


def test_csai_is_what_frames_tell_of_meaning_where_phonemes_have_nothing_to_do_with_either():
    rng = np.random.default_rng(0)
    p, noise, c = white(rng, 400, 5, 5, 5)
    u = standardized(0.6 * c + noise)
    assert GaussianBlocks([u, p, c], 1e-3).csai() == pytest.approx(GaussianBlocks([u, c], 1e-3).pai(), abs=1e-9)
    assert GaussianBlocks([u, p, c], 1e-3).csai() > 1


def test_of_a_joint_gaussian_of_known_covariance():
    """Three scalars: I(u; P) = -1/2 log2(1 - r^2), I(u; C | P) the same of their partial correlation."""
    covariance = np.array([[1.0, 0.6, 0.5], [0.6, 1.0, 0.4], [0.5, 0.4, 1.0]])
    rows = np.random.default_rng(0).multivariate_normal(np.zeros(3), covariance, size=200_000)
    blocks = [standardized(rows[:, [column]]) for column in range(3)]
    partial = (0.5 - 0.6 * 0.4) / math.sqrt((1 - 0.6**2) * (1 - 0.4**2))
    found = GaussianBlocks(blocks, 1e-6)
    assert found.pai() == pytest.approx(-0.5 * math.log2(1 - 0.6**2), abs=0.01)
    assert found.csai() == pytest.approx(-0.5 * math.log2(1 - partial**2), abs=0.01)


def test_a_singular_covariance_is_refused_in_words():
    rows = np.random.default_rng(0).normal(size=(5, 4))
    with pytest.raises(ValueError, match="8 components over 5 utterances is singular with ridge 0"):
        GaussianBlocks([rows, rows], 0.0).pai()
