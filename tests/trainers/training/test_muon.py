# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Muon: orthogonal steps of the layers' matrices, AdamW's of the rest."""

import copy

import pytest
import torch
from torch import nn
from transformers import TrainingArguments

from entropy_asr.trainers.training.muon import MuonWithAdamW, build_muon, layer_matrices, orthogonalize


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 6, 20), (2, 20, 6)])
def test_orthogonalize_brings_singular_values_near_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before = torch.linalg.svdvals(matrices)
    after = torch.linalg.svdvals(orthogonalize(matrices, num_iterations=5))
    assert before.max() > 2
    assert after.min() > 0.6 and after.max() < 1.3
    # Directions stay: the result is the polar factor up to those singular values.
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    rotated = left.mT @ orthogonalize(matrices, num_iterations=5) @ right.mT
    assert (rotated - torch.diag_embed(rotated.diagonal(dim1=-2, dim2=-1))).abs().max() < 1e-4


def small_model(seed=0):
    torch.manual_seed(seed)
    model = nn.Module()
    model.embedding = nn.Linear(4, 8)
    model.layers = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
    return model


def take_steps(model, optimizer, num_steps, first=0):
    for step in range(first, first + num_steps):
        hidden = model.embedding(torch.randn(16, 4, generator=torch.Generator().manual_seed(step)))
        for layer in model.layers:
            hidden = torch.tanh(layer(hidden))
        optimizer.zero_grad()
        (hidden - 0.5).square().mean().backward()
        optimizer.step()


def groups(model, muon=True):
    matrices = layer_matrices(model)
    others = [parameter for name, parameter in model.named_parameters() if name not in matrices]
    return [{"params": list(matrices.values()), "muon": muon}, {"params": others}]


def test_only_matrices_of_layers_go_to_muon():
    assert set(layer_matrices(small_model())) == {"layers.0.weight", "layers.1.weight"}
    with pytest.raises(ValueError, match="matrices"):
        MuonWithAdamW([{"params": [nn.Parameter(torch.zeros(3))], "muon": True}], lr=1e-3)


def test_biases_are_not_decayed_and_all_is_as_the_arguments_say(tmp_path):
    given = {"learning_rate": 1e-2, "adam_beta1": 0.8, "adam_beta2": 0.9, "adam_epsilon": 1e-6, "weight_decay": 0.3}
    model = small_model()
    optimizer = build_muon(model, TrainingArguments(str(tmp_path), use_cpu=True, **given))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [
        ({names[id(one)] for one in group["params"]}, group.get("muon", False), group["weight_decay"])
        for group in optimizer.param_groups
    ]
    assert found == [
        ({"layers.0.weight", "layers.1.weight"}, True, 0.3),
        ({"embedding.weight"}, False, 0.3),
        ({"embedding.bias", "layers.0.bias", "layers.1.bias"}, False, 0.0),
    ]
    for group in optimizer.param_groups:
        assert (group["lr"], group["betas"], group["eps"]) == (1e-2, (0.8, 0.9), 1e-6)


def test_without_muon_groups_it_is_adamw():
    ours, theirs = small_model(), small_model()
    take_steps(ours, MuonWithAdamW(groups(ours, muon=False), lr=1e-2), 5)
    take_steps(
        theirs,
        torch.optim.AdamW(theirs.parameters(), lr=1e-2, betas=(0.9, 0.98), weight_decay=0.01),
        5,
    )
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_steps_are_those_of_torch_muon_up_to_its_bfloat16(dtype):
    ours, theirs = small_model(), small_model()
    take_steps(ours, MuonWithAdamW(groups(ours), lr=1e-2, num_iterations=5, dtype=dtype), 3)
    matrices = list(layer_matrices(theirs).values())
    muon = torch.optim.Muon(matrices, lr=1e-2, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    others = [p for n, p in theirs.named_parameters() if n not in layer_matrices(theirs)]
    adamw = torch.optim.AdamW(others, lr=1e-2, betas=(0.9, 0.98), weight_decay=0.01)

    class Both:
        def zero_grad(self):
            theirs.zero_grad()

        def step(self):
            muon.step()
            adamw.step()

    take_steps(theirs, Both(), 3)
    start = small_model()
    for name, one in layer_matrices(ours).items():
        moved, expected = one - layer_matrices(start)[name], layer_matrices(theirs)[name] - layer_matrices(start)[name]
        assert moved.norm() > 0.01
        assert torch.cosine_similarity(moved.flatten(), expected.flatten(), dim=0) > 0.98


def test_weights_decay_by_their_share_of_the_learning_rate():
    """Without a gradient nothing else moves a matrix."""
    matrix, biases = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(6))
    start = matrix.detach().clone(), biases.detach().clone()
    groups = [{"params": [matrix], "muon": True}, {"params": [biases], "weight_decay": 0.0}]
    optimizer = MuonWithAdamW(groups, lr=0.5, weight_decay=0.1)
    matrix.grad, biases.grad = torch.zeros_like(matrix), torch.zeros_like(biases)
    optimizer.step()
    torch.testing.assert_close(matrix.detach(), 0.95 * start[0])
    assert torch.equal(biases.detach(), start[1])


def test_resumed_equals_uninterrupted():
    model = small_model()
    optimizer = MuonWithAdamW(groups(model), lr=1e-2)
    take_steps(model, optimizer, 3)
    resumed = copy.deepcopy(model)
    again = MuonWithAdamW(groups(resumed), lr=1e-2)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    take_steps(model, optimizer, 3, first=3)
    take_steps(resumed, again, 3, first=3)
    for one, other in zip(model.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
