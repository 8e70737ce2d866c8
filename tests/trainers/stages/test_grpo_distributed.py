# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Reinforcement under DDP and FSDP2 (two processes, gloo, CPU): other utterances in each process, one model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_helpers import same_tensors

from entropy_asr.trainers.stages.sft import SFTModelSection


SCRIPT = Path(__file__).parents[1] / "grpo_script.py"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_processes_share_utterances_and_end_with_one_model(kind, components, tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launcher, str(SCRIPT), kind, str(components), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert result.returncode == 0, result.stderr[-4000:]
    reports = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    weights = [torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2)]
    assert same_tensors(*weights)
    assert all((report["sharded"] > 0) == (kind == "fsdp2") for report in reports)
    # A group of four in each process: one utterance a step, never the same.
    assert all(len(rows) == 1 for report in reports for rows in report["heard"])
    assert all(first != second for first, second in zip(*(report["heard"] for report in reports), strict=True))
    assert reports[0]["divergences"][0] == pytest.approx(0.0, abs=1e-9) and reports[0]["divergences"][-1] > 1e-6
    before, _ = SFTModelSection(path=str(components / "full")).build()
    saved, _ = SFTModelSection(path=str(tmp_path / "saved")).build()
    state = saved.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in weights[0].items())
    changed = {name for name, tensor in before.state_dict().items() if not torch.equal(state[name], tensor)}
    assert any("audio_tower" in name for name in changed) and any("language_model" in name for name in changed)
