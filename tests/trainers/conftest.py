# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Saved components that the tests of the training stages start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def _code_is_copied_once() -> Iterator[None]:
    from code_copies import code_is_copied_once

    with code_is_copied_once():
        yield


@pytest.fixture(scope="session")
def components(tmp_path_factory: pytest.TempPathFactory, _code_is_copied_once) -> Path:
    """Folder with rows, noise, a CTC encoder, a language model and a full model, each of a few thousand parameters."""
    # Imports every training library: only for the tests that use it.
    from training_helpers import save_components

    folder = tmp_path_factory.mktemp("components")
    save_components(folder)
    return folder


@pytest.fixture
def small_tiny(monkeypatch: pytest.MonkeyPatch, _code_is_copied_once) -> None:
    """The preset `tiny` with the sizes of the other tests' models."""
    from training_helpers import shrink_tiny

    shrink_tiny(monkeypatch)


@pytest.fixture(scope="module")
def encoded(components: Path) -> tuple:
    """Model, processor, rows and their encoded speech, without augmentation."""
    from training_helpers import make_rows

    from entropy_asr.trainers.data.collation import FeatureCollator
    from entropy_asr.trainers.data.encoded_speech import encode_speech
    from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids
    from entropy_asr.trainers.stages.sft import SFTModelSection

    model, processor = SFTModelSection(path=str(components / "full")).build()
    rows = add_phoneme_ids(make_rows(), processor.phoneme_tokenizer)
    speech = encode_speech(model, rows, FeatureCollator(processor.feature_extractor), 1, 0, max_batch_duration=3.0)
    return model, processor, rows, speech
