# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Joint SFT with text alone under DDP, for test_sft.py: the gradient that each process steps with goes to a file.

torchrun text_only_script.py FOLDER_OF_COMPONENTS FOLDER
"""

import sys
from pathlib import Path

import torch
from stage_trainers import sft_trainer
from training_helpers import GradientRecorder, make_rows

from entropy_asr.trainers import JointSFTConfig, JointSFTTrainer
from entropy_asr.trainers.runs.process_group import leave_process_group
from entropy_asr.trainers.training.shared_speech import silence_dropout


# Rows of one kind: then means over tokens, of which each process and step has its own, are the mean over all.
ROWS = [0] * 8
SETTINGS = {"num_train_epochs": 1, "max_grad_norm": 0.0, "learning_rate": 0.0, "text_only_share": 0.5}


def text_only_gradient(components: Path, folder: Path, **settings) -> tuple[dict[str, torch.Tensor], float]:
    """Gradient of the one step of an epoch, and its loss."""
    recorder = GradientRecorder()
    trainer = sft_trainer(
        JointSFTTrainer,
        JointSFTConfig,
        components,
        folder,
        make_rows("en").select(ROWS),
        callbacks=[recorder],
        **{**SETTINGS, **settings},
    )
    silence_dropout(trainer.model)  # the encoder's, which would be drawn otherwise in each batch
    trainer.train()
    [gradient] = recorder.steps
    return gradient, trainer.state.log_history[0]["loss"]


if __name__ == "__main__":
    components, folder = map(Path, sys.argv[1:])
    found = text_only_gradient(
        components, folder / "runs", max_batch_size=2, gradient_accumulation_steps=2, ddp_backend="gloo"
    )
    torch.save(found, folder / f"rank{torch.distributed.get_rank()}.pt")
    leave_process_group()
