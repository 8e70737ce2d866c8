# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Runs the stages of a recipe, some of them at the same time.

A stage with `background: true` runs in processes of its own while the stages below it go on; `after` of a later stage
waits for it, and so does the end of the recipe. While one runs, the others get processes of their own too, so that the
failure of any is seen at once and ends all; what each has done is resumed by the next run of the recipe.
"""

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..runs.clock import CLOCK, timed
from ..runs.errors import SettingsError, StageFailed, shown
from ..runs.launch import LaunchSettings, end_processes
from ..runs.records import finished
from ..runs.settings import check_names, dotted, from_mapping


logger = logging.getLogger(__name__)

LOG = "log.txt"
# Seconds between two looks at running stages, and two lines about what runs.
POLL_SECONDS = 1.0
STATUS_SECONDS = 300.0


@dataclass
class StageTiming:
    """Fields of a stage in a recipe beside its sections.

    Args:
        stage: Which stage it is; by default what its name says.
        background, after, seed: As in [`PlannedStage`].
        launch: Fields of [`~launch.LaunchSettings`].
    """

    stage: str | None = None
    background: bool = False
    after: list[str] = field(default_factory=list)
    launch: dict | None = None
    seed: int | None = None


@dataclass
class PlannedStage:
    """A stage of a recipe and when it runs.

    Args:
        name: Its name in the recipe.
        stage: Which stage it is, one of `stages.STAGES`.
        section: Its settings.
        output_dir: Its folder.
        seed: Its own seed, or that of the recipe.
        background: Whether the stages below do not wait for it.
        after: Background stages that it waits for; while one in the background waits, the stages below go on.
        launch: How it is started. None: in the recipe's own process, where nothing runs beside it.
    """

    name: str
    stage: str
    section: dict[str, Any]
    output_dir: Path
    seed: int
    background: bool = False
    after: list[str] = field(default_factory=list)
    launch: LaunchSettings | None = None

    def is_finished(self) -> bool:
        """Whether it ended before, with these settings."""
        return finished(self.output_dir, self.section, self.seed)


def plan_stages(recipe: dict[str, Any]) -> list[PlannedStage]:
    """The stages of a loaded recipe; takes what says when they run out of their sections.

    Raises:
        SettingsError: a wrong value, or a stage that waits for one that is not above it.
    """
    plans: list[PlannedStage] = []
    for name, section in recipe["stages"].items():
        key = ("stages", name)
        if str(name) in ("", "..") or Path(str(name)).name != str(name):
            raise SettingsError(f"{dotted(key)}: {shown(name)} is a path, and the stage's folder has its name.", key)
        own = {field: section.pop(field) for field in StageTiming.__dataclass_fields__ if field in section}
        timing = from_mapping(StageTiming, own, *key)
        above = [plan.name for plan in plans if plan.background]
        check_names(timing.after, above, f"{dotted(key)}.after: background stages above", (*key, "after"))
        launch = None if timing.launch is None else from_mapping(LaunchSettings, timing.launch, *key, "launch")
        output_dir, seed = Path(recipe["output_dir"]) / name, timing.seed
        seed = recipe.get("seed", 0) if seed is None else seed
        plans.append(
            PlannedStage(
                name, timing.stage or name, section, output_dir, seed, timing.background, timing.after, launch
            )
        )
    return plans


class Schedule:
    """Runs planned stages.

    Args:
        folder: That of the recipe.
        plans: The stages in their order.
        arguments: Arguments of `entropy-asr` that run one of them alone.
        run_here: Runs one of them in this process.
        on_finish: Called when a stage has ended, now or earlier.
    """

    def __init__(
        self,
        folder: Path,
        plans: list[PlannedStage],
        arguments: Callable[[PlannedStage], list[str]],
        run_here: Callable[[PlannedStage], None],
        on_finish: Callable[[PlannedStage], None],
    ):
        self.folder = folder
        self.plans = plans
        self.arguments = arguments
        self.run_here = run_here
        self.on_finish = on_finish
        self.running: dict[str, subprocess.Popen] = {}
        self.waiting: list[PlannedStage] = []
        self._logged_at = time.monotonic()

    def run(self) -> None:
        """Run all stages that are not finished.

        Raises:
            StageFailed: one failed; the others that ran beside it were ended.
        """
        previous = signal.signal(signal.SIGTERM, _exit) if self._concurrent() else None
        try:
            # Nothing is written where nothing is left to do.
            all_finished = all(plan.is_finished() for plan in self.plans)
            with nullcontext() if all_finished else timed(self.folder):
                for plan in self.plans:
                    if not plan.background:
                        self._wait_until(lambda plan=plan: self._may_start(plan))
                    self._run(plan)
                self._wait_until(lambda: not self.running and not self.waiting)
        finally:
            self._end_all()
            if previous is not None:
                signal.signal(signal.SIGTERM, previous)

    def _may_start(self, plan: PlannedStage) -> bool:
        return not set(plan.after) & {*self.running, *(other.name for other in self.waiting)}

    def _concurrent(self) -> bool:
        return any(plan.background or plan.launch for plan in self.plans)

    def _run(self, plan: PlannedStage) -> None:
        title = self._title(plan)
        if plan.is_finished():
            logger.warning(f"{title}: finished before, nothing to do.")
            self.on_finish(plan)
            return
        started = time.monotonic()
        if plan.background:
            self.waiting.append(plan)
            self._start_waiting()
            return
        logger.warning(f"{title}: starts in {plan.output_dir}.")
        if self.running or self.waiting or plan.launch is not None:
            self._start(plan)
            self._wait_until(lambda: plan.name not in self.running)
        else:
            self.run_here(plan)
            self.on_finish(plan)
        logger.warning(f"{title}: finished after {_duration(time.monotonic() - started)}.")

    def _title(self, plan: PlannedStage) -> str:
        return f"[{self.plans.index(plan) + 1}/{len(self.plans)}] {plan.name}"

    def _start_waiting(self) -> None:
        for plan in list(self.waiting):
            if self._may_start(plan):
                self.waiting.remove(plan)
                self._start(plan)
                logger.warning(f"{self._title(plan)}: runs in the background, its log is {plan.output_dir / LOG}.")

    def _start(self, plan: PlannedStage) -> None:
        launch = plan.launch or LaunchSettings()
        plan.output_dir.mkdir(parents=True, exist_ok=True)
        command = launch.command(self.arguments(plan))
        if plan.background:
            with (plan.output_dir / LOG).open("a", encoding="utf-8") as log:
                process = subprocess.Popen(command, env=launch.variables(), stdout=log, stderr=log)
        else:
            process = subprocess.Popen(command, env=launch.variables())
        self.running[plan.name] = process

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        self._look_at_running()
        while not condition():
            time.sleep(POLL_SECONDS)
            self._look_at_running()
            if time.monotonic() - self._logged_at > STATUS_SECONDS:
                self._logged_at = time.monotonic()
                logger.warning(f"Running: {', '.join(self._progress(name) for name in self.running)}.")

    def _look_at_running(self) -> None:
        for name, process in list(self.running.items()):
            if (status := process.poll()) is None:
                continue
            del self.running[name]
            plan = self._plan(name)
            if status:
                raise StageFailed(_failure(plan, status))
            if plan.background:
                logger.warning(f"{self._title(plan)}: finished in the background.")
            self.on_finish(plan)
        self._start_waiting()

    def _plan(self, name: str) -> PlannedStage:
        return next(plan for plan in self.plans if plan.name == name)

    def _progress(self, name: str) -> str:
        """Name and step of a running stage, as far as it has said."""
        try:
            clock = json.loads((self._plan(name).output_dir / CLOCK).read_text(encoding="utf-8"))
            return f"{name} (step {clock['step']} of {clock['max_steps']})"
        except (FileNotFoundError, KeyError):
            return name

    def _end_all(self) -> None:
        end_processes(self.running.values())
        self.running.clear()


def _exit(signum, frame) -> None:
    sys.exit(128 + signum)


def _failure(plan: PlannedStage, status: int) -> str:
    reason = f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"
    message = f"stage {plan.name} {reason}; run the recipe again to go on from its last checkpoint."
    if not plan.background:
        return message
    log = plan.output_dir / LOG
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    return "\n".join([f"{message} The end of {log}:", *lines])


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
