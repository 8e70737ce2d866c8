# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The phoneme head over a speech encoder, of CTC models and of full models."""

import torch
from torch import nn
from transformers.configuration_utils import PreTrainedConfig


class EntropyASRPhonemeHead(nn.Module):
    """3-layer MLP over encoder frames: (B, T, hidden_size) -> (B, T, vocab_size) phoneme logits (paper)."""

    def __init__(self, hidden_size: int, vocab_size: int):
        super().__init__()
        self.linear1 = nn.Linear(hidden_size, hidden_size)
        self.linear2 = nn.Linear(hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, vocab_size)
        self.act = nn.ReLU()

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.output(self.act(self.linear2(self.act(self.linear1(hidden_states)))))


def check_phoneme_head(config: PreTrainedConfig, asked: str) -> None:
    """Refuse what needs the phoneme head of a model where that was never trained: its output is random.

    Raises:
        ValueError: names what was asked for.
    """
    if not config.phoneme_head_trained:
        raise ValueError(
            f"{asked} needs the phoneme head, and that of this model was never trained "
            "(`phoneme_head_trained` in its configuration): the encoder came without one. Train it with "
            "`entropy-asr train phoneme_head`."
        )


__all__ = ["EntropyASRPhonemeHead", "check_phoneme_head"]
