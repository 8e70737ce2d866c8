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

Differences from FireRedASR's encoder: rotary positions, causal depthwise convolution, LayerNorm inside it (BatchNorm
drifts when frozen and makes an utterance depend on its batch), causal subsampling. With them the output of a frame
depends on its own chunk and on earlier frames only, so that chunked equals full under the same mask.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.loss.loss_ctc import ForCTCLoss
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import CausalLMOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, auto_docstring, can_return_tuple
from transformers.utils.generic import is_flash_attention_requested, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .adapters_entropy_asr import adapter_base
from .configuration_entropy_asr import (
    EntropyASRCTCConfig,
    EntropyASREncoderConfig,
    encoder_length_stages,
    output_length,
)


class EntropyASREncoderCache:
    """What a stream carries from chunk to chunk, for one batch of streams; owned and passed by the caller.

    Holds the last inputs of each causal convolution and the keys and values of the frames still visible.

    Attributes:
        seen_frames (`int` or `list[int]`): encoder frames consumed so far; one number for each stream where streams
            of different ages were stacked.
    """

    # States that hold what came before in full width from the start, as opposed to those that grow with the stream.
    _FIXED_WIDTH = ("conv", "conv1", "conv2")

    def __init__(self):
        self.seen_frames: int | list[int] = 0
        self._states: dict[str, torch.Tensor] = {}

    @classmethod
    def stack(cls, caches: list["EntropyASREncoderCache"]) -> "EntropyASREncoderCache":
        """Join the states of single streams, of any ages, so that their next chunks are encoded in one batch."""
        stacked = cls()
        stacked.seen_frames = [cache.seen_frames for cache in caches]
        for name in dict.fromkeys(name for cache in caches for name in cache._states):
            stacked._states[name] = cls._stack_state(name, [cache._states.get(name) for cache in caches])
        return stacked

    @classmethod
    def _stack_state(cls, name: str, states: list[torch.Tensor | None]) -> torch.Tensor:
        """Stack one state; younger streams get zeros, which the mask hides, before their frames."""
        known = next(state for state in states if state is not None)
        dim = cls._time_dim(name)
        width = max(0 if state is None else state.shape[dim] for state in states)
        padded = []
        for state in states:
            missing = width - (0 if state is None else state.shape[dim])
            shape = list(known.shape)
            shape[dim] = missing
            # No frame has a negative position: padding is never taken for the frame that looks.
            filling = known.new_full(shape, -1 if name == "positions" else 0)
            padded.append(filling if state is None else torch.cat([filling, state], dim=dim))
        return torch.cat(padded)

    @staticmethod
    def _time_dim(name: str) -> int:
        return 1 if name in ("positions", "mask") else 2

    def unstack(self) -> list["EntropyASREncoderCache"]:
        """The state of each stream of a stacked cache, without the padding."""
        caches = []
        for row, seen_frames in enumerate(self.seen_frames):
            cache = type(self)()
            cache.seen_frames = seen_frames
            for name, state in self._states.items():
                dim = self._time_dim(name)
                width = state.shape[dim]
                if name.rsplit(".", 1)[-1] not in self._FIXED_WIDTH:
                    width = min(width, seen_frames)
                own = state[row : row + 1].narrow(dim, state.shape[dim] - width, width)
                cache._states[name] = own.clone()  # a view would keep the whole batch
            caches.append(cache)
        return caches

    def advance(self, batch_size: int, num_frames: int, device: torch.device) -> torch.Tensor:
        """Count the next frames of each stream; returns their positions `(batch_size, num_frames)`."""
        stacked = isinstance(self.seen_frames, list)
        starts = self.seen_frames if stacked else [self.seen_frames] * batch_size
        counts = [start + num_frames for start in starts]
        self.seen_frames = counts if stacked else self.seen_frames + num_frames
        steps = torch.arange(num_frames, device=device)
        return torch.tensor(starts, device=device)[:, None] + steps[None, :]

    def left_context(self, name: str, inputs: torch.Tensor, width: int, dim: int) -> torch.Tensor:
        """Prepend the `width` inputs before `inputs` along `dim` (zeros at the start) and remember the last ones."""
        state = self._states.get(name)
        if state is None:
            shape = list(inputs.shape)
            shape[dim] = width
            state = inputs.new_zeros(shape)
        extended = torch.cat([state, inputs], dim=dim)
        self._states[name] = extended.narrow(dim, extended.shape[dim] - width, width)
        return extended

    def extend(self, name: str, inputs: torch.Tensor, max_length: int | None, dim: int) -> torch.Tensor:
        """Append `inputs` to what is stored, return all of it, keep the last `max_length` for the next chunk."""
        state = self._states.get(name)
        extended = inputs if state is None else torch.cat([state, inputs], dim=dim)
        length = extended.shape[dim]
        keep = length if max_length is None else min(length, max_length)
        self._states[name] = extended.narrow(dim, length - keep, keep)
        return extended


def create_chunk_mask(
    query_positions: torch.Tensor,
    key_positions: torch.Tensor,
    key_mask: torch.Tensor,
    chunk_size: int = 0,
    left_chunks: int = -1,
) -> torch.Tensor:
    """The one attention mask of the encoder: offline, in training with sampled chunks, and streaming.

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


def rotate_half(x: torch.Tensor) -> torch.Tensor:
    """Turn each channel pair by 90 degrees (rotary positions, Su et al. 2021)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


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

    `attention_mask` is boolean, see [`create_chunk_mask`]: True where attention is allowed.
    """
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class EntropyASREncoderRotaryEmbedding(nn.Module):
    """Cosines and sines of rotary positions for absolute frame positions."""

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


class EntropyASREncoderAttention(nn.Module):
    """Multi-head self-attention with rotary positions; keys and values of earlier chunks come from the cache."""

    def __init__(self, config: EntropyASREncoderConfig, layer_idx: int):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.num_key_value_groups = 1
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_dropout
        self.is_causal = False
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
        input_shape = hidden_states.shape[:-1]
        split = (*input_shape, -1, self.head_dim)
        query = self.q_proj(hidden_states).view(split).transpose(1, 2)  # (B, H, T, head_dim)
        key = self.k_proj(hidden_states).view(split).transpose(1, 2)
        value = self.v_proj(hidden_states).view(split).transpose(1, 2)
        cos, sin = position_embeddings
        query = query * cos + rotate_half(query) * sin
        key = key * cos + rotate_half(key) * sin
        if cache is not None:
            key = cache.extend(f"layers.{self.layer_idx}.key", key, cached_frames, dim=2)
            value = cache.extend(f"layers.{self.layer_idx}.value", value, cached_frames, dim=2)

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
        return self.o_proj(output.reshape(*input_shape, -1)), weights


class EntropyASREncoderConvolution(nn.Module):
    """Conformer convolution module, causal: pointwise GLU, depthwise convolution, LayerNorm, SiLU, pointwise."""

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
    """Conformer block (Gulati et al. 2020): half feed-forward, attention, convolution, half feed-forward."""

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


@auto_docstring(custom_intro="Output of [`EntropyASREncoder`], or of another encoder in its place.")
@dataclass
class EntropyASREncoderOutput(ModelOutput):
    r"""
    last_hidden_state (`torch.Tensor` of shape `(batch_size, num_frames, hidden_size)`):
        Encoder output at 25 Hz.
    attention_mask (`torch.Tensor` of shape `(batch_size, num_frames)`):
        True for frames of real audio.
    """

    last_hidden_state: torch.Tensor | None = None
    attention_mask: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@auto_docstring(custom_intro="What the encoder and the CTC model share: initialisation and capabilities.")
class EntropyASREncoderPreTrainedModel(PreTrainedModel):
    config: EntropyASREncoderConfig
    base_model_prefix = "model"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _no_split_modules = ["EntropyASREncoderLayer"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs = {"hidden_states": EntropyASREncoderLayer, "attentions": EntropyASREncoderAttention}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        # Normal weights of 0.02 left CTC training on its constant plateau for over 1000 steps; these leave it in 150.
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            init.xavier_uniform_(module.weight)
        elif isinstance(module, EntropyASREncoderRotaryEmbedding):
            init.copy_(module.inv_freq, module.compute_inv_freq())


@auto_docstring(custom_intro="Causal Conformer speech encoder (paper, Architecture): 100 Hz features to 25 Hz frames.")
class EntropyASREncoder(EntropyASREncoderPreTrainedModel):
    config: EntropyASREncoderConfig

    def __init__(self, config: EntropyASREncoderConfig):
        super().__init__(config)
        self.subsampling = EntropyASREncoderSubsampling(config)
        head_dim = config.hidden_size // config.num_attention_heads
        self.rotary_emb = EntropyASREncoderRotaryEmbedding(head_dim, config.rope_parameters["rope_theta"])
        self.layers = nn.ModuleList([EntropyASREncoderLayer(config, i) for i in range(config.num_hidden_layers)])
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.subsampling.projection

    def set_input_embeddings(self, value: nn.Module):
        self.subsampling.projection = value

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
        """
        chunk_size = self.config.chunk_size if chunk_size is None else chunk_size
        left_chunks = self.config.left_chunks if left_chunks is None else left_chunks
        if cache is not None and chunk_size == 0:
            raise ValueError("A cached (streaming) forward needs `chunk_size` > 0: full context cannot be streamed.")
        hidden_states = self.subsampling(input_features.to(self.dtype), cache)
        frame_mask = self._frame_mask(attention_mask, hidden_states)
        batch_size, num_frames = hidden_states.shape[:2]
        if cache is None:
            positions = torch.arange(num_frames, device=hidden_states.device)
        else:
            positions = cache.advance(batch_size, num_frames, hidden_states.device)
        cached_frames = None if left_chunks < 0 else left_chunks * chunk_size
        visible = self._attention_mask(positions, frame_mask, chunk_size, left_chunks, cache, cached_frames)
        position_embeddings = self.rotary_emb(positions, hidden_states.dtype)
        for layer in self.layers:
            hidden_states = layer(
                hidden_states,
                attention_mask=visible,
                position_embeddings=position_embeddings,
                cache=cache,
                cached_frames=cached_frames,
                **kwargs,
            )
        return EntropyASREncoderOutput(last_hidden_state=hidden_states, attention_mask=frame_mask)

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


def build_audio_tower(audio_config) -> PreTrainedModel:
    """The speech encoder of a configuration: ours, or that of any transformers model (its encoder half).

    Own classes are built directly: as remote code, their configuration may exist twice and no auto class knows it.
    """
    # CODEPATH: checkpoints with the encoder of this project; the others hold one of transformers (Whisper, Parakeet).
    if audio_config.model_type == "entropy_asr_encoder":
        return EntropyASREncoder(audio_config)
    audio_tower = AutoModel.from_config(audio_config)
    return audio_tower.get_encoder() if audio_config.is_encoder_decoder else audio_tower


def encode_audio(
    audio_tower: PreTrainedModel,
    length_stages: list,
    input_features: torch.Tensor,
    input_features_mask: torch.Tensor | None = None,
    **kwargs,
) -> EntropyASREncoderOutput:
    """Run any speech encoder and say which of its frames are valid.

    Args:
        audio_tower (`PreTrainedModel`): the encoder.
        length_stages (`list`): its strided stages, see [`output_length`].
        input_features (`torch.Tensor`): what the encoder takes: `(batch_size, frames, channels)` features, Whisper's
            `(batch_size, channels, frames)`, or `(batch_size, samples)`.
        input_features_mask (`torch.Tensor` of shape `(batch_size, frames)`, *optional*): 1 for real audio.

    Raises:
        ValueError: when the encoder's output is shorter than the length formula says.
    """
    if audio_tower.config.model_type == "entropy_asr_encoder":
        return audio_tower(input_features, attention_mask=input_features_mask, return_dict=True, **kwargs)
    # Whisper's encoder takes no mask: it always sees 30 s, padding included.
    inputs = {} if audio_tower.config.model_type == "whisper" else {"attention_mask": input_features_mask}
    inputs[audio_tower.main_input_name] = input_features.to(audio_tower.dtype)
    output = audio_tower(**inputs, return_dict=True, **kwargs)
    hidden_states = output.last_hidden_state
    batch_size, num_frames = hidden_states.shape[:2]
    if input_features_mask is None:
        lengths = hidden_states.new_full((batch_size,), num_frames, dtype=torch.long)
    else:
        lengths = output_length(input_features_mask.long().sum(-1), length_stages)
        if not torch.compiler.is_compiling() and int(lengths.max()) > num_frames:
            raise ValueError(
                f"The `{audio_tower.config.model_type}` encoder gave {num_frames} frames where `audio_length_stages` "
                f"{length_stages} promise {int(lengths.max())}."
            )
    mask = torch.arange(num_frames, device=hidden_states.device)[None, :] < lengths[:, None]
    return EntropyASREncoderOutput(
        last_hidden_state=hidden_states,
        attention_mask=mask,
        hidden_states=output.hidden_states,
        attentions=output.attentions,
    )


class EntropyASRPhonemeHead(nn.Module):
    """3-layer MLP over encoder frames: (B, T, hidden_size) -> (B, T, vocab_size) phoneme logits (paper)."""

    def __init__(self, hidden_size: int, vocab_size: int):
        super().__init__()
        self.linear1 = nn.Linear(hidden_size, hidden_size)
        self.linear2 = nn.Linear(hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, vocab_size)
        self.act = nn.ReLU()

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.output(self.act(self.linear2(self.act(self.linear1(hidden_states)))))


@auto_docstring(custom_intro="Output of [`EntropyASRForCTC`].")
@dataclass
class EntropyASRCTCOutput(CausalLMOutput):
    r"""
    loss (`torch.Tensor`, *optional*, returned when `labels` is given):
        CTC loss.
    logits (`torch.Tensor` of shape `(batch_size, num_frames, vocab_size)`):
        Phoneme logits.
    attention_mask (`torch.Tensor` of shape `(batch_size, num_frames)`):
        True for frames of real audio.
    encoder_hidden_state (`torch.Tensor` of shape `(batch_size, num_frames, hidden_size)`):
        What the phoneme head read.
    """

    attention_mask: torch.Tensor | None = None
    encoder_hidden_state: torch.Tensor | None = None


@auto_docstring(custom_intro="Speech encoder and phoneme CTC head: the first stage of the paper's recipe.")
class EntropyASRForCTC(EntropyASREncoderPreTrainedModel):
    config: EntropyASRCTCConfig

    def __init__(self, config: EntropyASRCTCConfig):
        super().__init__(config)
        self.audio_tower = build_audio_tower(config.audio_config)
        self.phoneme_head = EntropyASRPhonemeHead(config.audio_config.hidden_size, config.vocab_size)
        self.post_init()

    @classmethod
    def from_encoder(cls, encoder: str | PreTrainedModel, vocab_size: int, **config_kwargs) -> "EntropyASRForCTC":
        """Give a trained speech encoder a new phoneme head; a CTC or full model of this project keeps its own.

        Args:
            encoder: any transformers speech model (its encoder half is taken), or the folder or Hub id of one.
            vocab_size: phoneme vocabulary, blank included.
            **config_kwargs: further fields of [`EntropyASRCTCConfig`].
        """
        encoder = load_speech_model(encoder) if isinstance(encoder, str) else encoder
        head = getattr(encoder, "phoneme_head", None)
        if head is not None and head.output.out_features != vocab_size:
            raise ValueError(f"The model knows {head.output.out_features} phonemes, the tokenizer {vocab_size}.")
        if encoder.config.model_type == "entropy_asr_ctc":
            return encoder
        audio_tower = encoder_half(encoder)
        audio_config = audio_tower.config.to_dict()
        model = cls(EntropyASRCTCConfig(audio_config=audio_config, vocab_size=vocab_size, **config_kwargs))
        model.audio_tower.load_state_dict(audio_tower.state_dict())
        if head is not None:
            model.phoneme_head.load_state_dict(head.state_dict())
        return model

    def get_input_embeddings(self) -> nn.Module:
        return self.audio_tower.get_input_embeddings()

    @can_return_tuple
    @auto_docstring
    def forward(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> EntropyASRCTCOutput:
        r"""
        attention_mask (`torch.Tensor` of shape `(batch_size, num_feature_frames)`, *optional*):
            1 for feature frames of real audio, 0 for padding.
        labels (`torch.LongTensor` of shape `(batch_size, num_phonemes)`, *optional*):
            Phoneme ids; -100 or the blank where padded.
        """
        stages = self.config.audio_length_stages
        encoded = encode_audio(self.audio_tower, stages, input_features, attention_mask, **kwargs)
        logits = self.phoneme_head(encoded.last_hidden_state)
        loss = None if labels is None else self.ctc_loss(logits, encoded.attention_mask, labels)
        return EntropyASRCTCOutput(
            loss=loss,
            logits=logits,
            attention_mask=encoded.attention_mask,
            encoder_hidden_state=encoded.last_hidden_state,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )

    def ctc_loss(self, logits: torch.Tensor, frame_mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """CTC loss; utterances with fewer frames than labels need (no path exists) count as zero."""
        return ForCTCLoss(
            logits,
            labels,
            frame_mask.sum(-1),
            blank_token_id=self.config.pad_token_id,
            reduction=self.config.ctc_loss_reduction,
            zero_infinity=True,
        )


def load_speech_model(path: str) -> PreTrainedModel:
    """Load a speech model by the class its configuration names, so that a CTC model of ours keeps its head."""
    config = AutoConfig.from_pretrained(adapter_base(path) or path)
    # CODEPATH: a CTC model of this project; the others are speech encoders of transformers.
    model_class = EntropyASRForCTC if config.model_type == "entropy_asr_ctc" else AutoModel
    return model_class.from_pretrained(path, dtype=torch.float32)


def encoder_half(model: PreTrainedModel) -> PreTrainedModel:
    """The speech encoder inside a speech model: of an encoder-decoder its encoder, of a CTC model its backbone.

    Parakeet's CTC and transducer models have no backbone class: their encoder is a module with its own configuration.
    """
    # CODEPATH: a full model and a CTC model of this project; the others are of transformers.
    if model.config.model_type == "entropy_asr":
        return model.model.audio_tower
    if model.config.model_type == "entropy_asr_ctc":
        return model.audio_tower
    if model.config.is_encoder_decoder or "encoder_config" in model.config.sub_configs:
        return model.get_encoder()
    return model.base_model


__all__ = [
    "EntropyASREncoder",
    "EntropyASREncoderCache",
    "EntropyASRForCTC",
    "create_chunk_mask",
    "encoder_length_stages",
]
