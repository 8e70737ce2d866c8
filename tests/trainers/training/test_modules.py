# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Modules that keep their place, their weights and their name, and do something of their own."""

import copy

import torch
from peft import LoraConfig, get_peft_model
from training_helpers import same_tensors, small_encoder

from entropy_asr.trainers.training.modules import find_module, freeze_modules, keep_in_evaluation, specialize


class Doubles:
    def forward(self, *args, **kwargs):
        return 2 * super().forward(*args, **kwargs)


def test_methods_come_before_those_of_the_module_and_all_else_stays():
    layer = torch.nn.Linear(3, 2)
    weights, inputs = dict(layer.state_dict()), torch.randn(4, 3)
    expected = 2 * layer(inputs)
    for _ in range(2):  # the second time it is one already
        specialize(layer, Doubles)
    assert torch.equal(layer(inputs), expected)
    assert isinstance(layer, torch.nn.Linear) and isinstance(layer, Doubles)
    assert type(layer).__name__ == "Linear" and str(type(layer)) == str(torch.nn.Linear)
    assert same_tensors(dict(layer.state_dict()), weights)
    assert torch.equal(copy.deepcopy(layer)(inputs), expected)
    assert type(torch.nn.Linear(3, 2)) is torch.nn.Linear


def test_frozen_encoder_still_gives_what_transformers_records():
    model = small_encoder().eval()
    features = torch.randn(1, 40, 80)
    expected = model.audio_tower(features, output_hidden_states=True).hidden_states
    freeze_modules(model, ["audio_tower"])
    recorded = model.audio_tower(features, output_hidden_states=True).hidden_states
    assert len(recorded) == len(expected) > 1
    torch.testing.assert_close(recorded, expected)


def test_what_was_frozen_before_is_trained_again_unless_it_is_named_or_others_froze_it():
    model = small_encoder()
    by_others = next(model.audio_tower.parameters()).requires_grad_(False)
    trained = {name for name, tensor in model.named_parameters() if tensor.requires_grad}
    freeze_modules(model, ["audio_tower", "phoneme_head"])
    freeze_modules(model, ["phoneme_head"])
    model.train()
    assert all(module.training for module in model.audio_tower.modules()) and not model.phoneme_head.training
    assert not any(tensor.requires_grad for tensor in model.phoneme_head.parameters())
    freeze_modules(model, [])
    assert {name for name, tensor in model.named_parameters() if tensor.requires_grad} == trained
    assert not by_others.requires_grad and model.train().phoneme_head.training


def test_adapters_keep_the_model_below_them_frozen():
    model = small_encoder()
    freeze_modules(model, ["audio_tower"])
    adapted = get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
    before = {name for name, tensor in adapted.named_parameters() if tensor.requires_grad}
    freeze_modules(adapted, [])
    assert {name for name, tensor in adapted.named_parameters() if tensor.requires_grad} == before


def test_module_in_evaluation_hears_without_dropout_whatever_its_model_is_told():
    model = small_encoder(dropout=0.5)
    keep_in_evaluation(model.audio_tower)
    features = torch.randn(1, 40, 80)
    outputs = [model.train().audio_tower(features).last_hidden_state for _ in range(2)]
    assert torch.equal(*outputs)
    assert all(tensor.requires_grad for tensor in model.audio_tower.parameters())


def test_modules_are_found_by_their_last_name():
    model = small_encoder()
    assert find_module(torch.nn.ModuleDict({"wrapped": model}), "audio_tower") is model.audio_tower
    assert find_module(model, "language_model") is None


def test_of_a_module_that_is_trained_beside_adapters_the_trained_copy_is_found():
    model = small_encoder()
    adapted = get_peft_model(model, LoraConfig(target_modules=["linear1"], modules_to_save=["audio_tower"]))
    found = find_module(adapted, "audio_tower")
    assert type(found) is type(small_encoder().audio_tower)
    assert all(parameter.requires_grad for parameter in found.parameters())
