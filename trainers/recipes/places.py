# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""YAML files of settings, and where in them, or on the command line, each setting was written."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ..runs.settings import SettingsError, dotted


VARIABLE = re.compile(r"\{([A-Za-z_]\w*)\}")
# PyYAML's errors at a value that is not what its tag says.
NOT_ITS_TAG = (ValueError, LookupError, AttributeError)
# Of a file, counted where they are used: a recipe has some hundreds.
MAX_VALUES = 100_000


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
    check_anchors(path, _understood(yaml.compose, path))
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
    except RecursionError as error:
        raise SettingsError(f"{path}: no valid YAML: it is nested too deeply.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: no valid YAML: {' '.join(str(error).split())}") from error
    except NOT_ITS_TAG as error:
        raise SettingsError(f"{path}: no valid YAML: a value that its tag does not fit ({error}).") from error


def check_anchors(where: Path | str, node: yaml.Node | None) -> None:
    """Refuse anchors that hold themselves, or each other so often that their copies would fill any memory.

    Args:
        where: What a message begins with.
        node: Of YAML that was read.

    Raises:
        SettingsError: there are such.
    """
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = None
            parts = node.value if isinstance(node, yaml.CollectionNode) else ()
            sizes[id(node)] = 1 + sum(size(part) for part in _flat(parts))
        found = sizes[id(node)]
        if found is None:
            raise SettingsError(f"{where}, line {node.start_mark.line + 1}: an anchor holds itself.")
        if found > MAX_VALUES:
            raise SettingsError(
                f"{where}, line {node.start_mark.line + 1}: with its anchors written out, this has more than "
                f"{MAX_VALUES} values."
            )
        return found

    if node is not None:
        size(node)


def _flat(parts: Iterable[Any]) -> Iterator[yaml.Node]:
    """Nodes of a sequence, or of the pairs of a mapping."""
    for part in parts:
        yield from part if isinstance(part, tuple) else (part,)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


class Places:
    """Lines of a YAML file's settings, and options of the command line that take their places.

    Args:
        path: The file.

    Raises:
        SettingsError: A key stands twice in one mapping: the first one would have no effect; or the file is no YAML.
    """

    def __init__(self, path: Path):
        self.path = path
        self._lines: dict[tuple[str | int, ...], int] = {}
        self._options: dict[tuple[str | int, ...], str] = {}
        # What is nothing but a variable was written where that one was.
        self._variables: dict[tuple[str | int, ...], str] = {}
        node = _understood(yaml.compose, path)
        check_anchors(path, node)
        self._add(node, ())

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
