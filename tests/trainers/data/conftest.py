# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What tests of data share."""

import pytest

from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.sources import load_source


@pytest.fixture
def load(tmp_path):
    return lambda *args, **kwargs: load_source(DataSource(*map(str, args), **kwargs), tmp_path / "cache")
