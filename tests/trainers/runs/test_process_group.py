# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A command that is done leaves its group of processes, or the last of it may be aborted and fail the whole launch."""

import pytest
import torch.distributed

from entropy_asr.trainers.commands import cli, export
from entropy_asr.trainers.runs.errors import CommandError
from entropy_asr.trainers.runs.process_group import leave_process_group


@pytest.fixture
def join(tmp_path):
    """Joins a group, as a trainer does."""
    place = f"file://{tmp_path}/store"
    yield lambda: torch.distributed.init_process_group("gloo", init_method=place, rank=0, world_size=1)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def test_alone_there_is_nothing_to_leave():
    leave_process_group()
    assert not torch.distributed.is_initialized()


def test_a_command_that_is_done_leaves_the_group_that_it_joined(monkeypatch, join):
    monkeypatch.setattr(export, "run", lambda args: join() or 0)
    assert cli.main(["export", "--model", "model", "-o", "folder"]) == 0
    assert not torch.distributed.is_initialized()


def test_a_group_of_the_caller_stays(monkeypatch, join):
    join()
    monkeypatch.setattr(export, "run", lambda args: 0)
    assert cli.main(["export", "--model", "model", "-o", "folder"]) == 0
    assert torch.distributed.is_initialized()


def test_after_an_error_others_may_be_waiting_and_the_group_stays(monkeypatch, join):
    def fails(args):
        join()
        raise CommandError("no such file")

    monkeypatch.setattr(export, "run", fails)
    assert cli.main(["export", "--model", "model", "-o", "folder"]) == 2
    assert torch.distributed.is_initialized()
