# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Keys and values of the language model for many streams at once, each in a slot of its own.

transformers' dynamic cache copies everything it holds with each token and wants all rows to be of one length; its
static one attends to its full size. Here a chunk of speech is written in place behind what its stream has, whatever
the lengths of the others, and attention reads what is there.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.cache_utils import Cache, DynamicCache
from transformers.configuration_utils import PreTrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel


# What transformers calls a language model's keys and values, in its arguments and outputs: `cache` since 5.24.
CACHE = "cache" if "cache" in BaseModelOutputWithPast.__dataclass_fields__ else "past_key_values"
GROUPED_ATTENTION = "sdpa_grouped"


def grouped_attention_forward(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """transformers' sdpa, but key and value heads are not copied for the query heads that share them.

    With a mask, transformers copies all of them for each chunk, which on a CPU is most of what a chunk costs in a long
    segment. Shapes are `(batch, heads, time, head_dim)`; returns `(batch, time, heads, head_dim)`.
    """
    if attention_mask is None or query.shape[2] == 1 or dropout or kwargs.get("softcap") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    grouped = query.shape[1] != key.shape[1]
    output = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, enable_gqa=grouped
    )
    return output.transpose(1, 2).contiguous(), None


# With the mask function of sdpa too: what another thread may run meanwhile through the same model is right.
ALL_ATTENTION_FUNCTIONS.register(GROUPED_ATTENTION, grouped_attention_forward)
ALL_MASK_ATTENTION_FUNCTIONS.register(GROUPED_ATTENTION, sdpa_mask)


@contextmanager
def grouped_attention(language_model: PreTrainedModel) -> Iterator[None]:
    """Run a language model with [`grouped_attention_forward`] where it gains: with sdpa on a CPU."""
    config = language_model.config
    if config._attn_implementation != "sdpa" or language_model.device.type != "cpu":
        yield
        return
    config._attn_implementation = GROUPED_ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = "sdpa"


class StreamSlots(Cache):
    """Slots of a fixed number of tokens.

    Args:
        num_slots (`int`): streams at a time.
        capacity (`int`): tokens of a slot.

    Attributes:
        lengths (`list[int]`): tokens in each slot.
    """

    def __init__(self, num_slots: int, capacity: int):
        super().__init__(layers=[])
        self.num_slots = num_slots
        self.capacity = capacity
        self.lengths = [0] * num_slots
        self._buffers: list[tuple[torch.Tensor, torch.Tensor]] = []  # (slots, heads, capacity, head_dim) a layer
        self._rows: list[int] = []
        self._positions = torch.zeros(0, 0, dtype=torch.long)
        self._visible = 0

    def prefill(self, language_model: PreTrainedModel, slots: list[int], embeds: torch.Tensor, counts: list[int]):
        """Append embeddings to slots: one forward of the language model over these and no other tokens.

        Args:
            language_model: the model without its head.
            slots: the slot of each row.
            embeds: `(num_rows, num_tokens, hidden_size)`.
            counts: how many of a row's embeddings are real, the rest is padding on the right.
        """
        starts = torch.tensor([self.lengths[slot] for slot in slots], device=embeds.device)
        self._rows = slots
        self._positions = starts[:, None] + torch.arange(embeds.shape[1], device=embeds.device)[None, :]  # (B, n)
        self._visible = max(self.lengths[slot] for slot in slots) + embeds.shape[1]
        if self._visible > self.capacity:
            raise ValueError(f"{self._visible} tokens do not fit in a slot of {self.capacity}.")
        with grouped_attention(language_model):
            language_model(
                inputs_embeds=embeds,
                attention_mask=self._attention_mask(embeds.dtype),
                position_ids=self._positions,
                use_cache=True,
                **{CACHE: self},
            )
        for slot, count in zip(slots, counts, strict=True):
            self.lengths[slot] += count

    def _attention_mask(self, dtype: torch.dtype) -> torch.Tensor:
        """Added to the scores, `(B, 1, n, visible)`: a token sees its own stream up to itself."""
        keys = torch.arange(self._visible, device=self._positions.device)
        hidden = keys[None, None, :] > self._positions[:, :, None]
        mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
        return mask.masked_fill(hidden, torch.finfo(dtype).min)[:, None]

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args, **kwargs):
        """Called by the language model's layers: write the rows' new keys and values, return all of these rows.

        Both are `(num_rows, heads, num_tokens, head_dim)`, the returned ones of all tokens that are visible.
        """
        if layer_idx == len(self._buffers):
            self._buffers.append(tuple(self._new_buffer(states) for states in (key_states, value_states)))
        rows = torch.tensor(self._rows, device=key_states.device)[:, None]
        for buffer, states in zip(self._buffers[layer_idx], (key_states, value_states), strict=True):
            buffer[rows, :, self._positions] = states.transpose(1, 2)
        return tuple(self._read(buffer) for buffer in self._buffers[layer_idx])

    def _new_buffer(self, states: torch.Tensor) -> torch.Tensor:
        _, heads, _, head_dim = states.shape
        return states.new_zeros(self.num_slots, heads, self.capacity, head_dim)

    def _read(self, buffer: torch.Tensor) -> torch.Tensor:
        """Keys or values of the current rows: a view where the rows are neighbours, so that nothing is copied."""
        first, last = self._rows[0], self._rows[-1]
        if self._rows == list(range(first, last + 1)):
            return buffer[first : last + 1, :, : self._visible]
        return buffer[self._rows, :, : self._visible]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Longest slot. Positions and mask are given to the model and do not depend on it."""
        return max(self.lengths)

    def clear(self, slot: int) -> None:
        """Empty a slot."""
        self.lengths[slot] = 0

    def copy_from(self, slot: int, other: "StreamSlots") -> None:
        """Put what the first slot of another cache holds at the beginning of an empty slot."""
        length = other.lengths[0]
        for layer_idx, pair in enumerate(other._buffers):
            if layer_idx == len(self._buffers):
                self._buffers.append(tuple(self._new_buffer(states) for states in pair))
            for own, states in zip(self._buffers[layer_idx], pair, strict=True):
                own[slot, :, :length] = states[0, :, :length]
        self.lengths[slot] = length

    def copy_to_batch(self, slots: list[int]) -> DynamicCache:
        """Copy slots into a cache of their own, padded on the left, for `generate`; the slots stay as they are."""
        width = max(self.lengths[slot] for slot in slots)
        batch = DynamicCache()
        for layer_idx, pair in enumerate(self._buffers):
            keys, values = (self._left_padded(buffer, slots, width) for buffer in pair)
            batch.update(keys, values, layer_idx)
        return batch

    def _left_padded(self, buffer: torch.Tensor, slots: list[int], width: int) -> torch.Tensor:
        padded = buffer.new_zeros(len(slots), buffer.shape[1], width, buffer.shape[3])
        for row, slot in enumerate(slots):
            length = self.lengths[slot]
            padded[row, :, width - length :] = buffer[slot, :, :length]
        return padded


def check_language_model(text_config: PreTrainedConfig) -> None:
    """Refuse language models whose attention a slot cannot serve.

    Raises:
        ValueError: for sliding windows, recurrent layers and flash attention.
    """
    kinds = set(getattr(text_config, "layer_types", None) or ["full_attention"])
    sliding = getattr(text_config, "layer_types", None) is None and getattr(text_config, "sliding_window", None)
    if kinds != {"full_attention"} or sliding:
        raise ValueError(
            f"Streaming needs a language model with full attention in all layers; `{text_config.model_type}` has "
            f"{', '.join(sorted(kinds - {'full_attention'})) or 'a sliding window'}."
        )
    if text_config._attn_implementation not in ("sdpa", "eager", GROUPED_ATTENTION):
        raise ValueError(
            f"Streaming needs `attn_implementation='sdpa'` or 'eager', not {text_config._attn_implementation!r}: "
            "streams of different lengths share a batch by a mask."
        )


__all__ = ["CACHE", "StreamSlots", "check_language_model"]
