# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NSE of an utterance against spectra that are known."""

import math

import numpy as np
import pytest
import torch

from entropy_asr.spaces.entropy_allocation.spectrum import utterance_nse


def frames_with_singular_values(values: list[float], num_frames: int, width: int) -> torch.Tensor:
    """Frames `(num_frames, width)` of just these singular values."""
    left = torch.linalg.qr(torch.randn(num_frames, len(values), dtype=torch.float64))[0]
    right = torch.linalg.qr(torch.randn(width, len(values), dtype=torch.float64))[0]
    return left @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ right.T


@pytest.mark.parametrize("shape", [(40, 8), (8, 40), (12, 12)])
def test_of_known_spectra(shape):
    possible = min(shape)
    for values in ([3.0], [1.0] * 8, [5.0, 3.0, 1.0, 1.0], [1.0, 1e-3, 1e-6]):
        shares = np.array(values) / sum(values)
        expected = -(shares * np.log(shares)).sum() / math.log(possible)
        assert utterance_nse(frames_with_singular_values(values, *shape)) == pytest.approx(expected, abs=1e-9)


def test_of_white_frames_and_of_the_same_frames_with_a_shift():
    """The frames are not centred: their mean is a direction like any other."""
    white = torch.from_numpy(np.random.default_rng(0).normal(size=(250, 512)))
    assert utterance_nse(white) == pytest.approx(0.987, abs=1e-3)
    assert utterance_nse(white + 3) == pytest.approx(0.902, abs=2e-3)


def test_of_one_frame_one_dimension_zeros_and_equal_frames():
    for frames in (torch.randn(1, 30), torch.randn(30, 1), torch.zeros(20, 5)):
        assert utterance_nse(frames) == 0
    assert utterance_nse(torch.randn(1, 30).expand(20, 30)) == pytest.approx(0, abs=1e-4)


def test_scale_and_rotation_do_not_matter_and_half_precision_is_computed_in_double():
    frames = frames_with_singular_values([5.0, 3.0, 1.0, 1.0], 40, 8)
    rotation = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0]
    assert utterance_nse(1e-3 * frames @ rotation) == pytest.approx(utterance_nse(frames), abs=1e-12)
    halves = frames.half()
    assert utterance_nse(halves) == utterance_nse(halves.double())
