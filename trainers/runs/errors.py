# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Errors that tell a user what to mend: the command line shows them without a traceback."""

from collections.abc import Iterable
from typing import Any


class CommandError(Exception):
    """A reason why a command cannot start."""


class SettingsError(ValueError):
    """A setting that cannot be meant.

    Args:
        message: What is wrong.
        key: Names, and numbers in lists, that lead to the setting: where it was written is looked up by them.
    """

    def __init__(self, message: str, key: Iterable[str | int] = ()):
        super().__init__(message)
        self.key = tuple(key)


def shown(value: Any) -> str:
    """A value as messages quote it."""
    # What commands import first must not import torch.
    from ...modeling.messages_entropy_asr import shortened

    return shortened(repr(value), 200)


class StageFailed(RuntimeError):
    """A stage that ran in processes of its own ended with an error, which it has shown itself."""
