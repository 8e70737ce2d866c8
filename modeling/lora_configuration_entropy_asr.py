# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""PEFT's configuration of LoRA adapters that are to lie beside others in one model."""

import os
import warnings
from typing import Any

from transformers.utils import find_adapter_config_file


# Ways in which LoRA's matrices begin without a change of the model's own weights: those are for all to use.
HARMLESS_BEGINNINGS = (True, False, "gaussian", "orthogonal", "eva")


def read_lora_configuration(path: str) -> Any:
    """PEFT's configuration of adapters that can lie beside others.

    Raises:
        ImportError: peft is not installed.
        ValueError: there are none, or of another kind.
    """
    try:
        from peft import PeftConfig
    except ImportError as error:
        raise ImportError(f"{path} holds adapters, which need `pip install peft`.") from error
    if find_adapter_config_file(path) is None:
        raise ValueError(f"{path} holds no adapters: there is no adapter_config.json.")
    config = PeftConfig.from_pretrained(path)
    kind = getattr(config.peft_type, "value", config.peft_type)
    if kind != "LORA":
        raise ValueError(f"{path} holds adapters of the kind {kind}; those that requests choose must be LoRA's.")
    if config.bias != "none" or getattr(config, "layer_replication", None):
        setting = "bias" if config.bias != "none" else "layer_replication"
        raise ValueError(f"{path} holds adapters with `{setting}`, which changes the model for all requests.")
    if config.init_lora_weights not in HARMLESS_BEGINNINGS:
        raise ValueError(
            f"{path} holds adapters that began as {config.init_lora_weights!r}, which changes the model's own weights "
            "for all requests: convert them (`path_initial_model_for_weight_conversion` of PEFT's `save_pretrained`)."
        )
    config.inference_mode = True
    return config


def warn_of_another_base(path: str, base: str | None, own: str) -> None:
    """Warn of adapters that were trained on another model.

    Args:
        path: where they are.
        base: what they were trained on, as far as it is known.
        own: what the model here was loaded from.
    """
    if base and not _is_same(base, own):
        warnings.warn(f"{path} holds adapters that were trained on {base}; the model here is {own or 'unknown'}.")


def _is_same(base: str, own: str) -> bool:
    """Whether two folders or Hub ids are one."""
    return base == own or (os.path.isdir(base) and os.path.isdir(own) and os.path.samefile(base, own))


__all__ = ["read_lora_configuration", "warn_of_another_base"]
