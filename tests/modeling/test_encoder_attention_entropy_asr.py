# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What all encoders' attention shares: kernels that agree, masks of both kinds, what streams remember."""

import pytest
import torch
from small_models import small_encoder_config

from entropy_asr.modeling import EntropyASREncoderCache
from entropy_asr.modeling.encoder_attention_entropy_asr import EncoderAttention


def tensors(num_frames: int = 6) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, 4, num_frames, 8) for _ in range(3)]


def attention(implementation: str) -> EncoderAttention:
    config = small_encoder_config()
    config._attn_implementation = implementation
    return EncoderAttention(config, layer_idx=0).eval()


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_what_is_added_to_scores_counts_as_a_mask_does(implementation):
    """Relative positions are added to scores; far below zero they hide a frame as a boolean mask does."""
    visible = torch.rand(2, 1, 6, 6) > 0.4
    visible |= torch.eye(6, dtype=torch.bool)
    added = torch.zeros(2, 1, 6, 6).masked_fill(~visible, torch.finfo(torch.float).min)
    hidden, _ = attention(implementation).attend(*tensors(), visible)
    assert hidden.shape == (2, 6, 32)
    assert torch.allclose(attention(implementation).attend(*tensors(), added)[0], hidden, atol=1e-6)
    shifted, _ = attention(implementation).attend(*tensors(), added + torch.arange(6.0))
    assert (shifted - hidden).abs().max() > 0.1


def test_kernels_agree_and_eager_gives_weights():
    added = torch.randn(2, 4, 6, 6)
    (fused, none), (plain, weights) = [attention(kind).attend(*tensors(), added) for kind in ("sdpa", "eager")]
    assert torch.allclose(fused, plain, atol=1e-6)
    assert none is None and torch.allclose(weights.sum(-1), torch.ones(2, 4, 6))


def test_heads_are_split_as_they_are_joined_again():
    frames = torch.randn(2, 6, 32)
    heads = attention("sdpa").split_heads(frames)
    assert heads.shape == (2, 4, 6, 8)
    assert torch.equal(heads.transpose(1, 2).flatten(-2), frames)
    assert attention("sdpa").split_heads(frames[0]).shape == (4, 6, 8)


def test_streams_remember_as_many_frames_as_they_are_told():
    module, cache = attention("sdpa"), EntropyASREncoderCache()
    _, key, value = tensors()
    assert module.remember(key, value, None, None) == (key, value)
    module.remember(key, value, cache, 4)
    both = [torch.cat([x[:, :, 2:], x], dim=2) for x in (key, value)]
    assert all(torch.equal(x, y) for x, y in zip(module.remember(key, value, cache, 4), both, strict=True))
