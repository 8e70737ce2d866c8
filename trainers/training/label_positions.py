# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The output layer of a language model at the positions that have a label, on every device.

TRL's fused head scores all positions where there is no Triton, as on CPUs; only the transcription has labels.
"""

import functools

from torch import nn
from transformers import PreTrainedModel


def score_labels_only(model: PreTrainedModel) -> None:
    """Let a model with TRL's fused head (`add_fused_lm_head`) score nothing but its labels; changed in place.

    Losses, gradients and metrics stay what they are: positions without a label count in none of them. Their shapes are
    `(1, number of labels)` in place of `(batch_size, sequence_length - 1)`.
    """
    fused_forward = model.forward

    @functools.wraps(fused_forward)
    def forward(*args, fused_lm_head: bool = False, labels=None, **kwargs):
        if not fused_lm_head or labels is None:
            return fused_forward(*args, fused_lm_head=fused_lm_head, labels=labels, **kwargs)
        next_labels = labels[:, 1:]
        labelled = next_labels != -100

        def keep_labelled(backbone: nn.Module, inputs: tuple, outputs):
            outputs.last_hidden_state = outputs.last_hidden_state[:, :-1][labelled][None]
            return outputs

        handle = model.base_model.register_forward_hook(keep_labelled)
        try:
            return fused_forward(*args, fused_lm_head=True, shift_labels=next_labels[labelled][None], **kwargs)
        finally:
            handle.remove()

    model.forward = forward
