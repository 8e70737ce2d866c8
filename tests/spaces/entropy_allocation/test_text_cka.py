# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""CKA of layers with text embeddings."""

import numpy as np
import pytest
import torch

from entropy_asr.spaces.entropy_allocation.moments import FrameMoments
from entropy_asr.spaces.entropy_allocation.text_cka import linear_cka, text_cka, text_cka_chance


def test_of_equal_rotated_and_constant_layers():
    rng = np.random.default_rng(0)
    text = rng.normal(size=(80, 12))
    rotated = 3 * text @ np.linalg.qr(rng.normal(size=(12, 12)))[0] + 5
    assert text_cka([text, rotated, np.full((80, 4), 0.1)], text) == pytest.approx([1, 1, 0], abs=1e-12)


@pytest.mark.parametrize("widths", [(5, 9), (90, 7), (90, 120)])
def test_equals_the_moments_of_the_other_cka(widths):
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(40, width)) + 2 for width in widths)
    second[:, 0] += first[:, 0]
    moments = FrameMoments()
    moments.update(torch.from_numpy(first), torch.from_numpy(second))
    assert linear_cka(first, second) == pytest.approx(moments.cka(), abs=1e-9)


def test_chance_of_few_utterances_is_far_from_zero():
    rng = np.random.default_rng(0)
    layer, text = rng.normal(size=(30, 60)), rng.normal(size=(30, 50))
    chance = text_cka_chance(layer, text, 20, 0)
    assert chance["mean"] == pytest.approx(linear_cka(layer, text), abs=0.05) and chance["mean"] > 0.5


def test_other_numbers_of_utterances_are_refused():
    with pytest.raises(ValueError, match="30 and 29 rows"):
        text_cka([np.ones((30, 2))], np.ones((29, 2)))
