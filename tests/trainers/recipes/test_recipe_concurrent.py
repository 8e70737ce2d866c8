# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A recipe whose pretraining runs beside alignment and IA-SFT, through the command line and its own processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from training_helpers import stage_section

from entropy_asr.trainers.runs.locks import HOLDER
from entropy_asr.trainers.training.snapshots import EncoderSnapshots


pytestmark = pytest.mark.slow


def write_recipe(components: Path, folder: Path) -> Path:
    encoder = stage_section(
        "encoder",
        components,
        max_steps=40,
        save_steps=10,
        snapshot_dir="{output_dir}/snapshots",
        drift_interval=5,
        drift_threshold=0.9999,
        consistency_weight=0.2,
        chunk_sizes=[0, 4],
    )
    encoder["data"]["eval"] = encoder["data"]["train"]
    alignment = stage_section("alignment", components)
    alignment["model"] = {
        "encoder_snapshots": "{output_dir}/snapshots",
        "language_model": str(components / "language_model"),
    }
    sft = stage_section(
        "iterative_async_sft",
        components,
        max_steps=12,
        snapshot_dir="{output_dir}/snapshots",
        swap_interval=1,
        swap_poll_seconds=0.2,
    )
    sft["model"] = {"path": "{output_dir}/alignment"}
    joint = stage_section("joint_sft", components, max_steps=2)
    joint["model"] = {"path": "{output_dir}/ia_sft"}
    stages = {
        "encoder": {"background": True, **encoder},
        "alignment": alignment,
        "ia_sft": {"stage": "iterative_async_sft", "launch": {"environment": {"OMP_NUM_THREADS": 1}}, **sft},
        "joint_sft": {"after": ["encoder"], **joint},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({"output_dir": str(folder / "run"), "seed": 7, "stages": stages}, sort_keys=False))
    return path


def start(recipe: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "entropy_asr.trainers.commands.cli", "recipe", str(recipe)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_recipe_is_ended_and_run_again(components, tmp_path):
    """SIGTERM ends all its processes; the second run goes on and finishes; a third has nothing to do."""
    recipe, folder = write_recipe(components, tmp_path), tmp_path / "run"
    process = start(recipe)
    deadline = time.monotonic() + 600
    while not (folder / "encoder" / "checkpoints").is_dir():
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, output[-3000:]
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "encoder" / HOLDER).read_text()), 0)

    process = start(recipe)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output[-3000:]
    for number, name in enumerate(("encoder", "alignment", "ia_sft", "joint_sft"), 1):
        assert f"[{number}/4] {name}: " in output
        assert (folder / name / "stage.json").is_file()
    final = EncoderSnapshots(folder / "snapshots").published()[-1]
    expected, trained = (
        load_file(final.folder / "model.safetensors"),
        load_file(folder / "ia_sft" / "model.safetensors"),
    )
    assert all(torch.equal(trained[f"model.{name}"], expected[name]) for name in expected if "audio_tower" in name)
    # Alignment did not wait for pretraining to end.
    adopted = EncoderSnapshots(folder / "alignment" / "adopted_encoders").published()
    assert [snapshot.kind for snapshot in adopted] == ["drift"]
    clocks = [json.loads((folder / name / "stage.json").read_text())["steps"] for name in ("encoder", "ia_sft")]
    assert clocks == [40, 12]

    process = start(recipe)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and output.count("finished before, nothing to do") == 4
