# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pretraining and IA-SFT as two processes, either of which is killed (SIGKILL) at random moments and started again."""

import json
import multiprocessing
import os
import random
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_helpers import same_tensors, stage_section
from transformers import Trainer

from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.training.snapshots import EncoderSnapshots


KILLS = 20
STAGES = ("encoder", "iterative_async_sft")
# Seconds added to each step, so that both train at the same time and most kills hit a step.
PACE = 0.1

pytestmark = pytest.mark.slow


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


def test_killed_processes_end_with_the_weights_of_an_undisturbed_run(components, tmp_path):
    """The undisturbed run is live; the disturbed ones replay its swaps while pretraining publishes anew."""
    whole = tmp_path / "whole"
    began = time.monotonic()
    run_both(sections(components, whole), whole)
    span = (time.monotonic() - began) / 4
    assert len(swaps(whole)) > 2 and swaps(whole)[-1]["snapshot"].endswith("-final")
    plan = str(whole / "iterative_async_sft" / "checkpoints" / "encoder_swaps.json")
    rng, killed, runs = random.Random(0), 0, 0
    while killed < KILLS:
        folder = tmp_path / f"killed{runs}"
        settings = sections(components, folder, swap_policy="replay", swap_plan=plan)
        killed += run_both(settings, folder, min(10, KILLS - killed), span, rng)
        runs += 1
        for stage in STAGES:
            assert same_tensors(weights(folder, stage), weights(whole, stage)), stage
        assert swaps(folder) == swaps(whole)
        hashes = [{s.name: s.sha256 for s in EncoderSnapshots(path / "store").complete()} for path in (whole, folder)]
        assert hashes[0] == hashes[1]


def test_killed_live_run_ends_on_the_finished_encoder(components, tmp_path):
    folder = tmp_path / "live"
    rng = random.Random(1)
    assert run_both(sections(components, folder), folder, kills=10, span=2.0, rng=rng) > 0
    final = EncoderSnapshots(folder / "store").published()[-1]
    assert final.kind == "final"
    expected, trained = load_file(final.folder / "model.safetensors"), weights(folder, "iterative_async_sft")
    assert all(torch.equal(trained[f"model.{name}"], expected[name]) for name in expected if "audio_tower" in name)
    history = json.loads((folder / "iterative_async_sft" / "stage.json").read_text())["history"]
    assert [entry["step"] for entry in history if "loss" in entry] == list(range(1, 25))
