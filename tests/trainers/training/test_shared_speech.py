# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speech that several hypotheses share is encoded once."""

import pytest
import torch
from datasets import Dataset
from stage_trainers import grpo_trainer
from training_helpers import make_rows

from entropy_asr.trainers.data.speech_dataset import SpeechDataset


FROZEN_SPEECH = ["model.audio_tower", "model.adaptor", "phoneme_head"]


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return make_rows("en zh none en zh en none en")


def test_gradient_of_shared_speech_is_the_gradient_of_speech_encoded_for_each_hypothesis(components, rows, tmp_path):
    trainer = grpo_trainer(components, tmp_path, rows, sharper=10.0)
    model = trainer.model.train()
    collator = trainer.data_collator
    items = [{**SpeechDataset(trainer.train_dataset)[index]} for index in (0, 1)]
    batch = collator(items)
    utterances = torch.tensor([0, 0, 1, 1, 1])
    speech = {name: batch[name] for name in ("input_features", "input_features_mask")}
    inputs = {name: batch[name][utterances] for name in ("input_ids", "attention_mask", "labels")}
    gradients = []
    for shared in (True, False):
        model.zero_grad()
        if shared:
            with trainer._speech["policy"].of(utterances):
                loss = model(**inputs, **speech).loss
        else:
            loss = model(**inputs, **{name: tensor[utterances] for name, tensor in speech.items()}).loss
        loss.backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert any("audio_tower" in name for name in gradients[0])
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-6, rtol=1e-4)


def count_encoded(trainer) -> list[int]:
    """Number of utterances of every call of the policy's encoder."""
    encoded = []
    tower = trainer.model.model.audio_tower
    tower.register_forward_pre_hook(lambda module, arguments: encoded.append(len(arguments[0])))
    return encoded


def test_an_utterance_is_encoded_once_for_its_whole_group(components, rows, tmp_path):
    """Two utterances, four hypotheses each: once in the rollout, once in the loss, where gradients are needed."""
    trainer = grpo_trainer(components, tmp_path, rows)
    encoded = count_encoded(trainer)
    trainer.train()
    assert encoded == [2, 2]


def test_an_utterance_is_encoded_once_altogether_where_encoder_and_adaptor_are_frozen(components, rows, tmp_path):
    trainer = grpo_trainer(components, tmp_path, rows, freeze=FROZEN_SPEECH, num_iterations=2, max_steps=2)
    encoded = count_encoded(trainer)
    reference = []
    trainer.ref_model.model.audio_tower.register_forward_pre_hook(lambda *arguments: reference.append(1))
    trainer.train()
    assert encoded == [2]
    assert reference == []
