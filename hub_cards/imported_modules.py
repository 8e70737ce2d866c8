# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which modules of this package one of them needs: what a Space takes along, since the package is on no index."""

import ast
from collections.abc import Container, Iterator
from importlib import resources
from importlib.util import resolve_name
from pathlib import Path


PACKAGE = "entropy_asr"


def package_folder(name: str) -> Path:
    """Where the sources of a sub-package lie, "spaces" for one; it is not imported."""
    return Path(str(resources.files(f"{PACKAGE}.{name}")))


def bundled_checkpoint() -> Path:
    """Folder of the checkpoint in this package, which commands and Spaces run where none is named."""
    return package_folder("spaces") / "demo" / "checkpoint"


def modules_needed(entry: str, without: Container[str] = ()) -> dict[str, Path]:
    """All modules of this package that a module imports, at its top or inside its functions, and those that they do.

    Args:
        entry: Full name of the module.
        without: Full names of modules that are not needed, whatever imports them.

    Returns:
        The file of each by its full name, with the entry's own and the packages that they are in.

    Raises:
        ValueError: there is no such module.
    """
    if _file_of(entry) is None:
        raise ValueError(f"there is no module {entry}")
    needed: dict[str, Path] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if path is not None and name not in needed and name not in without:
            needed[name] = path
            waiting += [*_imported_names(name, path), name.rpartition(".")[0]]
    return needed


def _file_of(name: str) -> Path | None:
    """Source of a module or package; None where the name is neither, an attribute for one, or another package's."""
    package, *parts = name.split(".")
    if package != PACKAGE or not parts:
        return None
    try:
        place = package_folder(parts[0]).joinpath(*parts[1:])
    except ModuleNotFoundError:
        return None
    files = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)


def _imported_names(module: str, path: Path) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in _run_statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)  # each may be a module of its own


def _run_statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from _run_statements(node)
