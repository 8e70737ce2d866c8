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
"""What all speech encoders of this project share: one interface, one attention mask, one way through their layers.

An encoder says how it turns features into frames ([`EntropyASRStreamingEncoder.embed`]) and how positions enter;
masks, chunks and what is remembered between chunks are the same for all.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, auto_docstring
from transformers.utils.generic import is_flash_attention_requested, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_entropy_asr import EntropyASREncoderConfig
from .encoder_cache_entropy_asr import EntropyASREncoderCache
from .encoder_rules_entropy_asr import encoder_length_stages, output_length


def create_chunk_mask(
    query_positions: torch.Tensor,
    key_positions: torch.Tensor,
    key_mask: torch.Tensor,
    chunk_size: int = 0,
    left_chunks: int = -1,
) -> torch.Tensor:
    """The one attention mask of encoders: offline, in training with sampled chunks, and streaming.

    A query sees every valid key of its own chunk and of `left_chunks` chunks before it. Queries also see themselves,
    so that no row is empty: padded queries have an output, which nobody reads.

    Args:
        query_positions (`torch.Tensor` of shape `(num_queries,)` or `(batch_size, num_queries)`): absolute frame
            positions.
        key_positions (`torch.Tensor` of shape `(num_keys,)` or `(batch_size, num_keys)`): likewise.
        key_mask (`torch.Tensor` of shape `(batch_size, num_keys)`): True for valid keys.
        chunk_size (`int`): frames in a chunk, 0 for full context.
        left_chunks (`int`): visible earlier chunks, -1 for all.

    Returns:
        `torch.Tensor` of shape `(batch_size, 1, num_queries, num_keys)`, True where attention is allowed.
    """
    itself = query_positions[..., :, None] == key_positions[..., None, :]  # (Q, K) or (B, Q, K)
    visible = torch.ones_like(itself)
    if chunk_size > 0:
        distance = query_positions[..., :, None] // chunk_size - key_positions[..., None, :] // chunk_size
        visible = distance >= 0
        if left_chunks >= 0:
            visible = visible & (distance <= left_chunks)
    return ((visible & key_mask[:, None, :].bool()) | itself)[:, None]


@auto_docstring(custom_intro="Output of a speech encoder.")
@dataclass
class EntropyASREncoderOutput(ModelOutput):
    r"""
    last_hidden_state (`torch.Tensor` of shape `(batch_size, num_frames, hidden_size)`):
        Encoder output.
    attention_mask (`torch.Tensor` of shape `(batch_size, num_frames)`):
        True for frames of real audio.
    """

    last_hidden_state: torch.Tensor | None = None
    attention_mask: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@auto_docstring(custom_intro="What encoders and models share: initialisation and capabilities.")
class EntropyASREncoderPreTrainedModel(PreTrainedModel):
    config: EntropyASREncoderConfig
    base_model_prefix = "model"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        # Normal weights of 0.02 left CTC training on its constant plateau for over 1000 steps; these leave it in 150.
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            init.xavier_uniform_(module.weight)


class EncoderInputs(NamedTuple):
    """What an encoder makes frames of: features of utterances, or the next ones of streams.

    Attributes:
        features (`torch.Tensor` of shape `(batch_size, num_feature_frames, num_mel_bins)`): in the encoder's dtype.
        mask (`torch.Tensor` of shape `(batch_size, num_feature_frames)`, *optional*): 1 for real audio.
        cache (`EntropyASREncoderCache`, *optional*): state of the streams.
        look_ahead (`torch.Tensor` of shape `(batch_size, num_look_ahead, num_mel_bins)`, *optional*): features behind.
    """

    features: torch.Tensor
    mask: torch.Tensor | None
    cache: EntropyASREncoderCache | None
    look_ahead: torch.Tensor | None


class FramePlaces(NamedTuple):
    """Where frames are, and what they see.

    Attributes:
        positions (`torch.Tensor` of shape `(num_frames,)` or `(batch_size, num_frames)`): absolute, in frames.
        mask (`torch.Tensor` of shape `(batch_size, num_frames)`): True for frames of real audio.
        visible (`torch.Tensor` of shape `(batch_size, 1, num_frames, num_keys)`): see [`create_chunk_mask`].
        chunk_size (`int`): frames in a chunk, 0 for full context.
    """

    positions: torch.Tensor
    mask: torch.Tensor
    visible: torch.Tensor
    chunk_size: int


@auto_docstring(custom_intro="A speech encoder whose frames depend on their own chunk and what was before it.")
class EntropyASRStreamingEncoder(EntropyASREncoderPreTrainedModel):
    """Subclasses have `layers` and the methods below; their configuration has `chunk_size` and `left_chunks`."""

    # Features behind a chunk that its frames depend on: a stream waits for them, see `look_ahead` of the forward pass.
    num_look_ahead = 0

    def embed(self, inputs: EncoderInputs) -> torch.Tensor:
        """Frames before the first layer `(batch_size, num_frames, hidden_size)`."""
        raise TypeError(f"{type(self).__name__} does not say how features become frames.")

    def prepare_layers(self, hidden_states: torch.Tensor, places: FramePlaces) -> tuple[torch.Tensor, dict[str, Any]]:
        """Frames `(batch_size, num_frames, hidden_size)` for the first layer, made of those that `embed` gave.

        Also what every layer is given by name, beside the attention mask and the cache.
        """
        return hidden_states, {}

    def finish(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """What follows the last layer, `(batch_size, num_frames, hidden_size)` as before."""
        return hidden_states

    @merge_with_config_defaults
    @capture_outputs
    @auto_docstring
    def forward(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        chunk_size: int | None = None,
        left_chunks: int | None = None,
        cache: EntropyASREncoderCache | None = None,
        look_ahead: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> EntropyASREncoderOutput:
        r"""
        attention_mask (`torch.Tensor` of shape `(batch_size, num_feature_frames)`, *optional*):
            1 for feature frames of real audio, 0 for padding on the right; all are real by default.
        chunk_size (`int`, *optional*):
            Attention chunk in encoder frames, 0 for full context; the configuration's by default.
        left_chunks (`int`, *optional*):
            Earlier chunks a frame sees, -1 for all; the configuration's by default.
        cache (`EntropyASREncoderCache`, *optional*):
            State of the stream these features continue. Every call but the last must bring whole chunks.
        look_ahead (`torch.Tensor` of shape `(batch_size, num_look_ahead, num_mel_bins)`, *optional*):
            With a cache, the feature frames behind these ones, which the next call brings again; zeros for a stream
            that ends. Encoders whose `num_look_ahead` is 0 need none.
        """
        chunk_size = self.config.chunk_size if chunk_size is None else chunk_size
        left_chunks = self.config.left_chunks if left_chunks is None else left_chunks
        inputs = EncoderInputs(input_features.to(self.dtype), attention_mask, cache, look_ahead)
        self._check_inputs(inputs, chunk_size)
        hidden_states = self.embed(inputs)
        frame_mask = self._frame_mask(attention_mask, hidden_states)
        batch_size, num_frames = hidden_states.shape[:2]
        if cache is None:
            positions = torch.arange(num_frames, device=hidden_states.device)
        else:
            positions = cache.advance(batch_size, num_frames, hidden_states.device)
        cached_frames = None if left_chunks < 0 else left_chunks * chunk_size
        visible = self._attention_mask(positions, frame_mask, chunk_size, left_chunks, cache, cached_frames)
        places = FramePlaces(positions, frame_mask, visible, chunk_size)
        hidden_states, layer_inputs = self.prepare_layers(hidden_states, places)
        for layer in self.layers:
            hidden_states = layer(
                hidden_states,
                attention_mask=visible,
                cache=cache,
                cached_frames=cached_frames,
                **layer_inputs,
                **kwargs,
            )
        return EntropyASREncoderOutput(last_hidden_state=self.finish(hidden_states), attention_mask=frame_mask)

    def _check_inputs(self, inputs: EncoderInputs, chunk_size: int) -> None:
        num_mel_bins, ahead = self.config.num_mel_bins, inputs.look_ahead
        if inputs.features.ndim != 3 or inputs.features.shape[-1] != num_mel_bins:
            raise ValueError(
                f"`input_features` must have the shape (batch_size, num_frames, {num_mel_bins}), not "
                f"{tuple(inputs.features.shape)}: {type(self).__name__} takes the features of its own extractor."
            )
        if inputs.cache is not None and chunk_size == 0:
            raise ValueError("A cached (streaming) forward needs `chunk_size` > 0: full context cannot be streamed.")
        if ahead is not None and inputs.cache is None:
            raise ValueError("`look_ahead` is for streams: pass a `cache`, or the features in `input_features`.")
        if ahead is not None and ahead.shape[1] != self.num_look_ahead:
            raise ValueError(f"`look_ahead` has {ahead.shape[1]} feature frames, not {self.num_look_ahead}.")

    def _frame_mask(self, attention_mask: torch.Tensor | None, hidden_states: torch.Tensor) -> torch.Tensor:
        """Valid encoder frames (B, T'), from the mask of feature frames (B, T)."""
        batch_size, num_frames = hidden_states.shape[:2]
        if attention_mask is None:
            return torch.ones(batch_size, num_frames, dtype=torch.bool, device=hidden_states.device)
        lengths = output_length(attention_mask.sum(-1), encoder_length_stages(self.config))
        return torch.arange(num_frames, device=hidden_states.device)[None, :] < lengths[:, None]

    def _attention_mask(
        self,
        positions: torch.Tensor,
        frame_mask: torch.Tensor,
        chunk_size: int,
        left_chunks: int,
        cache: EntropyASREncoderCache | None,
        cached_frames: int | None,
    ) -> torch.Tensor:
        """Which frames attend to which (see [`create_chunk_mask`]); flash attention takes the valid frames only."""
        if is_flash_attention_requested(self.config):
            if chunk_size > 0:
                raise ValueError("Flash attention has no chunk masks: use `attn_implementation='sdpa'`.")
            return frame_mask
        key_positions, key_mask = positions, frame_mask
        if cache is not None:
            key_positions = cache.extend("positions", positions, cached_frames, dim=1)
            key_mask = cache.extend("mask", frame_mask, cached_frames, dim=1)
        return create_chunk_mask(positions, key_positions, key_mask, chunk_size, left_chunks)


__all__ = [
    "EncoderInputs",
    "EntropyASREncoderOutput",
    "EntropyASREncoderPreTrainedModel",
    "EntropyASRStreamingEncoder",
    "FramePlaces",
]
