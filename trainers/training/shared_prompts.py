# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The beginning that all prompts of a batch have in common, computed once for all of them.

A prompt says the same before each utterance: 20 tokens of it where a spoken word has about ten of its own.
"""

import sys

import torch
from torch import nn
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.modeling_outputs import BaseModelOutputWithPast

from entropy_asr.modeling.streaming_cache_entropy_asr import CACHE

from .modules import specialize


def longest_beginning(language_model: nn.Module) -> int:
    """Number of first positions whose keys and values all layers of a decoder keep; 0 where some keep a state instead.

    Layers with a sliding window keep what is within it; those that see blocks of positions are not known here.
    """
    config = language_model.config
    if getattr(config, "attention_chunk_size", None):
        return 0
    return min(_kept_positions(layer) for layer in DynamicCache(config=config).layers)


def _kept_positions(layer) -> int:
    if type(layer) is DynamicSlidingWindowLayer:
        return layer.sliding_window - 1
    return sys.maxsize if type(layer) is DynamicLayer else 0


class SharesPrompts:
    """Goes before the class of a decoder of transformers; see [`share_prompts`]."""

    prompts_always_in_two = False
    longest_shared_prompt = sys.maxsize

    def forward(self, *args, inputs_embeds=None, attention_mask=None, **kwargs):
        """As of the decoder; in two pieces where rows begin alike."""
        plain_forward = super().forward
        plain = args or inputs_embeds is None or _asks_for_more(kwargs)
        length = 0 if plain else min(common_length(inputs_embeds, attention_mask), self.longest_shared_prompt)
        if length:
            return _in_two(plain_forward, inputs_embeds, attention_mask, length, rows=1, **kwargs)
        if self.prompts_always_in_two and not plain and _can_be_cut(inputs_embeds, attention_mask):
            return _in_two(plain_forward, inputs_embeds, attention_mask, 1, rows=len(inputs_embeds), **kwargs)
        return plain_forward(*args, inputs_embeds=inputs_embeds, attention_mask=attention_mask, **kwargs)


def share_prompts(language_model: nn.Module, always_in_two: bool = False) -> None:
    """Let a language model compute a batch's common beginning once: it becomes one of [`SharesPrompts`].

    The others read its keys and values, as they would read a cache. Hidden states and gradients stay what they are, up
    to rounding; with dropout, the beginning is dropped alike in all rows.

    Args:
        language_model: Decoder of transformers without a head, called with `inputs_embeds`; see [`longest_beginning`].
        always_in_two: Compute a batch whose rows have no beginning in common (one row has none) in two pieces too,
            its first position and the rest. Where processes share the layers' weights (FSDP, DeepSpeed ZeRO-3), each
            run of a layer waits for all processes: they must not run it once or twice by what their batch is like.
    """
    specialize(language_model, SharesPrompts)
    language_model.prompts_always_in_two = always_in_two
    language_model.longest_shared_prompt = longest_beginning(language_model)


def _in_two(plain_forward, inputs_embeds, attention_mask, length: int, rows: int, **kwargs) -> BaseModelOutputWithPast:
    """The first positions of the first rows, which stand for all (or are all), then the rest of all rows."""
    kwargs["use_cache"] = True
    batch_size = len(inputs_embeds)
    mask = None if attention_mask is None else attention_mask[:rows, :length]
    start = plain_forward(inputs_embeds=inputs_embeds[:rows, :length], attention_mask=mask, **kwargs)
    kwargs[CACHE] = start[CACHE]
    if rows < batch_size:
        start[CACHE].batch_repeat_interleave(batch_size)
    rest = plain_forward(inputs_embeds=inputs_embeds[:, length:], attention_mask=attention_mask, **kwargs)
    hidden = start.last_hidden_state.expand(batch_size, -1, -1)
    return BaseModelOutputWithPast(last_hidden_state=torch.cat([hidden, rest.last_hidden_state], dim=1))


def _can_be_cut(inputs_embeds: torch.Tensor, attention_mask: torch.Tensor | None) -> bool:
    """Whether a mask is of one value a position, and there are two positions."""
    of_positions = isinstance(attention_mask, torch.Tensor) and attention_mask.shape == inputs_embeds.shape[:2]
    return inputs_embeds.shape[1] > 1 and (attention_mask is None or of_positions)


def _asks_for_more(arguments: dict) -> bool:
    """Whether a call goes on from a cache, has positions of its own, or wants what is not put together again here."""
    given = ("position_ids", CACHE, "past_key_values")
    wanted = ("use_cache", "output_hidden_states", "output_attentions")
    return any(arguments.get(name) is not None for name in given) or any(arguments.get(name) for name in wanted)


@torch.no_grad()
def common_length(inputs_embeds: torch.Tensor, attention_mask: torch.Tensor | None) -> int:
    """Number of positions from the first on that are the same in all rows, the last position not among them.

    Args:
        inputs_embeds: `(B, S, hidden_size)`.
        attention_mask: `(B, S)`, 0 at padding, which is not shared. Masks of another form share nothing.
    """
    batch_size, sequence_length = inputs_embeds.shape[:2]
    if batch_size < 2 or not _can_be_cut(inputs_embeds, attention_mask):
        return 0
    same = (inputs_embeds[1:] == inputs_embeds[:1]).all(-1).all(0)
    if attention_mask is not None:
        same &= attention_mask.bool().all(0)
    return min(int(same.long().cumprod(0).sum()), sequence_length - 1)
