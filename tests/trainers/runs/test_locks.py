# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One run at a time in a folder, however the one before has ended."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from entropy_asr.trainers.runs.locks import locked


def hold_lock(folder: Path, held) -> None:
    with locked(folder):
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        worker.start()
        held.put(worker.pid)
        time.sleep(60)


def test_stage_cannot_run_twice_at_once_and_a_killed_one_gives_the_lock_back(tmp_path):
    """A data loader's worker, which may outlive a killed run, does not hold the lock."""
    context = multiprocessing.get_context("fork")
    held = context.Queue()
    process = context.Process(target=hold_lock, args=(tmp_path, held))
    process.start()
    worker = held.get(timeout=20)
    with pytest.raises(ValueError, match=f"running already, in process {process.pid}"), locked(tmp_path):
        pass
    process.kill()
    process.join()
    with locked(tmp_path), pytest.raises(ValueError, match=f"in process {os.getpid()}"), locked(tmp_path):
        pass
    os.kill(worker, signal.SIGKILL)  # it outlived the run, and is not needed any more


def test_processes_of_one_run_share_its_folder(tmp_path, monkeypatch):
    """The first of them holds the lock for all."""
    with locked(tmp_path):
        monkeypatch.setenv("RANK", "1")
        with locked(tmp_path):
            pass


def test_folder_of_a_finished_run_is_free_again(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "new"):
            pass
