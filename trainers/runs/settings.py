# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Strict reading of settings: what a stage does not know, or cannot mean, is an error that names it and its place.

Values come from YAML, from the command line and from Python, and each of these writes some of them in its own way: a
float of YAML 1.1 may be text (`1e-4`), an integer is a fine float, `yes` is true. [`coerced`] says what is understood;
what is left is checked by the validators of `huggingface_hub.dataclasses.strict`.
"""

import difflib
import math
import numbers
import os
import types
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from datetime import timedelta
from functools import cache, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from huggingface_hub.dataclasses import type_validator
from transformers import TrainingArguments

from ...modeling.messages_entropy_asr import shortened
from .errors import SettingsError, shown


# Set by the recipe or the stage itself.
RESERVED_ARGUMENTS = ("output_dir", "do_train", "do_eval", "do_predict", "seed", "resume_from_checkpoint")
TRUE_WORDS, FALSE_WORDS = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
# How long processes wait for one that has more to do; torch's own patience is ten minutes on GPUs.
PATIENCE = timedelta(days=7)
# Known names that a message about an unknown one lists.
MOST_NAMES = 40
# What messages call types.
TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a mapping"}


def dotted(key: Iterable[str | int]) -> str:
    """A key as it is written on the command line.

    Example:
        >>> dotted(("data", "train", 0, "path"))
        'data.train[0].path'
    """
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


def coerced(value: Any, kind: Any) -> Any:
    """A value as one of the type of its field.

    Understood are whole numbers written as floats or text, integers and text for floats, yes, no, on, off, 1 and 0
    for true and false, paths for text, tuples for lists; nothing is rounded or cut.

    Args:
        value: As it was given.
        kind: Type annotation. Values of kinds that are no plain data are left as they are.

    Raises:
        TypeError: The value cannot be meant.

    Example:
        >>> coerced("4", int), coerced("1e-4", float), coerced("no", bool), coerced(3.0, int | None)
        (4, 0.0001, False, 3)
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _coerced_to_one_of(value, parts)
    if origin is list and isinstance(value, (list, tuple)):
        value = [coerced(item, parts[0]) for item in value]
    elif origin is dict and isinstance(value, dict):
        value = {coerced(key, parts[0]): coerced(item, parts[1]) for key, item in value.items()}
    elif kind in _COERCIONS:
        value = _COERCIONS[kind](value)
    elif origin not in (list, dict, Literal, tuple) and not (origin is None and isinstance(kind, type)):
        return value
    type_validator("value", value, kind)
    return value


def _coerced_to_one_of(value: Any, kinds: tuple[Any, ...]) -> Any:
    """Value as one of several types: one that it has already, or else the first that it can be read as."""
    for convert in (False, True):
        for kind in kinds:
            try:
                if convert:
                    return coerced(value, kind)
                type_validator("value", value, kind)
            except TypeError:
                continue
            if not _is_nan(value):
                return value
    raise TypeError(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _as_bool(value: Any) -> Any:
    word = str(value).strip().lower() if isinstance(value, (str, int)) else None
    return True if word in TRUE_WORDS else False if word in FALSE_WORDS else value


def _as_float(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, numbers.Real)):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    # Compared with it nothing is true, so that no bound would hold.
    return None if math.isnan(number) else number


def _as_int(value: Any) -> Any:
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    number = _as_float(value)
    # Through a float, text of more than 15 digits would be rounded.
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        return int(value)
    return int(number) if isinstance(number, float) and number.is_integer() else value


def _as_text(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # a name or a variable's value that happens to be a number
    return os.fspath(value) if isinstance(value, os.PathLike) else value


_COERCIONS: dict[type, Callable[[Any], Any]] = {bool: _as_bool, int: _as_int, float: _as_float, str: _as_text}


def expected(kind: Any) -> str:
    """What a type is called in messages."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        *first, last = [expected(part) for part in parts if part is not type(None)]
        return " or ".join([*first, last] + ["null"] * (type(None) in parts))
    if origin is list:
        return f"a list, each entry {expected(parts[0])}"
    if origin is Literal:
        return f"one of {', '.join(map(repr, parts))}"
    return TYPE_NAMES.get(origin or kind) or getattr(kind, "__name__", str(kind))


# Fields of transformers' arguments that take more than they are declared to: `fsdp=True` is its documented use.
WIDER_TYPES = {"fsdp": bool | str | None}


@cache
def field_types(cls: type) -> dict[str, Any]:
    """Types of the fields that a dataclass is made from."""
    hints = {**get_type_hints(cls), **WIDER_TYPES}
    return {item.name: hints[item.name] for item in fields(cls) if item.init}


def coerced_fields(cls: type, values: dict[str, Any], key: tuple[str | int, ...]) -> dict[str, Any]:
    """Values of some fields of a dataclass, each of the field's type.

    Raises:
        SettingsError: A value cannot be meant; names the field, the value and what it may be.
    """
    kinds, result = field_types(cls), {}
    for name, value in values.items():
        try:
            result[name] = coerced(value, kinds[name])
        except TypeError as error:
            place, value, kind = _narrowest((*key, name), value, kinds[name])
            raise SettingsError(f"{dotted(place)}: expected {expected(kind)}, got {shown(value)}.", place) from error
    return result


def _narrowest(place: tuple[str | int, ...], value: Any, kind: Any) -> tuple[tuple[str | int, ...], Any, Any]:
    """The part of a mapping, with its place and type, that cannot be meant; of other values these themselves."""
    if get_origin(kind) is dict and isinstance(value, dict):
        for name, item in value.items():
            try:
                coerced(item, get_args(kind)[1])
            except TypeError:
                return _narrowest((*place, str(name)), item, get_args(kind)[1])
    return place, value, kind


def check_types(settings: Any) -> None:
    """Give the fields of a dataclass instance that are not their defaults their types; what fits none is refused.

    Raises:
        SettingsError: as of [`coerced_fields`].
    """
    given = {}
    for item in fields(settings):
        if item.init and (value := getattr(settings, item.name)) is not item.default:
            given[item.name] = value
    for name, value in coerced_fields(type(settings), given, ()).items():
        if value is not given[name]:
            object.__setattr__(settings, name, value)


def typed(cls: type) -> type:
    """Decorator below `@dataclass`: its fields are checked by [`check_types`] before its `__post_init__`."""
    after = getattr(cls, "__post_init__", None)

    def __post_init__(self):
        check_types(self)
        if after is not None:
            after(self)

    cls.__post_init__ = __post_init__ if after is None else wraps(after)(__post_init__)
    return cls


def check_names(names: Iterable[str], known: Iterable[str], where: str, key: Iterable[str | int] = ()) -> None:
    """Refuse unknown names.

    Args:
        names: Names that were given.
        known: Names that there are.
        where: What the message begins with.
        key: Leads to what has the names.

    Raises:
        SettingsError: names the unknown ones, the place, and known ones that are spelt alike (or all).
    """
    known = sorted(known)
    unknown = sorted(str(name) for name in set(names) - set(known))
    if unknown:
        near = sorted({match for name in unknown for match in difflib.get_close_matches(name, known)})
        some = ", ".join(known[:MOST_NAMES]) + (f" and {len(known) - MOST_NAMES} more" * (len(known) > MOST_NAMES))
        hint = f"did you mean {', '.join(near)}?" if near else f"known are {some or 'none'}."
        raise SettingsError(f"{where}: unknown {', '.join(unknown)}; {hint}", (*key, unknown[0]))


def checked_mapping(cls: type, values: Any, key: tuple[str | int, ...]) -> dict[str, Any]:
    """Fields of a dataclass from a mapping of a YAML file, each of its type.

    Args:
        cls: The dataclass.
        values: The mapping.
        key: Leads to it.

    Raises:
        SettingsError: for a key that the dataclass lacks, a needed one that is missing, or a value of another type;
            names it and the place.
    """
    where = dotted(key) or "settings"
    if not isinstance(values, dict):
        raise SettingsError(f"{where}: expected a mapping, got {shown(values)}.", key)
    arguments = [item for item in fields(cls) if item.init]
    check_names(values, {item.name for item in arguments}, where, key)
    needed = {item.name for item in arguments if item.default is MISSING and item.default_factory is MISSING}
    if missing := sorted(needed - set(values)):
        raise SettingsError(f"{where}: {', '.join(missing)} missing.", key)
    return coerced_fields(cls, values, key)


def from_mapping(cls: type, values: dict[str, Any], *key: str | int):
    """Dataclass from a mapping of a YAML file that `key` leads to.

    Raises:
        SettingsError: as of [`checked_mapping`], or the dataclass itself refuses a value.
    """
    arguments = checked_mapping(cls, values, key)
    try:
        return cls(**arguments)
    except SettingsError as error:
        # A section may know already what it is called.
        outer = key[:-1] if error.key[:1] == key[-1:] else key
        where = f"{dotted(outer)}." if error.key else f"{dotted(outer)}: "
        raise SettingsError(f"{where if outer else ''}{shortened(str(error))}", (*outer, *error.key)) from error
    except (TypeError, ValueError) as error:
        # The line of what the message is about, where it names it.
        named = [name for name in values if name in str(error)]
        # Some sections say what they are called; libraries write lines, and quote values of any length.
        reason = shortened(str(error)).removeprefix(f"{key[-1]}: " if key else "")
        raise SettingsError(f"{dotted(key)}: {reason}", (*key, *named[:1])) from error


def checked(cls: type, values: dict[str, Any], *key: str | int) -> dict[str, Any]:
    """Fields of a dataclass that it can be made from, each of its type; see [`from_mapping`]."""
    from_mapping(cls, values, *key)
    return checked_mapping(cls, values, key)


def training_arguments(cls: type, values: dict[str, Any], output_dir: Path, seed: int, *key: str) -> TrainingArguments:
    """Arguments of a stage's trainer; checkpoints go to `checkpoints` inside its folder.

    Without an accelerator `use_cpu` is set: transformers asks for it where `bf16` is the processor's, and takes each
    of several processes for the only one where nobody says so.
    """
    if not isinstance(values, dict):
        raise SettingsError(f"{dotted(key)}: expected a mapping, got {shown(values)}.", key)
    for name in RESERVED_ARGUMENTS:
        if name in values:
            raise SettingsError(f"{dotted(key)}: `{name}` is set by the stage itself; leave it out.", (*key, name))
    checked = checked_mapping(cls, {**values, "output_dir": str(output_dir / "checkpoints"), "seed": seed}, key)
    if not torch.accelerator.is_available():
        checked = {"use_cpu": True, **checked}
    # One process prepares rows while the others wait: of a large corpus for longer than transformers' half an hour.
    checked = {"ddp_timeout": int(PATIENCE.total_seconds()), **checked}
    arguments = from_mapping(cls, checked, *key)
    if arguments.save_only_model:
        raise SettingsError(
            f"{dotted(key)}: `save_only_model` leaves the state of optimizer and schedule out of checkpoints, and a "
            "stage that is killed could not go on where it was; leave it out.",
            (*key, "save_only_model"),
        )
    return arguments


def read_sections(
    section: dict[str, Any], classes: dict[str, type], output_dir: Path, seed: int, *key: str
) -> SimpleNamespace:
    """All sections of a stage as dataclasses, one attribute each; a section that is left out has its defaults.

    Args:
        section: The stage's mapping.
        classes: Dataclass of each section the stage has.
        output_dir: Folder of the stage.
        seed: Seed of the stage.
        key: Leads to the stage, for error messages.

    Raises:
        SettingsError: for anything unknown, missing or of another type; the message starts with stage and section.
    """
    check_names(section, classes, dotted(key) or "settings", key)
    parsed = {}
    for name, cls in classes.items():
        values = section.get(name, {})
        if issubclass(cls, TrainingArguments):
            parsed[name] = training_arguments(cls, values, output_dir, seed, *key, name)
        else:
            parsed[name] = from_mapping(cls, values, *key, name)
    return SimpleNamespace(**parsed)
