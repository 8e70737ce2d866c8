# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pretraining and IA-SFT as two processes that meet in a store, run to their ends, killed meanwhile or not."""

import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from training_helpers import stage_section
from transformers import Trainer

from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.training.snapshots import EncoderSnapshots


STAGES = ("encoder", "iterative_async_sft")
# Seconds added to each step, so that both train at the same time and most kills hit a step.
PACE = 0.1


def sections(components: Path, folder: Path, **swaps) -> dict[str, dict]:
    """Pretraining publishes several encoders; IA-SFT wants its last eight steps on the finished one."""
    store = str(folder / "store")
    encoder = stage_section(
        "encoder",
        components,
        max_steps=30,
        save_steps=5,
        snapshot_dir=store,
        drift_interval=2,
        drift_threshold=0.9999,
        consistency_weight=0.2,
        chunk_sizes=[0, 4],
    )
    encoder["data"]["eval"] = encoder["data"]["train"]
    sft = stage_section(
        "iterative_async_sft",
        components,
        max_steps=24,
        save_steps=4,
        snapshot_dir=store,
        swap_interval=1,
        swap_poll_seconds=0.05,
        final_steps=8,
        **swaps,
    )
    return {"encoder": encoder, "iterative_async_sft": sft}


def run_stage(stage: str, section: dict, folder: Path) -> None:
    """What a process does: quietly, and on one thread, which a fork leaves usable."""
    torch.set_num_threads(1)
    real = Trainer.training_step

    def slow_step(*args, **kwargs):
        time.sleep(PACE)
        return real(*args, **kwargs)

    Trainer.training_step = slow_step
    log = (folder / f"{stage}.log").open("a")
    os.dup2(log.fileno(), sys.stdout.fileno())
    os.dup2(log.fileno(), sys.stderr.fileno())
    run_section(stage, section, folder / stage, 7)


def start(stage: str, section: dict, folder: Path):
    # Forked from here, where everything is imported already: a restart takes no time.
    process = multiprocessing.get_context("fork").Process(target=run_stage, args=(stage, section, folder))
    process.start()
    return process


def run_both(settings: dict[str, dict], folder: Path, kills: int = 0, span: float = 0.0, rng=None) -> int:
    """Run both stages to their ends; kill either, at most so often, after random times up to `span`.

    Returns:
        How often one was killed.
    """
    folder.mkdir(exist_ok=True)
    running = {"encoder": start("encoder", settings["encoder"], folder)}
    done, deadline = 0, time.monotonic() + 900
    while not EncoderSnapshots(folder / "store").published():
        time.sleep(0.05)
        assert time.monotonic() < deadline and running["encoder"].is_alive(), logs(folder)
    running["iterative_async_sft"] = start("iterative_async_sft", settings["iterative_async_sft"], folder)
    while running:
        assert time.monotonic() < deadline, logs(folder)
        if done < kills:
            time.sleep(rng.uniform(0, span))
            stage = rng.choice(sorted(running))
            if running[stage].is_alive():
                running[stage].kill()
                running[stage].join()
                done += 1
                running[stage] = start(stage, settings[stage], folder)
        else:
            time.sleep(0.05)
        for stage, process in list(running.items()):
            if not process.is_alive():
                assert process.exitcode == 0, logs(folder)
                del running[stage]
    return done


def logs(folder: Path) -> str:
    return "\n".join(path.read_text()[-3000:] for path in folder.glob("*.log"))


def weights(folder: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_file(folder / stage / "model.safetensors")


def swaps(folder: Path) -> list[dict]:
    return json.loads((folder / "iterative_async_sft" / "checkpoints" / "encoder_swaps.json").read_text())
