# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The training stages, one file each, and the one place where they are named.

A stage is its file, with a [`~stage_run.TrainingStage`] called `STAGE`, a line of `STAGES`, and its test.
"""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..runs.settings import check_names


if TYPE_CHECKING:
    from ..training.stage_run import TrainingStage


@dataclass(frozen=True)
class StageEntry:
    """Where a stage is, and what others need to know of it before it is imported.

    Args:
        module: Its file in this folder, or any importable module.
        public: What `entropy_asr.trainers` calls its trainer and arguments, without `Trainer` and `Config`; None: they
            are not offered there.
        leaves_encoder: Whether its folder holds a speech encoder, whose entropy allocation a recipe can report.
    """

    module: str
    public: str | None = None
    leaves_encoder: bool = True


# By the names that recipes and the command line know them by.
STAGES = {
    "language_model": StageEntry(".lm_pretraining", leaves_encoder=False),
    "encoder": StageEntry(".encoder_pretraining", "EncoderPretraining"),
    "character_encoder": StageEntry(".character_encoder"),
    "alignment": StageEntry(".alignment", "Alignment"),
    "encoded_sft": StageEntry(".encoded_sft"),
    "iterative_async_sft": StageEntry(".iterative_async_sft", "IterativeAsyncSFT"),
    "joint_sft": StageEntry(".joint_sft", "JointSFT"),
    "context_sft": StageEntry(".context_sft", "ContextSFT"),
    "grpo": StageEntry(".grpo", "ASRGRPO"),
    "phoneme_head": StageEntry(".phoneme_head", "PhonemeHead"),
    "attention_pretraining": StageEntry(".attention_pretraining", "AttentionPretraining"),
    "evaluation": StageEntry(".evaluation", leaves_encoder=False),
}


def find_stage(name: str) -> "TrainingStage":
    """A stage by its name; its file is imported now, with all that trains.

    Raises:
        SettingsError: there is no such stage.
    """
    check_names([name], STAGES, "stage")
    return importlib.import_module(STAGES[name].module, __name__).STAGE


def public_names() -> dict[str, str]:
    """Names of trainers and of their arguments, and the module that each is in."""
    public = {entry.public: entry.module for entry in STAGES.values() if entry.public is not None}
    return {f"{name}{kind}": module for name, module in sorted(public.items()) for kind in ("Config", "Trainer")}
