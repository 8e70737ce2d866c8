# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The output layer of a language model at the positions that have a label, on every device.

TRL's fused head scores all positions where there is no Triton, as on CPUs; only the transcription has labels.
"""

from typing import Any

import torch
import trl.trainer.utils as trl_utils
from torch import nn


# Rows of the output layer that a CPU multiplies at once: copies of so many fit into its cache, and into memory that is
# used again. TRL's tiles are for GPUs; with Gemma's 262,000 tokens they were half of a training step.
CPU_VOCABULARY_TILE = 2048


class LabelPositions:
    """Lets a model with TRL's fused head (`add_fused_lm_head`) score nothing but its labels.

    Losses, gradients and metrics stay what they are: positions without a label count in none of them. Their shapes are
    `(1, number of labels)` in place of `(batch_size, sequence_length - 1)`.

    Args:
        model: The model as it is called, with its adapters. It gets a forward hook.
        backbone: The part of it whose hidden states the head scores. It gets another.
    """

    def __init__(self, model: nn.Module, backbone: nn.Module):
        self._labelled: torch.Tensor | None = None
        model.register_forward_pre_hook(self._take_labels, with_kwargs=True)
        backbone.register_forward_hook(self._keep_labelled)

    def _take_labels(self, model: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict] | None:
        self._labelled = None
        if not kwargs.get("fused_lm_head") or kwargs.get("labels") is None:
            return None
        next_labels = kwargs["labels"][:, 1:]
        self._labelled = next_labels != -100
        kwargs = {name: value for name, value in kwargs.items() if name != "labels"}
        return args, {**kwargs, "shift_labels": next_labels[self._labelled][None]}

    def _keep_labelled(self, backbone: nn.Module, args: tuple, outputs: Any) -> Any:
        if self._labelled is not None:
            outputs.last_hidden_state = outputs.last_hidden_state[:, :-1][self._labelled][None]
            self._labelled = None
        return outputs


def narrow_vocabulary_tiles(vocabulary_size: int, device: torch.device) -> None:
    """Lets TRL's fused head go over a large vocabulary in tiles that suit a CPU, for the whole process.

    Losses and gradients stay what they are, up to rounding. A vocabulary that is one tile to TRL stays one.

    Args:
        vocabulary_size: Rows of the output layer.
        device: Where the model is; only "cpu" changes anything.
    """
    if device.type == "cpu" and vocabulary_size > trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE:
        trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE = CPU_VOCABULARY_TILE
