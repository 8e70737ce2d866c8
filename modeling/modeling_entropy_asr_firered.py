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
"""FireRedASR's encoder (Xu et al. 2025, arXiv 2501.14350), made to stream: its weights, masks and cache of ours.

With full context it computes what github.com/FireRedTeam/FireRedASR publishes: a Conformer with relative positions
(Dai et al. 2019), whose depthwise convolution sees as many frames on both sides. In chunks that convolution sees zeros
behind its own chunk, and the frames before it as ever (dynamic chunk convolution, Li et al. 2023, arXiv 2304.09325).
Subsampling looks 30 ms ahead of a chunk: streams wait for exactly those three features. Positions are relative, so
that audio of any length has some; the published table ends at 200 s.
"""

import math
from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, auto_docstring

from .configuration_entropy_asr import EntropyASRFireRedEncoderConfig
from .encoder_attention_entropy_asr import EncoderAttention
from .encoder_cache_entropy_asr import EntropyASREncoderCache
from .modeling_entropy_asr_base import EncoderInputs, EntropyASRStreamingEncoder, FramePlaces


# Features that one frame is made of, and from one frame to the next: two convolutions of three, every second output.
FRAME_FEATURES, FRAME_SHIFT = 7, 4


def distance_embeddings(num_queries: int, num_keys: int, hidden_size: int, device: torch.device) -> torch.Tensor:
    """Sinusoids of how many frames a key is before a query, where the last query stands at the last key.

    Returns:
        `torch.Tensor` of shape `(num_queries + num_keys - 1, hidden_size)`, from the first key as the last query sees
        it to the last key as the first query does: sines in the even channels, cosines in the odd ones.
    """
    distances = torch.arange(num_keys - 1, -num_queries, -1, device=device, dtype=torch.float)
    channels = torch.arange(0, hidden_size, 2, device=device, dtype=torch.float)
    angles = distances[:, None] * torch.exp(channels * -(math.log(10000.0) / hidden_size))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def by_key(scores: torch.Tensor) -> torch.Tensor:
    """Scores of queries by distance, `(..., Q, Q + K - 1)` in the order of [`distance_embeddings`], as `(..., Q, K)`.

    Row i begins Q - 1 - i distances later: read as one line, with a column put before the first, the rows slide apart
    by just that (Dai et al. 2019, appendix B).
    """
    num_queries, num_distances = scores.shape[-2:]
    line = nn.functional.pad(scores, (1, 0)).flatten(-2)[..., num_queries:]
    return line.unflatten(-1, (num_queries, num_distances))[..., : num_distances - num_queries + 1]


class EntropyASRFireRedEncoderSubsampling(nn.Module):
    """Two strided convolutions: (B, 4 T + 3, num_mel_bins) at 100 Hz -> (B, T, hidden_size) at 25 Hz."""

    def __init__(self, config: EntropyASRFireRedEncoderConfig):
        super().__init__()
        channels = config.subsampling_channels
        self.act = nn.ReLU()
        self.conv1 = nn.Conv2d(1, channels, kernel_size=3, stride=2)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, stride=2)
        mel_bins = ((config.num_mel_bins - 1) // 2 - 1) // 2
        self.projection = nn.Linear(channels * mel_bins, config.hidden_size)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden = self.act(self.conv2(self.act(self.conv1(features[:, None]))))  # (B, C, T, F)
        return self.projection(hidden.transpose(1, 2).flatten(2))


class EntropyASRFireRedEncoderFeedForward(nn.Module):
    """Position-wise MLP behind its norm, (B, T, D) -> (B, T, D)."""

    def __init__(self, config: EntropyASRFireRedEncoderConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act = ACT2FN[config.hidden_act]
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.activation_dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        hidden = self.dropout(self.act(self.up_proj(self.norm(hidden_states))))
        return self.dropout(self.down_proj(hidden))


class EntropyASRFireRedEncoderAttention(EncoderAttention):
    """Self-attention (B, T, D) -> (B, T, D) with relative positions. Queries, keys, values: norms, no biases."""

    def __init__(self, config: EntropyASRFireRedEncoderConfig, layer_idx: int):
        super().__init__(config, layer_idx)
        size = config.hidden_size
        self.norm_q, self.norm_k, self.norm_v = [nn.LayerNorm(size, eps=config.layer_norm_eps) for _ in range(3)]
        self.q_proj = nn.Linear(size, size, bias=False)
        self.k_proj = nn.Linear(size, size, bias=False)
        self.v_proj = nn.Linear(size, size, bias=False)
        self.o_proj = nn.Linear(size, size, bias=False)
        self.position_proj = nn.Linear(size, size, bias=False)
        # What every query asks of keys for what they are, and for where they are.
        self.content_bias = nn.Parameter(torch.zeros(config.num_attention_heads, self.head_dim))
        self.position_bias = nn.Parameter(torch.zeros(config.num_attention_heads, self.head_dim))

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        position_embeddings: torch.Tensor,
        cache: EntropyASREncoderCache | None = None,
        cached_frames: int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        query = self.split_heads(self.q_proj(self.norm_q(hidden_states)))  # (B, H, Q, head_dim)
        key = self.split_heads(self.k_proj(self.norm_k(hidden_states)))
        value = self.split_heads(self.v_proj(self.norm_v(hidden_states)))
        key, value = self.remember(key, value, cache, cached_frames)  # (B, H, K, head_dim)
        distances = self.split_heads(self.position_proj(position_embeddings))  # (H, Q + K - 1, head_dim)
        scores = by_key((query + self.position_bias[:, None].to(query)) @ distances.transpose(1, 2)) * self.scaling
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
        query = query + self.content_bias[:, None].to(query)
        output, weights = self.attend(query, key, value, scores, **kwargs)
        return self.o_proj(output), weights


class EntropyASRFireRedEncoderConvolution(nn.Module):
    """Conformer convolution (B, T, D) -> (B, T, D) behind its norm, 2 D wide: GLU, depthwise, LayerNorm, SiLU."""

    def __init__(self, config: EntropyASRFireRedEncoderConfig, layer_idx: int):
        super().__init__()
        self.layer_idx = layer_idx
        self.side_frames = config.conv_kernel_size // 2
        width = 2 * config.hidden_size
        self.norm_in = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.pointwise1 = nn.Linear(config.hidden_size, 2 * width, bias=False)
        self.depthwise = nn.Conv1d(width, width, config.conv_kernel_size, groups=width, bias=False)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.act = ACT2FN[config.hidden_act]
        self.pointwise2 = nn.Linear(width, config.hidden_size, bias=False)
        self.dropout = nn.Dropout(config.activation_dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        frame_mask: torch.Tensor,
        chunk_size: int,
        cache: EntropyASREncoderCache | None = None,
    ) -> torch.Tensor:
        hidden = nn.functional.glu(self.pointwise1(self.norm_in(hidden_states)), dim=-1)
        hidden = hidden.masked_fill(~frame_mask[..., None], 0.0).transpose(1, 2)  # (B, 2 D, T)
        if cache is None:
            hidden = nn.functional.pad(hidden, (self.side_frames, 0))
        else:
            hidden = cache.left_context(f"layers.{self.layer_idx}.conv", hidden, self.side_frames, dim=2)
        hidden = self._convolve(hidden, chunk_size).transpose(1, 2)
        return self.dropout(self.pointwise2(self.act(self.norm(hidden))))

    def _convolve(self, hidden: torch.Tensor, chunk_size: int) -> torch.Tensor:
        """Depthwise convolution (B, C, left + T) -> (B, C, T): zeros behind the end, and behind each chunk."""
        if chunk_size == 0:
            return self.depthwise(nn.functional.pad(hidden, (0, self.side_frames)))
        num_frames = hidden.shape[2] - self.side_frames
        hidden = nn.functional.pad(hidden, (0, -num_frames % chunk_size))
        chunks = hidden.unfold(2, self.side_frames + chunk_size, chunk_size).transpose(1, 2)  # (B, N, C, left + chunk)
        chunks = nn.functional.pad(chunks, (0, self.side_frames))
        output = self.depthwise(chunks.flatten(0, 1)).unflatten(0, chunks.shape[:2])  # (B, N, C, chunk)
        return output.transpose(1, 2).flatten(2)[..., :num_frames]


class EntropyASRFireRedEncoderLayer(GradientCheckpointingLayer):
    """Conformer block (Gulati et al. 2020): half feed-forward, attention, convolution, half; (B, T, D) each."""

    def __init__(self, config: EntropyASRFireRedEncoderConfig, layer_idx: int):
        super().__init__()
        self.feed_forward1 = EntropyASRFireRedEncoderFeedForward(config)
        self.self_attn = EntropyASRFireRedEncoderAttention(config, layer_idx)
        self.conv = EntropyASRFireRedEncoderConvolution(config, layer_idx)
        self.feed_forward2 = EntropyASRFireRedEncoderFeedForward(config)
        self.norm_out = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        position_embeddings: torch.Tensor,
        frame_mask: torch.Tensor,
        chunk_size: int,
        cache: EntropyASREncoderCache | None = None,
        cached_frames: int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        hidden_states = hidden_states + 0.5 * self.feed_forward1(hidden_states)
        update, _ = self.self_attn(
            hidden_states,
            attention_mask=attention_mask,
            position_embeddings=position_embeddings,
            cache=cache,
            cached_frames=cached_frames,
            **kwargs,
        )
        hidden_states = hidden_states + self.dropout(update)
        hidden_states = hidden_states + self.conv(hidden_states, frame_mask, chunk_size, cache)
        hidden_states = hidden_states + 0.5 * self.feed_forward2(hidden_states)
        return self.norm_out(hidden_states)


@auto_docstring(custom_intro="FireRedASR's encoder, made to stream: 100 Hz filterbank features to 25 Hz frames.")
class EntropyASRFireRedEncoder(EntropyASRStreamingEncoder):
    config: EntropyASRFireRedEncoderConfig
    _no_split_modules = ["EntropyASRFireRedEncoderLayer"]
    _can_record_outputs = {
        "hidden_states": EntropyASRFireRedEncoderLayer,
        "attentions": EntropyASRFireRedEncoderAttention,
    }
    # Its kernels add nothing to scores, which is how relative positions enter.
    _supports_flash_attn = False
    num_look_ahead = FRAME_FEATURES - FRAME_SHIFT

    def __init__(self, config: EntropyASRFireRedEncoderConfig):
        super().__init__(config)
        self.subsampling = EntropyASRFireRedEncoderSubsampling(config)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(
            [EntropyASRFireRedEncoderLayer(config, i) for i in range(config.num_hidden_layers)]
        )
        self.gradient_checkpointing = False
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        if isinstance(module, EntropyASRFireRedEncoderAttention):
            init.xavier_uniform_(module.content_bias)
            init.xavier_uniform_(module.position_bias)

    def get_input_embeddings(self) -> nn.Module:
        return self.subsampling.projection

    def set_input_embeddings(self, value: nn.Module):
        self.subsampling.projection = value

    def embed(self, inputs: EncoderInputs) -> torch.Tensor:
        # Behind the last feature are zeros, as the published encoder puts there, whatever padding has in it.
        features, mask, _, look_ahead = inputs
        if mask is not None:
            features = features.masked_fill(~mask[..., None].bool(), 0.0)
        if look_ahead is None:
            look_ahead = features.new_zeros(len(features), self.num_look_ahead, features.shape[2])
        missing = -features.shape[1] % FRAME_SHIFT
        features = torch.cat([features, look_ahead.to(features)], dim=1)
        return self.subsampling(nn.functional.pad(features, (0, 0, 0, missing)))

    def prepare_layers(self, hidden_states: torch.Tensor, places: FramePlaces) -> tuple[torch.Tensor, dict[str, Any]]:
        # In streams, too, keys are consecutive frames up to the last query: where they stand is what masks decide.
        num_queries, num_keys = places.visible.shape[-2:]
        embeddings = distance_embeddings(num_queries, num_keys, self.config.hidden_size, hidden_states.device)
        layer_inputs = {
            "position_embeddings": self.dropout(embeddings.to(hidden_states.dtype)),
            "frame_mask": places.mask,
            "chunk_size": places.chunk_size,
        }
        return self.dropout(hidden_states), layer_inputs


__all__ = ["EntropyASRFireRedEncoder"]
