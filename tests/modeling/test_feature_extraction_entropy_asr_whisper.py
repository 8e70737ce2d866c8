# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whisper's features with a fixed floor: against transformers' extractor, in streams, saved, refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoFeatureExtractor, WhisperFeatureExtractor

from entropy_asr.modeling import EntropyASRFeatureStream, EntropyASRWhisperFeatureExtractor


@pytest.fixture(scope="module")
def extractor() -> EntropyASRWhisperFeatureExtractor:
    return EntropyASRWhisperFeatureExtractor()


@pytest.mark.parametrize("channels", [80, 128])
def test_features_are_whispers_where_the_floor_is(channels, waveforms):
    """Whisper raises what is 8 (on a scale of log10) below the loudest energy, then halves twice."""
    samples = waveforms[2]
    expected = WhisperFeatureExtractor(feature_size=channels)(samples, sampling_rate=16000, return_tensors="pt")
    expected = expected["input_features"][0].T[: len(samples) // 160]
    floor = float(expected.min()) * 4 - 4
    features = EntropyASRWhisperFeatureExtractor(channels, floor=floor).extract(torch.from_numpy(samples))
    assert features.shape == expected.shape == (len(samples) // 160, channels)
    assert (features - expected).abs().max() < 1e-4


def test_loudness_elsewhere_changes_no_frame(extractor, waveforms):
    samples = torch.from_numpy(waveforms[0])
    louder = torch.cat([samples, torch.full((16000,), 0.9)])
    assert torch.equal(extractor.extract(louder)[:98], extractor.extract(samples)[:98])


def test_silence_is_the_floor(extractor):
    assert torch.equal(extractor.extract(torch.zeros(800)), torch.full((5, 80), -1.0))


def test_a_batch_gives_each_items_own_features(extractor, waveforms):
    batch = extractor(waveforms, sampling_rate=16000, return_tensors="pt")
    counts = [max(1, len(samples) // 160) for samples in waveforms]
    assert batch["attention_mask"].sum(-1).tolist() == counts
    for row, samples in enumerate(waveforms):
        alone = extractor(samples, return_tensors="pt")["input_features"][0]
        assert torch.equal(batch["input_features"][row, : counts[row]], alone)


@given(length=st.integers(1, 3000), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_stream_of_portions_has_the_frames_of_the_whole(length, seed):
    extractor, rng = EntropyASRWhisperFeatureExtractor(), np.random.default_rng(seed)
    samples = rng.normal(scale=0.1, size=length).astype(np.float32)
    stream, frames = EntropyASRFeatureStream(extractor), []
    for piece in np.split(samples, np.sort(rng.integers(0, length + 1, 6))):
        stream.push(piece)
        assert torch.equal(stream.peek(stream.num_ready), stream.peek(stream.num_ready))
        frames.append(stream.take(rng.integers(0, stream.num_ready + 1)))
    stream.finish()
    frames.append(stream.take(stream.num_ready))
    whole = extractor.extract(torch.from_numpy(samples))
    assert torch.cat(frames).shape == whole.shape == (max(1, length // 160), 80)
    assert (torch.cat(frames) - whole).abs().max() < 1e-5


def test_an_extractor_of_whisper_is_taken_over_and_saved(tmp_path):
    extractor = EntropyASRWhisperFeatureExtractor.from_whisper(WhisperFeatureExtractor(feature_size=128), floor=-7.5)
    extractor.save_pretrained(tmp_path)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(loaded) is EntropyASRWhisperFeatureExtractor
    assert (loaded.feature_size, loaded.floor) == (128, -7.5)
    with pytest.raises(ValueError, match="not 400 every 80"):
        EntropyASRWhisperFeatureExtractor.from_whisper(WhisperFeatureExtractor(hop_length=80))


def test_another_sampling_rate_is_refused(extractor, waveforms):
    with pytest.raises(ValueError, match="16000 Hz"):
        EntropyASRWhisperFeatureExtractor(sampling_rate=8000)
    with pytest.raises(ValueError, match="8000 Hz"):
        extractor(waveforms[0], sampling_rate=8000)
