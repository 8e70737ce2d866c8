# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Figures of a server as Prometheus reads them: its text format 0.0.4, for which no client library is needed."""

from collections import Counter
from collections.abc import Mapping

from starlette.responses import PlainTextResponse


PREFIX = "entropy_asr_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counts:
    """What only grows while a server runs.

    Args:
        names: Of the counters, without `entropy_asr_` and `_total`, and what each counts.
    """

    def __init__(self, names: Mapping[str, str]):
        self.names = dict(names)
        self._values: Counter[tuple[str, str]] = Counter()

    def add(self, name: str, amount: float = 1.0, label: str = "") -> None:
        """Count.

        Args:
            name: Of the counter.
            amount: How much.
            label: `key="value"` of a kind that is counted by itself.
        """
        if name not in self.names:
            raise KeyError(name)
        self._values[name, label] += amount

    def __getitem__(self, name: str) -> float:
        """Of all kinds together."""
        return sum(value for (counted, _), value in self._values.items() if counted == name)

    def lines(self) -> list[str]:
        """In Prometheus' format; what nothing was counted of is 0."""
        lines = []
        for name, text in self.names.items():
            kinds = {label: value for (counted, label), value in sorted(self._values.items()) if counted == name}
            lines += _metric(f"{name}_total", text, "counter", kinds or {"": 0.0})
        return lines


def gauge_lines(gauges: Mapping[str, tuple[str, float]]) -> list[str]:
    """Lines of what rises and falls.

    Args:
        gauges: By name, without `entropy_asr_`: what it is, and its value.
    """
    return [line for name, (text, value) in gauges.items() for line in _metric(name, text, "gauge", {"": value})]


def metrics_response(lines: list[str]) -> PlainTextResponse:
    """The answer to a scrape."""
    return PlainTextResponse("\n".join(lines) + "\n", headers={"content-type": CONTENT_TYPE})


def _metric(name: str, text: str, kind: str, values: Mapping[str, float]) -> list[str]:
    name = PREFIX + name
    # `:g` would round what is counted for weeks.
    numbers = {label: repr(float(value)).removesuffix(".0") for label, value in values.items()}
    samples = [f"{name}{{{label}}} {number}" if label else f"{name} {number}" for label, number in numbers.items()]
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *samples]
