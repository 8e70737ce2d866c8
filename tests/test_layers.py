# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Imports run one way: modeling <- {hub_cards, spaces} <- trainers, and through trainers' folders in their order."""

import ast
import importlib.util
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from folder_order import LAYERS, TRAINERS_FOLDERS


ROOT = Path(__file__).parents[1]
PACKAGE = "entropy_asr"
FILES = {
    ".".join((PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for folder in ("modeling", "hub_cards", "spaces", "trainers")
    for path in (ROOT / folder).rglob("*.py")
}


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from statements(node)


def imports(module: str) -> set[str]:
    """Modules of this project that a module imports, at its top or inside its functions."""
    path, found = FILES[module], set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names = {f"{source}.{alias.name}" for alias in node.names}
            found |= names & set(FILES) or {source}
    return found & set(FILES) - {module}


GRAPH = {module: imports(module) for module in FILES}


def layer(module: str) -> int:
    """Which of LAYERS a module belongs to; what stands in trainers itself is above all of its folders."""
    name = module.removeprefix(f"{PACKAGE}.").replace(".", "/")
    return next(
        (i for i, names in enumerate(LAYERS) if any(f"{name}/".startswith(f"{n}/") for n in names)), len(LAYERS)
    )


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_module_imports_nothing_above_it(module: str) -> None:
    above = sorted(other for other in GRAPH[module] if layer(other) > layer(module))
    assert not above, f"{module} imports {', '.join(above)}, which stand above it"


def test_nothing_imports_in_a_circle() -> None:
    packages = {module for module, path in FILES.items() if path.name == "__init__.py"}
    try:
        TopologicalSorter({m: GRAPH[m] - packages for m in FILES if m not in packages}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_cards_and_spaces_do_not_import_each_other() -> None:
    crossing = {
        (module, other)
        for module in FILES
        for other in GRAPH[module]
        if {module.split(".")[1], other.split(".")[1]} == {"hub_cards", "spaces"}
    }
    assert not crossing


def test_every_folder_of_the_trainers_has_its_place_in_the_order() -> None:
    folders = {path.parent.name for path in (ROOT / "trainers").glob("*/__init__.py")}
    assert folders == set(TRAINERS_FOLDERS)
