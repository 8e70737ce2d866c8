# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training stages, the data they read, evaluation and the command line."""

import importlib
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .alignment import AlignmentConfig, AlignmentTrainer
    from .encoder_pretraining import EncoderPretrainingConfig, EncoderPretrainingTrainer
    from .iterative_async_sft import IterativeAsyncSFTConfig, IterativeAsyncSFTTrainer
    from .joint_sft import JointSFTConfig, JointSFTTrainer

# Imported when first asked for (PEP 562): the command line's --help must not wait for torch.
_MODULES = {
    "AlignmentConfig": "alignment",
    "AlignmentTrainer": "alignment",
    "EncoderPretrainingConfig": "encoder_pretraining",
    "EncoderPretrainingTrainer": "encoder_pretraining",
    "IterativeAsyncSFTConfig": "iterative_async_sft",
    "IterativeAsyncSFTTrainer": "iterative_async_sft",
    "JointSFTConfig": "joint_sft",
    "JointSFTTrainer": "joint_sft",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])


__all__ = [
    "AlignmentConfig",
    "AlignmentTrainer",
    "EncoderPretrainingConfig",
    "EncoderPretrainingTrainer",
    "IterativeAsyncSFTConfig",
    "IterativeAsyncSFTTrainer",
    "JointSFTConfig",
    "JointSFTTrainer",
]
