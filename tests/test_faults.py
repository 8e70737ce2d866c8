# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""FAULTS.md shows what was measured, nothing lost, nothing found; what measures sees faults where there are some."""

import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bounded_calls import Bounds, run_bounded
from killed_runs import count_changes, run_and_kill_at_change, run_forked, was_killed


BENCHMARKS = Path(__file__).parent / "benchmarks"
# Of what there must be none.
BAD = ("findings", "unclear", "lost", "unequal")
RESULTS = json.loads((BENCHMARKS / "results" / "faults.json").read_text(encoding="utf-8"))


def test_the_page_is_what_the_results_give():
    script = runpy.run_path(str(BENCHMARKS / "faults.py"))
    assert (BENCHMARKS / "FAULTS.md").read_text(encoding="utf-8") == script["page"](RESULTS), "run faults.py"


def test_nothing_was_found_lost_or_unequal():
    rows = [row for section in RESULTS.values() for row in section["rows"]]
    assert {row["area"] for row in rows if any(map(row.get, BAD))} == set()
    assert all(row["holds"] for row in RESULTS["equalities"]["rows"])


def test_a_call_that_breaks_a_bound_costs_itself_alone():
    def call(number: int) -> None:
        if number == 1:
            raise ValueError("input 1 is wrong")
        if number == 2:
            raise KeyError("a fault of the program")
        if number == 3:
            bytearray(2**30)
        if number == 4:
            while True:
                pass
        if number == 5:
            os.abort()

    def judge(number: int, error: Exception) -> str | None:
        return None if isinstance(error, ValueError) else ""

    outcomes = list(run_bounded(range(7), call, judge, Bounds(seconds=0.5, megabytes=256)))
    kinds = [outcome.kind for outcome in outcomes]
    assert kinds == ["accepted", "refused", "traceback", "memory", "hang", "died", "accepted"]
    assert "KeyError" in outcomes[2].reason and "SIGABRT" in outcomes[5].reason
    assert sum(outcome.is_finding for outcome in outcomes) == 4


def test_a_run_is_killed_where_it_is_told_to_be(tmp_path):
    def run() -> None:
        for name in ("a", "b", "c"):
            (tmp_path / name).write_text(name)
            time.sleep(0.01)

    assert count_changes(run, str(tmp_path)) == 3
    for path in tmp_path.iterdir():
        path.unlink()
    assert run_and_kill_at_change(run, str(tmp_path), 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
    assert run_and_kill_at_change(run, str(tmp_path), 3, delay=0.001)
    assert not run_and_kill_at_change(run, str(tmp_path), 4)
    assert not was_killed(run_forked(run))


@pytest.mark.slow
@pytest.mark.parametrize(
    "area", [row["area"] for row in RESULTS["fuzzed_inputs"]["rows"] if "coverage" not in row["area"]]
)
def test_a_few_inputs_of_each_area_give_no_finding(area, tmp_path):
    """Others than those of the page: the seed differs."""
    command = [sys.executable, BENCHMARKS / "fuzz_inputs.py", "--inputs", "400", "--seed", "7", "--areas", area]
    ended = subprocess.run(
        [*command, "--findings", tmp_path / "findings"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("area", ["snapshot store", "corpus transcription"])
def test_disks_and_clocks_cost_nothing_but_a_line(area):
    command = [sys.executable, BENCHMARKS / "storage_faults.py", "--draws", "1", "--seed", "7", "--areas", area]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot be mounted here" in ended.stderr or "unshare" in ended.stderr:
        pytest.skip("file systems cannot be mounted here")
    assert ended.returncode == 0, ended.stdout + ended.stderr
