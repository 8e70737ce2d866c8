# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How far a seed of an experiment is, and when it will have ended, by what each stage is expected to take."""

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ..recipes.schedule import PlannedStage
from ..runs.clock import CLOCK
from ..runs.records import RECORD, write_text


PROGRESS = "progress.json"
# Between two looks, and in a terminal, where a line takes the place of the one before.
SECONDS, TERMINAL_SECONDS = 60.0, 5.0


@dataclass(frozen=True)
class Lane:
    """Stages that run one after another, each beside those of the other lane.

    Args:
        folder: Of the recipe, with a folder a stage.
        seconds: What each stage is expected to take, by its name, in their order.
    """

    folder: Path
    seconds: dict[str, float]

    def share(self, stage: str) -> float:
        """How much of a stage is done, in [0, 1]: all once its record is there, else the share of its steps."""
        if (self.folder / stage / RECORD).exists():
            return 1.0
        try:
            clock = json.loads((self.folder / stage / CLOCK).read_text(encoding="utf-8"))
            return min(1.0, clock["step"] / clock["max_steps"])
        except (FileNotFoundError, KeyError, ZeroDivisionError):
            return 0.0

    def remaining(self) -> float:
        """Seconds expected of what is left."""
        return sum(seconds * (1 - self.share(name)) for name, seconds in self.seconds.items())

    def current(self) -> str | None:
        """The first stage that is not done."""
        return next((name for name in self.seconds if self.share(name) < 1), None)


class Progress:
    """Says how far a seed is, in a line, and in `progress.json` of its folder.

    Args:
        lanes: What runs at the same time.
        after: Seconds expected of what follows when all lanes have ended.
        now: The time, seconds since 1970.
    """

    def __init__(self, lanes: list[Lane], after: float, now: Callable[[], float] = time.time):
        self.lanes = lanes
        self.after = after
        self.now = now
        self._began, self._left_then = now(), self.expected()

    def expected(self) -> float:
        """Seconds expected until the end, at the expected pace."""
        return max(lane.remaining() for lane in self.lanes) + self.after

    def pace(self) -> float:
        """How much longer than expected all has taken since this began; 1 before much is done."""
        left = self.expected()
        # A stage that was killed goes on from its last checkpoint, behind where it was.
        self._left_then = max(self._left_then, left)
        done, took = self._left_then - left, self.now() - self._began
        # As if ten minutes had gone as expected before.
        return (took + 600) / (done + 600)

    def look(self) -> dict[str, Any]:
        """What there is to say now."""
        left, now = self.expected(), self.now()
        seconds = left * self.pace()
        stages = [name for lane in self.lanes for name in lane.seconds]
        done = sum(lane.share(name) == 1 for lane in self.lanes for name in lane.seconds)
        return {
            "time": _clock_time(now),
            "stages_done": done,
            "stages": len(stages),
            "running": [f"{name} {100 * lane.share(name):.0f} %" for lane in self.lanes if (name := lane.current())],
            "pace": round(self.pace(), 2),
            "minutes_left": round(seconds / 60),
            "estimated_end": _clock_time(now + seconds),
        }

    def write(self, folder: Path) -> str:
        """Write the file; gives its line."""
        found = self.look()
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / PROGRESS, json.dumps(found, indent=1) + "\n")
        return (
            f"{found['stages_done']} of {found['stages']} stages done, now "
            f"{' and '.join(found['running']) or 'the report'}; {found['minutes_left']} min left at "
            f"{found['pace']} times the expected time: {found['estimated_end']}."
        )


class ProgressLine:
    """One line of progress: rewritten in place in a terminal, elsewhere a new one each time.

    Args:
        title: What it begins with.
        stream: Where it goes; by default standard error.
    """

    def __init__(self, title: str, stream: TextIO | None = None):
        self.title, self.stream = title, stream or sys.stderr
        self.in_place = self.stream.isatty()

    @property
    def seconds(self) -> float:
        """Between two lines."""
        return TERMINAL_SECONDS if self.in_place else SECONDS

    def show(self, said: str) -> None:
        """Show what there is to say now."""
        line = f"{self.title}: {said}"
        if not self.in_place:
            print(f"{_clock_time(time.time())}: {line}", file=self.stream, flush=True)
            return
        # A line that is wrapped could not be taken back.
        print(f"\r{line[: shutil.get_terminal_size().columns - 1]}\x1b[K", end="", file=self.stream, flush=True)

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *error: Any) -> None:
        if self.in_place:
            print(file=self.stream, flush=True)


def _clock_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def lanes_of(plans: list[PlannedStage], seconds: dict[str, float]) -> list[Lane]:
    """The two lanes of a recipe's planned stages.

    Args:
        plans: [`~schedule.PlannedStage`]s.
        seconds: What each is expected to take.
    """
    lanes = [[plan for plan in plans if plan.background is behind] for behind in (False, True)]
    return [Lane(plans[0].output_dir.parent, {plan.name: seconds[plan.name] for plan in lane}) for lane in lanes]
