# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What checks of likely causes found, in words: a table of an experiment's page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.paired_bootstrap import Interval, judge_claim
from .experiment import PLAIN
from .results import Results, as_arrays


FILE = "why.json"


def cause_table(results: Results, decided: list[dict[str, Any]]) -> list[str]:
    """A row a check that was made of a claim whose value is on the wrong side, whatever its interval.

    Args:
        results: Of all seeds.
        decided: Claims with what was measured.
    """
    wrong = {claim["says"] for claim in decided if is_against(claim)}
    checks = [check for check in results.experiment.why if wrong & set(check["about"])]
    rows = [row for check in checks if (row := cause_row(check, results))]
    if not rows:
        return []
    head = ["## Why", "", "Likely causes of what does not hold here, or leans so, and a check of each.", ""]
    return [
        *head,
        f"| {results.experiment.claim_column} | likely cause | check | found |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def is_against(claim: dict[str, Any]) -> bool:
    """Whether what was measured is not what is claimed."""
    if claim["found"] is None:
        return False
    value = claim["found"]["value"]
    return judge_claim(Interval(value, value, value), claim.get("low"), claim.get("high")) == "does not hold"


def cause_row(check: dict[str, Any], results: Results) -> str | None:
    """A check's row; None where it was not made."""
    said = IN_WORDS[check["kind"]](check, results)
    about = "; ".join(check["about"])
    return said and f"| {about} | {check['cause']} | {check['check']} | {said} |"


def on_each_seed(
    words: Callable[[dict[str, Any], Results, Path, dict[str, Any]], str],
) -> Callable[[dict[str, Any], Results], str | None]:
    """What a check found on each seed that it was made on; None where it was made on none.

    Args:
        words: Says it of the check, all results, one seed's folder, and what the check gave there.
    """

    def say(check: dict[str, Any], results: Results) -> str | None:
        files = [seed / FILE for seed in results.seeds if (seed / FILE).is_file()]
        found = {file.parent: json.loads(file.read_text(encoding="utf-8")).get(check["name"]) for file in files}
        said = [f"seed {seed.name}: {words(check, results, seed, one)}" for seed, one in found.items() if one]
        return "; ".join(said) or None

    return say


def trained_again(check: dict[str, Any], results: Results, seed: Path, found: dict[str, Any]) -> str:
    """Rates of the arm that was trained again, as it was, and of the one it is compared with."""
    arms = [check["arm"], *([check["than"]] if "than" in check else [])]
    kept = {arm: results.of_arm(seed, arm)["results"][f"{arm}_results"] for arm in arms}
    said = [
        f"{name} {percent(found['results'], *what)} ("
        + ", ".join(f"{arm} {percent(kept[arm], *what)}" for arm in arms)
        + ")"
        for name, what in rates(results.experiment.padded).items()
    ]
    steps = f"{found['training']['steps']} steps, " if "training.max_steps" in check["set"] else ""
    return steps + "; ".join(said)


def rates(padded: str) -> dict[str, tuple[str, str, str]]:
    """Rates in words: condition, what is counted, over what."""
    silence = {
        "errors in silence": (padded, "errors", "units"),
        "hallucinated in silence": (padded, "hallucinated", "ones"),
    }
    return {"errors": (PLAIN, "errors", "units"), **(silence if padded else {})}


def percent(counted: dict[str, Any], condition: str, what: str, over: str) -> str:
    """A rate as the mean over test sets of speech."""
    arrays = [as_arrays(one) for one in counted[condition].values() if sum(one["units"])]
    return f"{100 * np.mean([one[what].sum() / one[over].sum() for one in arrays]):.1f} %"


def text_cka(check: dict[str, Any], results: Results, seed: Path, found: dict[str, Any]) -> str:
    """What the adaptor adds to the last layer's CKA, with the embedder's vectors and with the model's own."""
    said = []
    for stage in check["stages"]:
        *_, last, adaptor = found[stage]["values"]
        own = results.allocation(seed, stage, "text_cka")
        own = "not measured" if own is None else f"{own:+.3f}"
        chance = found[stage]["chance"]["mean"]
        said.append(f"{stage} {adaptor - last:+.3f} ({last:.3f} to {adaptor:.3f}, chance {chance:.3f}; own {own})")
    return "; ".join(said)


def sizes(check: dict[str, Any], results: Results) -> str:
    """The sign of a sum of figures at all sizes of the PCA and ridges, of all seeds, above chance."""
    values = []
    for seed in results.seeds:
        for data in results.report(seed)["datasets"].values():
            tables = {name: data["models"][name]["details"][check["metric"]]["table"] for name in check["terms"]}
            factors = list(check["terms"].values())
            for rows in zip(*tables.values(), strict=True):
                above_chance = [row[check["metric"]] - row["chance"] for row in rows]
                values.append(float(np.dot(factors, above_chance)))
    above = sum(value > 0 for value in values)
    return f"above 0 at {above} of {len(values)} sizes, ridges and seeds"


def shares(check: dict[str, Any], results: Results) -> str:
    """Shares of utterances with any text under a condition, of arms."""
    return ", ".join(
        f"{arm} {100 * np.mean(results.rate(arm, results.experiment.padded, 'nonempty')):.1f} % with text"
        for arm in check["arms"]
    )


def figures(check: dict[str, Any], results: Results) -> str | None:
    """A figure of several stages, of each its mean over seeds and their range."""
    said = []
    for stage in check["stages"]:
        found = [results.allocation(seed, stage, check["metric"]) for seed in results.seeds]
        if None in found:
            return None
        said.append(f"{stage} {np.mean(found):.3f} ({min(found):.3f} to {max(found):.3f})")
    return ", ".join(said)


IN_WORDS: dict[str, Callable[[dict[str, Any], Results], str | None]] = {
    "trained again": on_each_seed(trained_again),
    "text CKA": on_each_seed(text_cka),
    "sizes": sizes,
    "figures": figures,
    "text in silence": shares,
}
