# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the scripts of fuzzing, kills, storage and equalities measured: one file of results, and a page made of it.

python tests/benchmarks/faults.py   # writes tests/benchmarks/FAULTS.md; nothing in its tables is typed
"""

import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from filelock import FileLock


RESULTS = Path(__file__).parent / "results" / "faults.json"
PAGE = Path(__file__).parent / "FAULTS.md"
# Sections of the page, in their order: title, what it says before its table, columns.
SECTIONS = {
    "fuzzed_inputs": (
        "Fuzzed inputs",
        "Valid seeds that were mutated, or what hypothesis drew, each used in a process with bounds. *Refused* is one "
        "line of an expected class that names the input; anything else but a result is a *finding*.",
        ("area", "inputs", "accepted", "refused", "findings", "seconds", "slowest, s", "most memory, MiB"),
    ),
    "kill_points": (
        "Kill points",
        "SIGKILL at random points, and the run started again until it ends. *Lost* did not end, or with less than an "
        "uninterrupted run; *unequal* ended with other weights, files or rows. Models have some thousands of "
        "parameters; that of corpora is a stand-in.",
        ("area", "runs", "kills", "lost", "unequal", "seconds"),
    ),
    "storage": (
        "Disks, clocks, and other runs",
        "A run whose disk fills after a part of what it writes, whose folder is read-only when it goes on after a "
        "kill, whose clock jumps by days at each change of a file, beside which another is started, or who sees a "
        "shared store's files late and torn. *Refused* were stopped by that; *unclear* did not say in one line what "
        "was refused and where; *lost* did not end when it was run again with the fault mended; *unequal* ended with "
        "other weights, files or rows.",
        ("area", "fault", "runs", "refused", "unclear", "lost", "unequal", "seconds"),
    ),
    "equalities": (
        "Equalities",
        "The largest absolute difference of two ways to the same, beside the largest value there is; models of some "
        "thousands of parameters at random weights, on a processor.",
        ("what", "encoder", "dtype", "values", "largest difference", "largest value", "bound", "holds"),
    ),
}


# Columns that name a row; the others are figures.
NAMES = ("area", "fault", "what", "encoder", "dtype")
# Of these a sum makes sense.
SUMMED = ("inputs", "accepted", "refused", "findings", "runs", "kills", "unclear", "lost", "unequal", "seconds")


def write_results(section: str, rows: list[dict[str, Any]], settings: dict[str, Any], path: Path = RESULTS) -> None:
    """Put rows of a section's table into the file of results, each in place of an earlier one of its name.

    Args:
        section: One of [`SECTIONS`].
        rows: Of the table, by the names of its columns.
        settings: What they were measured with.
        path: The file.
    """
    with FileLock(Path(tempfile.gettempdir()) / f"{path.name}.lock"):  # several may measure at a time
        _write(section, rows, settings, path)


def _write(section: str, rows: list[dict[str, Any]], settings: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    about = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    names = [name for name in SECTIONS[section][2] if name in NAMES]
    known = {tuple(row[name] for name in names): row for row in results.get(section, {}).get("rows", [])}
    known |= {tuple(row[name] for name in names): row for row in rows}
    results[section] = {"settings": settings, "about": about, "rows": list(known.values())}
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 0.05 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[str]:
    """Lines of a table; numbers to the right."""
    numeric = [all(isinstance(row.get(name, 0), (int, float)) for row in rows) for name in columns]
    lines = [f"| {' | '.join(columns)} |", f"|{'|'.join(' ---: ' if right else ' --- ' for right in numeric)}|"]
    return lines + [f"| {' | '.join(cell(row.get(name, '–')) for name in columns)} |" for row in rows]


def total(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """A last row with the sums of the others, where they are areas."""
    if "area" not in columns:
        return []
    return [{"area": "all", **{name: sum(row[name] for row in rows) for name in columns if name in SUMMED}}]


def page(results: dict[str, Any]) -> str:
    """The page of these results."""
    lines = [
        "# Faults and bad input",
        "",
        "Written by `python tests/benchmarks/faults.py` from `results/faults.json`.",
    ]
    for name, (title, text, columns) in SECTIONS.items():
        if name not in results:
            continue
        found = results[name]
        settings = ", ".join(f"{key} {value}" for key, value in found["settings"].items())
        about = ", ".join(f"{key} {value}" for key, value in found["about"].items())
        rows = [*found["rows"], *total(found["rows"], columns)]
        lines += ["", f"## {title}", "", text, "", *table(rows, columns), "", f"{settings}; {about}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")
