# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How the code is built: what lies in which folder, which imports run backwards, what is too long.

    python tests/benchmarks/count_house.py [ROOT]

ROOT is any checkout (`git worktree add /tmp/old COMMIT`), by default this one. Circles are groups of modules that
import each other, by all imports, those inside functions too; back edges run from a folder to one above it (modeling,
then hub_cards and spaces, then trainers' folders in their order, then what lies in trainers itself). Files, classes
and functions are counted with their blank lines, comments and docstrings, and so is what a Space uploads (of another
checkout: all that its `app.py` imports at any time). Lines of code are those that are neither blank nor comment nor
docstring.
"""

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path


sys.path.append(str(Path(__file__).parents[1] / "helpers"))
from code_lines import code_lines
from folder_order import LAYERS

from entropy_asr.hub_cards.space_files import space_modules


ROOT = Path(__file__).resolve().parents[2]
LONG_FILE, LONG_CLASS, MANY_PARAMETERS = 500, 300, 8


def read(root: Path) -> dict[str, tuple[Path, ast.Module]]:
    """Each module by its name, its path below the root and its syntax tree."""
    modules = {}
    for folder in ("modeling", "hub_cards", "spaces", "trainers"):
        for path in sorted((root / folder).rglob("*.py")):
            below = path.relative_to(root)
            name = ".".join(("entropy_asr", *below.with_suffix("").parts)).removesuffix(".__init__")
            modules[name] = below, ast.parse(path.read_text(encoding="utf-8"))
    return modules


def imports(modules: dict[str, tuple[Path, ast.Module]], with_packages: bool = False) -> dict[str, set[str]]:
    """What each module imports of the others; without packages, which import what they offer, unless these count."""
    packages = set() if with_packages else {name for name, (path, _) in modules.items() if path.name == "__init__.py"}
    graph = {}
    for name, (path, tree) in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found: set[str] = set()
        for node in executed(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                source = resolve_name("." * node.level + (node.module or ""), package)
                found |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
        graph[name] = (found & set(modules)) - packages - {name}
    return graph


def executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from executed(node)


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """Modules that one imports, and those that they import."""
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph[name]
    return seen


def uploaded(root: Path, modules: dict[str, tuple[Path, ast.Module]], space: str) -> str:
    """Lines that a Space uploads, of them lines of code, by top folder."""
    entry = f"entropy_asr.spaces.{space}.app"
    if entry not in modules:
        return "-"
    if root.resolve() == ROOT:
        needed = set(space_modules(space))
    else:
        needed = {entry, *reached(imports(modules, with_packages=True), entry)}
        needed |= {name.rpartition(".")[0] for name in needed} & set(modules)
    lines, code = Counter(), Counter()
    for path, _ in (modules[name] for name in needed):
        for place in ("in all", path.parts[0]):
            lines[place] += len((root / path).read_text(encoding="utf-8").splitlines())
            code[place] += code_lines(root / path)
    return ", ".join(f"{place} {count} ({code[place]} of code)" for place, count in sorted(lines.items()))


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Groups of modules that reach each other."""
    reach = {name: reached(graph, name) for name in graph}
    groups = {frozenset(other for other in graph if other in reach[n] and n in reach[other]) for n in graph}
    return [set(group) for group in groups if group]


def folder(path: Path) -> str:
    """The folder as it is counted: one of trainers, a Space, or one of the four."""
    return "/".join(path.parts[: -1 if path.parts[0] == "modeling" else min(2, len(path.parts) - 1)])


def layer(path: Path) -> int:
    """Which of LAYERS a module belongs to."""
    name = "/".join(path.parts[:2]) if path.parts[0] == "trainers" and len(path.parts) > 2 else path.parts[0]
    return next((number for number, names in enumerate(LAYERS) if name in names), len(LAYERS))


def parameters(function: ast.FunctionDef) -> int:
    """Number of a function's parameters, without `self`, `cls` and those that take all further ones."""
    names = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in names)


def report(root: Path) -> list[tuple[str, str]]:
    """Names and values of all that is counted."""
    modules = read(root)
    graph = imports(modules)
    lines = {path: len((root / path).read_text(encoding="utf-8").splitlines()) for path, _ in modules.values()}
    counts = Counter(folder(path) for path, _ in modules.values() if path.name != "__init__.py")
    back = [(n, o) for n, others in graph.items() for o in others if layer(modules[o][0]) > layer(modules[n][0])]
    nodes = [(path, node) for path, tree in modules.values() for node in ast.walk(tree)]
    functions = [(p, n) for p, n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = sorted(node.end_lineno - node.lineno + 1 for _, node in functions)
    files = sorted((count, str(path)) for path, count in lines.items() if count > LONG_FILE)
    classes = [(n.end_lineno - n.lineno + 1, n.name) for _, n in nodes if isinstance(n, ast.ClassDef)]
    classes = sorted(item for item in classes if item[0] > LONG_CLASS)
    many = [(p, n) for p, n in functions if parameters(n) > MANY_PARAMETERS and n.name not in ("forward", "__init__")]
    loops = circles(graph)
    short = [" ".join(sorted(name.rpartition(".")[2] for name in loop)) for loop in loops]
    return [
        ("modules (lines)", f"{len(modules)} ({sum(lines.values())})"),
        *((f"modules in {name}", str(count)) for name, count in sorted(counts.items())),
        ("circles", f"{len(loops)} {'; '.join(short)}".strip()),
        ("back edges", str(len(back))),
        (f"files over {LONG_FILE} lines", listed(files)),
        (f"classes over {LONG_CLASS} lines", listed(classes)),
        ("functions", str(len(functions))),
        ("lines of a function: median / p90 / max", percentiles(lengths)),
        *((f"lines that the Space {name} uploads", uploaded(root, modules, name)) for name in ("demo", "server")),
        (f"over {MANY_PARAMETERS} parameters", f"{len(many)} {' '.join(sorted({n.name for _, n in many}))}".strip()),
    ]


def listed(items: list[tuple[int, str]]) -> str:
    """How many, and each with its lines."""
    return f"{len(items)} {', '.join(f'{name} ({count})' for count, name in items)}".strip()


def percentiles(lengths: list[int]) -> str:
    """Median, 90th percentile and longest."""
    return f"{statistics.median(lengths):g} / {lengths[int(0.9 * len(lengths))]} / {lengths[-1]}"


if __name__ == "__main__":
    checkout = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2]
    for title, value in report(checkout):
        print(f"{title:<42} {value}")
