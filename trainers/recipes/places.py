# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""YAML files of settings, and where in them, or on the command line, each setting was written."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ..runs.settings import SettingsError, dotted


VARIABLE = re.compile(r"\{([A-Za-z_]\w*)\}")


class YAMLLoader(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, where `1e-3` is text; here it is a number, as in YAML 1.2 and JSON."""


YAMLLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping. Parts that are shared by anchors become copies: a change of one leaves the others alone.

    Raises:
        SettingsError: the file is no YAML, or not a mapping.
    """
    content = _copied(_understood(yaml.load, path))
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: expected a YAML mapping, got {type(content).__name__}.")
    return content


def _understood(read, path: Path) -> Any:
    try:
        return read(path.read_text(encoding="utf-8"), Loader=YAMLLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError(f"{path}{line}: no valid YAML: {error.problem}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: no valid YAML: {error}") from error


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


class Places:
    """Lines of a YAML file's settings, and options of the command line that take their places.

    Args:
        path: The file.

    Raises:
        SettingsError: A key stands twice in one mapping: the first one would have no effect.
    """

    def __init__(self, path: Path):
        self.path = path
        self._lines: dict[tuple[str | int, ...], int] = {}
        self._options: dict[tuple[str | int, ...], str] = {}
        # What is nothing but a variable was written where that one was.
        self._variables: dict[tuple[str | int, ...], str] = {}
        self._add(_understood(yaml.compose, path), ())

    def _add(self, node: yaml.Node | None, key: tuple[str | int, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            self._add_mapping(node, key)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._lines.setdefault((*key, index), item.start_mark.line + 1)
                self._add(item, (*key, index))
        elif isinstance(node, yaml.ScalarNode) and (whole := VARIABLE.fullmatch(node.value)):
            self._variables.setdefault(key, whole[1])

    def _add_mapping(self, node: yaml.MappingNode, key: tuple[str | int, ...]) -> None:
        written: dict[str, int] = {}
        for name, item in node.value:
            if name.tag == "tag:yaml.org,2002:merge":
                continue
            line = name.start_mark.line + 1
            if name.value in written:
                raise SettingsError(
                    f"{self.path}, line {line}: {dotted((*key, name.value))} stands in line {written[name.value]} too."
                )
            written[name.value] = line
            self._lines.setdefault((*key, name.value), line)
            self._add(item, (*key, name.value))
        # What is merged in gives way to what is written out.
        for name, item in node.value:
            if name.tag == "tag:yaml.org,2002:merge":
                for merged in item.value if isinstance(item, yaml.SequenceNode) else [item]:
                    self._add(merged, key)

    def override(self, key: Sequence[str], option: str) -> None:
        """Say that an option of the command line has set what a key leads to."""
        self._options[tuple(key)] = option

    def of(self, key: Sequence[str | int]) -> str:
        """Where a setting was written, or what is around it: "recipe.yaml, line 12", "--seed"."""
        key = tuple(key)
        around = [key[:length] for length in range(len(key), 0, -1)]
        option = next((self._options[part] for part in around if part in self._options), None)
        if option is not None:
            return option
        variable = ("variables", self._variables.get(key))
        if variable in self._lines or variable in self._options:
            return self.of(variable)
        line = next((self._lines[part] for part in around if part in self._lines), None)
        return str(self.path) if line is None else f"{self.path}, line {line}"

    @contextmanager
    def named(self) -> Iterator[None]:
        """Errors of settings begin with where they were written."""
        try:
            yield
        except SettingsError as error:
            raise SettingsError(f"{self.of(error.key)}: {error}") from error
