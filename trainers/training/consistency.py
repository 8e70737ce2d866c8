# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Consistency-regularised CTC (Yao et al. 2024, arXiv 2410.05101) in the form of icefall's zipformer recipe.

Two independently masked views of each utterance go through the model in one batch. Both are trained with CTC, and each
view's frame posterior is pulled towards the other's, which is detached: a masked frame learns from the one that was
not. FunASR's loss of the same name differs: it pulls one view towards an unmasked one and averages over frames.
"""

import torch
from torch import nn


def consistency_loss(logits: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
    """KL divergence of each view's posteriors from the other view's, summed over views, utterances and frames.

    Args:
        logits: Scores of shape `(2 * batch_size, num_frames, vocab_size)`: all first views, then all second ones.
        frame_mask: True for frames of real audio, of shape `(2 * batch_size, num_frames)`.

    Returns:
        Scalar in float32, in nats; 0 where the views agree.

    Raises:
        ValueError: An odd number of rows has no second views.
    """
    if len(logits) % 2:
        raise ValueError(f"consistency_loss wants two views of each utterance, got {len(logits)} rows.")
    log_probs = nn.functional.log_softmax(logits, dim=-1, dtype=torch.float32)  # (2B, T, V)
    targets = log_probs.detach().roll(len(log_probs) // 2, dims=0)
    divergence = nn.functional.kl_div(log_probs, targets, reduction="none", log_target=True).sum(-1)  # (2B, T)
    return divergence.masked_fill(~frame_mask.bool(), 0.0).sum()


def cr_ctc_loss(
    ctc_loss: torch.Tensor, logits: torch.Tensor, frame_mask: torch.Tensor, weight: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """CR-CTC loss of a batch of two views: half the CTC loss of both plus `weight` times half their divergence.

    With weight 0 and equal views it is the CTC loss of one view.

    Args:
        ctc_loss: CTC loss summed over both views, a scalar.
        logits: `(2 B, T, V)`, see [`consistency_loss`].
        frame_mask: `(2 B, T)`, see [`consistency_loss`].
        weight: Weight of the consistency term (icefall's zipformer: 0.2).

    Returns:
        The loss, and the consistency term as it enters it.
    """
    consistency = weight * consistency_loss(logits, frame_mask) / 2
    return ctc_loss / 2 + consistency, consistency


def ramped_weight(weight: float, step: int, ramp_steps: int) -> float:
    """Weight of the consistency term at a step: up to its value in a line (icefall: over 2000 steps).

    Args:
        weight: Its value after the ramp.
        step: Optimizer steps taken.
        ramp_steps: Length of the ramp; 0 for none.

    Example:
        >>> [ramped_weight(0.2, step, 4) for step in (0, 1, 4, 9)]
        [0.0, 0.05, 0.2, 0.2]
    """
    return weight * min(1.0, step / ramp_steps) if ramp_steps else weight
