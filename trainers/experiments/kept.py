# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is kept of a seed, small enough to commit: a folder a seed, with a file an arm.

`ARM.json` has, of each stage of an arm, what training took and its loss, and of each evaluation what every utterance
counts under every condition, from which intervals are drawn; `allocation.json` is the entropy allocation report.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH
from entropy_asr.spaces.hallucination_rate.hallucination_rate import hallucination_rate

from ..evaluation.error_rates import score_transcripts
from ..runs.records import RECORD, write_text
from .experiment import Experiment


def evaluations(arm: str) -> list[str]:
    """Stages that an arm must have been measured in."""
    return [f"{arm}_results", f"{arm}_guarded"]


def further(arm: str) -> str:
    """The stage that measures an arm on test sets that no claim is about, where there is one."""
    return f"{arm}_further"


def keep_arm(run: Path, kept: Path, experiment: Experiment, arm: str, settings: dict[str, Any]) -> bool:
    """Write what an arm gave, unless some of its stages are missing.

    Args:
        run: Folder of a seed's recipe.
        kept: Folder of that seed's results.
        experiment: Whose arm it is.
        arm: Its name.
        settings: What it was made with, the seed among it.

    Returns:
        Whether it has been written, now or before.
    """
    trained = experiment.arms[arm]
    records = [run / name / RECORD for name in [*trained, *evaluations(arm)]]
    if not all(record.exists() for record in records):
        return False
    measured = [*evaluations(arm), further(arm), *(f"{name}_results" for name in trained)]
    measured = [name for name in measured if (run / name / RECORD).exists()]
    records += [run / name / RECORD for name in measured]
    file = kept / f"{arm}.json"
    newest = max(record.stat().st_mtime for record in records)
    if file.exists() and file.stat().st_mtime > newest and _measured_in(file) == set(measured):
        return True
    content = {
        "arm": arm,
        "settings": settings,
        "training": {name: training_of(run / name) for name in trained},
        "results": {name: counts_of(run / name / "transcripts.jsonl") for name in measured},
    }
    _write(file, content)
    return True


def _measured_in(file: Path) -> set[str]:
    """Stages whose results a file has: one may have ended while it was written, and be older than the file."""
    return set(json.loads(file.read_text(encoding="utf-8"))["results"])


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
