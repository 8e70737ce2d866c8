# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What self-attention is in all speech encoders of this project: heads, a stream's earlier frames, masks, kernels.

An encoder's own attention has the projections, by the names that its weights have, and says how positions enter.
"""

from collections.abc import Callable

import torch
from torch import nn
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs

from .encoder_cache_entropy_asr import EntropyASREncoderCache


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Unpack[TransformersKwargs],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Plain attention over `(batch, heads, time, head_dim)`; returns `(batch, time, heads, head_dim)` and weights.

    `attention_mask` is True where attention is allowed, or, of a floating-point dtype, what is added to the scores.
    """
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores = scores + attention_mask
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class EncoderAttention(nn.Module):
    """Multi-head self-attention; keys and values of earlier chunks come from the cache.

    Subclasses have the projections and a forward pass of them, [`remember`] and [`attend`].

    Args:
        config: of the encoder: `hidden_size`, `num_attention_heads`, `attention_dropout`.
        layer_idx: which layer's.
    """

    def __init__(self, config: PreTrainedConfig, layer_idx: int):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.num_key_value_groups = 1
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_dropout
        self.is_causal = False

    def split_heads(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Frames `(..., num_frames, hidden_size)` as `(..., num_heads, num_frames, head_dim)`."""
        return hidden_states.unflatten(-1, (-1, self.head_dim)).transpose(-3, -2)

    def remember(
        self, key: torch.Tensor, value: torch.Tensor, cache: EntropyASREncoderCache | None, cached_frames: int | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values `(batch_size, num_heads, num_frames, head_dim)` behind those of the frames before them.

        Args:
            key, value: of the frames at hand.
            cache: state of the stream that they continue, which keeps them; None outside streams.
            cached_frames: how many frames it keeps for the next chunk, None for all.
        """
        if cache is None:
            return key, value
        key = cache.extend(f"layers.{self.layer_idx}.key", key, cached_frames, dim=2)
        return key, cache.extend(f"layers.{self.layer_idx}.value", value, cached_frames, dim=2)

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What the frames of `query` take from those of `value`, by the kernel that the configuration names.

        Args:
            query, key, value: `(batch_size, num_heads, num_frames, head_dim)`.
            attention_mask: True where attention is allowed, or what is added to the scores.

        Returns:
            Frames `(batch_size, num_frames, hidden_size)`, and the weights where the kernel gives them.
        """
        attention: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        output, weights = attention(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return output.flatten(-2), weights


__all__ = ["EncoderAttention", "eager_attention_forward"]
