# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How one of several processes ends when it is done."""

import sys


def in_process_group() -> bool:
    """Whether this process is in a group of torch's; who has not imported torch is in none."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def leave_process_group() -> None:
    """End this process's part in a group that a trainer joined; without one, nothing.

    A process that ends inside its group may be aborted by threads of gloo's that are still running (status -6, and its
    launcher then ends all others), and NCCL warns. After an error the group is left alone: to leave it would wait for
    processes that wait for this one.
    """
    if in_process_group():
        sys.modules["torch.distributed"].destroy_process_group()
