# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Calls in a forked process that has bounds of time and of address space: one that breaks them costs itself alone."""

import json
import os
import re
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


# A process does so many calls: what one leaves behind shall not be counted to others for long.
CALLS_OF_A_PROCESS = 200
ACCEPTED, REFUSED = "accepted", "refused"
# A call may last so many times what it may compute: the machine may be busy with other things.
PATIENCE = 12.0
LOOK_SECONDS = 1.0
# What libraries say where they could not have memory, whatever the class of their error.
NO_MEMORY = re.compile(r"can.t allocate|cannot allocate|unable to allocate|not enough memory|bad_alloc", re.I)


@dataclass(frozen=True)
class Bounds:
    """What a call may take: seconds of a processor, MiB of address space more than there were before.

    One that waits for something takes no processor: it may last `PATIENCE` times as long.
    """

    seconds: float = 10.0
    megabytes: int = 1024


@dataclass(frozen=True)
class Outcome:
    """What became of a call.

    Args:
        number: Which one.
        kind: "accepted", "refused", or a finding: "traceback", "unclear", "memory", "hang", "died".
        reason: The error's text, or the traceback.
        seconds: How long it took.
        megabytes: By how much the most memory that the process had has grown since its start.
    """

    number: int
    kind: str
    reason: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0

    @property
    def is_finding(self) -> bool:
        return self.kind not in (ACCEPTED, REFUSED)


class Refused(Exception):
    """An input that was refused by an answer, where there is no exception to refuse it by."""


def run_bounded(
    numbers: range, call: Callable[[int], object], judge: Callable[[int, Exception], str | None], bounds: Bounds
) -> Iterator[Outcome]:
    """Outcomes of `call(number)`, in their order.

    Args:
        numbers: Of the calls.
        call: Made in a forked process.
        judge: What is wrong with the error of a call; None: it is as errors should be.
        bounds: Of each call.
    """
    start = numbers.start
    while start < numbers.stop:
        batch = range(start, min(start + CALLS_OF_A_PROCESS, numbers.stop))
        for outcome in _run_batch(batch, call, judge, bounds):
            yield outcome
            start = outcome.number + 1


def _run_batch(numbers: range, call, judge, bounds: Bounds) -> Iterator[Outcome]:
    """Outcomes up to the first that ends the process."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        _work(numbers, call, judge, bounds, writer)
    os.close(writer)
    next_number = numbers.start
    try:
        for line in _lines(reader, process, bounds.seconds):
            if line is None:
                yield Outcome(next_number, "hang", f"no end in {bounds.seconds:g} s", bounds.seconds)
                return
            yield Outcome(**json.loads(line))
            next_number += 1
        if next_number < numbers.stop:
            ended, process = process, 0
            yield Outcome(next_number, "died", _how_it_ended(ended))
    finally:
        os.close(reader)
        if process:
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _lines(reader: int, process: int, seconds: float) -> Iterator[bytes | None]:
    """Whole lines up to the end; None, as the last one, where the next takes too long."""
    waiting, since, used = b"", time.monotonic(), _processor_seconds(process)
    while True:
        if not select.select([reader], [], [], LOOK_SECONDS)[0]:
            if _processor_seconds(process) - used > seconds or time.monotonic() - since > PATIENCE * seconds:
                yield None
                return
            continue
        data = os.read(reader, 2**16)
        if not data:
            return
        *whole, waiting = (waiting + data).split(b"\n")
        yield from whole
        since, used = time.monotonic(), _processor_seconds(process)


def _processor_seconds(process: int) -> float:
    """What a process has computed, and those that it has started and waited for."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _how_it_ended(process: int) -> str:
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)  # what it had started
    status = os.waitpid(process, 0)[1]
    if os.WIFSIGNALED(status):
        return f"ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with status {os.WEXITSTATUS(status)}"


def _work(numbers: range, call, judge, bounds: Bounds, writer: int) -> None:
    """The life of the forked process."""
    os.setsid()
    # Libraries in C say on their own what they think of bad input.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = _peak()
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (in_use + bounds.megabytes * 2**20, hard))
    try:
        for number in numbers:
            began = time.monotonic()
            kind, reason = _outcome(number, call, judge)
            seconds, grown = round(time.monotonic() - began, 4), round(_peak() - before, 1)
            line = json.dumps(
                {"number": number, "kind": kind, "reason": reason, "seconds": seconds, "megabytes": grown}
            )
            os.write(writer, line.encode() + b"\n")
    finally:
        os._exit(0)


def _outcome(number: int, call, judge) -> tuple[str, str]:
    try:
        call(number)
    except MemoryError:
        return "memory", _traceback()
    except Exception as error:
        if NO_MEMORY.search(str(error)):
            return "memory", _traceback()
        wrong = judge(number, error)
        if wrong is None:
            return REFUSED, f"{type(error).__name__}: {error}"[:2000]
        return ("unclear" if wrong else "traceback"), f"{wrong}\n{_traceback()}"
    except BaseException:  # such as a panic of a library in Rust
        return "traceback", _traceback()
    return ACCEPTED, ""


def _traceback() -> str:
    # A pipe takes 4,096 bytes in one piece.
    return traceback.format_exc()[-3000:]


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
