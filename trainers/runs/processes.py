# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which of several processes this is, where no trainer has found it out."""

import os

import torch
from accelerate import PartialState

from .settings import PATIENCE, SettingsError


def process_state(on_cpu: bool = False) -> PartialState:
    """accelerate's state of this process, one of those that a launcher started or the only one.

    Args:
        on_cpu: Work on processors although there is an accelerator. Unless it is told, accelerate takes several
            processes on processors each for the only one.

    Raises:
        SettingsError: a launcher started several processes, and accelerate was asked before by somebody who told it
            nothing.
    """
    on_cpu = on_cpu or not torch.accelerator.is_available()
    patience = {"timeout": PATIENCE} if int(os.environ.get("WORLD_SIZE", "1")) > 1 else {}
    state = PartialState(cpu=on_cpu, **patience)
    if state.num_processes != int(os.environ.get("WORLD_SIZE", "1")):
        raise SettingsError(
            f"By the environment (WORLD_SIZE) {os.environ['WORLD_SIZE']} processes were started, but accelerate knows "
            f"of {state.num_processes}: start them by accelerate launch or torchrun, or unset WORLD_SIZE.",
            (),
        )
    return state
