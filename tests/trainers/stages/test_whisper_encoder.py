# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stages on a public encoder: Whisper's gets a phoneme head, is trained in chunks, joined, and read by reports."""

import json

import torch
import transformers
from small_models import small_whisper
from training_helpers import stage_section

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRForCTC, load_pipeline
from entropy_asr.trainers.evaluation.frames import load_speech_encoder
from entropy_asr.trainers.recipes.recipe import run_section


def test_whisper_is_pretrained_on_phonemes_in_chunks_and_joined(components, tmp_path):
    """The first of two layers, with features that stream from the first stage to the pipeline."""
    small_whisper("WhisperForConditionalGeneration").save_pretrained(tmp_path / "whisper")
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(tmp_path / "whisper")
    section = stage_section("encoder", components, max_steps=4, save_steps=4)
    section["model"] = {"path": str(tmp_path / "whisper"), "num_layers": 1}
    section["training"] |= {"consistency_weight": 0.2, "chunk_sizes": [0, 8], "left_chunks": [2, -1]}
    run_section("encoder", section, tmp_path / "encoder", 7)
    trained = EntropyASRForCTC.from_pretrained(tmp_path / "encoder")
    assert trained.config.audio_config.model_type == "entropy_asr_whisper_encoder"
    assert len(trained.audio_tower.layers) == 1
    before = small_whisper("WhisperForConditionalGeneration").get_encoder().state_dict()
    assert not torch.equal(trained.audio_tower.conv1.weight.cpu(), before["conv1.weight"])
    torch.testing.assert_close(trained.audio_tower.embed_positions.weight[:1500], before["embed_positions.weight"])

    section = stage_section("alignment", components, max_steps=2, save_steps=2)
    section["model"]["encoder"] = str(tmp_path / "encoder")
    run_section("alignment", section, tmp_path / "aligned", 7)
    history = json.loads((tmp_path / "aligned" / "stage.json").read_text())["history"]
    assert all(entry["loss"] > 0 for entry in history if "loss" in entry)
    joined = EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "aligned")
    assert joined.config.adaptor_stacking == 8 and joined.config.phoneme_head_trained
    tower = trained.audio_tower.state_dict()
    assert all(torch.equal(weight, tower[name]) for name, weight in joined.model.audio_tower.state_dict().items())
    pipe = load_pipeline(tmp_path / "aligned", device="cpu")
    assert isinstance(pipe({"raw": torch.randn(16000).numpy() / 10, "sampling_rate": 16000})["text"], str)
    encoder = load_speech_encoder(str(tmp_path / "encoder"), device="cpu")
    assert encoder.encode([torch.randn(16000).numpy() / 10])[0].frames.shape == (50, 32)
