# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Saved components that the tests of the training stages start from."""

import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def _code_is_copied_once() -> Iterator[None]:
    """No copies of code onto itself.

    Saved models carry their code, which transformers looks up and copies for each of their parts again, seven times
    for a full model: close to half of what a stage of a few steps costs.
    """
    from transformers import dynamic_module_utils

    def copyfile(source: str, target: Path) -> Path:
        is_there = os.path.exists(target) and os.path.getsize(target) == os.path.getsize(source)
        return target if is_there else shutil.copyfile(source, target)

    needed = functools.cache(dynamic_module_utils.get_relative_import_files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamic_module_utils, "shutil", SimpleNamespace(**{**vars(shutil), "copyfile": copyfile}))
        patch.setattr(dynamic_module_utils, "get_relative_import_files", needed)
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
    from training_helpers import small_encoder, small_text_config

    from entropy_asr.modeling import EntropyASRConfig

    def tiny(cls, vocab_size=400):
        audio_config, text_config = small_encoder().config.audio_config, small_text_config(vocab_size)
        return cls(audio_config=audio_config.to_dict(), text_config=text_config.to_dict(), audio_token_id=3)

    monkeypatch.setattr(EntropyASRConfig, "tiny", classmethod(tiny))


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
