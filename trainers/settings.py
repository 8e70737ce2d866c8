# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Strict reading of settings: what a stage does not know is an error that names it and what comes close."""

import difflib
from collections.abc import Iterable
from dataclasses import MISSING, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import TrainingArguments


# Set by the recipe or the stage itself.
RESERVED_ARGUMENTS = ("output_dir", "do_train", "do_eval", "do_predict", "seed", "resume_from_checkpoint")


class SettingsError(ValueError):
    """A setting that cannot be meant: the command line tells it without a traceback."""


class StageFailed(RuntimeError):
    """A stage that ran in processes of its own ended with an error, which it has told itself."""


def check_names(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse unknown names.

    Raises:
        ValueError: names the unknown ones, the place, and known ones that are spelt alike (or all).
    """
    known = sorted(known)
    unknown = sorted(str(name) for name in set(names) - set(known))
    if unknown:
        near = sorted({match for name in unknown for match in difflib.get_close_matches(name, known)})
        hint = f"did you mean {', '.join(near)}?" if near else f"known are {', '.join(known) or 'none'}."
        raise SettingsError(f"{where}: unknown {', '.join(unknown)}; {hint}")


def from_mapping(cls: type, values: dict[str, Any], where: str):
    """Dataclass from a mapping of a YAML file.

    Raises:
        ValueError: for a key that the dataclass lacks, or a needed one that is missing; names both and the place.
    """
    if not isinstance(values, dict):
        raise SettingsError(f"{where}: expected a mapping, got {values!r}.")
    arguments = [item for item in fields(cls) if item.init]
    check_names(values, {item.name for item in arguments}, where)
    needed = {item.name for item in arguments if item.default is MISSING and item.default_factory is MISSING}
    if missing := sorted(needed - set(values)):
        raise SettingsError(f"{where}: {', '.join(missing)} missing.")
    return cls(**values)


def training_arguments(cls: type, values: dict[str, Any], output_dir: Path, seed: int) -> TrainingArguments:
    """Arguments of a stage's trainer; checkpoints go to `checkpoints` inside its folder.

    `bf16` without an accelerator is the processor's: transformers asks for `use_cpu` then, which is set here.
    """
    for name in RESERVED_ARGUMENTS:
        if name in values:
            raise SettingsError(f"training: `{name}` is set by the stage itself; leave it out.")
    if values.get("bf16") and not torch.accelerator.is_available():
        values = {"use_cpu": True, **values}
    return from_mapping(cls, {**values, "output_dir": str(output_dir / "checkpoints"), "seed": seed}, "training")


def read_sections(
    section: dict[str, Any], classes: dict[str, type], output_dir: Path, seed: int, where: str
) -> SimpleNamespace:
    """All sections of a stage as dataclasses, one attribute each; a section that is left out has its defaults.

    Args:
        section: The stage's mapping.
        classes: Dataclass of each section the stage has.
        output_dir: Folder of the stage.
        seed: Seed of the stage.
        where: Name of the stage in error messages.

    Raises:
        ValueError: for anything unknown or missing; the message starts with the stage and its section.
    """
    check_names(section, classes, where)
    parsed = {}
    for name, cls in classes.items():
        values = section.get(name, {})
        try:
            if issubclass(cls, TrainingArguments):
                parsed[name] = training_arguments(cls, values, output_dir, seed)
            else:
                parsed[name] = from_mapping(cls, values, name)
        except (TypeError, ValueError) as error:
            raise SettingsError(f"{where}: {error}") from error
    return SimpleNamespace(**parsed)
