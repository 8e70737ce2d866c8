# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stages that save thin: the same weights as whole, through adapters, kills and the stages behind them."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file
from training_helpers import make_rows, run_and_kill, same_tensors, stage_section, trainer_arguments
from transformers import AutoModel

from entropy_asr.modeling import load_pipeline
from entropy_asr.modeling.components_entropy_asr import THIN_WEIGHTS
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.runs.settings import SettingsError
from entropy_asr.trainers.stages.joint_sft import JointSFTConfig, JointSFTTrainer
from entropy_asr.trainers.stages.sft import SFTModelSection


LORA = {"r": 2, "lora_alpha": 4, "target_modules": ".*language_model.*(q|v)_proj", "modules_to_save": ["adaptor"]}


def section(
    components: Path, stage: str = "joint_sft", path: Path | None = None, lora: bool = False, **training
) -> dict:
    """A stage that saves thin, from the public parts or from a stage before."""
    settings = stage_section(stage, components, **{"save_thin": True, **training})
    parts = {"encoder": str(components / "plain_encoder"), "language_model": str(components / "language_model")}
    settings["model"] = parts if path is None else {"path": str(path)}
    return {**settings, "lora": LORA} if lora else settings


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModel.from_pretrained(folder).state_dict()


@pytest.fixture(scope="module")
def aligned(components, tmp_path_factory) -> Path:
    """Adaptor alone, from folders that stand for public models."""
    folder = tmp_path_factory.mktemp("aligned")
    run_section("alignment", section(components, "alignment"), folder, 7)
    return folder


def test_alignment_and_its_checkpoints_hold_the_adaptor(aligned, components, tmp_path):
    run_section("alignment", section(components, "alignment", save_thin=False), tmp_path, 7)
    assert same_tensors(weights(aligned), weights(tmp_path))
    for folder in (aligned, aligned / "checkpoints" / "checkpoint-6"):
        assert {name.rsplit(".", 2)[0] for name in load_file(folder / THIN_WEIGHTS)} == {
            "model.adaptor",
            "phoneme_head",
        }
        assert not (folder / "model.safetensors").exists()
        assert same_tensors(weights(folder), weights(tmp_path))


def test_adapters_of_two_stages_give_the_weights_that_whole_stages_give(aligned, components, tmp_path):
    for kind, thin in (("thin", True), ("whole", False)):
        before = aligned
        for number in (1, 2):
            folder = tmp_path / kind / str(number)
            run_section("joint_sft", section(components, path=before, lora=True, save_thin=thin), folder, 7)
            before = folder
    thin, whole = tmp_path / "thin" / "2", tmp_path / "whole" / "2"
    assert same_tensors(weights(thin), weights(whole))
    assert not [name for name in load_file(thin / THIN_WEIGHTS) if "language_model" in name or "audio_tower" in name]
    assert sorted(path.name for path in thin.glob("adapters-*")) == ["adapters-1", "adapters-2"]
    assert load_pipeline(thin, device="cpu").processor.tokenizer


@pytest.mark.parametrize("lora", [False, True], ids=["all", "lora"])
def test_a_killed_run_goes_on_from_a_thin_checkpoint_to_the_same_weights(
    lora, aligned, components, tmp_path, monkeypatch
):
    settings = section(components, path=aligned, lora=lora)
    run_section("joint_sft", settings, tmp_path / "at once", 7)
    run_and_kill("joint_sft", settings, tmp_path / "killed", monkeypatch, step=3)
    files = {path.name for path in (tmp_path / "killed" / "checkpoints" / "checkpoint-2").iterdir()}
    assert files & {"model.safetensors", THIN_WEIGHTS, "adapter_model.safetensors"} == (
        {"adapter_model.safetensors"} if lora else {THIN_WEIGHTS}
    )
    # Adapters say which folder they stand on.
    assert not same_tensors(weights(tmp_path / "killed" / "checkpoints" / "checkpoint-2"), weights(aligned))
    run_section("joint_sft", settings, tmp_path / "killed", 7)
    assert same_tensors(weights(tmp_path / "killed"), weights(tmp_path / "at once"))


def test_save_model_gives_one_model_also_of_adapters_and_training_goes_on(aligned, tmp_path):
    model, processor = SFTModelSection(path=str(aligned)).build()
    trainer = JointSFTTrainer(
        model,
        trainer_arguments(JointSFTConfig, tmp_path / "out", max_steps=2, save_thin=True),
        processing_class=processor,
        train_dataset=make_rows("en zh"),
        peft_config=LoraConfig(**LORA),
    )
    trainer.train()
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.save_model(tmp_path / "saved")
    assert same_tensors(trainer.model.state_dict(), before)
    assert not (tmp_path / "saved" / "adapter_config.json").exists()
    saved = weights(tmp_path / "saved")
    assert same_tensors(saved, trainer.model.merge_and_unload().state_dict())
    assert load_pipeline(tmp_path / "saved", device="cpu").model.config.public_parts


def test_the_best_of_thin_checkpoints_comes_back(aligned, components, tmp_path):
    # What is trained on is evaluated on: the loss falls, and the first one is the greatest.
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": True}
    settings = section(components, path=aligned, eval_strategy="steps", eval_steps=2, **best)
    settings["data"]["eval"] = settings["data"]["train"]
    run_section("joint_sft", settings, tmp_path, 7)
    state = json.loads((tmp_path / "checkpoints" / "checkpoint-6" / "trainer_state.json").read_text())
    assert not state["best_model_checkpoint"].endswith("checkpoint-6")
    assert same_tensors(weights(tmp_path), weights(Path(state["best_model_checkpoint"])))


def test_later_stages_and_the_export_are_thin_too(aligned, components, tmp_path):
    run_section("phoneme_head", section(components, "phoneme_head", path=aligned), tmp_path / "head", 7)
    evaluation = {"model": {"path": str(tmp_path / "head")}, "export": {"dtype": "bfloat16", "thin": True}}
    run_section("evaluation", evaluation, tmp_path / "exported", 7)
    exported, head = weights(tmp_path / "exported"), weights(tmp_path / "head")
    assert not (tmp_path / "exported" / "model.safetensors").exists()
    assert same_tensors(exported, {name: tensor.to(torch.bfloat16) for name, tensor in head.items()})
    assert not same_tensors(head, weights(aligned))


def test_what_could_not_be_saved_thin_is_not_trained(components, tmp_path):
    whole = section(components, path=components / "full")
    with pytest.raises(SettingsError, match="save_thin: it is not known which public models"):
        run_section("joint_sft", whole, tmp_path, 7)
    assert not (tmp_path / "checkpoints" / "checkpoint-2").exists()
