# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Linear CKA between mean-pooled layers of a speech encoder and the language model's own text embeddings.

Figure 4 of arXiv 2604.08003: X is the mean over frames of a layer's output (each encoder layer, and the adaptor's
output) and Y the mean over tokens of the transcript in the language model's embedding table, a row an utterance each.
"""

from collections.abc import Sequence

import numpy as np

from .chance import chance_level


def text_cka(layers: Sequence[np.ndarray], text: np.ndarray) -> list[float]:
    """Linear CKA of every layer with the text embeddings, each in [0, 1].

    Args:
        layers: Mean-pooled outputs, `(N, D_l)` each.
        text: Mean text embeddings of the same utterances, `(N, D)`.

    Raises:
        ValueError: other numbers of rows, or fewer than 2.
    """
    return [linear_cka(layer, text) for layer in layers]


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """|X'Y|^2 / (|X'X| |Y'Y|) with centred columns and Frobenius norms; 0 where one of them does not vary.

    Args:
        first, second: `(N, D1)` and `(N, D2)`.
    """
    first, second = _centred(first), _centred(second)
    if len(first) != len(second):
        raise ValueError(f"CKA compares the same utterances: there are {len(first)} and {len(second)} rows.")
    if len(first) < 2:
        raise ValueError(f"CKA needs two utterances or more, got {len(first)}.")
    scale = _own_norm(first) * _own_norm(second)
    return _norm(first.T @ second) ** 2 / scale if scale > 0 else 0.0


def text_cka_chance(layer: np.ndarray, text: np.ndarray, num_shuffles: int, seed: int) -> dict:
    """Mean and spread of the CKA of a layer `(N, D)` with the texts `(N, E)` of other utterances."""
    grams = [centred @ centred.T for centred in (_centred(layer), _centred(text))]
    scale = _norm(grams[0]) * _norm(grams[1])

    def shuffled(order: np.ndarray) -> float:
        return float((grams[0][np.ix_(order, order)] * grams[1]).sum()) / scale if scale > 0 else 0.0

    return chance_level(shuffled, len(layer), num_shuffles, seed)


def _centred(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"CKA takes one vector an utterance, (N, D), not an array of shape {rows.shape}.")
    centred = rows - rows.mean(0)
    # Rounding of constant columns is no variance.
    return np.where(np.abs(centred) > 1e-14 * np.abs(rows).max(initial=0), centred, 0.0)


def _own_norm(rows: np.ndarray) -> float:
    """|X'X|, which is |XX'|: whichever is smaller."""
    return _norm(rows.T @ rows if rows.shape[0] > rows.shape[1] else rows @ rows.T)


def _norm(matrix: np.ndarray) -> float:
    return float(np.linalg.norm(matrix))
