# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training stages, the data they read, evaluation and the command line."""

import importlib
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .stages.alignment import AlignmentConfig, AlignmentTrainer
    from .stages.attention_pretraining import AttentionPretrainingConfig, AttentionPretrainingTrainer
    from .stages.context_sft import ContextSFTConfig, ContextSFTTrainer
    from .stages.encoder_pretraining import EncoderPretrainingConfig, EncoderPretrainingTrainer
    from .stages.grpo import ASRGRPOConfig, ASRGRPOTrainer
    from .stages.iterative_async_sft import IterativeAsyncSFTConfig, IterativeAsyncSFTTrainer
    from .stages.joint_sft import JointSFTConfig, JointSFTTrainer
    from .stages.phoneme_head import PhonemeHeadConfig, PhonemeHeadTrainer

# Imported when first asked for (PEP 562): the command line's --help must not wait for torch.
_MODULES = {
    "ASRGRPOConfig": "grpo",
    "ASRGRPOTrainer": "grpo",
    "AlignmentConfig": "alignment",
    "AlignmentTrainer": "alignment",
    "AttentionPretrainingConfig": "attention_pretraining",
    "AttentionPretrainingTrainer": "attention_pretraining",
    "ContextSFTConfig": "context_sft",
    "ContextSFTTrainer": "context_sft",
    "EncoderPretrainingConfig": "encoder_pretraining",
    "EncoderPretrainingTrainer": "encoder_pretraining",
    "IterativeAsyncSFTConfig": "iterative_async_sft",
    "IterativeAsyncSFTTrainer": "iterative_async_sft",
    "JointSFTConfig": "joint_sft",
    "JointSFTTrainer": "joint_sft",
    "PhonemeHeadConfig": "phoneme_head",
    "PhonemeHeadTrainer": "phoneme_head",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module("entropy_asr.modeling")  # before transformers: it checks torch and torchaudio
    return getattr(importlib.import_module(f".stages.{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])


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
