# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""CTC's rule from frames to labels: equal neighbours are one label, and the blank is none (Graves 2006)."""

import math
from collections.abc import Iterable, Sequence
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


def ctc_log_probs(log_probs: Sequence[torch.Tensor], labels: Sequence[Sequence[int]], blank: int = 0) -> list[float]:
    """Log-probability in nats of each label sequence, summed over all its paths; a batch in one call.

    Args:
        log_probs: of N utterances, `(T, V)` each with a T of its own; any device and floating-point type.
        labels: N label sequences without blanks; an empty one is the probability of blanks alone.
        blank: id of the CTC blank.

    Returns:
        N numbers; minus infinity for a sequence that needs more frames than there are.
    """
    if not len(labels):
        return []
    rows = [row.detach().cpu().float() for row in log_probs]
    # Without frames there is one path, the empty one.
    known = {n: -math.inf if labels[n] else 0.0 for n, row in enumerate(rows) if not len(row)}
    asked = [n for n in range(len(rows)) if n not in known]
    if asked:
        losses = torch.nn.functional.ctc_loss(
            torch.nn.utils.rnn.pad_sequence([rows[n] for n in asked]),  # (T, N, V)
            torch.tensor([label for n in asked for label in labels[n]], dtype=torch.long),
            torch.tensor([len(rows[n]) for n in asked]),
            torch.tensor([len(labels[n]) for n in asked]),
            blank=blank,
            reduction="none",
        )
        known |= dict(zip(asked, (-losses).tolist(), strict=True))
    return [known[n] for n in range(len(rows))]


__all__ = ["ctc_collapse", "ctc_log_probs", "greedy_spans"]
