# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pooled frames, and components whose variance is one."""

import numpy as np
import pytest
import torch

from entropy_asr.spaces.entropy_allocation.pooling import components, pooled


def test_pooling_is_mean_and_standard_deviation_with_ddof_0():
    frames = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    assert pooled(frames).tolist() == [2, 5, 1, 0]
    assert pooled(frames[:1]).tolist() == [1, 5, 0, 0]


def test_components_are_uncorrelated_of_variance_one_and_in_order():
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    sources = rng.normal(size=(500, 6)) * [9, 5, 3, 2, 1, 0.5]
    found = components(sources @ directions.T + 4)
    assert (found.num_columns, found.num_varying) == (6, 6)
    assert found.scores.T @ found.scores / 500 == pytest.approx(np.eye(6), abs=1e-10)
    correlations = np.corrcoef(found.scores[:, 0], sources[:, 0])[0, 1]
    assert abs(correlations) > 0.99


def test_components_without_variance_are_left_out():
    rng = np.random.default_rng(0)
    rank_two = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 9)) + 1e3
    assert components(rank_two).num_varying == 2
    # Of 5 vectors at most 4 directions remain about their mean.
    assert components(rng.normal(size=(5, 9))).num_varying == 4
    assert components(np.full((20, 3), 0.1)).num_varying == 0
