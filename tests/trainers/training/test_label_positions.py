# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Logits are computed where there are labels, and nowhere else."""

import pytest
import torch
import trl.trainer.utils as trl_utils
from datasets import Dataset
from peft import LoraConfig
from stage_trainers import sft_trainer
from training_helpers import (
    make_rows,
)
from trl.kernels import ChunkedLogProbFunction

from entropy_asr.trainers import JointSFTConfig, JointSFTTrainer
from entropy_asr.trainers.training import label_positions


LORA = {"r": 4, "lora_alpha": 8, "target_modules": ".*language_model.*(q|v)_proj"}


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return make_rows("en zh none en zh en none en")


def scored(trainer, inputs, monkeypatch) -> tuple[int, torch.Tensor, dict, dict]:
    """Positions that the output layer was computed for; loss, gradients and TRL's metrics of one batch."""
    counts, apply = [], ChunkedLogProbFunction.apply
    with monkeypatch.context() as patch:
        patch.setattr(ChunkedLogProbFunction, "apply", lambda x, *rest: counts.append(len(x)) or apply(x, *rest))
        loss = trainer.compute_loss(trainer.model.eval(), dict(inputs))
    loss.backward()
    gradients = {name: p.grad for name, p in trainer.model.named_parameters() if p.grad is not None}
    return counts[0], loss, gradients, {key: values[0] for key, values in trainer._metrics["eval"].items()}


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_nothing_but_labels_is_scored(components, tmp_path, rows, monkeypatch, lora):
    """TRL scores all positions where there is no Triton; losses, gradients and metrics must not tell."""
    config = None if lora is None else LoraConfig(**lora)
    arguments = (JointSFTTrainer, JointSFTConfig, components, tmp_path, rows)
    trainer = sft_trainer(*arguments, max_batch_size=8, lora=config)
    inputs = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    next_labels = inputs["labels"][:, 1:]
    positions, *results = scored(trainer, inputs, monkeypatch)
    assert positions == int((next_labels != -100).sum())
    monkeypatch.setattr("entropy_asr.trainers.stages.sft.LabelPositions", lambda *modules: None)
    positions, *expected = scored(sft_trainer(*arguments, max_batch_size=8, lora=config), inputs, monkeypatch)
    assert positions == next_labels.numel()
    assert any(gradient.abs().max() > 1e-4 for gradient in results[1].values())
    torch.testing.assert_close(results[:2], expected[:2], rtol=1e-4, atol=1e-6)
    assert results[2] == pytest.approx(expected[2], rel=1e-5)


def test_a_batch_without_labels_is_a_differentiable_zero(components, tmp_path, rows):
    """Other processes wait for this one's gradients."""
    trainer = sft_trainer(JointSFTTrainer, JointSFTConfig, components, tmp_path, rows, max_batch_size=8)
    inputs = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    loss = trainer.compute_loss(trainer.model.train(), {**inputs, "labels": torch.full_like(inputs["labels"], -100)})
    loss.backward()
    assert loss == 0
    assert all(p.grad is not None and not p.grad.any() for p in trainer.model.model.adaptor.parameters())


def test_a_large_vocabulary_goes_in_tiles_that_suit_a_cpu(components, tmp_path, rows, monkeypatch):
    """Loss and gradients must not tell; what is one tile to TRL stays one, so that results repeat to the last bit."""
    monkeypatch.setattr(trl_utils, "_CHUNKED_LOGPROB_CHUNK_SIZE", 1 << 15)  # put back after the test
    arguments = (JointSFTTrainer, JointSFTConfig, components, tmp_path, rows)
    widths, apply = [], ChunkedLogProbFunction.apply
    monkeypatch.setattr(ChunkedLogProbFunction, "apply", lambda *args: widths.append(args[5]) or apply(*args))
    monkeypatch.setattr(label_positions, "CPU_TILE", 16)
    found = []
    for trl_tile in (label_positions.TRL_TILE, 64):
        monkeypatch.setattr(label_positions, "TRL_TILE", trl_tile)
        trainer = sft_trainer(*arguments, max_batch_size=8)
        inputs = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
        found.append(scored(trainer, inputs, monkeypatch)[1:3])
        assert trl_tile == trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE  # of other models in this process
    assert widths == [1 << 15, 16]
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)
