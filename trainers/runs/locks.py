# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One run at a time in a stage's folder."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from .settings import SettingsError


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

logger = logging.getLogger(__name__)

LOCK = ".lock"

_locks: set[TextIO] = set()


def _drop_locks() -> None:
    """In a forked process, as a data loader's worker is: it may outlive a killed run and must not hold its folder."""
    while _locks:
        _locks.pop().close()


if fcntl is not None:
    os.register_at_fork(after_in_child=_drop_locks)


@contextmanager
def locked(output_dir: Path) -> Iterator[None]:
    """Keep a second run out of a stage's folder; a process that ends in any way gives the lock back.

    Raises:
        SettingsError: the stage is running already.
    """
    # One process of several (torchrun, accelerate) speaks for all.
    if fcntl is None or os.environ.get("RANK", "0") != "0":
        yield
        return
    output_dir.mkdir(parents=True, exist_ok=True)
    with (output_dir / LOCK).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise SettingsError(f"{output_dir}: this stage is running already, in process {lock.read()}.") from error
        except OSError as error:
            logger.warning(f"{output_dir} cannot be locked ({error.strerror}): do not start this stage twice.")
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        _locks.add(lock)
        try:
            yield
        finally:
            _locks.discard(lock)
