# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the benchmarks against other implementations share: steps measured in turn, medians, the conditions."""

import platform
import time
from collections.abc import Callable

import numpy as np
import torch
import transformers


# Does some work and returns what it measured, in any unit: one number each time for every quantity.
Step = Callable[[], tuple[float, ...]]


def cpu_and_wall(call: Callable[[], object]) -> Step:
    """CPU seconds (of all threads) and wall seconds of a call."""

    def step() -> tuple[float, float]:
        cpu, wall = time.process_time(), time.perf_counter()
        call()
        return time.process_time() - cpu, time.perf_counter() - wall

    return step


def interleave(steps: dict[str, Step], rounds: int) -> dict[str, np.ndarray]:
    """Measurements of each step, of shape `(rounds, quantities)`.

    Every step runs once a round, so that what changes on the machine meanwhile meets all of them, and each round
    starts with the next one, so that none always comes first. A round that is not counted goes before.
    """
    names = list(steps)
    measured: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            values = steps[name]()
            if turn:
                measured[name].append(values)
    return {name: np.array(values) for name, values in measured.items()}


def spread(values: np.ndarray, digits: int) -> str:
    """Median and, in brackets, the distance between the quartiles."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return f"{median:.{digits}f} ({high - low:.{digits}f})"


def ratio(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Median over rounds of ours / theirs: both halves of each quotient were measured right after each other."""
    return float(np.median(ours / theirs))


def print_goal(name: str, value: float, bound: float) -> None:
    """A line that `speed.py` gathers: a figure of which more is better, and what it should reach."""
    print(f"goal: {name}: {value:.2f}, wanted {bound:g}, {'met' if value >= bound else 'not met'}", flush=True)


def print_conditions(threads: int) -> None:
    """Sets torch's number of threads and prints on what everything below rests."""
    torch.set_num_threads(threads)
    versions = (
        f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}"
    )
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"{versions}; {threads} thread(s), {capability}; medians, in brackets the distance between the quartiles")
