# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Why a claim may fail: checks of likely causes, on what an experiment has left of a seed.

Some train a stage of an arm again with one thing changed, from the arm's own earlier stages, and evaluate it as the
arm was; one measures text CKA with an embedder that has read much, in place of the language model's own embeddings.
What they found goes to `why.json` of the seed's results; the page shows it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from entropy_asr.spaces.entropy_allocation.embedders import embed_texts
from entropy_asr.spaces.entropy_allocation.text_cka import text_cka, text_cka_chance

from ..data.data_source import DataSource
from ..data.sources import load_source
from ..evaluation.allocation import read_utterances
from ..evaluation.frames import load_speech_encoder
from ..runs.errors import SettingsError, StageFailed
from ..runs.launch import launch
from ..runs.records import RECORD, write_text
from ..runs.settings import check_names
from .causes import FILE
from .claims import EQUAL_TIME
from .kept import counts_of, training_of
from .results import check_kept
from .run import ExperimentRun
from .seeds import REPORT


def trained_again(run: ExperimentRun, seed: int, check: dict[str, Any]) -> dict[str, Any]:
    """Train a stage with something changed, and evaluate it as its arm was.

    Args:
        run: Where a seed's models are.
        seed: Which one.
        check: `stage` to train, `results` that evaluates it, and `set`, values of the stage's settings by their names;
            the number of steps may be "equal time", which makes the arm take no longer than `than`.
    """
    own, again = run.folder(seed), run.output_dir / f"{seed}-{check['name']}"
    again.mkdir(parents=True, exist_ok=True)
    for folder in own.iterdir():
        if folder.is_dir() and folder.name not in (check["stage"], check["results"], REPORT):
            (again / folder.name).unlink(missing_ok=True)
            (again / folder.name).symlink_to(folder.resolve())
    changed = {
        key: steps_of_equal_time(run, own, check) if value == EQUAL_TIME else value
        for key, value in check["set"].items()
    }
    options = run.arguments(seed, again)
    for key, value in changed.items():
        options += [f"--stages.{check['stage']}.{key}", json.dumps(value, ensure_ascii=False)]
    for stage in (check["stage"], check["results"]):
        train_stage(run, stage, options)
    return {
        "changed": changed,
        "training": training_of(again / check["stage"]),
        "results": counts_of(again / check["results"] / "transcripts.jsonl"),
    }


def train_stage(run: ExperimentRun, stage: str, options: list[str]) -> None:
    """Run one stage of the recipe in a process of its own.

    Raises:
        StageFailed: it failed, which it has said itself.
    """
    if status := launch(["train", stage, "--config", str(run.experiment.recipe_path), *options], {}):
        raise StageFailed(f"stage {stage} ended with exit status {status}; run the same command again to go on.")


def steps_of_equal_time(run: ExperimentRun, folder: Path, check: dict[str, Any]) -> int:
    """Steps of the stage with which its arm takes about the processor time of another.

    Raises:
        SettingsError: without the stage it takes longer already.
    """
    arms = run.experiment.arms
    records = {
        name: json.loads((folder / name / RECORD).read_text(encoding="utf-8"))
        for name in {*arms[check["arm"]], *arms[check["than"]]}
    }
    other, own = (
        sum(records[name]["processor_seconds"] for name in arms[arm] if name != check["stage"] or arm != check["arm"])
        for arm in (check["than"], check["arm"])
    )
    stage = records[check["stage"]]
    steps = int((other - own) / stage["processor_seconds"] * stage["steps"])
    if steps < 1:
        raise SettingsError(f"{check['arm']} takes longer than {check['than']} without a step of {check['stage']}.")
    return steps


def cka_with_embedder(run: ExperimentRun, seed: int, check: dict[str, Any]) -> dict[str, Any]:
    """Text CKA of stages' layers and adaptors with an embedder's vectors of the transcripts."""
    first = run.allocation_sets(seed)[0]
    column = {"text_column": first.text_column, "language": first.language}
    source = DataSource(first.path, first.split, config=first.dataset_config, **column)
    utterances, _ = read_utterances(load_source(source), check["rows"])
    meanings = np.asarray(embed_texts(check["embedder"], [item.text for item in utterances], "cpu"), float)
    found = {"num_utterances": len(utterances)}
    for stage in check["stages"]:
        encoder = load_speech_encoder(str(run.folder(seed) / stage), "cpu", stage)
        layers: list[list[np.ndarray]] = []
        for start in range(0, len(utterances), 8):
            for encoded in encoder.encode([item.waveform for item in utterances[start : start + 8]], layers=True):
                layers.append([frames.mean(0).numpy() for frames in (*encoded.layers, encoded.adapted)])
        stacked = [np.stack(layer) for layer in zip(*layers, strict=True)]
        chance = text_cka_chance(stacked[-1], meanings, 20, 0)
        found[stage] = {"values": text_cka(stacked, meanings), "chance": chance}
    return found


KINDS = {"trained again": trained_again, "text CKA": cka_with_embedder}


def run_checks(run: ExperimentRun, seed: int, names: list[str]) -> None:
    """Make checks of likely causes on what a seed has left, and keep what they found.

    Args:
        run: Where a seed's models are, and what is kept of it.
        seed: Which one.
        names: Checks, where they are kept too: then stages that they have trained stay, and what these gave is read
            again; none: all that are not kept.

    Raises:
        SettingsError: the experiment has no such check, a stage of the seed is missing, or the seed was run with other
            settings.
        StageFailed: a stage could not be trained again.
    """
    checks = {check["name"]: check for check in run.experiment.why if check["kind"] in KINDS}
    check_names(names, checks, "--checks")
    run.check(seed)
    check_kept(run, seed)
    needed = {*sum(run.experiment.arms.values(), []), *run.experiment.measured.stages}
    if missing := sorted(name for name in needed if not (run.folder(seed) / name / RECORD).is_file()):
        raise SettingsError(f"{run.folder(seed)}: seed {seed} has not been run to its end: it lacks {missing[0]}.")
    path = run.kept(seed) / FILE
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name in names or [name for name in checks if name not in found]:
        found[name] = KINDS[checks[name]["kind"]](run, seed, checks[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(found, separators=(",", ":")) + "\n")
        print(f"{name}: done, in {path}", flush=True)
