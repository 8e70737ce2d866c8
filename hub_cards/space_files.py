# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a Space that imports this package takes along of it, since the package is on no index.

That is what its `app.py` imports, and what that imports in turn, at its top or in functions, but for files that are
optional (`modeling/optional_parts_entropy_asr.py`) and needed neither by its model nor by its own code.
"""

import ast
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers.configuration_utils import PreTrainedConfig

from entropy_asr.modeling.adapters_entropy_asr import adapter_base
from entropy_asr.modeling.components_entropy_asr import ENCODER_CLASSES, EXTRACTOR_CLASSES, FULL_MODEL
from entropy_asr.modeling.optional_parts_entropy_asr import MAKING, REQUESTED

from .imported_modules import PACKAGE, bundled_checkpoint, modules_needed, package_folder


CHECKPOINT = "spaces/demo/checkpoint"
# What lies at the top of a Space, and what it reads beside the modules that it imports; a report, which is larger than
# all sources, is read by the demo alone.
ENTRY_FILES = ("app.py", "README.md", "requirements.txt", "Dockerfile")
COMMON_WORDS = "modeling/common_words.json"
DATA = {
    "demo": (
        *(f"spaces/demo/{name}" for name in ("style.css", "recorder.html", "recorder.css", "recorder.js")),
        *(COMMON_WORDS, "spaces/demo/examples", CHECKPOINT, f"{CHECKPOINT}/report"),
    ),
    "server": (COMMON_WORDS, CHECKPOINT),
}


def copy_space(name: str, folder: Path, model: str | None = None) -> None:
    """Put a Space's files into a folder, and below it the modules and data of this package that it needs.

    Args:
        name: One of [`DATA`].
        folder: The folder, which is not there yet.
        model: Hub id or folder of what the Space runs, which it will load from there. None: the bundled checkpoint,
            which comes along.

    Raises:
        ValueError: the model cannot be read, or is of another type.
    """
    folder.mkdir(parents=True)
    for file in ENTRY_FILES:
        if (package_folder("spaces") / name / file).is_file():
            shutil.copyfile(package_folder("spaces") / name / file, folder / file)
    target = folder / PACKAGE
    for module, path in space_modules(name, model).items():
        top = module.split(".")[1]
        _copy(path, target / top / path.relative_to(package_folder(top)))
    for item in DATA[name]:
        if model is None or not item.startswith(CHECKPOINT):
            top, _, below = item.partition("/")
            _copy(package_folder(top) / below, target / item)


def _copy(source: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", ".*", "report"))
    else:
        shutil.copyfile(source, copy)


def space_modules(name: str, model: str | None = None) -> dict[str, Path]:
    """The modules of this package that a Space takes along; arguments and errors as of [`copy_space`].

    Returns:
        The file of each by its full name.
    """
    entry = f"{PACKAGE}.spaces.{name}.app"
    everything = modules_needed(entry)
    own = (path for module, path in everything.items() if module.startswith(f"{PACKAGE}.spaces."))
    named = _names_in(own)
    unused = {file for file, argument in REQUESTED.items() if argument not in named}
    unused |= _unused_by(model or str(bundled_checkpoint()))
    return modules_needed(entry, without={f"{PACKAGE}.modeling.{file}" for file in unused})


def _names_in(paths: Iterable[Path]) -> set[str]:
    """All that sources call by a name, or pass as a string: arguments that are not among them are not used."""
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = (getattr(node, field, None) for field in ("id", "attr", "arg", "value"))
            names |= {value for value in found if isinstance(value, str)}
    return names


def _unused_by(model: str) -> set[str]:
    """Files that loading and running a model does not need; none where it is not a whole checkpoint."""
    config = _whole_config(model)
    if config is None:
        return set()
    own_kind = (config.get("audio_config") or {}).get("model_type", "entropy_asr_encoder")
    of_kinds = (*ENCODER_CLASSES.items(), *EXTRACTOR_CLASSES.items())
    return {*MAKING, *(place.partition(".")[0] for kind, place in of_kinds if kind != own_kind)}


def _whole_config(model: str) -> dict[str, Any] | None:
    """Configuration of a checkpoint that has all of its weights; None of adapters, and of a thin one."""
    try:
        if adapter_base(model) not in (None, os.fspath(model)):
            return None
        config, _ = PreTrainedConfig.get_config_dict(model)
    except OSError as error:
        raise ValueError(f"cannot read {model}: {error}") from error
    if config.get("model_type") != FULL_MODEL:
        raise ValueError(f"{model} holds a model of type `{config.get('model_type')}`, not `{FULL_MODEL}`")
    return config if config.get("thin_adapters") is None else None


__all__ = ["copy_space", "space_modules"]
