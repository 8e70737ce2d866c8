# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The phoneme head after reinforcement: it alone changes, from the pretrained one, by the objective of stage 1."""

import json
import shutil

import pytest
import torch
from datasets import Dataset
from training_helpers import make_rows, stage_section, trainer_arguments

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRForCTC, EntropyASRPhonemeTokenizer
from entropy_asr.trainers.data.augmentation import AugmentationConfig, SpeechAugmenter
from entropy_asr.trainers.data.collation import CTCCollator
from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.stages.encoder_pretraining import EncoderPretrainingConfig, EncoderPretrainingTrainer
from entropy_asr.trainers.stages.phoneme_head import (
    PhonemeHeadConfig,
    PhonemeHeadModelSection,
    PhonemeHeadTrainer,
    phoneme_model,
)
from entropy_asr.trainers.stages.sft import SFTModelSection


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return add_phoneme_ids(make_rows("en zh none en zh en none en"), EntropyASRPhonemeTokenizer())


def changed(before: dict, after: dict) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_stage_changes_nothing_but_the_head_and_calls_it_trained(components, tmp_path):
    untrained = EntropyASRForConditionalGeneration.from_pretrained(components / "full")
    untrained.config.phoneme_head_trained = False
    shutil.copytree(components / "full", tmp_path / "before")
    untrained.save_pretrained(tmp_path / "before")
    section = stage_section("phoneme_head", components, max_steps=3)
    section["training"] |= {
        "consistency_weight": 0.2,
        "chunk_sizes": [0, 4],
        "eval_strategy": "steps",
        "eval_steps": 3,
    }
    section["data"]["eval"] = section["data"]["train"]
    section["model"] = {"path": str(tmp_path / "before")}
    run_section("phoneme_head", section, tmp_path, 7)
    models = [EntropyASRForConditionalGeneration.from_pretrained(path) for path in (tmp_path / "before", tmp_path)]
    assert [model.config.phoneme_head_trained for model in models] == [False, True]
    before, after = (model.state_dict() for model in models)
    assert changed(before, after) == {name for name in before if name.startswith("phoneme_head.")}
    history = json.loads((tmp_path / "stage.json").read_text())["history"]
    assert any("consistency_loss" in entry for entry in history) and any("eval_per" in entry for entry in history)
    _, processor = SFTModelSection(path=str(tmp_path)).build()
    assert len(processor.phoneme_tokenizer) == after["phoneme_head.output.bias"].shape[0]


def test_encoder_stays_in_evaluation_mode_and_gets_no_optimizer_state(components, rows, tmp_path):
    model, processor = SFTModelSection(path=str(components / "full")).build()
    arguments = trainer_arguments(PhonemeHeadConfig, tmp_path, max_steps=2)
    trainer = PhonemeHeadTrainer(
        phoneme_model(model), arguments, CTCCollator(processor.feature_extractor), train_dataset=rows
    )
    seen = []
    model.model.audio_tower.register_forward_hook(lambda module, *_: seen.append(module.training))
    trainer.train()
    assert seen == [False, False]
    optimized = {id(tensor) for group in trainer.optimizer.param_groups for tensor in group["params"]}
    assert optimized == {id(tensor) for tensor in model.phoneme_head.parameters()}, "the full model's own head"


def test_objective_is_that_of_stage_1(components, rows, tmp_path):
    """On the same weights and batches both trainers log the same loss."""
    losses = []
    for name, trainer_class, config_class, consistency in (
        ("head", PhonemeHeadTrainer, PhonemeHeadConfig, 0.2),
        ("encoder", EncoderPretrainingTrainer, EncoderPretrainingConfig, 0.2),
    ):
        model, processor = SFTModelSection(path=str(components / "full")).build()
        settings = {"max_steps": 2, "learning_rate": 0.0, "freeze": ["audio_tower"], "consistency_weight": consistency}
        trainer = trainer_class(
            phoneme_model(model),
            trainer_arguments(config_class, tmp_path / name, **settings),
            CTCCollator(processor.feature_extractor, SpeechAugmenter(AugmentationConfig(num_time_masks=1))),
            train_dataset=rows,
        )
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert len(losses[0]) == 2 and losses[0] == losses[1]


def test_head_learns_on_a_frozen_encoder(components, rows, tmp_path):
    model, processor = SFTModelSection(path=str(components / "full")).build()
    arguments = trainer_arguments(PhonemeHeadConfig, tmp_path, max_steps=40, learning_rate=1e-2)
    trainer = PhonemeHeadTrainer(
        phoneme_model(model), arguments, CTCCollator(processor.feature_extractor), train_dataset=rows
    )
    before = trainer.evaluate(rows)["eval_loss"]
    trainer.train()
    assert trainer.evaluate(rows)["eval_loss"] < before / 3


def test_head_of_another_model_can_be_the_start(components, tmp_path):
    encoder = EntropyASRForCTC.from_pretrained(components / "encoder")
    with torch.no_grad():
        encoder.phoneme_head.output.bias.add_(1.0)
    encoder.save_pretrained(tmp_path / "other")
    own = PhonemeHeadModelSection(path=str(components / "full")).build()
    other = PhonemeHeadModelSection(path=str(components / "full"), head=str(tmp_path / "other")).build()
    assert changed(own.state_dict(), other.state_dict()) == {"phoneme_head.output.bias"}


@pytest.mark.parametrize("arguments", [{"freeze": []}, {"snapshot_dir": "x"}])
def test_arguments_against_the_stage_s_purpose_are_refused(arguments, tmp_path):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        trainer_arguments(PhonemeHeadConfig, tmp_path, **arguments)
