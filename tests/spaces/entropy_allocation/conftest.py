# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The metric, as users load it."""

from pathlib import Path

import evaluate
import pytest

import entropy_asr.spaces


@pytest.fixture(scope="session")
def folder() -> Path:
    return Path(entropy_asr.spaces.__file__).parent / "entropy_allocation"


@pytest.fixture
def metric(folder):
    return evaluate.load(str(folder))
