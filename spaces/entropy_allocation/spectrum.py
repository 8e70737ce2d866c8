# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NSE of an utterance as arXiv 2604.08003 defines it: how evenly its frames' singular values share their sum."""

import math

import torch


def utterance_nse(frames: torch.Tensor) -> float:
    """-sum p ln p / ln d, with p the d = min(L, D) singular values of the frames over their sum.

    The frames are taken as they are: not centred, so that a shift of all of them changes the figure, and the singular
    values themselves are shared out, not their squares. 0 where d is 1 or all frames are zero.

    Args:
        frames: Valid frames of one utterance, `(L, D)`.
    """
    possible = min(frames.shape)
    if possible < 2:
        return 0.0
    values = torch.linalg.svdvals(as_double(frames))
    total = values.sum()
    if total <= 0:
        return 0.0
    shares = values / total
    present = shares[shares > 0]
    return float(-(present * present.log()).sum()) / math.log(possible)


def as_double(frames: torch.Tensor) -> torch.Tensor:
    """The frames `(N, D)` in float64, on their own device unless that has none."""
    frames = frames.detach()
    return (frames.cpu() if frames.device.type == "mps" else frames).double()
