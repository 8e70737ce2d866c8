# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stage 4: encoder, adaptor and language model are trained together, late and at a low rate (paper, "Stages").

With `freeze: [model.audio_tower, phoneme_head]` the same trainer is supervised fine-tuning under a frozen encoder.
"""

from dataclasses import dataclass, field

from .sft import ASRSFTConfig, ASRSFTTrainer, sft_stage


@dataclass
class JointSFTConfig(ASRSFTConfig):
    """Arguments of [`JointSFTTrainer`]; only the phoneme head, which the loss does not reach, is frozen."""

    freeze: list[str] = field(
        default_factory=lambda: ["phoneme_head"], metadata={"help": "Modules that are not trained."}
    )
    learning_rate: float = field(default=1e-5, metadata={"help": "Peak learning rate."})


class JointSFTTrainer(ASRSFTTrainer):
    """Trains encoder, adaptor and language model end to end."""

    _tag_names = ["entropy-asr", "joint-sft"]


STAGE = sft_stage(JointSFTTrainer, JointSFTConfig)
