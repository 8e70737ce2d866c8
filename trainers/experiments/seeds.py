# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Runs what is missing of an experiment, seed by seed, and goes on exactly where it was ended.

What an arm gave is kept as soon as the arm is done, in small files, of which alone the page is made. A seed's recipe
and its report are processes of their own, which write to `log.txt` of the seed's folder; how far they are is one line,
and `progress.json` beside that log.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ..runs.errors import StageFailed
from ..runs.launch import LaunchSettings
from ..runs.records import RECORD, write_text
from .kept import keep_allocation, keep_arm
from .page import write_page
from .progress import Progress, ProgressLine, lanes_of
from .results import check_kept
from .run import ExperimentRun


# Exit status where the time was up first: of sysexits.h, "try again later".
NOT_DONE = 75
REPORT = "allocation"
DONE = "done"
LOG = "log.txt"
LOG_LINES = 15


def run_seeds(run: ExperimentRun, seeds: list[int], hours: float) -> int:
    """Run what is missing of all seeds, and write the page after each.

    Args:
        run: What is run, and where.
        seeds: Which ones, in their order.
        hours: After so many it ends by itself; may be infinite.

    Returns:
        0 when nothing is left, `NOT_DONE` when the time was up.

    Raises:
        SettingsError: anything does not fit together; before the first seed starts.
        StageFailed: a stage, or a report, failed.
    """
    until = time.monotonic() + 3600 * hours
    for seed in seeds:
        run.check(seed)
        check_kept(run, seed)
    for place, seed in enumerate(seeds):
        if not run_seed(run, seed, until, f"seed {seed} ({place + 1} of {len(seeds)})"):
            print("The time is up; run the same command again to go on.", flush=True)
            return NOT_DONE
        print(write_page(run.experiment, run.results_dir), flush=True)
    return 0


def run_seed(run: ExperimentRun, seed: int, until: float, title: str) -> bool:
    """Run what is missing of a seed, and keep what its arms gave.

    Args:
        run: What is run, and where.
        seed: Which one.
        until: When the time is up, by `time.monotonic`.
        title: What the line of progress begins with.

    Returns:
        Whether it is done.
    """
    folder, kept = run.folder(seed), run.kept(seed)
    folder.mkdir(parents=True, exist_ok=True)
    settings, experiment = run.settings(seed), run.experiment
    progress = Progress(lanes_of(run.check(seed), experiment.seconds), experiment.report_seconds)
    with ProgressLine(title) as line:

        def watch() -> None:
            line.show(progress.write(folder))
            for arm in experiment.arms:
                keep_arm(folder, kept, experiment, arm, settings)

        recipe = ["recipe", str(experiment.recipe_path), *run.arguments(seed)]
        if not run_until(until, recipe, folder / LOG, watch, line.seconds):
            return False
        watch()
        report = report_arguments(run, seed)
        if not is_reported(folder, experiment.measured.stages, report):
            if not run_until(until, report, folder / LOG, watch, line.seconds):
                return False
            write_text(folder / REPORT / DONE, json.dumps(report))
    keep_allocation(folder / REPORT, kept)
    for checkpoint in folder.glob("*/checkpoints/checkpoint-*"):
        if (checkpoint.parents[1] / RECORD).exists():
            shutil.rmtree(checkpoint)
    return True


def report_arguments(run: ExperimentRun, seed: int) -> list[str]:
    """The command for the entropy allocation report of a seed."""
    plan, folder, sets = run.experiment.measured, run.folder(seed), run.allocation_sets(seed)
    options = {**sets[0].options(), "max_rows": plan.rows, "ledger_rows": plan.ledger_rows}
    options |= {} if plan.embedder is None else {"embedder": plan.embedder}
    models = [str(folder / name) for name in plan.stages]
    named = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return ["report", "--model", *models, "--dataset", *(one.path for one in sets), *named, "-o", str(folder / REPORT)]


def is_reported(folder: Path, stages: list[str], report: list[str]) -> bool:
    """Whether the report was made as it is wanted now, of the models that there are."""
    done = folder / REPORT / DONE
    trained = max((folder / name / RECORD).stat().st_mtime for name in stages)
    return done.exists() and done.stat().st_mtime >= trained and done.read_text(encoding="utf-8") == json.dumps(report)


def run_until(until: float, arguments: list[str], log: Path, watch: Callable[[], None], seconds: float) -> bool:
    """Run `entropy-asr` in a process of its own, and end it as a user would when the time is up.

    Args:
        until: When it is, by `time.monotonic`.
        arguments: Those of `entropy-asr`.
        log: File that all it writes is added to.
        watch: Called again and again.
        seconds: Between two calls.

    Returns:
        Whether it has ended by itself.

    Raises:
        StageFailed: it failed; with the end of the log.
    """
    if until <= time.monotonic():
        return False
    start = LaunchSettings()
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(start.command(arguments), stdout=file, stderr=file, env=start.variables())
    try:
        while (remaining := until - time.monotonic()) > 0:
            watch()
            try:
                status = process.wait(min(remaining, seconds))
            except subprocess.TimeoutExpired:
                continue
            if status:
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
                ended = f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"
                what = f"entropy-asr {arguments[0]} {ended}; run the same command again to go on."
                raise StageFailed("\n".join([f"{what} The end of {log}:", *lines]))
            return True
    finally:
        if process.poll() is None:
            # A recipe ends its stages before itself, each in its own time.
            process.terminate()
            process.wait()
    return False
