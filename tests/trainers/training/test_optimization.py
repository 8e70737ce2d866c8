# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The paper's course of the learning rate: linear warm-up, then exponential decay, in every stage."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from training_helpers import run_and_kill, stage_section

from entropy_asr.trainers import ASRGRPOConfig, EncoderPretrainingConfig, JointSFTConfig
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.stages.lm_pretraining import LanguageModelTrainingConfig
from entropy_asr.trainers.training.muon import MuonWithAdamW
from entropy_asr.trainers.training.optimization import exponential_share, set_learning_rates


SCHEDULE = {"lr_scheduler_type": "exponential", "warmup_steps": 2, "lr_scheduler_kwargs": {"final_share": 0.0625}}


def learning_rates(folder) -> list[float]:
    history = json.loads((folder / "stage.json").read_text())["history"]
    return [entry["learning_rate"] for entry in history if "loss" in entry]


@pytest.mark.parametrize("stage", ["encoder", "joint_sft", "grpo", "language_model"])
def test_rate_rises_in_a_line_and_falls_by_the_same_factor(stage, components, tmp_path):
    run_section(stage, stage_section(stage, components, **SCHEDULE | {"learning_rate": 0.01}), tmp_path, 7)
    # Six steps, two of them warm-up: the four that are left halve the rate each.
    assert learning_rates(tmp_path) == pytest.approx([0.0, 0.005, 0.01, 0.005, 0.0025, 0.00125])


def test_rate_goes_on_where_a_killed_run_was(components, tmp_path, monkeypatch):
    section = stage_section("encoder", components, **SCHEDULE | {"learning_rate": 0.01})
    run_and_kill("encoder", section, tmp_path, monkeypatch, step=3)
    run_section("encoder", section, tmp_path, 7)
    assert learning_rates(tmp_path) == pytest.approx([0.0, 0.005, 0.01, 0.005, 0.0025, 0.00125])


def test_without_warm_up_it_begins_at_the_peak():
    assert [exponential_share(step, 0, 2, 0.25) for step in range(3)] == [1.0, 0.5, 0.25]


@pytest.mark.parametrize(
    "config", [EncoderPretrainingConfig, JointSFTConfig, ASRGRPOConfig, LanguageModelTrainingConfig]
)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"final_share": 0}, "final_share must be above 0 and at most 1, got 0"),
        ({"final_share": 1.5}, "at most 1, got 1.5"),
        ({"final_share": True}, "got True"),
        ({"num_cycles": 2}, "has final_share alone, not num_cycles"),
    ],
)
def test_settings_it_cannot_honour_are_refused(config, settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        config(str(tmp_path), use_cpu=True, lr_scheduler_type="exponential", lr_scheduler_kwargs=settings)


def test_modules_have_learning_rates_of_their_own(components, tmp_path):
    section = stage_section("joint_sft", components, learning_rate=0.0, max_steps=1, warmup_steps=0)
    section["training"] |= {"learning_rates": {"model": 0.0, "model.adaptor": 1e-3}, "lr_scheduler_type": "constant"}
    run_section("joint_sft", section, tmp_path / "tuned", 7)
    section["training"] |= {"learning_rates": {}}
    run_section("joint_sft", section, tmp_path / "same", 7)
    tuned, same = (load_file(tmp_path / name / "model.safetensors") for name in ("tuned", "same"))
    moved = {name for name in same if not torch.equal(same[name], tuned[name])}
    assert moved and moved == {name for name in same if name.startswith("model.adaptor.")}


@pytest.mark.parametrize("muon", [False, True])
def test_split_groups_keep_their_other_settings(muon):
    model = nn.Module()
    model.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    params = [{"params": [layer.weight for layer in model.layers], "muon": muon}, {"params": [model.layers[0].bias]}]
    optimizer = MuonWithAdamW(params, lr=0.1, weight_decay=0.2)
    set_learning_rates(optimizer, model, {"layers.1": 0.05})
    groups = [
        (group["muon"], group["lr"], group["weight_decay"], len(group["params"])) for group in optimizer.param_groups
    ]
    assert groups == [(muon, 0.1, 0.2, 1), (muon, 0.05, 0.2, 1), (False, 0.1, 0.2, 1)]


def test_learning_rates_that_cannot_be_honoured_are_refused(tmp_path):
    model = nn.ModuleDict({"head": nn.Linear(2, 2), "body": nn.Linear(2, 2)})
    model.body.requires_grad_(False)
    optimizer = torch.optim.AdamW(model.head.parameters())
    with pytest.raises(ValueError, match="learning_rates: .* no module 'tail'; at the top it has head, body"):
        set_learning_rates(optimizer, model, {"tail": 0.1})
    with pytest.raises(ValueError, match="nothing of body is trained; is it frozen"):
        set_learning_rates(optimizer, model, {"body": 0.1})
    with pytest.raises(ValueError, match="head must have a rate of at least 0, got -1"):
        JointSFTConfig(str(tmp_path), use_cpu=True, learning_rates={"head": -1})


def test_courses_of_transformers_are_what_they_were(tmp_path):
    args = JointSFTConfig(str(tmp_path), use_cpu=True, lr_scheduler_type="cosine")
    assert args.lr_scheduler_type == "cosine"
    with pytest.raises(ValueError, match="exponentially"):
        JointSFTConfig(str(tmp_path), use_cpu=True, lr_scheduler_type="exponentially")
