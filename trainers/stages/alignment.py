# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stage 2: the adaptor alone learns to speak the language model's embedding space (paper, "Stages")."""

from dataclasses import dataclass, field

from .sft import ASRSFTConfig, ASRSFTTrainer, sft_stage


@dataclass
class AlignmentConfig(ASRSFTConfig):
    """Arguments of [`AlignmentTrainer`]; everything but the adaptor is frozen."""

    freeze: list[str] = field(
        default_factory=lambda: ["model.audio_tower", "model.language_model", "lm_head", "phoneme_head"],
        metadata={"help": "Modules that are not trained."},
    )
    learning_rate: float = field(default=1e-3, metadata={"help": "Peak learning rate."})


class AlignmentTrainer(ASRSFTTrainer):
    """Trains the adaptor between a frozen encoder and a frozen language model."""

    _tag_names = ["entropy-asr", "alignment"]


STAGE = sft_stage(AlignmentTrainer, AlignmentConfig)
