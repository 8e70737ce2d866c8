# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training stages, the data they read, evaluation and the command line.

The trainer of each stage of `stages.STAGES` and the trainer's arguments can be imported from here.
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import former_paths


if TYPE_CHECKING:  # for editors and type checkers, which do not run what is below
    from .stages.alignment import AlignmentConfig, AlignmentTrainer
    from .stages.attention_pretraining import AttentionPretrainingConfig, AttentionPretrainingTrainer
    from .stages.context_sft import ContextSFTConfig, ContextSFTTrainer
    from .stages.encoder_pretraining import EncoderPretrainingConfig, EncoderPretrainingTrainer
    from .stages.grpo import ASRGRPOConfig, ASRGRPOTrainer
    from .stages.iterative_async_sft import IterativeAsyncSFTConfig, IterativeAsyncSFTTrainer
    from .stages.joint_sft import JointSFTConfig, JointSFTTrainer
    from .stages.phoneme_head import PhonemeHeadConfig, PhonemeHeadTrainer

__all__ = [
    "ASRGRPOConfig",
    "ASRGRPOTrainer",
    "AlignmentConfig",
    "AlignmentTrainer",
    "AttentionPretrainingConfig",
    "AttentionPretrainingTrainer",
    "ContextSFTConfig",
    "ContextSFTTrainer",
    "EncoderPretrainingConfig",
    "EncoderPretrainingTrainer",
    "IterativeAsyncSFTConfig",
    "IterativeAsyncSFTTrainer",
    "JointSFTConfig",
    "JointSFTTrainer",
    "PhonemeHeadConfig",
    "PhonemeHeadTrainer",
]

former_paths.install()


# Imported when first asked for (PEP 562): the command line's --help must not wait for torch.
def __getattr__(name: str) -> Any:
    # No name of a trainer: what Python's own machinery asks for, and submodules.
    if name.endswith(("Config", "Trainer")):
        importlib.import_module("entropy_asr.modeling")  # before transformers: it checks torch and torchaudio
        stages = importlib.import_module(".stages", __name__)
        if name in (names := stages.public_names()):
            return getattr(importlib.import_module(names[name], stages.__name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *importlib.import_module(".stages", __name__).public_names()])
