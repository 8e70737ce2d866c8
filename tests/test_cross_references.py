# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What docstrings refer to as [`~module.name`] is there, where they say."""

import ast
import re
from pathlib import Path


ROOT = Path(__file__).parents[1]
SOURCES = [
    path for folder in ("modeling", "hub_cards", "spaces", "trainers") for path in (ROOT / folder).rglob("*.py")
]


def own_names(path: Path) -> set[str]:
    """Names that a module defines itself, and methods of its classes as `Class.method`."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
            found |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_docstrings_refer_to_modules_and_names_that_exist():
    known = set()
    for path in SOURCES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        modules = {".".join(parts[start:]) for start in range(len(parts))}
        known |= modules | {f"{module}.{name}" for module in modules for name in own_names(path)}

    references = [
        (path.relative_to(ROOT).as_posix(), name)
        for path in SOURCES
        for name in re.findall(r"`~([\w.]+)`", path.read_text(encoding="utf-8"))
    ]
    assert len(references) > 20
    lost = [(file, name) for file, name in references if name not in known and not name.startswith("transformers.")]
    assert not lost, lost
