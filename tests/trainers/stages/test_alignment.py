# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Alignment trains the adaptor."""

import pytest
from datasets import Dataset
from stage_trainers import sft_trainer
from training_helpers import changed_modules, make_rows, small_augmenter, snapshot

from entropy_asr.trainers import AlignmentConfig, AlignmentTrainer


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return make_rows("en zh none en zh en none en")


def test_alignment_changes_only_the_adaptor(components, tmp_path, rows):
    seen = []
    trainer = sft_trainer(
        AlignmentTrainer, AlignmentConfig, components, tmp_path, rows, small_augmenter(), max_steps=3
    )
    model, before = trainer.model, snapshot(trainer.model)
    hook = model.model.audio_tower.register_forward_hook(lambda module, *_: seen.append(module.training))
    trainer.train()
    hook.remove()
    assert changed_modules(model, before) == {"model.adaptor"}
    optimized = {id(tensor) for group in trainer.optimizer.param_groups for tensor in group["params"]}
    assert optimized == {id(tensor) for tensor in model.model.adaptor.parameters()}
    assert seen == [False] * 3
    frozen = (model.model.audio_tower, model.model.language_model, model.phoneme_head)
    assert not any(module.training for part in frozen for module in part.modules())
