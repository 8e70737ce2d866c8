# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Streams that share a batch do not touch each other."""

import pytest
import torch
from small_models import build_encoder

from entropy_asr.modeling import (
    EntropyASREncoder,
    EntropyASREncoderCache,
)


@pytest.fixture(scope="module")
def encoder() -> EntropyASREncoder:
    return build_encoder()


def test_two_streams_do_not_touch_each_other(encoder):
    first, second = torch.randn(2, 1, 64, 80)
    with torch.no_grad():
        expected = encoder(first, chunk_size=4).last_hidden_state
        caches, chunks = (EntropyASREncoderCache(), EntropyASREncoderCache()), []
        for ours, other in zip(first.split(16, dim=1), second.split(16, dim=1), strict=True):
            chunks.append(encoder(ours, chunk_size=4, cache=caches[0]).last_hidden_state)
            encoder(other, chunk_size=4, cache=caches[1])
    assert (torch.cat(chunks, dim=1) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("left_chunks", [-1, 0, 2])
def test_streams_of_different_ages_share_a_batch(encoder, left_chunks):
    """Six streams begin at different chunks; one ends in the middle of a chunk."""
    settings = {"chunk_size": 3, "left_chunks": left_chunks}
    lengths = [12 * 9, 12 * 7, 12 * 4 + 5, 12 * 5, 12 * 2, 12 * 8]
    features = [torch.randn(1, length, 80) for length in lengths]
    caches = [EntropyASREncoderCache() for _ in features]
    outputs: list[list[torch.Tensor]] = [[] for _ in features]
    with torch.no_grad():
        for step in range(14):
            pieces = [(row, x[:, 12 * (step - row) : 12 * (step - row + 1)]) for row, x in enumerate(features)]
            active = [(row, piece[0]) for row, piece in pieces if step >= row and piece.shape[1]]
            if not active:
                continue
            batch = torch.nn.utils.rnn.pad_sequence([piece for _, piece in active], batch_first=True)
            mask = torch.arange(batch.shape[1])[None, :] < torch.tensor([[len(piece)] for _, piece in active])
            stacked = EntropyASREncoderCache.stack([caches[row] for row, _ in active])
            encoded = encoder(batch, attention_mask=mask, cache=stacked, **settings)
            for index, ((row, _), cache) in enumerate(zip(active, stacked.unstack(), strict=True)):
                caches[row] = cache
                outputs[row].append(encoded.last_hidden_state[index][encoded.attention_mask[index]])
        for x, parts in zip(features, outputs, strict=True):
            full = encoder(x, **settings).last_hidden_state[0]
            assert torch.cat(parts).shape == full.shape
            assert (torch.cat(parts) - full).abs().max() < 1e-5
