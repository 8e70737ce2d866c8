# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whole folders and thin ones of one model: what a folder says it is, it is; what cannot be honoured is refused."""

import pytest
import torch
from small_models import save_public_parts
from transformers import AutoModel

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRModel
from entropy_asr.modeling.components_entropy_asr import THIN_WEIGHTS


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> EntropyASRForConditionalGeneration:
    parts = save_public_parts(tmp_path_factory.mktemp("parts"))
    return EntropyASRForConditionalGeneration.from_components(*parts, dtype="float32")


def test_public_parts_of_the_hub_are_known_also_to_whole_folders(model, tmp_path):
    parts = model.config.public_parts
    model.config.public_parts = {**parts, "language_model": {"path": "google/gemma-3-270m"}}
    model.save_pretrained(tmp_path)
    model.config.public_parts = parts
    config = EntropyASRForConditionalGeneration.from_pretrained(tmp_path).config
    assert config.public_parts == {"language_model": {"path": "google/gemma-3-270m"}}


def test_saved_another_way_into_the_same_folder_the_old_weights_go(model, tmp_path):
    model.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path, thin=True)
    assert not (tmp_path / "model.safetensors").exists()
    model.save_pretrained(tmp_path)
    assert not (tmp_path / THIN_WEIGHTS).exists()
    state = AutoModel.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_who_knows_nothing_of_thin_folders_finds_no_weights(model, tmp_path):
    model.save_pretrained(tmp_path, thin=True)
    with pytest.raises(OSError, match="model.safetensors"):
        EntropyASRModel.from_pretrained(tmp_path)


def test_a_model_may_be_saved_thin_without_being_asked_each_time(model, tmp_path):
    model.saves_thin = True
    model.save_pretrained(tmp_path / "thin")
    model.save_pretrained(tmp_path / "whole", thin=False)
    model.saves_thin = False
    assert (tmp_path / "thin" / THIN_WEIGHTS).is_file() and (tmp_path / "whole" / "model.safetensors").is_file()
    assert (tmp_path / "thin" / "processor_config.json").is_file()


@pytest.mark.parametrize("argument", [{"push_to_hub": True}, {"max_shard_size": "1GB"}, {"variant": "fp16"}])
def test_what_a_thin_folder_cannot_have_is_refused(argument, model, tmp_path):
    with pytest.raises(ValueError, match=f"without `{next(iter(argument))}`"):
        model.save_pretrained(tmp_path, thin=True, **argument)
    with pytest.raises(ValueError, match="`adapters` are for thin folders"):
        model.save_pretrained(tmp_path, adapters={})
