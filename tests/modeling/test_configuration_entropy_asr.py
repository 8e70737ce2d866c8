# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sizes of the presets, refused settings, and the length formula against the true output of many encoders."""

import pytest
import torch
from small_models import small_config, small_encoder_config
from transformers import AutoConfig

from entropy_asr.modeling import (
    EntropyASRConfig,
    EntropyASRCTCConfig,
    EntropyASREncoderConfig,
)
from entropy_asr.modeling.configuration_entropy_asr import NUM_PHONEMES
from entropy_asr.modeling.modeling_entropy_asr import EntropyASRForConditionalGeneration


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_paper_preset_has_the_papers_sizes():
    with torch.device("meta"):
        model = EntropyASRForConditionalGeneration(EntropyASRConfig.paper())
    assert num_parameters(model) == pytest.approx(2.3e9, rel=0.03)
    assert num_parameters(model.model.audio_tower) == pytest.approx(600e6, rel=0.03)


def test_tiny_preset_stays_below_12_million_parameters():
    with torch.device("meta"):
        model = EntropyASRForConditionalGeneration(EntropyASRConfig.tiny())
    assert num_parameters(model) <= 12e6


def test_default_phoneme_heads_fit_the_built_in_phonemes(phoneme_tokenizer):
    sizes = {EntropyASRConfig().phoneme_vocab_size, EntropyASRConfig.tiny().phoneme_vocab_size}
    assert {*sizes, EntropyASRCTCConfig().vocab_size} == {len(phoneme_tokenizer)}


@pytest.mark.parametrize("config_class", [EntropyASRConfig, EntropyASRCTCConfig, EntropyASREncoderConfig])
def test_saved_configuration_loads_equal(config_class, tmp_path):
    config = config_class(initializer_range=0.5)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is config_class
    assert {**loaded.to_dict(), "_name_or_path": ""} == config.to_dict()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adaptor_stacking": 0}, "adaptor_stacking"),
        ({"phoneme_blank_token_id": NUM_PHONEMES}, "phoneme_blank_token_id"),
        ({"audio_token_id": 300}, "audio_token_id"),
    ],
)
def test_parts_that_do_not_fit_are_refused(settings, message):
    fields = {"text_config": small_config().text_config.to_dict(), "audio_token_id": 3, **settings}
    with pytest.raises(Exception, match=message):
        EntropyASRConfig(**fields)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": 30}, "hidden_size"),
        ({"chunk_size": -1}, "chunk_size"),
        ({"left_chunks": -2}, "left_chunks"),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}}, "rope_parameters"),
    ],
)
def test_encoders_that_cannot_be_built_are_refused(settings, message):
    with pytest.raises(Exception, match=message):
        small_encoder_config(**settings)


def test_ctc_settings_that_cannot_be_trained_are_refused():
    with pytest.raises(Exception, match="CTC blank"):
        EntropyASRCTCConfig(pad_token_id=NUM_PHONEMES)
    with pytest.raises(Exception, match="ctc_loss_reduction"):
        EntropyASRCTCConfig(ctc_loss_reduction="average")
