# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pretraining and IA-SFT as two processes, either of which is killed (SIGKILL) at random moments and started again."""

import json
import random
import time

import pytest
import torch
from async_pair import STAGES, run_both, sections, swaps, weights
from safetensors.torch import load_file
from training_helpers import same_tensors

from entropy_asr.trainers.training.snapshots import EncoderSnapshots


KILLS = 20

pytestmark = pytest.mark.slow


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
