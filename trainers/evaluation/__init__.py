# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Error rates, and where the entropy of a checkpoint goes."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Names of error rates, which were a module of this name once."""
    if not name.startswith("_"):
        module = importlib.import_module(f"{__name__}.error_rates")
        if name in getattr(module, "__all__", ()) or callable(getattr(module, name, None)):
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
