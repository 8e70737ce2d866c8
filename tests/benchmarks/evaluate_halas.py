# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Precision, recall and F1 of the hallucination rate's rules against the listeners' labels of HALAS.

    python tests/benchmarks/evaluate_halas.py HALAS_dataset.csv [--split test] [--systems paper] [--output F]

The table (arXiv 2606.23048, https://github.com/DSP-AGH/HALAS, CSV) is not part of this project and is read where it
lies. It has one row a recording and for each system the columns `<system>_prediction` and `<system>_label`; the
reference is `corrected_reference_text`, or `e22_reference_text` where the former is empty or "inaudible". Systems of
the paper are the seven that were not trained on the recordings. An empty prediction has no text that could be invented
and is left out, as is a label that is missing.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from entropy_asr.spaces.hallucination_rate.detection import Detection, Thresholds, detect


PAPER_SYSTEMS = (
    "whisper_large_v2",
    "whisper_large_v3",
    "whisper_large_v3_turbo",
    "crisper_whisper",
    "canary",
    "canary_flash",
    "parakeet",
)
RULES = {
    "ours": lambda found: bool(found.reasons),
    "paper": lambda found: found.paper,
    "unsupported alone": lambda found: "unsupported" in found.reasons,
    "burst alone": lambda found: "burst" in found.reasons,
    "loop alone": lambda found: "loop" in found.reasons,
}


def read_outputs(path: Path, split: str, systems: tuple[str, ...]) -> pd.DataFrame:
    """One row an output: `system`, `reference`, `hypothesis`, `label`.

    Raises:
        ValueError: the table lacks a column, or has no labelled output of this split; it is named.
    """
    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    needed = ["corrected_reference_text", "e22_reference_text", "split"]
    needed += [f"{system}_{column}" for system in systems for column in ("prediction", "label")]
    if missing := [column for column in needed if column not in table.columns]:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}.")
    rows = [
        {
            "system": system,
            "reference": _reference(row),
            "hypothesis": row[f"{system}_prediction"],
            "label": _is_hallucination(row[f"{system}_label"]),
        }
        for row in table[table["split"].isin([split] if split != "all" else ["train", "test"])].to_dict("records")
        for system in systems
        if row[f"{system}_prediction"].strip() and row[f"{system}_label"].strip()
    ]
    if not rows:
        raise ValueError(f"{path} has no labelled outputs of the split {split!r}.")
    return pd.DataFrame(rows)


def _reference(row: dict[str, str]) -> str:
    corrected = row["corrected_reference_text"].strip()
    return corrected if corrected and corrected.strip(" .[]<>").lower() != "inaudible" else row["e22_reference_text"]


def _is_hallucination(label: str) -> bool:
    """Labels are true and false, 1 and 0, or words of which those without a hallucination begin with "no"."""
    return label.strip().lower() not in ("false", "0", "0.0") and not label.strip().lower().startswith("no")


def agreement(labels: list[bool], flags: list[bool]) -> dict[str, float]:
    """Precision, recall and F1 of flags; 0 where there is nothing to divide by."""
    hits = sum(label and flag for label, flag in zip(labels, flags, strict=True))
    precision = hits / sum(flags) if any(flags) else 0.0
    recall = hits / sum(labels) if any(labels) else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "flagged": sum(flags), "labelled": sum(labels)}


def evaluate(outputs: pd.DataFrame, thresholds: Thresholds) -> dict[str, Any]:
    """Agreement of each rule, and how far each system's rate is from the listeners'."""
    found = [detect(*pair, thresholds) for pair in zip(outputs["reference"], outputs["hypothesis"], strict=True)]
    labels = outputs["label"].tolist()
    rules = {name: agreement(labels, [rule(item) for item in found]) for name, rule in RULES.items()}
    flags = pd.Series([bool(item.reasons) for item in found], index=outputs.index)
    rates = {
        system: {"listeners": float(rows["label"].mean()), "ours": float(flags[rows.index].mean())}
        for system, rows in outputs.groupby("system")
    }
    error = sum(abs(rate["ours"] - rate["listeners"]) for rate in rates.values()) / len(rates)
    return {"outputs": len(outputs), "rules": rules, "rates": rates, "mean_error_of_a_rate": error}


def disagreements(outputs: pd.DataFrame, thresholds: Thresholds, count: int) -> list[dict[str, Any]]:
    """The first outputs that rules and listeners call differently."""
    rows = []
    for row in outputs.to_dict("records"):
        found: Detection = detect(row["reference"], row["hypothesis"], thresholds)
        if bool(found.reasons) != row["label"] and len(rows) < count:
            rows.append({**row, "reasons": found.reasons})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--split", choices=("train", "test", "all"), default="test")
    parser.add_argument("--systems", nargs="+", default=["paper"], help="names of systems, or 'paper' for its seven")
    parser.add_argument("--thresholds", type=json.loads, default={}, help='JSON, such as {"unsupported": 0.4}')
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print N outputs that are called differently")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    systems = PAPER_SYSTEMS if args.systems == ["paper"] else tuple(args.systems)
    outputs, thresholds = read_outputs(args.table, args.split, systems), Thresholds(**args.thresholds)
    result = evaluate(outputs, thresholds)
    for name, row in result["rules"].items():
        print(f"{name:18} precision {row['precision']:.3f}  recall {row['recall']:.3f}  F1 {row['f1']:.3f}")
    print(f"{result['outputs']} outputs; error of a system's rate {100 * result['mean_error_of_a_rate']:.1f} points")
    for row in disagreements(outputs, thresholds, args.show):
        print(json.dumps(row, ensure_ascii=False))
    if args.output:
        args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
