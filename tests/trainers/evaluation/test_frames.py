# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Encoder frames of checkpoints: alone as in a batch, with layers and the adaptor's output."""

import numpy as np
import pytest
import torch
from datasets import load_from_disk

from entropy_asr.trainers.evaluation.frames import at_same_times, load_speech_encoder


def test_frames_of_a_batch_are_those_of_each_alone(components):
    encoder = load_speech_encoder(str(components / "encoder"))
    sounds = [np.asarray(row["samples"], np.float32) / 32768 for row in load_from_disk(components / "rows")][:3]
    batch = encoder.encode(sounds, layers=True)
    for item, samples in zip(batch, sounds, strict=True):
        alone = encoder.encode([samples])[0].frames
        assert torch.allclose(item.frames, alone, atol=1e-5)
        assert all(len(layer) == len(alone) for layer in item.layers)


def test_frames_at_the_same_times():
    frames = torch.arange(8.0)[:, None]
    assert at_same_times(frames, 8)[:, 0].tolist() == list(range(8))
    assert at_same_times(frames, 4)[:, 0].tolist() == [1, 3, 5, 7]
    assert at_same_times(frames[:2], 4)[:, 0].tolist() == [0, 0, 1, 1]


def test_the_adaptors_output_is_that_of_each_utterance_alone(components):
    encoder = load_speech_encoder(str(components / "full"))
    sounds = [np.asarray(row["samples"], np.float32) / 32768 for row in load_from_disk(components / "rows")][:3]
    for item, samples in zip(encoder.encode(sounds, layers=True), sounds, strict=True):
        inputs = encoder.processor(audio=samples)
        with torch.no_grad():
            alone = encoder.full_model.get_audio_features(
                **{k: inputs[k] for k in ("input_features", "input_features_mask")}
            )
        assert torch.allclose(item.adapted, alone.pooler_output, atol=1e-5)
    assert encoder.encode(sounds[:1])[0].adapted is None


def test_a_checkpoint_without_a_phoneme_head_cannot_align(components, tmp_path):
    encoder = load_speech_encoder(str(components / "encoder"))
    encoder.phoneme_head = None
    with pytest.raises(ValueError, match="has no phoneme head"):
        encoder.phoneme_log_probs(np.zeros(16000, np.float32))
