# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One run at a time in a stage's folder."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .settings import SettingsError


logger = logging.getLogger(__name__)

LOCK = ".lock"
HOLDER = ".lock.pid"


@contextmanager
def locked(output_dir: Path) -> Iterator[None]:
    """Keep a second run out of a stage's folder; a process that ends in any way gives the lock back.

    A data loader's worker, which may outlive a killed run, does not hold it: filelock gives it up in forked processes
    (from 4.3 on).

    Raises:
        SettingsError: the stage is running already.
    """
    # One process of several (torchrun, accelerate) speaks for all.
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    output_dir.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(output_dir / LOCK, timeout=0), output_dir / HOLDER
    try:
        lock.acquire()
        holder.write_text(str(os.getpid()), encoding="utf-8")
    except Timeout as error:
        process = holder.read_text(encoding="utf-8") if holder.exists() else "that has just started"
        raise SettingsError(f"{output_dir}: this stage is running already, in process {process}.") from error
    except OSError as error:
        logger.warning(f"{output_dir} cannot be locked ({error.strerror}): do not start this stage twice.")
    try:
        yield
    finally:
        lock.release()
