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
"""Whisper's encoder (Radford et al. 2022), made to stream: weights of any Whisper checkpoint, masks and cache of ours.

Differences from transformers' own: as many positions as the utterance has frames instead of 30 s of padding; padding
is kept out of convolutions and attention, so that batches change nothing; chunk and left-context masks; a cache of
keys and values. The two convolutions look 10 ms ahead of a chunk: streams wait for exactly that feature frame. Weights
have the names that they have in Whisper; with a full mask and the same features, outputs are the same.
"""

from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.whisper.modeling_whisper import sinusoids
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, auto_docstring

from .configuration_entropy_asr import EntropyASRWhisperEncoderConfig
from .encoder_attention_entropy_asr import EncoderAttention
from .encoder_cache_entropy_asr import EntropyASREncoderCache
from .modeling_entropy_asr_base import EncoderInputs, EntropyASRStreamingEncoder, FramePlaces


class EntropyASRWhisperEncoderPositions(nn.Module):
    """Table of positions `(max_position_embeddings, hidden_size)`: sinusoids, which Whisper does not train.

    They are computed, not saved: of a small model they would be more than a layer's attention.
    """

    def __init__(self, num_positions: int, hidden_size: int):
        super().__init__()
        self.weight = nn.Buffer(sinusoids(num_positions, hidden_size), persistent=False)

    def forward(self, positions: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        """Embeddings of absolute frame positions, with one more axis of `hidden_size`.

        Args:
            positions (`torch.Tensor` of shape `(num_frames,)` or `(batch_size, num_frames)`): in frames.
            frame_mask (`torch.Tensor` of shape `(batch_size, num_frames)`): True for real frames; others, whose
                output nobody reads, may be behind the last position.

        Raises:
            ValueError: a real frame for which there is no position.
        """
        last = len(self.weight) - 1
        if not torch.compiler.is_compiling() and bool(((positions > last) & frame_mask).any()):
            raise ValueError(
                f"The audio is longer than the {last + 1} frames ({(last + 1) / 50:g} s) that the encoder has "
                "positions for: encode it in shorter pieces."
            )
        return nn.functional.embedding(positions.clamp(max=last), self.weight)


class EntropyASRWhisperEncoderAttention(EncoderAttention):
    """Multi-head self-attention (B, T, D) -> (B, T, D) without positions. Keys have no bias."""

    def __init__(self, config: EntropyASRWhisperEncoderConfig, layer_idx: int):
        super().__init__(config, layer_idx)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        cache: EntropyASREncoderCache | None = None,
        cached_frames: int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        query = self.split_heads(self.q_proj(hidden_states))  # (B, H, T, head_dim)
        key = self.split_heads(self.k_proj(hidden_states))
        value = self.split_heads(self.v_proj(hidden_states))
        key, value = self.remember(key, value, cache, cached_frames)
        output, weights = self.attend(query, key, value, attention_mask, **kwargs)
        return self.out_proj(output), weights


class EntropyASRWhisperEncoderLayer(GradientCheckpointingLayer):
    """Transformer layer, norms first: (B, T, D) -> (B, T, D)."""

    def __init__(self, config: EntropyASRWhisperEncoderConfig, layer_idx: int):
        super().__init__()
        self.self_attn = EntropyASRWhisperEncoderAttention(config, layer_idx)
        self.self_attn_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.act = ACT2FN[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.activation_dropout = nn.Dropout(config.activation_dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        cache: EntropyASREncoderCache | None = None,
        cached_frames: int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        update, _ = self.self_attn(
            self.self_attn_layer_norm(hidden_states),
            attention_mask=attention_mask,
            cache=cache,
            cached_frames=cached_frames,
            **kwargs,
        )
        hidden_states = hidden_states + self.dropout(update)
        update = self.activation_dropout(self.act(self.fc1(self.final_layer_norm(hidden_states))))
        hidden_states = hidden_states + self.dropout(self.fc2(update))
        if hidden_states.dtype == torch.float16:  # large models leave its range
            limit = torch.finfo(torch.float16).max - 1000
            hidden_states = hidden_states.clamp(-limit, limit)
        return hidden_states


@auto_docstring(custom_intro="Whisper's encoder, made to stream: 100 Hz log-Mel features to 50 Hz frames.")
class EntropyASRWhisperEncoder(EntropyASRStreamingEncoder):
    config: EntropyASRWhisperEncoderConfig
    _no_split_modules = ["EntropyASRWhisperEncoderLayer"]
    _can_record_outputs = {
        "hidden_states": EntropyASRWhisperEncoderLayer,
        "attentions": EntropyASRWhisperEncoderAttention,
    }
    # A frame is made of five features, two of them behind its own; one of those is in the next chunk.
    num_look_ahead = 1

    def __init__(self, config: EntropyASRWhisperEncoderConfig):
        super().__init__(config)
        self.conv1 = nn.Conv1d(config.num_mel_bins, config.hidden_size, kernel_size=3)
        self.conv2 = nn.Conv1d(config.hidden_size, config.hidden_size, kernel_size=3, stride=2)
        self.act = ACT2FN[config.hidden_act]
        self.embed_positions = EntropyASRWhisperEncoderPositions(config.max_position_embeddings, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(
            [EntropyASRWhisperEncoderLayer(config, i) for i in range(config.num_hidden_layers)]
        )
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        if isinstance(module, EntropyASRWhisperEncoderPositions):
            init.copy_(module.weight, sinusoids(*module.weight.shape))

    def get_input_embeddings(self) -> nn.Module:
        return self.conv1

    def set_input_embeddings(self, value: nn.Module):
        self.conv1 = value

    def embed(self, inputs: EncoderInputs) -> torch.Tensor:
        # Behind the last feature both convolutions see zeros, as at the end of an unpadded utterance.
        features, mask, cache, look_ahead = inputs
        keep = None if mask is None else mask[:, None, :].to(features.dtype)  # (B, 1, T)
        hidden = features.transpose(1, 2)  # (B, F, T)
        hidden = hidden if keep is None else hidden * keep
        if look_ahead is None:
            ahead = hidden.new_zeros(*hidden.shape[:2], 1)
        else:
            ahead = look_ahead.to(hidden.dtype).transpose(1, 2)
        hidden = self.act(self.conv1(torch.cat([self._with_left_context("conv1", hidden, cache), ahead], dim=2)))
        hidden = hidden if keep is None else hidden * keep
        missing = hidden.shape[2] % 2
        hidden = nn.functional.pad(self._with_left_context("conv2", hidden, cache), (0, missing))
        return self.act(self.conv2(hidden)).transpose(1, 2)  # (B, ceil(T / 2), D)

    @staticmethod
    def _with_left_context(name: str, inputs: torch.Tensor, cache: EntropyASREncoderCache | None) -> torch.Tensor:
        """Inputs (B, C, T) of a convolution behind the one that was before them, (B, C, 1 + T)."""
        if cache is None:
            return nn.functional.pad(inputs, (1, 0))
        return cache.left_context(f"embedding.{name}", inputs, width=1, dim=2)

    def prepare_layers(self, hidden_states: torch.Tensor, places: FramePlaces) -> tuple[torch.Tensor, dict[str, Any]]:
        return self.dropout(hidden_states + self.embed_positions(places.positions, places.mask)), {}

    def finish(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.layer_norm(hidden_states)


__all__ = ["EntropyASRWhisperEncoder"]
