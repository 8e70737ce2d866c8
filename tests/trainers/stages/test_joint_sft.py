# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Joint SFT trains encoder, adaptor and language model, or what is not frozen of them."""

import pytest
from datasets import Dataset
from stage_trainers import sft_trainer
from training_helpers import changed_modules, make_rows, small_augmenter, snapshot

from entropy_asr.trainers import JointSFTConfig, JointSFTTrainer


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return make_rows("en zh none en zh en none en")


def test_joint_sft_changes_encoder_adaptor_and_language_model(components, tmp_path, rows):
    trainer = sft_trainer(JointSFTTrainer, JointSFTConfig, components, tmp_path, rows, small_augmenter(), max_steps=2)
    before = snapshot(trainer.model)
    trainer.train()
    # The head of the language model is tied to its embeddings.
    expected = {"model.audio_tower", "model.adaptor", "model.language_model", "lm_head"}
    assert changed_modules(trainer.model, before) == expected
    assert trainer.model.model.audio_tower.training


def test_joint_sft_under_a_frozen_encoder(components, tmp_path, rows):
    freeze = ["model.audio_tower", "phoneme_head"]
    trainer = sft_trainer(JointSFTTrainer, JointSFTConfig, components, tmp_path, rows, max_steps=2, freeze=freeze)
    before = snapshot(trainer.model)
    trainer.train()
    assert changed_modules(trainer.model, before) == {"model.adaptor", "model.language_model", "lm_head"}
    assert not trainer.model.model.audio_tower.training
