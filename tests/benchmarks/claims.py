# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Do the paper's claims hold? Runs the arms of `trainers/recipes/claims.yaml`, and writes a page of what they gave.

```shell
python tests/benchmarks/claims.py run --data_dir DATA --encoder openai/whisper-base --hours 2.4
python tests/benchmarks/claims.py page runs/claims --output_dir tests/benchmarks/results/claims
```

`run` does what is missing, seed by seed, and goes on exactly where it was ended. After `--hours` it ends by itself,
with exit status 75 where it is not done. Further options, such as `--test_rows 50`, go to the recipe. `page` may be
called at any time: it takes the seeds that are whole. What is claimed, and when a claim holds, is in `claims.yaml`.
"""

import argparse
import json
import math
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH
from entropy_asr.spaces.hallucination_rate.hallucination_rate import hallucination_rate
from entropy_asr.trainers.evaluation.error_rates import score_transcripts
from entropy_asr.trainers.evaluation.paired_bootstrap import (
    CountedSet,
    Interval,
    mean_over_seeds,
    paired_difference,
    verdict,
)
from entropy_asr.trainers.recipes.recipe import load_recipe


ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "trainers" / "recipes" / "claims.yaml"
PLAN = Path(__file__).with_name("claims.yaml")
NOT_DONE = 75
PLAIN, PADDED = "guards off", "3 s of silence around, guards off"
REPORT = "allocation"


# Runs


def run(args: argparse.Namespace, options: list[str]) -> int:
    """Run what is missing of all seeds; 0 when nothing is left, `NOT_DONE` when the time is up, else what failed."""
    until = time.monotonic() + 3600 * args.hours
    common = ["--data_dir", args.data_dir, "--encoder", args.encoder, *options]
    check_steps(load_recipe(RECIPE, args.output_dir, common)["stages"])
    for seed in args.seeds:
        folder = Path(args.output_dir) / str(seed)
        recipe = ["recipe", str(RECIPE), *common, "--seed", str(seed), "--output_dir", str(folder)]
        for command, is_done in ((recipe, False), (report_command(args, folder), (folder / REPORT / "done").exists())):
            if is_done:
                continue
            if status := run_until(until, [sys.executable, "-m", "entropy_asr.trainers.commands.cli", *command]):
                return status
        (folder / REPORT / "done").touch()
        for checkpoint in folder.glob("*/checkpoints/checkpoint-*"):
            if (checkpoint.parents[1] / "stage.json").exists():
                shutil.rmtree(checkpoint)
        print(f"Seed {seed} is done.", flush=True)
    return 0


def check_steps(stages: dict[str, Any]) -> None:
    """Refuse arms of different numbers of steps.

    Raises:
        ValueError: `all_sft_steps` is not the sum of the others.
    """
    found = {
        arm: sum(stages[name]["training"]["max_steps"] for name in names) for arm, names in plan()["arms"].items()
    }
    if len(set(found.values())) > 1:
        raise ValueError(f"Arms take different steps: {found}; all_sft_steps is ia_sft_steps + joint_sft_steps.")


def report_command(args: argparse.Namespace, folder: Path) -> list[str]:
    """The entropy allocation report of all stages of all arms of a seed."""
    models = list(dict.fromkeys(str(folder / name) for names in plan()["arms"].values() for name in names))
    sets = [f"{args.data_dir}/{name}" for name in plan()["allocation"]]
    embedder = ["--embedder", args.embedder] if args.embedder else []
    rows = ["--max_rows", str(args.allocation_rows), "--ledger_rows", str(args.ledger_rows)]
    return ["report", "--model", *models, "--dataset", *sets, *embedder, *rows, "-o", str(folder / REPORT)]


def run_until(until: float, command: list[str]) -> int:
    """Run a command, and end it as a user would when the time is up."""
    remaining = until - time.monotonic()
    if remaining <= 0:
        return NOT_DONE
    process = subprocess.Popen(command)
    try:
        return process.wait(remaining)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait()
        print("The time is up; run the same command again to go on.", flush=True)
        return NOT_DONE


# What the runs left


@lru_cache
def plan() -> dict[str, Any]:
    """What is claimed, of which arms."""
    return yaml.safe_load(PLAN.read_text(encoding="utf-8"))


class Runs:
    """Result files of all seeds that are whole.

    Args:
        folder: With a folder a seed.

    Raises:
        ValueError: no seed is whole.
    """

    def __init__(self, folder: Path):
        stages = [f"{arm}_{kind}" for arm in plan()["arms"] for kind in ("results", "guarded")]
        numbered = sorted((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
        self.seeds = [
            seed
            for seed in numbered
            if (seed / REPORT / "report.json").exists()
            and all((seed / name / "stage.json").exists() for name in stages)
        ]
        if not self.seeds:
            raise ValueError(f"{folder}: no seed has been run to its end.")
        self._counts: dict[tuple, dict] = {}

    def counts(self, seed: Path, stage: str, condition: str) -> dict[str, dict[str, np.ndarray]]:
        """What each test set's utterances count under a condition, by set; see [`count`]."""
        if (seed, stage) not in self._counts:
            rows = defaultdict(list)
            with (seed / stage / "transcripts.jsonl").open(encoding="utf-8") as file:
                for row in map(json.loads, file):
                    rows[row["condition"], row["dataset"]].append(row)
            self._counts[seed, stage] = {key: count(found) for key, found in rows.items()}
        found = self._counts[seed, stage]
        return {dataset: counts for (name, dataset), counts in found.items() if name == condition}

    def both(self, first: str, second: str, condition: str, what: str, spoken: bool) -> list[CountedSet]:
        """Counts of two stages on each test set, with speech or without, of all seeds."""
        found = [[self.counts(seed, name, condition) for seed in self.seeds] for name in (first, second)]
        sets = [name for name, counts in found[0][0].items() if bool(counts["units"].sum()) == spoken]
        return [
            CountedSet(
                *(np.stack([counts[name][what] for counts in arm]) for arm in found),
                found[0][0][name]["units" if what == "errors" else "ones"],
            )
            for name in sets
        ]

    def rate(self, stage: str, condition: str, what: str, spoken: bool = True) -> list[float]:
        """Mean over test sets of a stage's rate, of each seed."""
        sets = self.both(stage, stage, condition, what, spoken)
        rates = [one.first.sum(1) / one.units.sum() for one in sets]
        return np.mean(rates, axis=0).tolist() if rates else []

    def allocation(self, seed: Path, stage: str, metric: str) -> float | None:
        """Mean over data sets of a figure; of text CKA what the adaptor adds. None where no set has it."""
        report = json.loads((seed / REPORT / "report.json").read_text(encoding="utf-8"))
        found = [data["models"][stage].get(metric) for data in report["datasets"].values()]
        if metric == "text_cka":
            found = [cka and cka["adaptor"] - cka["layers"][-1] for cka in found]
        found = [value for value in found if value is not None]
        return float(np.mean(found)) if found else None

    def earlier_rates(self, arm: str) -> dict[str, list[float]]:
        """Error rates after those earlier stages of an arm that were measured too, of each seed."""
        names = [name for name in plan()["arms"][arm][:-1] if (self.seeds[0] / f"{name}_results").exists()]
        return {name: self.rate(f"{name}_results", PLAIN, "errors") for name in names}

    def training(self, arm: str) -> dict[str, float]:
        """Steps, and hours of one processor, of an arm's own and shared stages, on average over seeds."""
        records = [
            json.loads((seed / name / "stage.json").read_text(encoding="utf-8"))
            for seed in self.seeds
            for name in plan()["arms"][arm]
        ]
        seconds = sum(record["processor_seconds"] for record in records)
        return {
            "steps": sum(record["steps"] for record in records) / len(self.seeds),
            "hours": seconds / 3600 / len(self.seeds),
        }


def count(rows: list[dict[str, str]]) -> dict[str, np.ndarray]:
    """Of each utterance, in their order: errors, insertions and reference units; and what was hallucinated."""
    scores = [score_transcripts([row["reference"]], [row["hypothesis"]], row["language"]).by_language for row in rows]
    found = [next(iter(score.values())) for score in scores]
    references = ["" if row["language"] == NON_SPEECH else row["reference"] for row in rows]
    utterances = hallucination_rate([row["hypothesis"] for row in rows], references, True)["utterances"]
    return {
        "errors": np.array([item.errors for item in found], float),
        "insertions": np.array([item.insertions for item in found], float),
        "units": np.array([item.reference_length for item in found], float),
        "ones": np.ones(len(rows)),
        "nonempty": np.array([item.nonempty for item in found], float),
        "hallucinated": np.array([item["hallucinated"] for item in utterances], float),
        "paper": np.array([item["paper"] for item in utterances], float),
    }


# Claims


def measure(claim: dict[str, Any], runs: Runs) -> Interval | None:
    """A claim's statistic; None where what it is about was not measured."""
    if claim["kind"] == "allocation":
        return measure_allocation(claim, runs)
    first, second = (f"{claim[name]}_results" for name in ("first", "second"))
    condition, what, spoken = {
        None: (PLAIN, "errors", True),
        "non-speech": (PLAIN, "nonempty", False),
        "padded": (PADDED, "hallucinated", True),
        "paper": (PLAIN, "paper", True),
    }[claim.get("sounds")]
    sets = runs.both(first, second, condition, what, spoken)
    return paired_difference(sets, claim.get("factor", 1.0)) if sets else None


def measure_allocation(claim: dict[str, Any], runs: Runs) -> Interval | None:
    """A sum of figures of stages, over one of them where the claim says so, with Student's interval over seeds."""
    values = []
    for seed in runs.seeds:
        found = {name: runs.allocation(seed, name, claim["metric"]) for name in claim["terms"]}
        if None in found.values():
            return None
        value = sum(factor * found[name] for name, factor in claim["terms"].items())
        values.append(value / found[claim["over"]] if "over" in claim else value)
    return mean_over_seeds(values)


def decide(runs: Runs) -> list[dict[str, Any]]:
    """All claims with what was measured and a verdict."""
    decided = []
    for claim in plan()["claims"]:
        found = measure(claim, runs)
        result = "not measured here" if found is None else verdict(found, claim.get("low"), claim.get("high"))
        decided.append({**claim, "found": found and asdict(found), "verdict": result})
    return decided


# The page


def page(args: argparse.Namespace) -> int:
    """Write `claims.md`, `claims.json` and pictures."""
    from claims_plots import draw

    runs, folder = Runs(args.runs), args.output_dir or args.runs
    decided = decide(runs)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw(runs, plan(), folder)
    content = {"seeds": [seed.name for seed in runs.seeds], "claims": decided, "arms": arm_figures(runs)}
    (folder / "claims.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    lines = [*heading(runs, decided), *claim_table(decided), "", *arm_table(content["arms"]), ""]
    lines += [line for file, title in pictures.items() for line in (f"![{title}]({file})", "", f"{title}.", "")]
    (folder / "claims.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(folder / "claims.md")
    return 0


def heading(runs: Runs, decided: list[dict[str, Any]]) -> list[str]:
    """What was done, in a few lines."""
    tally = ", ".join(f"{sum(claim['verdict'] == word for claim in decided)} {word}" for word in VERDICTS)
    return [
        "# Do the paper's claims hold?",
        "",
        f"Of {len(decided)} claims of arXiv 2604.08003, at small scale from a public encoder: {tally}. Seeds: "
        f"{', '.join(seed.name for seed in runs.seeds)}. A claim holds where its whole interval of 95 % is on its "
        "side. Intervals of error and hallucination rates are of a paired bootstrap over utterances and seeds, those "
        "of NSE, PAI, CSAI and CKA Student's over seeds; half an interval is the difference that these sizes can "
        "show. With three seeds the bootstrap's are somewhat narrow: how seeds vary is itself a guess. "
        "Written by `tests/benchmarks/claims.py page`.",
        "",
    ]


VERDICTS = ("holds", "does not hold", "not decided here", "not measured here")


def claim_table(decided: list[dict[str, Any]]) -> list[str]:
    """A row a claim."""
    lines = ["| the paper says | must be | measured | interval | can show | verdict |", "|---|---|---:|---:|---:|---|"]
    for claim in decided:
        lines.append(f"| {claim['says']} | {bounds(claim)} | {' | '.join(measured(claim))} | {claim['verdict']} |")
    return lines


def bounds(claim: dict[str, Any]) -> str:
    """What the statistic is, and where it must lie."""
    if claim["kind"] == "allocation":
        terms = [f"{factor:+g} {name}" for name, factor in claim["terms"].items()]
        what = f"{claim['metric'].upper()} of {' '.join(terms).removeprefix('+1 ')}"
        what += f", over that of {claim['over']}" if "over" in claim else ""
    else:
        factor = "" if claim.get("factor", 1) == 1 else f"{claim['factor']:g} x "
        what = f"{claim['kind']} of {claim['first']} - {factor}{claim['second']}"
    if "low" in claim and "high" in claim:
        return f"{what} from {claim['low']:g} to {claim['high']:g}"
    return f"{what} above {claim['low']:g}" if "low" in claim else f"{what} below {claim['high']:g}"


def measured(claim: dict[str, Any]) -> list[str]:
    """Value, interval and half its width; rates in points."""
    if claim["found"] is None:
        return ["–"] * 3
    scale, digits = (1, 3) if claim["kind"] == "allocation" else (100, 2)
    value, low, high = (scale * claim["found"][name] for name in ("value", "low", "high"))
    if math.isinf(low):
        return [f"{value:.{digits}f}", "one seed", "–"]
    return [f"{value:.{digits}f}", f"{low:.{digits}f} to {high:.{digits}f}", f"{(high - low) / 2:.{digits}f}"]


def arm_figures(runs: Runs) -> dict[str, Any]:
    """Of each arm: rates of each seed by condition, hallucination, and what training took."""
    figures = {}
    for arm in plan()["arms"]:
        stage = f"{arm}_results"
        figures[arm] = {
            "error rates": {name: runs.rate(stage, name, "errors") for name in plan()["conditions"]},
            "error rates before the last stage": runs.earlier_rates(arm),
            "insertions per 100 utterances": runs.rate(stage, PLAIN, "insertions"),
            "text without speech": runs.rate(stage, PLAIN, "nonempty", spoken=False),
            "text without speech, guards on": runs.rate(f"{arm}_guarded", "guards on", "nonempty", spoken=False),
            "hallucinated in silence": runs.rate(stage, PADDED, "hallucinated"),
            "paper's rule": runs.rate(stage, PLAIN, "paper"),
            **runs.training(arm),
        }
    return figures


def arm_table(figures: dict[str, Any]) -> list[str]:
    """A column an arm: means over seeds in %."""
    arms = list(figures)
    lines = [f"| %, mean over seeds | {' | '.join(arms)} |", f"|---|{'---:|' * len(arms)}"]
    rows = {f"errors: {name}": [figures[arm]["error rates"][name] for arm in arms] for name in plan()["conditions"]}
    earlier = [list(figures[arm]["error rates before the last stage"].values()) for arm in arms]
    rows["errors before the last stage"] = [found[-1] if found else [] for found in earlier]
    for name in figures[arms[0]]:
        if isinstance(figures[arms[0]][name], list):
            rows[name] = [figures[arm][name] for arm in arms]
    for name, values in rows.items():
        cells = [f"{100 * np.mean(value):.1f}" if value else "–" for value in values]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, title, form in (("steps", "training steps", ".0f"), ("hours", "hours of one processor", ".2f")):
        lines.append(f"| {title} | {' | '.join(format(figures[arm][name], form) for arm in arms)} |")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description="Do the paper's claims hold?")
    commands = parser.add_subparsers(required=True)
    runner = commands.add_parser("run", help="run what is missing; further options go to the recipe")
    runner.add_argument("--data_dir", required=True, help="folder with the data sets")
    runner.add_argument("--encoder", default="openai/whisper-base", help="folder or Hub id; default: %(default)s")
    runner.add_argument("--output_dir", default="runs/claims", help="default: %(default)s")
    runner.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    runner.add_argument("--hours", type=float, default=math.inf, help="end after so long; default: when all is done")
    runner.add_argument("--embedder", help="text embedder of CSAI, folder or Hub id; default: no CSAI")
    runner.add_argument("--allocation_rows", type=int, default=400, help="utterances of a data set; default: 400")
    runner.add_argument("--ledger_rows", type=int, default=30, help="of them in the ledger; default: 30")
    runner.set_defaults(do=run)
    pager = commands.add_parser("page", help="write the page of what the runs left")
    pager.add_argument("runs", type=Path, help="what was run's --output_dir")
    pager.add_argument("--output_dir", type=Path, help="default: the same folder")
    pager.set_defaults(do=page)
    args, options = parser.parse_known_args(arguments)
    if options and args.do is page:
        parser.error(f"unrecognized arguments: {' '.join(options)}")
    return run(args, options) if args.do is run else page(args)


if __name__ == "__main__":
    sys.exit(main())
