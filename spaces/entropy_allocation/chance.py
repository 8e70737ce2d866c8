# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a figure would be by chance, and how far it moves with the choice of utterances."""

from collections.abc import Callable

import numpy as np


# Of a bootstrap interval.
COVERAGE = 0.95


def chance_level(figure: Callable[[np.ndarray], float], num_rows: int, num_shuffles: int, seed: int) -> dict:
    """Mean and spread of a figure with utterances paired at random.

    Args:
        figure: The figure with the frames of utterance `order[i]` beside the transcript of utterance i; `(N,)`.
        num_rows: N.
        num_shuffles: Random orders.
        seed: Of the orders.
    """
    rng = np.random.default_rng(seed)
    values = np.array([figure(rng.permutation(num_rows)) for _ in range(num_shuffles)])
    return {"mean": float(values.mean()), "spread": float(values.std()), "shuffles": num_shuffles}


def bootstrap(figure: Callable[[np.ndarray], float], value: float, num_rows: int, samples: int, seed: int) -> dict:
    """Interval of a figure over utterances drawn with replacement.

    Drawn utterances repeat, which makes information look larger (as if there were fewer of them). So the spread of the
    draws is laid about the figure itself: `interval` is the figure plus the draws' 2.5 % and 97.5 % points less their
    mean, and `bootstrap_bias` says by how much the draws lie above the figure.

    Args:
        figure: The figure of the utterances of those numbers, `(N,)`.
        value: The figure of all of them.
        num_rows: N.
        samples: Number of draws.
        seed: Of the draws.
    """
    rng = np.random.default_rng([seed, 1])
    values = np.array([figure(rng.integers(0, num_rows, num_rows)) for _ in range(samples)])
    tail = (1 - COVERAGE) / 2
    low, high = value + np.quantile(values, [tail, 1 - tail]) - values.mean()
    return {"interval": [float(low), float(high)], "bootstrap_bias": float(values.mean() - value), "draws": samples}


def canonical_order(pooled: np.ndarray) -> np.ndarray:
    """An order of utterances that does not depend on the order they came in, `(N,)`.

    With it the same seed pairs the same utterances, however many processes they came from.

    Args:
        pooled: A vector an utterance, `(N, F)`.
    """
    direction = np.random.default_rng(0).normal(size=pooled.shape[1])
    return np.argsort(pooled @ direction, kind="stable")
