# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Saved components that the tests of the training stages start from."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def components(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with rows, noise, a CTC encoder, a language model and a full model, each of a few thousand parameters."""
    # Imports every training library: only for the tests that use it.
    from training_helpers import save_components

    folder = tmp_path_factory.mktemp("components")
    save_components(folder)
    return folder
