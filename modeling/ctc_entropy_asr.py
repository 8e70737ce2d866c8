# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""CTC's rule from frames to labels: equal neighbours are one label, and the blank is none (Graves 2006)."""

from collections.abc import Iterable
from itertools import groupby

import torch

from .torchaudio_entropy_asr import TokenSpan, merge_tokens


def ctc_collapse(frames: Iterable[int], blank: int = 0, previous: int | None = None) -> list[int]:
    """Labels of a CTC path: repeats merged, then blanks dropped.

    Args:
        frames: the label of each of T frames; negative ones are padding, which counts as blank.
        blank: id of the CTC blank.
        previous: label of the frame before the first one, where a path is collapsed chunk by chunk.

    Returns:
        The L <= T labels, without one that `previous` goes on with.
    """
    labels = [label for label, _ in groupby(frames)]
    if labels and labels[0] == previous:
        labels = labels[1:]
    return [int(label) for label in labels if label != blank and label >= 0]


def greedy_spans(log_probs: torch.Tensor, blank: int = 0) -> list[TokenSpan]:
    """The greedy CTC hypothesis with its frames: the best label of each frame, collapsed as [`ctc_collapse`] does.

    Args:
        log_probs: log-probabilities `(T, V)` of the valid frames of one utterance; any device and floating-point type.
        blank: id of the CTC blank.

    Returns:
        One span a label: `token` is its id, `start` (inclusive) and `end` (exclusive) are frames, `score` is its mean
        probability over them, in [0, 1]. No frames give no spans.
    """
    if not len(log_probs):
        return []
    scores, path = log_probs.detach().cpu().float().max(-1)
    return merge_tokens(path, scores.exp(), blank=blank)


__all__ = ["ctc_collapse", "greedy_spans"]
