# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The page of `claims.py`: a verdict a claim, what each arm gave, four pictures; and README's summary of it."""

import json
import math
import os
import re
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from claims_causes import cause_table
from claims_results import PADDED, PLAIN, Results, plan

from entropy_asr.trainers.evaluation.paired_bootstrap import (
    CountedSet,
    Interval,
    judge_claim,
    mean_over_seeds,
    paired_difference,
)


VERDICTS = ("holds", "does not hold", "not decided here", "not measured here")
IN_PLURAL = {"holds": "hold", "does not hold": "do not hold"}
MARKS = ("<!-- claims: tests/benchmarks/claims.py page writes this -->", "<!-- end of claims -->")
SUMMARY_LINES = 10


# Claims


def counted_sets(claim: dict[str, Any], results: Results) -> list[CountedSet]:
    """What a claim about errors or hallucinations compares, of each test set that has it."""
    condition, what, spoken = {
        None: (PLAIN, "errors", True),
        "non-speech": (PLAIN, "nonempty", False),
        "padded": (PADDED, "hallucinated", True),
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
    values = []
    for seed in results.seeds:
        found = {name: results.allocation(seed, name, claim["metric"]) for name in claim["terms"]}
        if None in found.values():
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
    for claim in plan()["claims"]:
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


# The page


def write_page(folder: Path, readme: Path) -> int:
    """Write `claims.md`, `claims.json` and pictures beside what was kept, and README's summary."""
    from claims_plots import draw

    results = Results(folder)
    decided = decide(results)
    pictures = draw(results, plan(), folder)
    content = {
        "seeds": [seed.name for seed in results.seeds],
        "settings": results.settings,
        "claims": [{name: _finite(value) for name, value in claim.items()} for claim in decided],
        "arms": arm_figures(results),
    }
    (folder / "claims.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    lines = [*heading(results, decided), *claim_table(decided), "", *arm_table(content["arms"]), ""]
    lines += cause_table(results, decided)
    lines += [line for file, title in pictures.items() for line in (f"![{title}]({file})", "", f"{title}.", "")]
    (folder / "claims.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    if readme.exists():
        page = Path(os.path.relpath(folder / "claims.md", readme.parent)).as_posix()
        text = with_summary(readme.read_text(encoding="utf-8"), summary(results, decided, page))
        readme.write_text(text, encoding="utf-8")
    print(folder / "claims.md")
    return 0


def _finite(value: Any) -> Any:
    """JSON knows no infinity: bounds that one seed cannot give are null."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


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


def heading(results: Results, decided: list[dict[str, Any]]) -> list[str]:
    """What was done, in a few lines."""
    return [
        "# Do the paper's claims hold?",
        "",
        f"Of {len(decided)} claims of arXiv 2604.08003, at small scale from a public encoder: {tally(decided)}. "
        f"Seeds: {', '.join(seed.name for seed in results.seeds)}. A claim holds where its whole interval of 95 % is "
        "on its side. Intervals of error and hallucination rates are of a paired bootstrap over utterances and seeds, "
        "those of NSE, PAI, CSAI and CKA Student's over seeds; half an interval is the difference that these sizes "
        "can show. With three seeds the bootstrap's are somewhat narrow: how seeds vary is itself a guess. With one "
        "seed, which cannot say how seeds vary, nothing is decided, and intervals are of its utterances alone"
        + (f": {leaning(decided)}. " if len(results.seeds) < 2 else ". ")
        + "Written by `tests/benchmarks/claims.py page`; why these sizes, is in `claims.yaml` beside it.",
        "",
    ]


def claim_table(decided: list[dict[str, Any]]) -> list[str]:
    """A row a claim."""
    lines = ["| the paper says | must be | measured | interval | can show | verdict |", "|---|---|---:|---:|---:|---|"]
    for claim in decided:
        lines.append(f"| {claim['says']} | {bounds(claim)} | {' | '.join(measured(claim))} | {verdict(claim)} |")
    return lines


def verdict(claim: dict[str, Any]) -> str:
    """The verdict, with what one seed alone says."""
    sides = {"utterances": claim.get("utterances_say"), "value": claim.get("value_alone")}
    said = next((f" ({name}: {side})" for name, side in sides.items() if side is not None), "")
    return f"{claim['verdict']}{said}"


def bounds(claim: dict[str, Any]) -> str:
    """What the statistic is, and where it must lie."""
    if claim["kind"] == "allocation":
        what = f"{claim['metric'].upper()} of {sum_in_words(claim['terms'])}"
        what += f", over that of {claim['over']}" if "over" in claim else ""
    else:
        factor = "" if claim.get("factor", 1) == 1 else f"{claim['factor']:g} x "
        what = f"{claim['kind']} of {claim['first']} - {factor}{claim['second']}"
    if "low" in claim and "high" in claim:
        return f"{what} from {claim['low']:g} to {claim['high']:g}"
    return f"{what} above {claim['low']:g}" if "low" in claim else f"{what} below {claim['high']:g}"


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
    return {
        arm: {
            "error rates": {name: results.rate(arm, name, "errors") for name in plan()["conditions"]},
            "error rates by test set": results.rates(arm, PLAIN, "errors"),
            "error rates before the last stage": results.earlier_rates(arm),
            "insertions per 100 utterances": results.rate(arm, PLAIN, "insertions"),
            "text without speech": results.rate(arm, PLAIN, "nonempty", spoken=False),
            "text without speech, guards on": results.rate(arm, "guards on", "nonempty", spoken=False),
            # Who writes nothing there hallucinates nothing either.
            "text at all with silence around": results.rate(arm, PADDED, "nonempty"),
            "hallucinated in silence": results.rate(arm, PADDED, "hallucinated"),
            "hallucinated in silence, guards on": results.rate(
                arm, PADDED.replace("guards off", "guards on"), "hallucinated"
            ),
            "paper's rule": results.rate(arm, PLAIN, "paper"),
            **results.training(arm),
        }
        for arm in plan()["arms"]
    }


def arm_table(figures: dict[str, Any]) -> list[str]:
    """A column an arm: means over seeds in %."""
    arms = list(figures)
    lines = [f"| %, mean over seeds | {' | '.join(arms)} |", f"|---|{'---:|' * len(arms)}"]
    rows = {f"errors: {name}": [figures[arm]["error rates"][name] for arm in arms] for name in plan()["conditions"]}
    # A set on which all arms are wrong, or none is, says nothing of which is better, and the mean hides it.
    for name in figures[arms[0]]["error rates by test set"]:
        rows[f"errors on {name}"] = [figures[arm]["error rates by test set"][name] for arm in arms]
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


# README


def summary(results: Results, decided: list[dict[str, Any]], page: str) -> str:
    """The verdicts in at most `SUMMARY_LINES` lines, the last with a link to the page."""
    seeds = f"{len(results.seeds)} seed{'s' if len(results.seeds) > 1 else ''}"
    text = f"Of {len(decided)} claims, with {seeds}: {tally(decided)}."
    for word in VERDICTS[:2]:
        if said := [claim["says"] for claim in decided if claim["verdict"] == word]:
            text += f" {word.capitalize()}: {'; '.join(said)}."
    rates = {arm: 100 * np.mean(results.rate(arm, PLAIN, "errors")) for arm in ("proposed", "conventional")}
    text += f" Errors: {', '.join(f'{arm} {rate:.1f} %' for arm, rate in rates.items())}."
    if len(results.seeds) < 2:
        text += f" One seed cannot say how seeds differ, so nothing is decided yet: {leaning(decided)}."
    lines = textwrap.wrap(text, 119, break_on_hyphens=False)
    link = f"[All of it]({page})."
    if len(lines) >= SUMMARY_LINES:
        return "\n".join([*lines[: SUMMARY_LINES - 1], f"... {link}"])
    return "\n".join([*lines, link])


def with_summary(readme: str, said: str) -> str:
    """README with a fresh summary between its marks.

    Raises:
        ValueError: it has no such marks.
    """
    begin, end = map(re.escape, MARKS)
    found, count = re.subn(f"(?<={begin}\n).*?(?={end})", lambda _: said + "\n", readme, flags=re.DOTALL)
    if not count:
        raise ValueError(f"README lacks the lines {MARKS[0]} and {MARKS[1]} that its summary goes between.")
    return found
