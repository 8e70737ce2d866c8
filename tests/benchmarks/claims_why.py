# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Why a claim may fail here: checks of likely causes, on what `claims.py run` has left of a seed.

    python tests/benchmarks/claims_why.py --data_dir DATA --encoder openai/whisper-base --seed 2

What is checked, of which claims, is in `claims.yaml` (`why`). Some checks train a stage of an arm again with one thing
changed, from the arm's own earlier stages, and evaluate it as the arm was; one measures text CKA with an embedder that
has read much, in place of the language model's own embeddings. `why.json` goes to the seed's folder of
`--results_dir`; the page shows it.
"""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from claims import CLI, RECIPE
from claims_causes import FILE
from claims_results import RESULTS, counts_of, plan, training_of

from entropy_asr.spaces.entropy_allocation.embedders import embed_texts
from entropy_asr.spaces.entropy_allocation.text_cka import text_cka, text_cka_chance
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.evaluation.allocation import read_utterances
from entropy_asr.trainers.evaluation.frames import load_speech_encoder
from entropy_asr.trainers.runs.records import RECORD, write_text


def trained_again(args: argparse.Namespace, check: dict[str, Any]) -> dict[str, Any]:
    """Train a stage with something changed, and evaluate it as its arm was.

    Args:
        args: Of the command line.
        check: `stage` to train, `results` that evaluates it, and `set`, values of the stage's settings by their names;
            the number of steps may be "equal time", which makes the arm take no longer than `than`.
    """
    seed, again = args.output_dir / str(args.seed), args.output_dir / f"{args.seed}-{check['name']}"
    again.mkdir(parents=True, exist_ok=True)
    for folder in seed.iterdir():
        if folder.is_dir() and folder.name not in (check["stage"], check["results"], "allocation"):
            (again / folder.name).unlink(missing_ok=True)
            (again / folder.name).symlink_to(folder.resolve())
    changed = {
        key: steps_of_equal_time(seed, check) if value == "equal time" else value
        for key, value in check["set"].items()
    }
    options = ["--data_dir", args.data_dir, "--encoder", args.encoder, "--seed", str(args.seed)]
    options += ["--output_dir", str(again), *args.options]
    for key, value in changed.items():
        options += [f"--stages.{check['stage']}.{key}", json.dumps(value)]
    for stage in (check["stage"], check["results"]):
        subprocess.run([*CLI, "train", stage, "--config", str(RECIPE), *options], check=True)
    return {
        "changed": changed,
        "training": training_of(again / check["stage"]),
        "results": counts_of(again / check["results"] / "transcripts.jsonl"),
    }


def steps_of_equal_time(seed: Path, check: dict[str, Any]) -> int:
    """Steps of the stage with which its arm takes about the processor time of another.

    Raises:
        ValueError: without the stage it takes longer already.
    """
    arms = plan()["arms"]
    records = {
        name: json.loads((seed / name / RECORD).read_text(encoding="utf-8"))
        for name in {*arms[check["arm"]], *arms[check["than"]]}
    }
    other, own = (
        sum(records[name]["processor_seconds"] for name in arms[arm] if name != check["stage"] or arm != check["arm"])
        for arm in (check["than"], check["arm"])
    )
    stage = records[check["stage"]]
    steps = int((other - own) / stage["processor_seconds"] * stage["steps"])
    if steps < 1:
        raise ValueError(f"{check['arm']} takes longer than {check['than']} without a step of {check['stage']}.")
    return steps


def cka_with_embedder(args: argparse.Namespace, check: dict[str, Any]) -> dict[str, Any]:
    """Text CKA of stages' layers and adaptors with an embedder's vectors of the transcripts."""
    source = DataSource(str(Path(args.data_dir) / plan()["allocation_sets"][0]), "test", text_column="text")
    utterances, _ = read_utterances(load_source(source), check["rows"])
    meanings = np.asarray(embed_texts(check["embedder"], [item.text for item in utterances], "cpu"), float)
    found = {"num_utterances": len(utterances)}
    for stage in check["stages"]:
        encoder = load_speech_encoder(str(args.output_dir / str(args.seed) / stage), "cpu", stage)
        layers: list[list[np.ndarray]] = []
        for start in range(0, len(utterances), 8):
            for encoded in encoder.encode([item.waveform for item in utterances[start : start + 8]], layers=True):
                layers.append([frames.mean(0).numpy() for frames in (*encoded.layers, encoded.adapted)])
        stacked = [np.stack(layer) for layer in zip(*layers, strict=True)]
        chance = text_cka_chance(stacked[-1], meanings, 20, 0)
        found[stage] = {"values": text_cka(stacked, meanings), "chance": chance}
    return found


KINDS = {"trained again": trained_again, "text CKA": cka_with_embedder}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True, help="folder with the data sets")
    parser.add_argument("--encoder", default="openai/whisper-base", help="as for `claims.py run`")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/claims"), help="of `claims.py run`")
    parser.add_argument("--results_dir", type=Path, default=RESULTS, help="default: %(default)s")
    parser.add_argument("--seed", type=int, required=True, help="one whose models are there")
    checks = [check["name"] for check in plan()["why"] if check["kind"] in KINDS]
    parser.add_argument("--only", nargs="+", choices=checks, help="checks; default: all that are not done")
    # Further options go to the recipe, as for `claims.py run`.
    args, args.options = parser.parse_known_args()
    path = args.results_dir / str(args.seed) / FILE
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for check in plan()["why"]:
        if check["name"] in (args.only or set(checks) - found.keys()):
            found[check["name"]] = KINDS[check["kind"]](args, check)
            write_text(path, json.dumps(found, separators=(",", ":")) + "\n")
            print(f"{check['name']}: done", flush=True)


if __name__ == "__main__":
    main()
