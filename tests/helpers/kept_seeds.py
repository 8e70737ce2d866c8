# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Results of an experiment's seeds that nobody ran, and the page of them."""

import json
import shutil
from pathlib import Path

import numpy as np

from entropy_asr.trainers.experiments.experiment import SHIPPED, Experiment, load_experiment
from entropy_asr.trainers.experiments.kept import keep_allocation, keep_arm
from entropy_asr.trainers.experiments.page import write_page
from entropy_asr.trainers.experiments.summary import marks


CLAIMS = load_experiment(SHIPPED / "claims.yaml")
# Its data sets of speech, by language.
ENGLISH = ("librispeech_subset", "speechocean762", "fsdd_digits", "speech_commands_mini")
MANDARIN = ("aishell_sample", "audio_cmn_words")


def data_dir(folder: Path) -> str:
    """A folder in which there is something by the name of each data set of the claims."""
    for name in (*ENGLISH, *MANDARIN, "esc10_noise", "text_lm"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "text_lm" / "librispeech_train_clean_100_text.txt").touch()
    return str(folder)


def wrong_shares(experiment: Experiment = CLAIMS, **others: float) -> dict[str, float]:
    """What share of its utterances each arm gets wrong: half, where nothing else is said."""
    return dict.fromkeys(experiment.arms, 0.5) | others


def write_seed(
    folder: Path,
    seed: int,
    wrong: dict[str, float],
    experiment: Experiment = CLAIMS,
    further: dict[str, float] | None = None,
) -> None:
    """A seed's run, of which the rest is kept: of 40 utterances each arm gets a share wrong, and of ten sounds it
    writes on as many; of `further` test sets each arm gets the same share wrong."""
    run, kept = folder / f"run-{seed}", folder / "kept" / str(seed)
    record = {"steps": 5, "seconds": 800.0, "processor_seconds": 720.0, "history": [{"step": 5, "loss": 2.5}]}
    for name in {name for stages in experiment.arms.values() for name in stages}:
        (run / name).mkdir(parents=True)
        (run / name / "stage.json").write_text(json.dumps(record))
    for arm in experiment.arms:
        rows = []
        for condition in experiment.conditions:
            for index in range(40):
                hypothesis = "turn right" if index < 40 * wrong[arm] else "turn left"
                rows.append(("words", condition, "en", "turn left", hypothesis))
        for index in range(10):
            rows.append(("sounds", "guards off", "none", "", "hello there" if index < 10 * wrong[arm] else ""))
        keys = ("dataset", "condition", "language", "reference", "hypothesis")
        lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
        for kind in ("results", "guarded"):
            assert not keep_arm(run, kept, experiment, arm, {"seed": seed})
            (run / f"{arm}_{kind}").mkdir()
            (run / f"{arm}_{kind}" / "stage.json").write_text("{}")
            text = "\n".join(lines).replace("guards off", "guards on" if kind == "guarded" else "guards off")
            (run / f"{arm}_{kind}" / "transcripts.jsonl").write_text(text + "\n")
        assert keep_arm(run, kept, experiment, arm, {"seed": seed, "encoder_steps": 5})
        if further:
            # Measured last: what was kept before is written again.
            write_further(run / f"{arm}_further", further)
            assert keep_arm(run, kept, experiment, arm, {"seed": seed, "encoder_steps": 5})
    (run / "allocation").mkdir()
    models = allocation_figures(experiment.measured.stages, np.random.default_rng(seed))
    report = {"options": {}, "versions": {}, "command": "ours alone", "datasets": {"words": {"models": models}}}
    (run / "allocation" / "report.json").write_text(json.dumps(report))
    keep_allocation(run / "allocation", kept)
    shutil.rmtree(run)


def write_further(stage: Path, wrong: dict[str, float]) -> None:
    """A stage that measured sets of 40 utterances, of which a share is wrong; nobody speaks in the set "noise"."""
    stage.mkdir()
    spoken = {"condition": "guards off", "language": "en", "reference": "turn left"}
    with (stage / "transcripts.jsonl").open("w") as file:
        for name, share in wrong.items():
            for index in range(40):
                hypothesis = "turn right" if index < 40 * share else "turn left"
                silent = {"language": "none", "reference": ""} if name == "noise" else {}
                print(json.dumps({"dataset": name, **spoken, **silent, "hypothesis": hypothesis}), file=file)
    (stage / "stage.json").write_text("{}")


def allocation_figures(stages: list[str], rng: np.random.Generator) -> dict[str, dict]:
    """NSE that falls from stage to stage, and PAI of about five bits, but for one stage."""
    models = {}
    for place, name in enumerate(stages):
        pai = 5 + 0.001 * rng.normal() + (1 if name == "proposed_joint_sft" else 0)
        table = [{"pca_size": size, "ridge": 1e-3, "pai": pai * size, "chance": 0.1 * size} for size in (2, 4)]
        models[name] = {"nse": 0.9 - 0.01 * place, "pai": pai, "details": {"pai": {"ridge": 1e-3, "table": table}}}
    return models


def page_of(folder: Path, experiment: Experiment = CLAIMS) -> tuple[dict, dict]:
    """The page of what was kept, in a README too: what `claims.json` holds, and its claims by what they say."""
    readme = folder / "README.md"
    readme.write_text("\n".join(["Before.", *marks(experiment), "After."]))
    write_page(experiment, folder / "kept", readme)
    content = json.loads((folder / "kept" / "claims.json").read_text())
    return content, {claim["says"]: claim for claim in content["claims"]}
