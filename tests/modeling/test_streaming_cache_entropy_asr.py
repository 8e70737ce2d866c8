# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Keys and values of many streams in one cache."""

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from entropy_asr.modeling.streaming_cache_entropy_asr import grouped_attention_forward


def test_grouped_attention_equals_transformers(model):
    """Key and value heads are shared by two query heads, and the mask hides some keys."""
    torch.manual_seed(0)
    query, (key, value) = torch.randn(2, 4, 3, 8), torch.randn(2, 2, 2, 9, 8)
    mask = torch.zeros(2, 1, 3, 9).masked_fill(torch.rand(2, 1, 3, 9) < 0.4, torch.finfo(torch.float32).min)
    module = model.model.language_model.layers[0].self_attn
    expected, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=0.3)
    grouped, _ = grouped_attention_forward(module, query, key, value, mask, scaling=0.3)
    assert (grouped - expected).abs().max() < 1e-6
    assert model.model.language_model.config._attn_implementation == "sdpa"
