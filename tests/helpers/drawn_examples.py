# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Examples of a hypothesis strategy as a list, the same for a seed."""

from typing import Any

import hypothesis


def draw_examples(strategy: hypothesis.strategies.SearchStrategy, count: int, seed: int) -> list[Any]:
    """At most so many; fewer where hypothesis finds no more that differ."""
    drawn: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(example: Any) -> None:
        drawn.append(example)

    collect()
    return drawn[:count]
