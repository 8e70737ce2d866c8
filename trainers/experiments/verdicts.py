# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which claims hold: of each what was measured, with its interval, and a verdict."""

from dataclasses import asdict
from typing import Any

import numpy as np

from ..evaluation.paired_bootstrap import (
    CountedSet,
    Interval,
    judge_claim,
    mean_over_seeds,
    paired_difference,
)
from .experiment import PLAIN
from .results import Results


VERDICTS = ("holds", "does not hold", "not decided here", "not measured here")
IN_PLURAL = {"holds": "hold", "does not hold": "do not hold"}


def counted_sets(claim: dict[str, Any], results: Results) -> list[CountedSet]:
    """What a claim about errors or hallucinations compares, of each test set that has it."""
    condition, what, spoken = {
        None: (PLAIN, "errors", True),
        "non-speech": (PLAIN, "nonempty", False),
        "padded": (results.experiment.padded, "hallucinated", True),
        "paper": (PLAIN, "paper", True),
    }[claim.get("sounds")]
    return results.both((claim["first"], claim["second"]), condition, what, spoken)


def measure(claim: dict[str, Any], results: Results) -> Interval | None:
    """A claim's statistic; None where what it is about was not measured."""
    if claim["kind"] == "allocation":
        return measure_allocation(claim, results)
    sets = counted_sets(claim, results)
    return paired_difference(sets, claim.get("factor", 1.0)) if sets else None


def measure_allocation(claim: dict[str, Any], results: Results) -> Interval | None:
    """A sum of figures of stages, over one of them where the claim says so, with Student's interval over seeds."""
    values, over = [], [claim["over"]] if "over" in claim else []
    for seed in results.seeds:
        found = {name: results.allocation(seed, name, claim["metric"]) for name in (*claim["terms"], *over)}
        # PAI and CSAI are cut at 0, of which nothing is a share.
        if None in found.values() or ("over" in claim and not found[claim["over"]]):
            return None
        value = sum(factor * found[name] for name, factor in claim["terms"].items())
        values.append(value / found[claim["over"]] if "over" in claim else value)
    return mean_over_seeds(values)


def of_utterances(claim: dict[str, Any], results: Results) -> Interval | None:
    """With one seed, which cannot say how seeds differ: the interval over its utterances alone. Else None."""
    if claim["kind"] == "allocation" or len(results.seeds) > 1:
        return None
    # The same seed twice: drawing seeds changes nothing.
    sets = [
        CountedSet(np.repeat(one.first, 2, 0), np.repeat(one.second, 2, 0), one.units)
        for one in counted_sets(claim, results)
    ]
    return paired_difference(sets, claim.get("factor", 1.0)) if sets else None


def lean(claim: dict[str, Any], found: Interval | None, utterances: Interval | None) -> dict[str, str | None]:
    """With one seed, on which side of the claim's bounds its value lies, and the interval over its utterances."""
    bounds = claim.get("low"), claim.get("high")
    at_value = found and judge_claim(Interval(found.value, found.value, found.value), *bounds)
    return {
        "value_alone": {"holds": "for", "does not hold": "against", None: None}.get(at_value, "open"),
        "utterances_say": utterances
        and {"holds": "for", "does not hold": "against"}.get(judge_claim(utterances, *bounds), "open"),
    }


def decide(results: Results) -> list[dict[str, Any]]:
    """All claims with what was measured and a verdict."""
    decided = []
    for claim in results.experiment.claims:
        found, utterances = measure(claim, results), of_utterances(claim, results)
        decided.append(
            {
                **claim,
                "found": found and asdict(found),
                "utterances_alone": utterances and asdict(utterances),
                **(lean(claim, found, utterances) if len(results.seeds) < 2 else {}),
                "verdict": judge_claim(found, claim.get("low"), claim.get("high")) if found else "not measured here",
            }
        )
    return decided


def tally(decided: list[dict[str, Any]]) -> str:
    """How many claims got which verdict."""
    counts = {word: sum(claim["verdict"] == word for claim in decided) for word in VERDICTS}
    return ", ".join(f"{count} {IN_PLURAL.get(word, word) if count != 1 else word}" for word, count in counts.items())


def leaning(decided: list[dict[str, Any]]) -> str:
    """Of one seed, how many values, and how many intervals over its utterances, are on their claim's side."""
    values, intervals = (
        [claim[name] for claim in decided if claim[name] is not None] for name in ("value_alone", "utterances_say")
    )
    return (
        f"{values.count('for')} of {len(values)} values are on their claim's side and {values.count('against')} on "
        f"the other, by the whole interval of utterances alone {intervals.count('for')} of {len(intervals)} and "
        f"{intervals.count('against')}"
    )
