# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The paper's own start: FireRedASR's encoder gets a phoneme head, is trained in chunks, joined and reported."""

import json

import pytest
import torch
from published_firered import write_checkpoint
from training_helpers import stage_section

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRForCTC
from entropy_asr.modeling.firered_checkpoint_entropy_asr import read_cmvn
from entropy_asr.modeling.speech_models_entropy_asr import load_speech_model
from entropy_asr.trainers.commands.checks import ENCODER_FILES, CommandError, check_model
from entropy_asr.trainers.evaluation.frames import load_speech_encoder
from entropy_asr.trainers.recipes.recipe import run_section


@pytest.fixture
def published(tmp_path):
    write_checkpoint(tmp_path / "FireRedASR-AED-L")
    return tmp_path / "FireRedASR-AED-L"


def test_firered_is_pretrained_on_phonemes_in_chunks_and_joined(components, published, tmp_path):
    section = stage_section("encoder", components, max_steps=2, save_steps=2, activation_checkpointing=True)
    section["model"] = {"path": str(published), "num_layers": 1}
    section["training"] |= {"consistency_weight": 0.2, "chunk_sizes": [0, 8], "left_chunks": [2, -1]}
    run_section("encoder", section, tmp_path / "encoder", 7)
    history = json.loads((tmp_path / "encoder" / "stage.json").read_text())["history"]
    assert all(entry["loss"] > 0 for entry in history if "loss" in entry)
    trained = EntropyASRForCTC.from_pretrained(tmp_path / "encoder")
    assert trained.config.audio_config.model_type == "entropy_asr_firered_encoder"
    before, after = load_speech_model(str(published)).state_dict(), trained.audio_tower.state_dict()
    assert after.keys() == {name for name in before if not name.startswith("layers.1.")}
    assert not any(torch.equal(weight, before[name]) for name, weight in after.items())

    section = stage_section("alignment", components, max_steps=2, save_steps=2)
    section["model"]["encoder"] = str(tmp_path / "encoder")
    run_section("alignment", section, tmp_path / "aligned", 7)
    joined = EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "aligned")
    assert joined.config.adaptor_stacking == 4 and joined.config.phoneme_head_trained
    assert all(torch.equal(weight, after[name]) for name, weight in joined.model.audio_tower.state_dict().items())
    mean, std = read_cmvn(published / "cmvn.ark")
    extractor = load_speech_encoder(str(tmp_path / "aligned"), device="cpu").feature_extractor
    assert (extractor.cmvn_mean, extractor.cmvn_std) == (mean, std)


def test_reports_read_the_published_encoder_as_it_is(published):
    check_model(str(published), files=ENCODER_FILES)
    encoder = load_speech_encoder(str(published), device="cpu")
    assert encoder.name == "FireRedASR-AED-L"
    assert encoder.encode([torch.randn(16000).numpy() / 10])[0].frames.shape == (25, 32)
    # It transcribes nothing by itself.
    with pytest.raises(CommandError, match=r"FireRedASR-AED-L: the folder holds no config\.json"):
        check_model(str(published))
