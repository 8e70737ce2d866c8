# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What `claims.py` keeps of a seed, small enough to commit, and what its page reads: a folder a seed.

`ARM.json` has, of each stage of an arm, what training took and its loss, and of each evaluation what every utterance
counts under every condition, from which intervals are drawn; `allocation.json` is the entropy allocation report.
"""

import json
from collections import defaultdict
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH
from entropy_asr.spaces.hallucination_rate.hallucination_rate import hallucination_rate
from entropy_asr.trainers.evaluation.error_rates import score_transcripts
from entropy_asr.trainers.evaluation.paired_bootstrap import CountedSet
from entropy_asr.trainers.runs.records import RECORD, write_text


PLAN = Path(__file__).with_name("claims.yaml")
RESULTS = Path(__file__).parent / "results" / "claims"
PLAIN, PADDED = "guards off", "3 s of silence around, guards off"
# What is either so or not of an utterance.
EVENTS = ("nonempty", "hallucinated", "paper")


@lru_cache
def plan() -> dict[str, Any]:
    """What is claimed, of which arms."""
    return yaml.safe_load(PLAN.read_text(encoding="utf-8"))


# Keeping


def evaluations(arm: str) -> list[str]:
    """Stages that an arm must have been measured in."""
    return [f"{arm}_results", f"{arm}_guarded"]


def keep_arm(run: Path, kept: Path, arm: str, settings: dict[str, Any]) -> bool:
    """Write what an arm gave, unless some of its stages are missing.

    Args:
        run: Folder of a seed's recipe.
        kept: Folder of that seed's results.
        arm: Its name.
        settings: Variables of the recipe, with the seed.

    Returns:
        Whether it has been written, now or before.
    """
    trained = plan()["arms"][arm]
    records = [run / name / RECORD for name in [*trained, *evaluations(arm)]]
    if not all(record.exists() for record in records):
        return False
    file = kept / f"{arm}.json"
    if file.exists() and file.stat().st_mtime > max(record.stat().st_mtime for record in records):
        return True
    measured = [*evaluations(arm), *(f"{name}_results" for name in trained)]
    content = {
        "arm": arm,
        "settings": settings,
        "training": {name: training_of(run / name) for name in trained},
        "results": {
            name: counts_of(run / name / "transcripts.jsonl") for name in measured if (run / name / RECORD).exists()
        },
    }
    _write(file, content)
    return True


def keep_allocation(run: Path, kept: Path) -> None:
    """Write the report of a seed, without the places of its models."""
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    _write(kept / "allocation.json", {key: report[key] for key in ("options", "versions", "datasets")})


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, separators=(",", ":"), ensure_ascii=False) + "\n")


def training_of(folder: Path) -> dict[str, Any]:
    """Steps, seconds and loss of a stage."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    loss = [[entry["step"], round(entry["loss"], 4)] for entry in record.get("history", []) if "loss" in entry]
    return {**{name: record[name] for name in ("steps", "seconds", "processor_seconds")}, "loss": loss}


def counts_of(transcripts: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """What utterances count, by condition and data set; of events the numbers of their utterances."""
    rows = defaultdict(list)
    with transcripts.open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            rows[row["condition"], row["dataset"]].append(row)
    counted = defaultdict(dict)
    for (condition, dataset), found in rows.items():
        counted[condition][dataset] = count(found)
    return dict(counted)


def count(rows: list[dict[str, str]]) -> dict[str, Any]:
    """Of utterances in their order: errors, insertions, reference units, and which of them have text or invent it."""
    scores = [score_transcripts([row["reference"]], [row["hypothesis"]], row["language"]).by_language for row in rows]
    found = [next(iter(score.values())) for score in scores]
    references = ["" if row["language"] == NON_SPEECH else row["reference"] for row in rows]
    utterances = hallucination_rate([row["hypothesis"] for row in rows], references, True)["utterances"]
    events = {
        "nonempty": [item.nonempty for item in found],
        "hallucinated": [item["hallucinated"] for item in utterances],
        "paper": [item["paper"] for item in utterances],
    }
    return {
        "errors": [item.errors for item in found],
        "insertions": [item.insertions for item in found],
        "units": [item.reference_length for item in found],
        **{name: np.flatnonzero(values).tolist() for name, values in events.items()},
    }


def as_arrays(counted: dict[str, Any]) -> dict[str, np.ndarray]:
    """What [`count`] gave as arrays `(N,)`, with "ones", which shares are divided by."""
    arrays = {name: np.array(values, float) for name, values in counted.items() if name not in EVENTS}
    arrays["ones"] = np.ones(len(arrays["units"]))
    for name in EVENTS:
        arrays[name] = np.zeros(len(arrays["units"]))
        arrays[name][counted[name]] = 1
    return arrays


# Reading


class Results:
    """What was kept of all seeds that are whole.

    Args:
        folder: With a folder a seed.

    Raises:
        ValueError: no seed is whole, or two were run with other settings.
    """

    def __init__(self, folder: Path):
        numbered = [path for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
        files = ["allocation.json", *(f"{arm}.json" for arm in plan()["arms"])]
        self.seeds = [
            seed
            for seed in sorted(numbered, key=lambda path: int(path.name))
            if all((seed / file).exists() for file in files)
        ]
        if not self.seeds:
            raise ValueError(f"{folder}: no seed has been run to its end.")
        self._read = cache(lambda path: json.loads(path.read_text(encoding="utf-8")))
        self._arrays = cache(as_arrays_of(self._read))
        self.settings = self._settings()

    def _settings(self) -> dict[str, Any]:
        found = {}
        for seed in self.seeds:
            for arm in plan()["arms"]:
                settings = dict(self._read(seed / f"{arm}.json")["settings"])
                settings.pop("seed", None)
                found[f"{seed.name}/{arm}"] = settings
        first, *others = found
        if other := next((name for name in others if found[name] != found[first]), None):
            raise ValueError(f"{first} and {other} have different settings: {found[first]} and {found[other]}.")
        return found[first]

    def of_arm(self, seed: Path, arm: str) -> dict[str, Any]:
        """What is kept of an arm."""
        return self._read(seed / f"{arm}.json")

    def both(self, arms: tuple[str, str], condition: str, what: str, spoken: bool = True, stage: str = "") -> list:
        """Counts of two arms' results on each test set, with speech or without, of all seeds.

        Args:
            arms: Their names; twice the same for one arm's rates.
            condition: How test sets were heard; "guards on" is measured apart.
            what: A name of [`count`].
            spoken: Test sets of speech, or of sounds without.
            stage: What was measured, where not the last stages.
        """
        found = [[self._counts(seed, arm, condition, stage) for seed in self.seeds] for arm in arms]
        return [
            CountedSet(
                *(np.stack([counts[name][what] for counts in arm]) for arm in found),
                found[0][0][name]["units" if what == "errors" else "ones"],
            )
            for name in self.sets(arms[0], condition, spoken, stage)
        ]

    def sets(self, arm: str, condition: str, spoken: bool = True, stage: str = "") -> list[str]:
        """Test sets of speech, or of sounds without, that were heard under a condition; see [`both`]."""
        found = self._counts(self.seeds[0], arm, condition, stage)
        return [name for name, counts in found.items() if bool(counts["units"].sum()) == spoken]

    def _counts(self, seed: Path, arm: str, condition: str, stage: str) -> dict[str, dict[str, np.ndarray]]:
        stage = stage or f"{arm}_{'guarded' if condition.endswith('guards on') else 'results'}"
        return self._arrays(seed / f"{arm}.json", stage, condition)

    def rates(self, arm: str, condition: str, what: str, spoken: bool = True, stage: str = "") -> dict[str, list]:
        """An arm's rate on each test set, of each seed."""
        counted = self.both((arm, arm), condition, what, spoken, stage)
        names = self.sets(arm, condition, spoken, stage)
        return {name: (one.first.sum(1) / one.units.sum()).tolist() for name, one in zip(names, counted, strict=True)}

    def rate(self, arm: str, condition: str, what: str, spoken: bool = True, stage: str = "") -> list[float]:
        """Mean over test sets of an arm's rate, of each seed."""
        rates = list(self.rates(arm, condition, what, spoken, stage).values())
        return np.mean(rates, axis=0).tolist() if rates else []

    def report(self, seed: Path) -> dict[str, Any]:
        """The entropy allocation report of a seed."""
        return self._read(seed / "allocation.json")

    def allocation(self, seed: Path, stage: str, metric: str) -> float | None:
        """Mean over data sets of a figure; of text CKA what the adaptor adds. None where no set has it."""
        datasets = self.report(seed)["datasets"].values()
        found = [data["models"].get(stage, {}).get(metric) for data in datasets]
        if metric == "text_cka":
            found = [cka and cka["adaptor"] - cka["layers"][-1] for cka in found]
        found = [value for value in found if value is not None]
        return float(np.mean(found)) if found else None

    def earlier_rates(self, arm: str) -> dict[str, list[float]]:
        """Error rates after those earlier stages of an arm that were measured too, of each seed."""
        measured = self.of_arm(self.seeds[0], arm)["results"]
        # An encoder may be called as its arm is, whose results those are then.
        names = [name for name in plan()["arms"][arm][:-1] if name != arm and f"{name}_results" in measured]
        return {name: self.rate(arm, PLAIN, "errors", stage=f"{name}_results") for name in names}

    def training(self, arm: str) -> dict[str, float]:
        """Steps, and hours of one processor, of an arm's own and shared stages, on average over seeds."""
        records = [record for seed in self.seeds for record in self.of_arm(seed, arm)["training"].values()]
        seconds = sum(record["processor_seconds"] for record in records)
        return {
            "steps": sum(record["steps"] for record in records) / len(self.seeds),
            "hours": seconds / 3600 / len(self.seeds),
        }


def as_arrays_of(read):
    """Reads counts of a file's stage under a condition, by test set; of none where the stage or condition lacks."""

    def arrays(path: Path, stage: str, condition: str) -> dict[str, dict[str, np.ndarray]]:
        found = read(path)["results"][stage].get(condition, {})
        return {name: as_arrays(counted) for name, counted in found.items()}

    return arrays
