# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Every stage learns on real recordings (--data_dir), with the models of a few thousand parameters of other tests."""

import json

import numpy as np
import pytest
from training_helpers import stage_section

from entropy_asr.trainers.recipes.recipe import run_section


# Stage -> learning rate, and the loss of the last steps as a share of the first ones', for 40 steps on 64 recordings.
# In alignment the language model is frozen, and here untrained: the adaptor can but favour some of its words.
STAGES = {
    "alignment": (5e-2, 0.999),
    "joint_sft": (3e-3, 0.95),
    "context_sft": (3e-3, 0.95),
    "phoneme_head": (3e-3, 0.95),
    "attention_pretraining": (3e-3, 0.95),
}


def digits(data_dir) -> dict:
    return {"train": [{"path": str(data_dir / "fsdd_digits"), "max_rows": 64}]}


@pytest.mark.parametrize("stage", STAGES)
def test_loss_on_real_speech_falls(stage, components, tmp_path, data_dir):
    rate, bound = STAGES[stage]
    section = stage_section(stage, components, max_steps=40, save_steps=40, learning_rate=rate)
    section["data"] |= digits(data_dir)
    section["training"]["max_batch_duration"] = 12.0
    run_section(stage, section, tmp_path, 7)
    losses = [
        entry["loss"] for entry in json.loads((tmp_path / "stage.json").read_text())["history"] if "loss" in entry
    ]
    assert len(losses) == 40
    assert np.mean(losses[-5:]) < bound * np.mean(losses[:5])


def test_reinforcement_hears_real_speech(components, tmp_path, data_dir):
    """Rewards of untrained models are all but equal: here, that the stage runs on recordings and its model changes."""
    section = stage_section("grpo", components, max_steps=4)
    section["data"] |= digits(data_dir)
    run_section("grpo", section, tmp_path, 7)
    history = json.loads((tmp_path / "stage.json").read_text())["history"]
    rewards = [entry["reward"] for entry in history if "reward" in entry]
    assert len(rewards) == 2 and np.isfinite(rewards).all(), "hypotheses are generated every second step"
    assert any(entry.get("kl", 0) > 0 for entry in history)
