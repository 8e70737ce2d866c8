# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""From frames to a vector an utterance, and from vectors to standardised principal components."""

from dataclasses import dataclass

import numpy as np
import torch

from .spectrum import as_double


@dataclass
class Components:
    """Standardised principal components of N vectors.

    Attributes:
        scores: Components of the largest variance first, each of mean 0 and variance 1, `(N, k)`.
        num_columns: Width of the vectors.
        num_varying: Components of any variance that there are: at most N - 1 and at most the columns.
    """

    scores: np.ndarray
    num_columns: int
    num_varying: int


def pooled(frames: torch.Tensor) -> np.ndarray:
    """Mean and standard deviation (ddof 0) over an utterance's frames, `(2 D,)` float64.

    Args:
        frames: `(L, D)`, L at least 1.
    """
    frames = as_double(frames)
    return torch.cat([frames.mean(0), frames.std(0, correction=0)]).cpu().numpy()


def components(vectors: np.ndarray) -> Components:
    """All principal components of variance above rounding, each scaled to unit variance (ddof 0).

    Args:
        vectors: `(N, F)`; centred here, not whitened otherwise.
    """
    num_rows, num_columns = vectors.shape
    centred = vectors - vectors.mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    # Of constant columns centring leaves the rounding of their mean.
    largest = max(values[0], np.abs(vectors).max() * np.sqrt(num_rows)) if values.size else 0.0
    varying = int((values > np.finfo(np.float64).eps * max(vectors.shape) * largest).sum())
    scores = left[:, :varying] * values[:varying]
    return Components(scores / scores.std(0), num_columns, varying)
