# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of adapters (PEFT): on which model they stand, and where none can lie beside a model.

`merged_adapters_entropy_asr.py` makes them a part of the model.
"""

import json
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from transformers.modeling_utils import PreTrainedModel
from transformers.utils import CONFIG_NAME, find_adapter_config_file

from .optional_parts_entropy_asr import is_here, needed_for


BASE_MODEL = "base_model_name_or_path"
# A folder in which transformers' own search finds no adapters: they are merged here.
NO_ADAPTERS = "no-adapters"
HUB_ARGUMENTS = ("token", "cache_dir", "local_files_only", "force_download", "proxies")

# Adapters as the two files that they are, by their names.
AdapterFiles = dict[str, bytes]


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
    return base, os.fspath(path), {**kwargs, "adapter_kwargs": {**hub_kwargs, "subfolder": NO_ADAPTERS}}


class NoAdapters:
    """Adapters where none can be loaded: a Space whose requests name none does without the file for it."""

    names = ()

    def check(self, name: str | None) -> None:
        """Refuse any name.

        Raises:
            ImportError: there is one.
        """
        if name is not None:
            self.load(name, name)

    def active(self, name: str | None) -> AbstractContextManager[None]:
        """While this lasts, the model is as it is."""
        self.check(name)
        return nullcontext()

    def load(self, path: str | os.PathLike, name: str) -> None:
        """Refuse to load any.

        Raises:
            ImportError: the file is not here.
        """
        with needed_for("`adapter`"):
            from .loaded_adapters_entropy_asr import LoadedAdapters  # noqa: F401


def adapters_beside(model: PreTrainedModel) -> Any:
    """The [`LoadedAdapters`] of a model; none where their file is not here."""
    if not is_here("loaded_adapters_entropy_asr"):
        return NoAdapters()
    from .loaded_adapters_entropy_asr import adapters_of

    return adapters_of(model)


def readable_folder(path: Any) -> AbstractContextManager[None]:
    """As of `checkpoint_folders_entropy_asr`; nothing where that is not here: a Space reads its own checkpoint."""
    if not is_here("checkpoint_folders_entropy_asr"):
        return nullcontext()
    from .checkpoint_folders_entropy_asr import readable_folder as while_it_is_read

    return while_it_is_read(path)


__all__ = ["NoAdapters", "adapter_base", "adapters_beside", "find_adapters", "readable_folder"]
