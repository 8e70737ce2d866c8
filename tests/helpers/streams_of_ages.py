# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Streams that began at different times, encoded in one batch; for every encoder that waits for what is ahead."""

import torch

from entropy_asr.modeling.encoder_cache_entropy_asr import EntropyASREncoderCache
from entropy_asr.modeling.modeling_entropy_asr_base import EntropyASRStreamingEncoder


@torch.no_grad()
def check_streams_of_different_ages(
    encoder: EntropyASRStreamingEncoder, chunk_features: int, lengths: list[int]
) -> None:
    """Each stream's frames are those of its whole utterance, 80 channels, under the same chunk mask.

    Args:
        encoder: In evaluation mode.
        chunk_features: Features of a chunk of three frames.
        lengths: Features of each stream; one begins a chunk after the one before it.
    """
    settings, waits = {"chunk_size": 3, "left_chunks": 1}, encoder.num_look_ahead
    features = [torch.randn(1, length, 80) for length in lengths]
    caches, outputs = [EntropyASREncoderCache() for _ in features], [[] for _ in features]
    for step in range(9):
        ages = {row: chunk_features * (step - row) for row in range(len(lengths))}
        starts = {row: start for row, start in ages.items() if 0 <= start < lengths[row]}
        if not starts:
            continue
        ends = {row: start + chunk_features for row, start in starts.items()}
        pieces = [features[row][0, start : ends[row]] for row, start in starts.items()]
        ahead = [features[row][0, end : end + waits] for row, end in ends.items()]
        ahead = torch.stack([torch.nn.functional.pad(x, (0, 0, 0, waits - len(x))) for x in ahead])
        batch = torch.nn.utils.rnn.pad_sequence(pieces, batch_first=True)
        mask = torch.arange(batch.shape[1])[None, :] < torch.tensor([[len(piece)] for piece in pieces])
        stacked = EntropyASREncoderCache.stack([caches[row] for row in starts])
        encoded = encoder(batch, attention_mask=mask, cache=stacked, look_ahead=ahead, **settings)
        for index, (row, cache) in enumerate(zip(starts, stacked.unstack(), strict=True)):
            caches[row] = cache
            outputs[row].append(encoded.last_hidden_state[index][encoded.attention_mask[index]])
    for x, parts in zip(features, outputs, strict=True):
        full = encoder(x, **settings).last_hidden_state[0]
        assert (torch.cat(parts) - full).abs().max() < 1e-5
