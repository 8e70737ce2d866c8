# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The phoneme head over a speech encoder, of CTC models and of full models."""

import torch
from torch import nn


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


__all__ = ["EntropyASRPhonemeHead"]
