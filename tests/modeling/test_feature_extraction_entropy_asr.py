# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Features against kaldi-native-fbank, batches against single items, refused audio."""

import kaldi_native_fbank as knf
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoFeatureExtractor

from entropy_asr.modeling import AudioError, EntropyASRFeatureExtractor, EntropyASRFeatureStream, load_audio


@pytest.fixture(scope="module")
def extractor() -> EntropyASRFeatureExtractor:
    return EntropyASRFeatureExtractor()


def kaldi_features(samples: np.ndarray) -> np.ndarray:
    """80 log-Mel energies of 25 ms every 10 ms without dither, by kaldi-native-fbank."""
    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = 80
    fbank = knf.OnlineFbank(options)
    fbank.accept_waveform(16000, (samples * 32768).tolist())
    fbank.input_finished()
    return np.stack([fbank.get_frame(index) for index in range(fbank.num_frames_ready)])


def assert_kaldis(features: np.ndarray, samples: np.ndarray) -> None:
    """Equal within 1e-3 wherever single precision can say: Kaldi's spectrum is rounded at about -140 dB of a frame's
    strongest channel, which moves the logarithm by 1e-3 in channels more than 70 dB below it."""
    expected = kaldi_features(samples)
    assert features.shape == expected.shape
    difference = np.abs(features - expected)
    audible = expected >= expected.max(axis=1, keepdims=True) - 7 * np.log(10)
    assert difference[audible].max() < 1e-3


SIGNALS = {
    "noise": lambda time, rng: 0.1 * rng.normal(size=len(time)),
    "tone": lambda time, rng: 0.5 * np.sin(2 * np.pi * 440 * time),
    "sweep": lambda time, rng: 0.5 * np.sin(2 * np.pi * 2000 * time**2),
    "clicks": lambda time, rng: (np.arange(len(time)) % 1600 == 0).astype(float),
    "offset": lambda time, rng: 0.3 + 0.01 * rng.normal(size=len(time)),
}


@pytest.mark.parametrize("signal", SIGNALS)
def test_features_of_synthetic_signals_are_kaldis(extractor, signal):
    time = np.arange(20011) / 16000
    samples = np.clip(SIGNALS[signal](time, np.random.default_rng(0)), -1, 1).astype(np.float32)
    assert_kaldis(extractor.filterbank(torch.from_numpy(samples)).numpy(), samples)


@pytest.mark.parametrize("dataset", ["librispeech_subset", "aishell_sample", "fsdd_digits", "speech_commands_mini"])
def test_features_of_real_recordings_are_kaldis(extractor, data_dir, dataset):
    file = min((data_dir / dataset).rglob("*.parquet"))
    rows = next(pq.ParquetFile(file).iter_batches(batch_size=5, columns=["audio"])).to_pylist()
    for row in rows:
        samples = load_audio(row["audio"])
        features = extractor.filterbank(torch.from_numpy(samples)).numpy()
        assert_kaldis(features, samples)
        # Of all values, those in channels of near-silence too.
        assert (np.abs(features - kaldi_features(samples)) > 1e-3).mean() < 2e-3


def test_a_batch_gives_each_items_own_features(extractor, waveforms):
    batch = extractor(waveforms, sampling_rate=16000, return_tensors="pt")
    assert batch["input_features"].shape == (8, extractor.num_frames(30011), 80)
    for features, mask, samples in zip(batch["input_features"], batch["attention_mask"], waveforms, strict=True):
        alone = extractor(samples, sampling_rate=16000, return_tensors="pt")["input_features"][0]
        assert mask.sum() == len(alone) == extractor.num_frames(len(samples))
        assert torch.equal(features[: len(alone)], alone)
        assert features[len(alone) :].abs().sum() == 0


def test_a_clip_shorter_than_a_window_gives_one_frame(extractor):
    assert extractor(np.full(10, 0.1, np.float32), return_tensors="pt")["input_features"].shape == (1, 1, 80)


def test_integer_stereo_and_lists_are_the_same_speech(extractor, waveforms):
    pcm = (waveforms[0] * 32767).astype(np.int16)
    expected = extractor((pcm / 32768).astype(np.float32), return_tensors="pt")["input_features"]
    for same in (pcm, np.stack([pcm, pcm]), torch.from_numpy(pcm), (pcm / 32768).tolist()):
        assert torch.allclose(extractor(same, return_tensors="pt")["input_features"], expected, atol=1e-4)


def test_normalisation_uses_the_given_statistics_and_is_saved(waveforms, tmp_path):
    mean, std = np.linspace(1, 9, 80).tolist(), np.linspace(2, 3, 80).tolist()
    extractor = EntropyASRFeatureExtractor(cmvn_mean=mean, cmvn_std=std)
    extractor.save_pretrained(tmp_path)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)
    plain = extractor.filterbank(torch.from_numpy(waveforms[1]))
    features = loaded(waveforms[1], return_tensors="pt")["input_features"][0]
    assert torch.allclose(features, (plain - torch.tensor(mean)) / torch.tensor(std))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"cmvn_mean": [0.0]}, "cmvn_mean"), ({"cmvn_std": [0.0] * 80}, "positive")],
)
def test_wrong_statistics_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        EntropyASRFeatureExtractor(**settings)


def test_another_sampling_rate_is_refused(extractor, waveforms):
    with pytest.raises(ValueError, match=r"16000 Hz.*8000 Hz"):
        extractor(waveforms[0], sampling_rate=8000)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros(0, np.float32), "no samples"),
        (np.array([0.0, np.nan], np.float32), "NaN"),
        (np.zeros(100, np.complex64), "complex64"),
        (np.zeros((2, 2, 2), np.float32), "dimensions"),
        ("speech", None),
    ],
)
def test_bad_items_are_named(extractor, waveforms, bad, message):
    with pytest.raises(AudioError, match="Audio item 1: .*" + (message or "speech")):
        extractor([waveforms[0], bad])


def test_an_empty_batch_is_refused(extractor):
    with pytest.raises(ValueError, match="empty"):
        extractor([])


@pytest.mark.parametrize("length", [1, 399, 400, 559, 560, 5000, 16003])
@pytest.mark.parametrize("seed", range(4))
def test_a_stream_of_portions_has_the_frames_of_the_whole(length, seed):
    rng = np.random.default_rng(seed)
    waveform = rng.uniform(-0.5, 0.5, length).astype(np.float32)
    extractor = EntropyASRFeatureExtractor()
    stream, frames = EntropyASRFeatureStream(extractor), []
    for portion in np.split(waveform, np.sort(rng.integers(0, length + 1, 40 * seed))):
        stream.push(portion)
        if stream.num_ready > 3:
            frames.append(stream.take(int(rng.integers(1, stream.num_ready))))
    stream.finish()
    frames.append(stream.take(stream.num_ready))
    expected = extractor.extract(torch.from_numpy(waveform))
    assert torch.cat(frames).shape == expected.shape
    assert (torch.cat(frames) - expected).abs().max() < 1e-4
    stream.finish()
    assert stream.num_ready == 0
    with pytest.raises(ValueError, match="are ready"):
        stream.take(1)
