# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A model with adapters (PEFT) merged into it, and the files of adapters.

transformers' own loading puts adapters into the model and leaves out whole modules that were trained beside them
(`modules_to_save`); such a model would also be saved without its weights. Here adapters become part of the model.
"""

import json
import os
from pathlib import Path

from transformers.modeling_utils import PreTrainedModel
from transformers.utils.hub import cached_file

from .adapters_entropy_asr import BASE_MODEL, AdapterFiles


ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def merge_adapters(model: PreTrainedModel, path: str, **hub_kwargs) -> PreTrainedModel:
    """The model with the adapters in a folder (or of a Hub id) merged into it, a plain model.

    Raises:
        ImportError: peft is not installed.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ImportError(f"{path} holds adapters, which need `pip install peft`.") from error
    merged = PeftModel.from_pretrained(model, path, **hub_kwargs).merge_and_unload()
    # Otherwise new adapters would be taken for second ones.
    if hasattr(merged, "peft_config"):
        del merged.peft_config
    merged.config._name_or_path = merged.name_or_path = path
    return merged


def read_adapters(path: str | os.PathLike, **hub_kwargs) -> AdapterFiles:
    """The files of adapters in a folder (or of a Hub id); nothing in them says where on this machine they were made.

    Args:
        path: folder or Hub id.
        **hub_kwargs: arguments of transformers' `cached_file`, `subfolder` among them.
    """
    files = {
        name: Path(cached_file(path, name, **hub_kwargs)).read_bytes() for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
    }
    settings = {**json.loads(files[ADAPTER_CONFIG]), BASE_MODEL: None}
    return {**files, ADAPTER_CONFIG: json.dumps(settings, indent=1).encode()}


def write_adapters(folder: str | os.PathLike, adapters: AdapterFiles) -> None:
    """Write the files of adapters into a folder, made where it is not there."""
    os.makedirs(folder, exist_ok=True)
    for name, content in adapters.items():
        Path(folder, name).write_bytes(content)


__all__ = ["merge_adapters", "read_adapters", "write_adapters"]
