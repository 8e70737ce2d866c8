# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What tests of data share."""

import pytest
from kokoro_folder import forget_readers, install_readers, make_kokoro_folder

from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.sources import load_source


@pytest.fixture
def load(tmp_path):
    return lambda *args, **kwargs: load_source(DataSource(*map(str, args), **kwargs), tmp_path / "cache")


@pytest.fixture
def kokoro_readers(monkeypatch):
    """Readers in the place of the packages of the extra kokoro, which need not be installed."""
    install_readers(monkeypatch)
    yield
    forget_readers()


@pytest.fixture
def kokoro_weights(tmp_path, kokoro_readers):
    """Folder of a small network in the place of Kokoro's."""
    return make_kokoro_folder(tmp_path / "kokoro")
