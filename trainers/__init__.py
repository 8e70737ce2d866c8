# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training stages, the data they read, evaluation and the command line.

The trainer of each stage of `stages.STAGES` and the trainer's arguments can be imported from here.
"""

import importlib
from typing import Any

from . import former_paths


former_paths.install()


# Imported when first asked for (PEP 562): the command line's --help must not wait for torch.
def __getattr__(name: str) -> Any:
    # No name of a trainer: what Python's own machinery asks for, and submodules.
    if name.endswith(("Config", "Trainer")):
        importlib.import_module("entropy_asr.modeling")  # before transformers: it checks torch and torchaudio
        stages = importlib.import_module(".stages", __name__)
        if name in (names := stages.public_names()):
            return getattr(importlib.import_module(names[name], stages.__name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *importlib.import_module(".stages", __name__).public_names()])
