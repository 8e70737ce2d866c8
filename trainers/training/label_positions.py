# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The output layer of a language model at the positions that have a label, on every device.

TRL's fused head scores all positions where there is no Triton, as on CPUs; only the transcription has labels.
"""

from typing import Any

import torch
import trl.trainer.utils as trl_utils
from torch import nn


# Rows of the output layer that TRL multiplies at once, which suits GPUs: with Gemma's 262,000 tokens a CPU spent half
# of a training step on copies of them. Copies of a CPU's tile fit into its cache, and into memory that is used again.
TILE_NAME = "_CHUNKED_LOGPROB_CHUNK_SIZE"
TRL_TILE = getattr(trl_utils, TILE_NAME, 1 << 15)
CPU_TILE = 2048


class LabelPositions:
    """Lets a model with TRL's fused head (`add_fused_lm_head`) score nothing but its labels.

    Losses, gradients and metrics stay what they are: positions without a label count in none of them. Their shapes are
    `(1, number of labels)` in place of `(batch_size, sequence_length - 1)`. A CPU goes over a vocabulary above TRL's
    tile in smaller ones; a vocabulary that is one tile stays one.

    Args:
        model: The model as it is called, with its adapters. It gets hooks.
        backbone: The part of it whose hidden states the head scores. It gets one too.
    """

    def __init__(self, model: nn.Module, backbone: nn.Module):
        self._labelled: torch.Tensor | None = None
        model.register_forward_pre_hook(self._take_labels, with_kwargs=True)
        model.register_forward_pre_hook(self._suit_tiles)
        model.register_forward_hook(self._restore_tiles, always_call=True)
        backbone.register_forward_hook(self._keep_labelled)

    def _take_labels(self, model: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict] | None:
        self._labelled = None
        if not kwargs.get("fused_lm_head") or kwargs.get("labels") is None:
            return None
        next_labels = kwargs["labels"][:, 1:]
        self._labelled = next_labels != -100
        kwargs = {name: value for name, value in kwargs.items() if name != "labels"}
        return args, {**kwargs, "shift_labels": next_labels[self._labelled][None]}

    def _suit_tiles(self, model: nn.Module, args: tuple) -> None:
        # Tiles are those of all models of the process, so they are this one's for its calls alone.
        setattr(trl_utils, TILE_NAME, vocabulary_tile(model))

    def _restore_tiles(self, model: nn.Module, args: tuple, outputs: Any) -> None:
        setattr(trl_utils, TILE_NAME, TRL_TILE)

    def _keep_labelled(self, backbone: nn.Module, args: tuple, outputs: Any) -> Any:
        if self._labelled is not None:
            outputs.last_hidden_state = outputs.last_hidden_state[:, :-1][self._labelled][None]
            self._labelled = None
        return outputs


def vocabulary_tile(model: nn.Module) -> int:
    """Rows of a model's output layer that are multiplied at once where it is."""
    weight = model.get_output_embeddings().weight
    return CPU_TILE if weight.device.type == "cpu" and weight.shape[0] > TRL_TILE else TRL_TILE
