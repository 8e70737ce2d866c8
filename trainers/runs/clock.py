# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How long a stage or a recipe has taken, over all its runs."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import TrainerCallback

from .records import write_text
from .repeated import repeated


CLOCK = "clock.json"
# Between two records of the time.
CLOCK_SECONDS = 10.0


class WallClock(TrainerCallback):
    """Adds up the training time of all runs of a stage, also of those that were killed, in `clock.json`.

    The file also says how far the stage is, to whoever watches it from another process.
    """

    def __init__(self, path: Path):
        self.path = path
        self.progress: dict[str, int] = {}
        before = json.loads(path.read_text()) if path.exists() else {}
        self.before, self.processor_before = before.get("seconds", 0.0), before.get("processor_seconds", 0.0)
        self.start, self.processor_start = time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        """Seconds so far, earlier runs included."""
        return self.before + time.perf_counter() - self.start

    @property
    def processor_seconds(self) -> float:
        """Seconds that this process's threads have computed, earlier runs included; what else is busy adds nothing."""
        return self.processor_before + time.process_time() - self.processor_start

    def write(self) -> None:
        """Keep the time so far."""
        times = {"seconds": self.seconds, "processor_seconds": self.processor_seconds}
        write_text(self.path, json.dumps({**times, **self.progress}))

    def on_log(self, args, state, control, **kwargs) -> None:
        self.progress = {"step": state.global_step, "max_steps": state.max_steps}
        if state.is_world_process_zero:
            self.write()

    def on_save(self, args, state, control, **kwargs) -> None:
        self.on_log(args, state, control)


@contextmanager
def timed(folder: Path) -> Iterator[None]:
    """Adds up the time of all runs of a recipe, also of those that were killed, in `clock.json` of its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    clock = WallClock(folder / CLOCK)
    with repeated(clock.write, CLOCK_SECONDS):
        yield


def wall_seconds(folder: Path) -> float | None:
    """Time that a recipe has taken in this folder, in seconds; None where stages were run one by one."""
    path = folder / CLOCK
    return json.loads(path.read_text(encoding="utf-8"))["seconds"] if path.exists() else None
