# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Saved models without the time that copies of their code take."""

import functools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import dynamic_module_utils


@contextmanager
def code_is_copied_once() -> Iterator[None]:
    """No copies of code onto itself.

    Saved models carry their code, which transformers looks up and copies for each of their parts again, seven times
    for a full model: close to half of what a stage of a few steps costs.
    """

    def copyfile(source: str, target: Path) -> Path:
        is_there = os.path.exists(target) and os.path.getsize(target) == os.path.getsize(source)
        return target if is_there else shutil.copyfile(source, target)

    needed = functools.cache(dynamic_module_utils.get_relative_import_files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamic_module_utils, "shutil", SimpleNamespace(**{**vars(shutil), "copyfile": copyfile}))
        patch.setattr(dynamic_module_utils, "get_relative_import_files", needed)
        yield
