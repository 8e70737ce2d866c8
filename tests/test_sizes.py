# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Files, classes and functions are read in one sitting: sizes stay below what CONTRIBUTING.md states."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
SOURCES = [
    path for folder in ("modeling", "hub_cards", "spaces", "trainers") for path in (ROOT / folder).rglob("*.py")
]
# What transformers calls with many arguments, and constructors that users call by name.
MANY_PARAMETERS = ("forward", "__init__")


def length(node: ast.AST) -> int:
    return node.end_lineno - node.lineno + 1


def body_length(function: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    return length(function) - (length(function.body[0]) if ast.get_docstring(function) else 0)


def nodes(kinds: type | tuple[type, ...]) -> Iterator[tuple[str, ast.AST]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kinds):
                yield f"{path.relative_to(ROOT)}: {node.name}", node


def num_parameters(function: ast.FunctionDef) -> int:
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in named)


@pytest.mark.parametrize("folder", ["modeling", "hub_cards", "spaces", "trainers", "tests"])
def test_no_file_has_more_than_500_lines(folder: str) -> None:
    paths = (ROOT / folder).rglob("*.py")
    counts = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert not {path: count for path, count in counts.items() if count > 500}


def test_no_class_has_more_than_300_lines() -> None:
    assert not {name: length(node) for name, node in nodes(ast.ClassDef) if length(node) > 300}


def test_no_function_has_more_than_60_lines_or_8_parameters() -> None:
    functions = list(nodes((ast.FunctionDef, ast.AsyncFunctionDef)))
    assert not {name: body_length(node) for name, node in functions if body_length(node) > 60}
    others = [(name, node) for name, node in functions if node.name not in MANY_PARAMETERS]
    assert not {name: num_parameters(node) for name, node in others if num_parameters(node) > 8}
