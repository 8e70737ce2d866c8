# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Other weights and other recordings are noticed; another place, cards and results are none."""

import shutil

import pytest

from entropy_asr.trainers.transcription.identity import SAMPLE_BYTES, contents_of, model_identity


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(3 * SAMPLE_BYTES))
    (folder / "config.json").write_text("{}")
    return folder


def test_a_model_is_told_by_what_it_computes(model, tmp_path):
    before = model_identity(str(model))
    (model / "README.md").write_text("a card")
    (model / "results.json").write_text("{}")
    assert model_identity(str(model)) == before
    assert model_identity(str(shutil.copytree(model, tmp_path / "copy"))) == before
    with (model / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    changed = model_identity(str(model))
    assert changed != before
    (model / "config.json").write_text('{"hidden_size": 8}')
    assert model_identity(str(model)) not in (before, changed)


def test_weights_that_changed_in_the_middle_alone_are_others(model):
    """As of a language model between an encoder and a head that were both frozen."""
    size, told = 64 * 2**20, set()
    for value in (b"a", b"b"):
        with (model / "model.safetensors").open("wb") as file:
            file.truncate(size)
            file.seek(size // 2)
            file.write(value * (size // 100))
        told.add(model_identity(str(model)))
    assert len(told) == 2


def test_what_is_on_the_hub_is_told_by_its_name():
    assert model_identity("my-org/my-model") == "my-org/my-model"
    assert contents_of("my-org/my-speech") == "my-org/my-speech"


def test_a_data_set_is_told_by_its_files(tmp_path):
    folder = tmp_path / "speech"
    (folder / "data").mkdir(parents=True)
    file = folder / "data" / "a.parquet"
    file.write_bytes(b"1234")
    before, alone = contents_of(str(folder)), contents_of(str(file))
    assert contents_of(str(shutil.copytree(folder, tmp_path / "copy"))) == before
    file.write_bytes(b"12345")
    assert contents_of(str(folder)) != before and contents_of(str(file)) != alone
