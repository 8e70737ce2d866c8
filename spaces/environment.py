# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Settings of Spaces from environment variables: a Space has no command line."""

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar


PREFIX = "ENTROPY_ASR_"
# The small checkpoint that lies in the demo's folder, and goes wherever a Space that runs a model goes.
BUNDLED_CHECKPOINT = Path(__file__).resolve().parent / "demo" / "checkpoint"
WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

Settings = TypeVar("Settings")


def read_settings(settings: type[Settings], environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Settings of environment variables: `model` by `ENTROPY_ASR_MODEL`, and so on.

    Args:
        settings: A dataclass whose fields have defaults, which say of which type a value is.
        environment: The variables. None: those of this process.
        **given: Fields that go before variables where they are not None.

    Raises:
        ValueError: a value that is no number, or neither true nor false, where one is needed; names the variable.
    """
    environment = os.environ if environment is None else environment
    values = {}
    for field in fields(settings):
        variable = PREFIX + field.name.upper()
        if environment.get(variable):
            values[field.name] = _convert(variable, environment[variable], type(field.default))
    return settings(**values | {name: value for name, value in given.items() if value is not None})


def _convert(variable: str, text: str, kind: type) -> str | int | float | bool:
    if kind is bool:
        if text.strip().lower() not in WORDS:
            raise ValueError(f"{variable} must be true or false, not {text!r}.")
        return WORDS[text.strip().lower()]
    if kind not in (int, float):
        return text
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{variable} must be a number, not {text!r}.") from None
