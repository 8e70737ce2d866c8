# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Calls in forked processes that are killed (SIGKILL) where they are told to be: at a line, or at a file."""

import mmap
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any


# What changes a file system, by the names that Python's audit hooks give it. Files that are only read change nothing.
CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")


def run_forked(call: Callable[[], object], prepare: Callable[[], None] = lambda: None) -> int:
    """Run a call in a forked process; processes that it started, such as workers of data loaders, end with it.

    Args:
        call: Its result is the exit status, where it is a number.
        prepare: Called there before, to say where it is killed.

    Returns:
        As of `os.waitpid`.
    """
    process = start_forked(call, prepare)
    status = os.waitpid(process, 0)[1]
    end_group(process)
    return status


def start_forked(call: Callable[[], object], prepare: Callable[[], None] = lambda: None) -> int:
    """The number of a forked process that runs a call."""
    process = os.fork()
    if process:
        return process
    os.setsid()
    status = 3
    try:
        prepare()
        result = call()
        status = result if isinstance(result, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def end_group(process: int) -> None:
    """End what a process has started; PyTorch's workers outlive a killed parent."""
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def was_killed(status: int) -> bool:
    """Whether a status of `os.waitpid` says so."""
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def kill_here() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_line(line: int, files: tuple[str, ...]) -> None:
    """Let this process be killed at the so many-th line that it runs of files with these parts in their names."""
    count = 0

    def at_line(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        if count == line:
            kill_here()
        return at_line

    def at_call(frame: Any, event: str, argument: Any) -> Any:
        return at_line if any(part in frame.f_code.co_filename for part in files) else None

    sys.settrace(at_call)


def on_changes(folder: str, react: Callable[[int], None]) -> None:
    """Call `react` with the number, from 1 on, of each change of files below a folder that this process makes."""
    count, folder = 0, os.path.join(folder, "")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in CHANGES and _changes(event, arguments, folder):
            count += 1
            react(count)

    sys.addaudithook(hook)


def _changes(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        return False
    return any(isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(folder) for path in arguments[:2])


def count_changes(call: Callable[[], object], folder: str) -> int:
    """How many changes of files below a folder a call makes, in a forked process that ends with status 0 or 1."""
    shared = mmap.mmap(-1, 8)

    def note(number: int) -> None:
        shared[:] = number.to_bytes(8)

    status = run_forked(call, lambda: on_changes(folder, note))
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) < 2, status
    return int.from_bytes(shared[:])


def run_and_kill_at_change(call: Callable[[], object], folder: str, number: int, delay: float = 0.0) -> bool:
    """Run a call in a forked process that is killed from outside, a while after its so many-th change of files.

    Args:
        call: What is run.
        folder: Changes below it are counted.
        number: Of the change.
        delay: Seconds from then on.

    Returns:
        Whether it was killed; if not, it has ended.
    """
    reader, writer = os.pipe()

    def react(count: int) -> None:
        if count == number:
            os.write(writer, b".")
            if not delay:
                kill_here()

    process = start_forked(call, lambda: on_changes(folder, react))
    os.close(writer)
    if select.select([reader], [], [])[0] and os.read(reader, 1):
        time.sleep(delay)
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    os.close(reader)
    status = os.waitpid(process, 0)[1]
    end_group(process)
    assert was_killed(status) or os.WEXITSTATUS(status) < 2, status
    return was_killed(status)
