# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Features from exported settings, by numpy alone, are those of the checkpoint."""

import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from entropy_asr.hub_cards.portable_features import portable_features
from entropy_asr.hub_cards.run_onnx import compute_features
from entropy_asr.modeling.feature_extraction_entropy_asr import EntropyASRFeatureExtractor
from entropy_asr.modeling.feature_extraction_entropy_asr_whisper import EntropyASRWhisperFeatureExtractor


STATISTICS = {"cmvn_mean": list(np.linspace(8, 14, 80)), "cmvn_std": list(np.linspace(2, 4, 80))}
EXTRACTORS = {
    "kaldi": EntropyASRFeatureExtractor(**STATISTICS),
    "kaldi, 40 channels": EntropyASRFeatureExtractor(feature_size=40),
    "whisper": EntropyASRWhisperFeatureExtractor(),
    "whisper, 128 channels": EntropyASRWhisperFeatureExtractor(feature_size=128, floor=-6.0),
}


@pytest.mark.parametrize("name", EXTRACTORS)
@pytest.mark.parametrize("num_samples", [1, 150, 400, 560, 16077])
def test_numpy_computes_the_features_that_the_encoder_was_trained_on(name, num_samples):
    extractor = EXTRACTORS[name]
    samples = np.random.default_rng(0).normal(0, 0.1, num_samples).astype(np.float32)
    expected = extractor(samples, sampling_rate=16000, return_tensors="np")["input_features"][0]
    features = compute_features(samples, *portable_features(extractor))
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, atol=2e-4)


@pytest.mark.parametrize("name", ["kaldi", "whisper"])
def test_silence_has_the_features_of_the_floor(name):
    expected = EXTRACTORS[name](np.zeros(3200, np.float32), return_tensors="np")["input_features"][0]
    features = compute_features(np.zeros(3200, np.float32), *portable_features(EXTRACTORS[name]))
    np.testing.assert_allclose(features, expected, atol=1e-4)


def test_features_of_another_project_are_refused():
    with pytest.raises(ValueError, match="WhisperFeatureExtractor"):
        portable_features(WhisperFeatureExtractor())
