# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of adapters (PEFT): on which model they stand, and that model with them merged into it.

transformers' own loading puts adapters into the model and leaves out whole modules that were trained beside them
(`modules_to_save`); such a model would also be saved without its weights. Here adapters become part of the model.
"""

import json
import os
from typing import Any

from transformers.modeling_utils import PreTrainedModel
from transformers.utils import CONFIG_NAME, find_adapter_config_file


BASE_MODEL = "base_model_name_or_path"
# A folder in which transformers' own search finds no adapters: they are merged here.
NO_ADAPTERS = "no-adapters"


def adapter_base(path: str | os.PathLike, **hub_kwargs) -> str | None:
    """Which model the adapters in a folder (or of a Hub id) were trained on; None where there are no adapters.

    Args:
        path: folder or Hub id.
        **hub_kwargs: `revision`, `token`, `cache_dir`, `local_files_only`.

    Raises:
        ValueError: adapters that do not say on which model they stand.
    """
    file = find_adapter_config_file(os.fspath(path), **hub_kwargs)
    if file is None:
        return None
    if os.path.isfile(os.path.join(path, CONFIG_NAME)):
        return os.fspath(path)  # a whole model with adapters beside it
    with open(file, encoding="utf-8") as opened:
        base = json.load(opened).get(BASE_MODEL)
    if not base:
        raise ValueError(
            f"{path} holds adapters and does not say of which model: save that model, and write its folder or Hub id "
            f"into {os.path.basename(file)} as `{BASE_MODEL}`."
        )
    return base


def find_adapters(path: Any, kwargs: dict[str, Any]) -> tuple[Any, str | None, dict[str, Any]]:
    """Model to load, adapters to put into it (None: no adapters), and arguments with which only the model is loaded.

    Auto classes have resolved adapters already and name them in an argument.

    Args:
        path: what `from_pretrained` was given: a folder or Hub id, or None.
        kwargs: its other arguments.

    Raises:
        ValueError: adapters that do not say on which model they stand.
    """
    kwargs = dict(kwargs)
    adapter_kwargs = dict(kwargs.pop("adapter_kwargs", None) or {})
    adapters = adapter_kwargs.pop("_adapter_model_path", None)
    if adapters is not None:
        return path, os.fspath(adapters), {**kwargs, "adapter_kwargs": {**adapter_kwargs, "subfolder": NO_ADAPTERS}}
    if path is None or not isinstance(path, (str, os.PathLike)):
        return path, None, kwargs
    names = ("revision", "token", "cache_dir", "local_files_only")
    hub_kwargs = {name: kwargs[name] for name in names if kwargs.get(name) is not None}
    base = adapter_base(path, **hub_kwargs)
    if base is None:
        return path, None, {**kwargs, **({"adapter_kwargs": adapter_kwargs} if adapter_kwargs else {})}
    # The revision is that of the adapters.
    kwargs.pop("revision", None)
    return base, os.fspath(path), {**kwargs, "adapter_kwargs": {"subfolder": NO_ADAPTERS}}


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


__all__ = ["adapter_base", "find_adapters", "merge_adapters"]
