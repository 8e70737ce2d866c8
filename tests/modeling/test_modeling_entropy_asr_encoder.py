# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The encoder: padding, and streaming against one full pass."""

import pytest
import torch
from small_models import build_encoder, padded_batch, small_encoder_config

from entropy_asr.modeling import (
    EntropyASREncoder,
    EntropyASREncoderCache,
)


@pytest.fixture(scope="module")
def encoder() -> EntropyASREncoder:
    return build_encoder()


@pytest.mark.parametrize("chunk_size", [0, 3])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_padding_changes_nothing(encoder, implementation, chunk_size):
    encoder.set_attn_implementation(implementation)
    lengths = [61, 7, 40, 33]
    features, mask = padded_batch(lengths)
    with torch.no_grad():
        batch = encoder(features, attention_mask=mask, chunk_size=chunk_size)
        assert batch.attention_mask.sum(-1).tolist() == [16, 2, 10, 9]
        for row, length in enumerate(lengths):
            alone = encoder(features[row : row + 1, :length], chunk_size=chunk_size).last_hidden_state[0]
            assert (batch.last_hidden_state[row, : len(alone)] - alone).abs().max() < 1e-5
    encoder.set_attn_implementation("sdpa")


def test_eager_attention_equals_sdpa(encoder):
    features, mask = padded_batch([50, 21])
    with torch.no_grad():
        expected = encoder(features, attention_mask=mask, chunk_size=4, left_chunks=1).last_hidden_state
        encoder.set_attn_implementation("eager")
        eager = encoder(features, attention_mask=mask, chunk_size=4, left_chunks=1, output_attentions=True)
    encoder.set_attn_implementation("sdpa")
    assert (eager.last_hidden_state - expected).abs().max() < 1e-5
    assert eager.attentions[0][0, :, 0, 4:].abs().max() == 0  # the first frame sees its chunk only


@pytest.mark.parametrize("chunk_size", [1, 3, 8])
@pytest.mark.parametrize("left_chunks", [-1, 0, 2])
@pytest.mark.parametrize("num_features", [96, 101])
def test_streaming_equals_one_pass_under_the_same_mask(encoder, chunk_size, left_chunks, num_features):
    """101 features end inside an encoder frame and, for all chunk sizes but 1, inside a chunk."""
    settings = {"chunk_size": chunk_size, "left_chunks": left_chunks}
    features = torch.randn(2, num_features, 80)
    cache, chunks = EntropyASREncoderCache(), []
    with torch.no_grad():
        full = encoder(features, **settings).last_hidden_state
        for piece in features.split(4 * chunk_size, dim=1):
            chunks.append(encoder(piece, cache=cache, **settings).last_hidden_state)
    streamed = torch.cat(chunks, dim=1)
    assert streamed.shape == full.shape == (2, -(-num_features // 4), 32)
    assert cache.seen_frames == full.shape[1]
    assert (streamed - full).abs().max() < 1e-5


def test_calls_of_several_chunks_equal_calls_of_one(encoder):
    features = torch.randn(1, 96, 80)
    with torch.no_grad():
        full = encoder(features, chunk_size=2, left_chunks=2).last_hidden_state
        cache = EntropyASREncoderCache()
        pieces = features.split([8, 40, 24, 24], dim=1)
        chunks = [encoder(p, chunk_size=2, left_chunks=2, cache=cache).last_hidden_state for p in pieces]
    assert (torch.cat(chunks, dim=1) - full).abs().max() < 1e-5


def test_a_frame_does_not_depend_on_later_chunks(encoder):
    features = torch.randn(1, 64, 80)
    changed = features.clone()
    changed[:, 32:] = 0
    with torch.no_grad():
        full, other = (encoder(x, chunk_size=4).last_hidden_state for x in (features, changed))
        unmasked = encoder(changed, chunk_size=0).last_hidden_state - encoder(features).last_hidden_state
    assert (full[:, :8] - other[:, :8]).abs().max() == 0
    assert unmasked[:, :8].abs().max() > 1e-3


def test_full_context_cannot_be_streamed(encoder):
    with pytest.raises(ValueError, match="chunk_size"):
        encoder(torch.randn(1, 16, 80), cache=EntropyASREncoderCache())


def test_flash_attention_refuses_chunks():
    encoder = EntropyASREncoder(small_encoder_config())
    encoder.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match="Flash attention has no chunk masks"):
        encoder(torch.randn(1, 16, 80), chunk_size=2)
