# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The page of an experiment: a verdict a claim, what each arm gave, four pictures; and README's summary of it."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..runs.records import write_text
from .causes import cause_table
from .experiment import PLAIN, Experiment
from .plots import draw
from .results import Results
from .summary import summary, with_summary
from .verdicts import decide, leaning, tally


# What is measured of a model, where its name does not say it.
METRICS = {"text_cka": "text CKA, adaptor minus last layer,"}


def write_page(experiment: Experiment, folder: Path, readme: Path | None = None) -> Path:
    """Write `claims.md`, `claims.json` and pictures beside what was kept, and README's summary.

    Args:
        experiment: Whose results they are.
        folder: With a folder a seed.
        readme: File with the marks that the summary goes between.

    Returns:
        The page.

    Raises:
        SettingsError: no seed is whole, two were run with other settings, or README has no place for a summary.
    """
    results = Results(folder, experiment)
    decided, page = decide(results), folder / "claims.md"
    text = readme and readme.read_text(encoding="utf-8")
    if readme:
        link = Path(os.path.relpath(page, readme.parent)).as_posix()
        text = with_summary(text, summary(results, decided, link), experiment)
    pictures = draw(results, folder)
    content = {
        "seeds": [seed.name for seed in results.seeds],
        "settings": results.settings,
        "claims": [{name: _finite(value) for name, value in claim.items()} for claim in decided],
        "arms": arm_figures(results),
    }
    write_text(folder / "claims.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    lines = [
        *heading(results, decided),
        *claim_table(results.experiment.claim_column, decided),
        "",
        *arm_table(content["arms"]),
        "",
    ]
    lines += cause_table(results, decided)
    lines += [line for file, title in pictures.items() for line in (f"![{title}]({file})", "", f"{title}.", "")]
    write_text(page, "\n".join(lines).rstrip() + "\n")
    if readme:
        write_text(readme, text)
    return page


def _finite(value: Any) -> Any:
    """JSON knows no infinity: bounds that one seed cannot give are null."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def heading(results: Results, decided: list[dict[str, Any]]) -> list[str]:
    """What was done, in a few lines."""
    experiment = results.experiment
    return [
        f"# {experiment.title}",
        "",
        f"Of {len(decided)} {experiment.about}: {tally(decided)}. "
        f"Seeds: {', '.join(seed.name for seed in results.seeds)}. A claim holds where its whole interval of 95 % is "
        "on its side. Intervals of error and hallucination rates are of a paired bootstrap over utterances and seeds, "
        "those of NSE, PAI, CSAI and CKA Student's over seeds; half an interval is the difference that these sizes "
        "can show. With three seeds the bootstrap's are somewhat narrow: how seeds vary is itself a guess. With one "
        "seed, which cannot say how seeds vary, nothing is decided, and intervals are of its utterances alone"
        + (f": {leaning(decided)}. " if len(results.seeds) < 2 else ". ")
        + f"Written by `entropy-asr experiment {experiment.name} --aggregate`; what the arms are, and why these "
        f"sizes, is in its file, `{experiment.path.name}`.",
        "",
    ]


def claim_table(column: str, decided: list[dict[str, Any]]) -> list[str]:
    """A row a claim; `column` is what the first is called."""
    lines = [f"| {column} | must be | measured | interval | can show | verdict |", "|---|---|---:|---:|---:|---|"]
    for claim in decided:
        lines.append(f"| {claim['says']} | {bounds(claim)} | {' | '.join(measured(claim))} | {verdict(claim)} |")
    return lines


def verdict(claim: dict[str, Any]) -> str:
    """The verdict, with what one seed alone says."""
    sides = {"utterances": claim.get("utterances_say"), "value": claim.get("value_alone")}
    said = next((f" ({name}: {side})" for name, side in sides.items() if side is not None), "")
    return f"{claim['verdict']}{said}"


def bounds(claim: dict[str, Any]) -> str:
    """What the statistic is, and where it must lie; rates in points."""
    scale = 1 if claim["kind"] == "allocation" else 100
    if claim["kind"] == "allocation":
        what = f"{METRICS.get(claim['metric'], claim['metric'].upper())} of {sum_in_words(claim['terms'])}"
        what += f", over that of {claim['over']}" if "over" in claim else ""
    else:
        factor = "" if claim.get("factor", 1) == 1 else f"{claim['factor']:g} x "
        what = f"{claim['kind']} of {claim['first']} - {factor}{claim['second']}"
    low, high = (f"{scale * claim.get(name, 0):g}" for name in ("low", "high"))
    if "low" in claim and "high" in claim:
        return f"{what} from {low} to {high}"
    return f"{what} above {low}" if "low" in claim else f"{what} below {high}"


def sum_in_words(terms: dict[str, float]) -> str:
    """What is added and taken away: `a - b + 0.5 x c`."""
    said = ""
    for name, factor in terms.items():
        times = "" if abs(factor) == 1 else f"{abs(factor):g} x "
        said += f" {'-' if factor < 0 else '+'} {times}{name}"
    return said.removeprefix(" + ").strip()


def measured(claim: dict[str, Any]) -> list[str]:
    """Value, interval and half its width; rates in points."""
    if claim["found"] is None:
        return ["–"] * 3
    scale, digits = (1, 3) if claim["kind"] == "allocation" else (100, 2)
    value = f"{scale * claim['found']['value']:.{digits}f}"
    one_seed = math.isinf(claim["found"]["low"])
    found = claim["utterances_alone"] if one_seed else claim["found"]
    if found is None:
        return [value, "one seed", "–"]
    low, high = (scale * found[name] for name in ("low", "high"))
    interval = f"{low:.{digits}f} to {high:.{digits}f}" + (", utterances alone" if one_seed else "")
    return [value, interval, f"{(high - low) / 2:.{digits}f}"]


def arm_figures(results: Results) -> dict[str, Any]:
    """Of each arm: rates of each seed by condition, hallucination, and what training took."""
    conditions, padded = results.experiment.conditions, results.experiment.padded
    return {
        arm: {
            "error rates": {name: results.rate(arm, name, "errors") for name in conditions},
            "error rates by test set": results.rates(arm, PLAIN, "errors"),
            "error rates on further sets": results.further_rates(arm),
            "error rates before the last stage": results.earlier_rates(arm),
            "insertions per 100 utterances": results.rate(arm, PLAIN, "insertions"),
            "text without speech": results.rate(arm, PLAIN, "nonempty", spoken=False),
            "text without speech, guards on": results.rate(arm, "guards on", "nonempty", spoken=False),
            # Who writes nothing there hallucinates nothing either.
            "text at all with silence around": results.rate(arm, padded, "nonempty"),
            "hallucinated in silence": results.rate(arm, padded, "hallucinated"),
            "hallucinated in silence, guards on": results.rate(
                arm, padded.replace(PLAIN, "guards on"), "hallucinated"
            ),
            "paper's rule": results.rate(arm, PLAIN, "paper"),
            **results.training(arm),
        }
        for arm in results.experiment.arms
    }


def arm_table(figures: dict[str, Any]) -> list[str]:
    """A column an arm: means over seeds in %."""
    arms = list(figures)
    lines = [f"| %, mean over seeds | {' | '.join(arms)} |", f"|---|{'---:|' * len(arms)}"]
    rows = {
        f"errors: {name}": [figures[arm]["error rates"][name] for arm in arms]
        for name in figures[arms[0]]["error rates"]
    }
    # A set on which all arms are wrong, or none is, says nothing of which is better, and the mean hides it.
    for name in figures[arms[0]]["error rates by test set"]:
        rows[f"errors on {name}"] = [figures[arm]["error rates by test set"][name] for arm in arms]
    for name in figures[arms[0]]["error rates on further sets"]:
        rows[f"errors on {name}, of which nothing is claimed"] = [
            figures[arm]["error rates on further sets"].get(name, []) for arm in arms
        ]
    earlier = [list(figures[arm]["error rates before the last stage"].values()) for arm in arms]
    rows["errors before the last stage"] = [found[-1] if found else [] for found in earlier]
    for name in figures[arms[0]]:
        if isinstance(figures[arms[0]][name], list):
            rows[name] = [figures[arm][name] for arm in arms]
    for name, values in rows.items():
        # Insertions are counts, of a hundred utterances, as the others are of a hundred.
        cells = [f"{100 * np.mean(value):.1f}" if value else "–" for value in values]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, title, form in (("steps", "training steps", ".0f"), ("hours", "hours of one processor", ".2f")):
        lines.append(f"| {title} | {' | '.join(format(figures[arm][name], form) for arm in arms)} |")
    return lines
