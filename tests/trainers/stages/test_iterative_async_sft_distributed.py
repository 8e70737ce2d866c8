# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Swaps under one process, DDP and FSDP2 (two processes, gloo, CPU): the same encoders, bit for bit, on every rank."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from stage_trainers import publish
from training_helpers import same_tensors

from entropy_asr.trainers.training.encoder_swaps import PARTS
from entropy_asr.trainers.training.snapshots import EncoderSnapshots


SCRIPT = Path(__file__).parents[1] / "swap_script.py"
KINDS = {"single": 1, "ddp": 2, "fsdp2": 2}
ENCODERS = ["000000100-drift"] * 2 + ["000000200-drift"] * 2 + ["000000300-final"] * 2

pytestmark = pytest.mark.slow


def launch(kind: str, *arguments: Path) -> None:
    launcher = [sys.executable]
    if KINDS[kind] > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(KINDS[kind])]
    command = [*launcher, str(SCRIPT), kind, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert result.returncode == 0, result.stderr[-4000:]


@pytest.fixture(scope="module", params=KINDS)
def run(request, components, tmp_path_factory) -> tuple[str, Path]:
    """Kind and folder of a run of six steps with swaps after 0, 2 and 4, and a checkpoint after 3."""
    folder = tmp_path_factory.mktemp(request.param)
    publish(EncoderSnapshots(folder / "store"), 100)
    launch(request.param, components, folder)
    return request.param, folder


def reports(run) -> list[dict]:
    kind, folder = run
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(KINDS[kind])]


def weights(run) -> list[dict[str, torch.Tensor]]:
    kind, folder = run
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(KINDS[kind])]


def test_every_rank_trains_on_the_adopted_encoder(run):
    kind, folder = run
    for report in reports(run):
        assert report["trained_on"] == ENCODERS
        assert report["world_size"] == KINDS[kind]
        assert (report["sharded"] > 0) == (kind == "fsdp2")
    final = load_file(folder / "store" / "000000300-final" / "model.safetensors")
    for state in weights(run):
        for part, place in PARTS.items():
            names = [name for name in final if name.startswith(f"{part}.")]
            assert names
            assert all(torch.equal(final[name], state[name.replace(part, place, 1)]) for name in names)
    assert same_tensors(weights(run)[0], weights(run)[-1])


def test_nothing_but_adaptor_and_language_model_gets_gradients_or_optimizer_state(run):
    for report in reports(run):
        modules = {".".join(name.split(".")[:2]) for name in report["gradients"]}
        assert modules == {"model.adaptor", "model.language_model"}
        assert report["gradients"] == report["optimized"] == report["state"]


def test_saved_checkpoint_holds_the_adopted_encoder(run):
    _, folder = run
    saved = load_file(folder / "out" / "checkpoint-3" / "model.safetensors")
    expected = load_file(folder / "store" / "000000200-drift" / "model.safetensors")
    assert all(torch.equal(saved[f"model.{name}"], expected[name]) for name in expected if "audio_tower" in name)
    swaps = json.loads((folder / "out" / "checkpoint-3" / "encoder_swaps.json").read_text())
    assert [swap["snapshot"] for swap in swaps] == ["000000100-drift", "000000200-drift"]


def test_resumed_run_ends_with_the_same_weights(run, components):
    kind, folder = run
    expected = weights(run)
    launch(kind, components, folder, folder / "out" / "checkpoint-3")
    assert reports(run)[0]["trained_on"] == ENCODERS[3:]
    for before, after in zip(expected, weights(run), strict=True):
        assert same_tensors(before, after)


def test_ddp_and_fsdp2_train_the_same(components, tmp_path_factory):
    folders = {}
    for kind in ("ddp", "fsdp2"):
        folders[kind] = tmp_path_factory.mktemp(f"same-{kind}")
        publish(EncoderSnapshots(folders[kind] / "store"), 100)
        launch(kind, components, folders[kind])
    ddp, fsdp2 = (torch.load(folder / "rank0.pt") for folder in folders.values())
    for name, tensor in ddp.items():
        torch.testing.assert_close(fsdp2[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")
