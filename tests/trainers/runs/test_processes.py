# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which of several processes this is; several real ones are in the tests of `evaluate` and `transcribe`."""

import pytest

from entropy_asr.trainers.runs.processes import process_state
from entropy_asr.trainers.runs.settings import SettingsError


def test_alone_it_is_the_main_one():
    state = process_state(on_cpu=True)
    assert (state.num_processes, state.process_index) == (1, 0) and state.is_main_process


def test_processes_that_do_not_know_of_each_other_are_refused(monkeypatch):
    process_state(on_cpu=True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match=r"WORLD_SIZE\) 2 processes were started, but accelerate knows of 1"):
        process_state(on_cpu=True)
