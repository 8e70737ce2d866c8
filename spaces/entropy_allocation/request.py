# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a caller asks of the metric, checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from operator import index
from typing import Any

import numpy as np

from .probes import FAMILIES, check_request


PAPER_METRICS = ("nse", "pai", "csai", "text_cka")
FRAME_METRICS = ("frame_nse", "frame_pai", "frame_csai", "cka")
METRICS = (*PAPER_METRICS, *FRAME_METRICS)
DEFAULT_RIDGE = 1e-3
# Options that nothing else heeds than these metrics.
_HEEDED_BY = {
    "pca_size": ("pai", "csai"),
    "ridge": ("pai", "csai"),
    "table": ("pai", "csai"),
    "per_utterance": ("nse",),
}


@dataclass
class Request:
    """Options of `compute`; their meaning is in the metric's `inputs_description`."""

    metrics: Sequence[str] | None = None
    embedder: Any = None
    pca_size: Any = None
    ridge: float = DEFAULT_RIDGE
    num_shuffles: int = 20
    num_bootstrap: int = 200
    seed: int = 0
    table: bool = False
    per_utterance: bool = False
    probes: Sequence[str] = FAMILIES
    num_seeds: int = 3
    control: bool = True
    context_phonemes: int | None = 2
    distributed: bool = False

    def __post_init__(self):
        self.metrics = check_metrics(self.metrics)
        self.probes, self.num_seeds = check_request(self.probes, self.num_seeds)
        for name in ("table", "per_utterance", "control", "distributed"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise ValueError(f"`{name}` must be True or False, got {getattr(self, name)!r}.")
        self.num_shuffles = _whole("num_shuffles", self.num_shuffles, 2)
        self.num_bootstrap = _whole("num_bootstrap", self.num_bootstrap, 2)
        self.seed = _whole("seed", self.seed, 0)
        if self.context_phonemes is not None:
            self.context_phonemes = _whole("context_phonemes", self.context_phonemes, 1)
        if isinstance(self.ridge, bool) or not isinstance(self.ridge, Real) or not 0 <= self.ridge < float("inf"):
            raise ValueError(f"`ridge` must be a number from 0 on, got {self.ridge!r}.")
        self.ridge = float(self.ridge)
        self.pca_size = _pca_size(self.pca_size)


OPTIONS = tuple(option.name for option in fields(Request))


def check_metrics(metrics) -> list[str] | None:
    """The same as a list; None stays.

    Raises:
        ValueError: no list, an empty one or unknown names.
    """
    if metrics is None:
        return None
    named = [metrics] if isinstance(metrics, str) or not isinstance(metrics, Iterable) else list(metrics)
    if unknown := sorted({str(name) for name in named} - set(METRICS)):
        raise ValueError(f"Unknown metrics {', '.join(unknown)}: there are {', '.join(METRICS)}.")
    if isinstance(metrics, str) or not named:
        raise ValueError(f"`metrics` must be a list of {', '.join(METRICS)}, got {metrics!r}.")
    return list(dict.fromkeys(named))


def check_heeded(given: Mapping[str, Any], computed: Iterable[str]) -> None:
    """Whether each option that was given has a metric that heeds it.

    Args:
        given: Options by name; None and False are as if not given.
        computed: Names of the metrics that are computed.

    Raises:
        ValueError: names the option and the metrics that it is for.
    """
    computed = set(computed)
    for name, metrics in _HEEDED_BY.items():
        if given.get(name) is None or given[name] is False or computed & set(metrics):
            continue
        raise ValueError(
            f"`{name}` is for {' and '.join(metrics)}, and what is computed is "
            f"{', '.join(sorted(computed)) or 'nothing'}."
        )


def _whole(name: str, value, least: int) -> int:
    try:
        number = index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise ValueError(f"`{name}` must be a whole number, at least {least}, got {value!r}.")
    return number


def _pca_size(value) -> tuple[int, int, int] | None:
    """Components of u, P and C."""
    if value is None:
        return None
    if not isinstance(value, (list, tuple, np.ndarray)):
        return (_whole("pca_size", value, 1),) * 3
    sizes = tuple(_whole("pca_size", size, 1) for size in value)
    if len(sizes) != 3 or sizes[1] != sizes[2]:
        raise ValueError(f"`pca_size` must be one number or three, for u, P and C, with P and C alike; got {value!r}.")
    return sizes
