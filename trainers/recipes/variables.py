# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Variables of recipes: what `{name}` stands for in a nested value, other variables among them."""

import json
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ..runs.errors import shown
from ..runs.settings import SettingsError, check_names
from .places import VARIABLE


def substitute(value: Any, variables: dict[str, Any], key: tuple[str | int, ...] = ()) -> Any:
    """Replace `{name}` in all strings of a nested value that `key` leads to.

    Raises:
        SettingsError: for a name that is no variable.
    """
    if isinstance(value, dict):
        return {name: substitute(item, variables, (*key, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, variables, (*key, index)) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        check_names(VARIABLE.findall(value), variables, f"variable in {shown(value)}")
    except SettingsError as error:
        raise SettingsError(str(error), key) from error
    # A whole value may be a number; inside a longer string a variable is text.
    if whole := VARIABLE.fullmatch(value):
        return variables[whole[1]]
    return VARIABLE.sub(lambda match: str(variables[match[1]]), value)


def resolve_variables(variables: dict[str, Any], output_dir: str) -> dict[str, Any]:
    """Variables without names of others in them, in whichever order they stand; with `output_dir`.

    Raises:
        SettingsError: for a name that is no variable, and for variables that name each other in a circle.
    """
    uses = {name: set(VARIABLE.findall(json.dumps(value, default=str))) for name, value in variables.items()}
    known = {**variables, "output_dir": output_dir}
    try:
        for name in TopologicalSorter(uses).static_order():
            if name in variables:
                known[name] = substitute(variables[name], known, ("variables", name))
    except CycleError as error:
        circle = error.args[1]
        raise SettingsError(f"They name each other: {' -> '.join(circle)}.", ("variables", circle[0])) from error
    return known
