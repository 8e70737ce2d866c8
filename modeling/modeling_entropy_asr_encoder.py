# Copyright 2026 The entropy-asr authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Causal Conformer speech encoder with dynamic chunk masks, and its phoneme CTC model.

Differences from FireRedASR's encoder (which is [`EntropyASRFireRedEncoder`]): rotary positions; a depthwise
convolution that is causal and half as wide; causal subsampling; one norm before attention, not one each for queries,
keys and values. As there, LayerNorm stands where Conformers have BatchNorm, which drifts when frozen and makes an
utterance depend on its batch. The output of a frame depends on its own chunk and on earlier frames only, so that
chunked equals full under the same mask, and streams wait for nothing behind a chunk.
"""

from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, auto_docstring

from .configuration_entropy_asr import EntropyASREncoderConfig
from .encoder_attention_entropy_asr import EncoderAttention
from .encoder_cache_entropy_asr import EntropyASREncoderCache
from .modeling_entropy_asr_base import EncoderInputs, EntropyASRStreamingEncoder, FramePlaces


def rotate_half(x: torch.Tensor) -> torch.Tensor:
    """Turn each channel pair of `(..., head_dim)` by 90 degrees (rotary positions, Su et al. 2021)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


class EntropyASREncoderRotaryEmbedding(nn.Module):
    """Cosines and sines `(T, head_dim)`, or `(B, 1, T, head_dim)`, of absolute frame positions `(T,)` or `(B, T)`."""

    def __init__(self, head_dim: int, theta: float):
        super().__init__()
        self.head_dim = head_dim
        self.theta = theta
        self.inv_freq = nn.Buffer(self.compute_inv_freq(), persistent=False)

    def compute_inv_freq(self) -> torch.Tensor:
        """Angular step per frame of each channel pair, `(head_dim / 2,)`."""
        return self.theta ** -(torch.arange(0, self.head_dim, 2, dtype=torch.float) / self.head_dim)

    @torch.no_grad()
    def forward(self, positions: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        angles = positions[..., None].float() * self.inv_freq.to(positions.device, torch.float)
        angles = torch.cat((angles, angles), dim=-1)  # (T, head_dim) or (B, T, head_dim)
        if positions.ndim == 2:
            angles = angles[:, None]  # the same for all heads
        return angles.cos().to(dtype), angles.sin().to(dtype)


class EntropyASREncoderSubsampling(nn.Module):
    """Two causal strided convolutions: (B, T, num_mel_bins) at 100 Hz -> (B, ceil(T / 4), hidden_size) at 25 Hz."""

    def __init__(self, config: EntropyASREncoderConfig):
        super().__init__()
        channels = config.subsampling_channels
        self.act = nn.ReLU()
        self.conv1 = nn.Conv2d(1, channels, kernel_size=3, stride=2, padding=(0, 1))
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=(0, 1))
        mel_bins = (config.num_mel_bins + 1) // 2
        self.projection = nn.Linear(channels * ((mel_bins + 1) // 2), config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, features: torch.Tensor, cache: EntropyASREncoderCache | None = None) -> torch.Tensor:
        hidden = features[:, None]  # (B, 1, T, F)
        for name, conv in (("conv1", self.conv1), ("conv2", self.conv2)):
            if cache is None:
                hidden = nn.functional.pad(hidden, (0, 0, 2, 0))
            else:
                hidden = cache.left_context(f"subsampling.{name}", hidden, width=2, dim=2)
            hidden = self.act(conv(hidden))
        hidden = hidden.transpose(1, 2).flatten(2)  # (B, T/4, C * F/4)
        return self.dropout(self.projection(hidden))


class EntropyASREncoderFeedForward(nn.Module):
    """Position-wise MLP (B, T, D) -> (B, T, D)."""

    def __init__(self, config: EntropyASREncoderConfig):
        super().__init__()
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act = ACT2FN[config.hidden_act]
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.down_proj(self.dropout(self.act(self.up_proj(hidden_states))))


class EntropyASREncoderAttention(EncoderAttention):
    """Multi-head self-attention with rotary positions: (B, T, D) -> (B, T, D), and the kernel's weights."""

    def __init__(self, config: EntropyASREncoderConfig, layer_idx: int):
        super().__init__(config, layer_idx)
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        cache: EntropyASREncoderCache | None = None,
        cached_frames: int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        query = self.split_heads(self.q_proj(hidden_states))  # (B, H, T, head_dim)
        key = self.split_heads(self.k_proj(hidden_states))
        value = self.split_heads(self.v_proj(hidden_states))
        cos, sin = position_embeddings
        query = query * cos + rotate_half(query) * sin
        key = key * cos + rotate_half(key) * sin
        key, value = self.remember(key, value, cache, cached_frames)
        output, weights = self.attend(query, key, value, attention_mask, **kwargs)
        return self.o_proj(output), weights


class EntropyASREncoderConvolution(nn.Module):
    """Causal Conformer convolution (B, T, D) -> (B, T, D): pointwise GLU, depthwise, LayerNorm, SiLU, pointwise."""

    def __init__(self, config: EntropyASREncoderConfig, layer_idx: int):
        super().__init__()
        self.layer_idx = layer_idx
        self.left_context = config.conv_kernel_size - 1
        self.pointwise1 = nn.Linear(config.hidden_size, 2 * config.hidden_size)
        self.depthwise = nn.Conv1d(
            config.hidden_size, config.hidden_size, config.conv_kernel_size, groups=config.hidden_size
        )
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.act = ACT2FN[config.hidden_act]
        self.pointwise2 = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor, cache: EntropyASREncoderCache | None = None) -> torch.Tensor:
        hidden = nn.functional.glu(self.pointwise1(hidden_states), dim=-1).transpose(1, 2)  # (B, D, T)
        if cache is None:
            hidden = nn.functional.pad(hidden, (self.left_context, 0))
        else:
            hidden = cache.left_context(f"layers.{self.layer_idx}.conv", hidden, self.left_context, dim=2)
        hidden = self.depthwise(hidden).transpose(1, 2)
        return self.pointwise2(self.act(self.norm(hidden)))


class EntropyASREncoderLayer(GradientCheckpointingLayer):
    """Conformer block (Gulati et al. 2020): half feed-forward, attention, convolution, half; (B, T, D) each."""

    def __init__(self, config: EntropyASREncoderConfig, layer_idx: int):
        super().__init__()
        self.feed_forward1 = EntropyASREncoderFeedForward(config)
        self.self_attn = EntropyASREncoderAttention(config, layer_idx)
        self.conv = EntropyASREncoderConvolution(config, layer_idx)
        self.feed_forward2 = EntropyASREncoderFeedForward(config)
        norms = [nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) for _ in range(5)]
        self.norm_feed_forward1, self.norm_self_attn, self.norm_conv, self.norm_feed_forward2, self.norm_out = norms
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        cache: EntropyASREncoderCache | None = None,
        cached_frames: int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        update = self.feed_forward1(self.norm_feed_forward1(hidden_states))
        hidden_states = hidden_states + 0.5 * self.dropout(update)
        update, _ = self.self_attn(
            self.norm_self_attn(hidden_states),
            attention_mask=attention_mask,
            position_embeddings=position_embeddings,
            cache=cache,
            cached_frames=cached_frames,
            **kwargs,
        )
        hidden_states = hidden_states + self.dropout(update)
        hidden_states = hidden_states + self.dropout(self.conv(self.norm_conv(hidden_states), cache=cache))
        update = self.feed_forward2(self.norm_feed_forward2(hidden_states))
        hidden_states = hidden_states + 0.5 * self.dropout(update)
        return self.norm_out(hidden_states)


@auto_docstring(custom_intro="Causal Conformer speech encoder (paper, Architecture): 100 Hz features to 25 Hz frames.")
class EntropyASREncoder(EntropyASRStreamingEncoder):
    config: EntropyASREncoderConfig
    _no_split_modules = ["EntropyASREncoderLayer"]
    _can_record_outputs = {"hidden_states": EntropyASREncoderLayer, "attentions": EntropyASREncoderAttention}

    def __init__(self, config: EntropyASREncoderConfig):
        super().__init__(config)
        self.subsampling = EntropyASREncoderSubsampling(config)
        head_dim = config.hidden_size // config.num_attention_heads
        self.rotary_emb = EntropyASREncoderRotaryEmbedding(head_dim, config.rope_parameters["rope_theta"])
        self.layers = nn.ModuleList([EntropyASREncoderLayer(config, i) for i in range(config.num_hidden_layers)])
        self.gradient_checkpointing = False
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        if isinstance(module, EntropyASREncoderRotaryEmbedding):
            init.copy_(module.inv_freq, module.compute_inv_freq())

    def get_input_embeddings(self) -> nn.Module:
        return self.subsampling.projection

    def set_input_embeddings(self, value: nn.Module):
        self.subsampling.projection = value

    def embed(self, inputs: EncoderInputs) -> torch.Tensor:
        return self.subsampling(inputs.features, inputs.cache)

    def prepare_layers(self, hidden_states: torch.Tensor, places: FramePlaces) -> tuple[torch.Tensor, dict[str, Any]]:
        return hidden_states, {"position_embeddings": self.rotary_emb(places.positions, hidden_states.dtype)}


__all__ = ["EntropyASREncoder"]
