# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Moments of frames against closed forms: frame_nse, CKA, streams."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_asr.spaces.entropy_allocation.moments import FrameMoments


def moments_of(*parts: torch.Tensor, batch_size: int | None = None) -> FrameMoments:
    moments = FrameMoments()
    for batch in zip(*(part.split(batch_size or len(part)) for part in parts), strict=True):
        moments.update(*batch)
    return moments


def nse(frames: torch.Tensor) -> float:
    return moments_of(frames).nse()


def frames_like_an_encoders(num_frames: int = 6000, width: int = 48, dtype=torch.float64) -> torch.Tensor:
    """A falling spectrum and a mean far from 0."""
    scales = torch.logspace(0, -2, width, dtype=torch.float64)
    mixing = torch.randn(width, width, dtype=torch.float64) * scales[:, None]
    return (torch.randn(num_frames, width, dtype=torch.float64) @ mixing + 3).to(dtype)


def random_rotation(width: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(width, width, dtype=torch.float64))[0]


def test_nse_of_isotropic_rank_one_and_k_equal_directions():
    width = 32
    # Exactly isotropic: every direction as often, with both signs.
    isotropic = torch.cat([torch.eye(width), -torch.eye(width)]).double().repeat(16, 1)
    assert nse(isotropic) == pytest.approx(1, abs=1e-12)
    assert nse(torch.randn(1000, 1).double() @ torch.randn(1, width).double()) == pytest.approx(0, abs=1e-9)
    for k in (2, 4, 16):
        assert nse(isotropic[isotropic[:, :k].abs().sum(1) > 0]) == pytest.approx(math.log(k) / math.log(width))


def test_nse_of_gaussian_noise_is_near_one_and_biased_when_frames_are_few():
    assert nse(torch.randn(40_000, 64)) > 0.999
    with pytest.warns(UserWarning, match="128 frames of dimension 64 is biased downwards: use 1024 or more"):
        assert nse(torch.randn(128, 64)) == pytest.approx(0.939, abs=0.01)


def test_nse_of_constant_frames_is_zero():
    assert nse(torch.full((500, 8), 0.1, dtype=torch.float64)) == 0
    assert nse(torch.full((500, 8), 0.1)) == 0


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.floats(-50, 50), st.floats(1e-3, 1e3))
def test_nse_ignores_shift_rotation_and_scale(seed, shift, scale):
    torch.manual_seed(seed)
    frames = frames_like_an_encoders(1500, 16)
    value = nse(frames)
    assert 0 <= value <= 1
    assert nse(frames + shift) == pytest.approx(value, abs=1e-8)
    assert nse(frames @ random_rotation(16)) == pytest.approx(value, abs=1e-8)
    assert nse(frames * scale) == pytest.approx(value, abs=1e-8)


def test_cka_of_equal_rotated_scaled_and_mixed_frames():
    frames = frames_like_an_encoders()
    rotated = 7 * frames @ random_rotation(48) + 2
    assert moments_of(frames, frames).cka() == pytest.approx(1, abs=1e-12)
    assert moments_of(frames, rotated).cka() == pytest.approx(1, abs=1e-9)
    assert moments_of(frames, rotated).cka_debiased() == pytest.approx(1, abs=1e-9)
    mixed = frames @ (torch.diag(torch.logspace(0, 3, 48)).double() @ torch.randn(48, 48).double())
    assert moments_of(frames, mixed).cka() < 0.9


def test_cka_is_the_papers_formula_on_gram_matrices():
    first, second = frames_like_an_encoders(300, 12), torch.randn(300, 5).double()
    second[:, 0] += first[:, 0]
    centring = torch.eye(300).double() - 1 / 300
    grams = [centring @ frames @ frames.T @ centring for frames in (first, second)]
    expected = (grams[0] * grams[1]).sum() / (grams[0].norm() * grams[1].norm())
    assert moments_of(first, second).cka() == pytest.approx(float(expected), abs=1e-10)


def test_matrices_hold_every_pair():
    generator = torch.Generator().manual_seed(3)
    parts = [torch.randn(40, width, generator=generator) for width in (3, 5, 4)]
    moments = moments_of(*parts)
    for matrix, measure in zip(moments.cka_matrices(), (moments.cka, moments.cka_debiased), strict=True):
        assert matrix == [[pytest.approx(measure(a, b), abs=1e-12) for b in range(3)] for a in range(3)]


def test_debiased_cka_is_the_unbiased_estimator_and_about_zero_for_unrelated_frames():
    first, second = torch.randn(60, 50).double(), torch.randn(60, 50).double()
    moments = moments_of(first, second)
    assert moments.cka() > 0.3
    assert abs(moments.cka_debiased()) < 0.1

    def product(a, b):  # Song et al. 2012, equation 5, up to 1 / (n (n - 3))
        k, g = (m @ m.T for m in (a, b))
        k, g, n = k - k.diagonal().diag(), g - g.diagonal().diag(), len(a)
        return (k * g).sum() + k.sum() * g.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k.sum(0) @ g.sum(0))

    # On centred frames, as the linear form has it (Kornblith's code).
    first, second = first - first.mean(0), second - second.mean(0)
    expected = product(first, second) / (product(first, first) * product(second, second)).sqrt()
    assert moments.cka_debiased() == pytest.approx(float(expected), abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_streamed_equals_one_shot(dtype):
    first = frames_like_an_encoders(dtype=dtype)
    second = (first[:, :20] ** 2 + torch.randn(len(first), 20)).to(dtype)
    whole = moments_of(first, second)
    for batch_size in (1, 7, 1024, 2500):
        streamed = moments_of(first, second, batch_size=batch_size)
        for name in ("nse", "cka", "cka_debiased"):
            assert getattr(streamed, name)() == pytest.approx(getattr(whole, name)(), abs=1e-8)
    halves = moments_of(first[:1700], second[:1700])
    halves.merge(moments_of(first[1700:], second[1700:]))
    assert halves.count == whole.count
    assert halves.nse() == pytest.approx(whole.nse(), abs=1e-8)
    assert halves.cka_debiased() == pytest.approx(whole.cka_debiased(), abs=1e-8)


def test_what_was_merged_into_nothing_stays_as_it_was():
    frames = frames_like_an_encoders(600)
    other, merged = moments_of(frames[:300]), FrameMoments()
    before = other.nse()
    merged.merge(other)
    merged.merge(moments_of(frames[300:]))
    assert other.count == 300 and other.nse() == before
    assert other.mean().tolist() == pytest.approx(frames[:300].mean(0).tolist())
    assert merged.nse() == pytest.approx(moments_of(frames).nse(), abs=1e-8)
