# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What augmentation does to samples and features: ratios, lengths and shares that were asked for, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, List, Value

from entropy_asr.trainers.data.augmentation import AugmentationConfig, SpeechAugmenter, change_speed, lowpass


RATE = 16000


def tone(frequency, seconds=1.0, level=0.1):
    return level * torch.sin(2 * torch.pi * frequency * torch.arange(int(seconds * RATE)) / RATE)


def noise_rows(*lengths, seed=0):
    rng = np.random.default_rng(seed)
    samples = [rng.integers(-8000, 8000, size=length).astype(np.int16) for length in lengths]
    return Dataset.from_dict({"samples": samples}, features=Features({"samples": List(Value("int16"))}))


def peak_frequency(samples):
    return torch.fft.rfft(samples).abs().argmax().item() * RATE / len(samples)


def rms_db(samples):
    return 10 * torch.log10(samples.square().mean()).item()


def everything():
    return AugmentationConfig(
        speed_factors=[0.9, 1.0, 1.1],
        noise_probability=0.7,
        silence_max_seconds=1.0,
        gain_db=6.0,
        lowpass_probability=0.5,
        num_frequency_masks=2,
        num_time_masks=10,
    )


def test_defaults_change_nothing():
    augmenter = SpeechAugmenter(AugmentationConfig())
    samples, features = tone(300), torch.randn(120, 80)
    assert torch.equal(augmenter.waveform(samples, np.random.default_rng(0)), samples)
    assert torch.equal(augmenter.spec_augment(features, np.random.default_rng(0)), features)


def test_same_generator_state_gives_the_same_result_and_inputs_stay_untouched():
    augmenter = SpeechAugmenter(everything(), noise_rows(9000, 40000))
    samples, features = tone(300), torch.randn(300, 80)
    kept_samples, kept_features = samples.clone(), features.clone()
    results = {}
    for seed in (0, 0, 1, 2, 3):
        torch.manual_seed(len(results))
        np.random.seed(len(results))
        result = augmenter.waveform(samples, np.random.default_rng(seed))
        assert torch.equal(results.setdefault(seed, result), result)
        result = augmenter.spec_augment(features, np.random.default_rng(seed))
        assert torch.equal(results.setdefault((seed, "features"), result), result)
    assert len({results[seed].sum().item() for seed in range(4)}) == 4
    assert torch.equal(samples, kept_samples)
    assert torch.equal(features, kept_features)


@pytest.mark.parametrize("factor", [0.9, 1.1, 1.15])
def test_speed_changes_length_and_pitch_together(factor):
    faster = change_speed(tone(1000), factor)
    assert len(faster) == pytest.approx(RATE / factor, abs=1)
    assert peak_frequency(faster) == pytest.approx(1000 * factor, rel=2e-3)
    assert rms_db(faster[100:-100]) == pytest.approx(rms_db(tone(1000)), abs=0.1)


def test_speed_factors_are_chosen_equally_often():
    augmenter = SpeechAugmenter(AugmentationConfig(speed_factors=[0.9, 1.0, 1.1]))
    rng = np.random.default_rng(0)
    lengths = [len(augmenter.waveform(torch.zeros(990), rng)) for _ in range(600)]
    counts = np.unique(lengths, return_counts=True)
    assert counts[0].tolist() == [900, 990, 1100]
    assert counts[1].min() > 160


@pytest.mark.parametrize("noise_length", [3000, 16000, 90000])
def test_noise_has_the_asked_signal_to_noise_ratio(noise_length):
    config = AugmentationConfig(noise_probability=1.0, snr_mean=6.0, snr_std=0.0)
    samples = tone(500)
    noisy = SpeechAugmenter(config, noise_rows(noise_length)).waveform(samples, np.random.default_rng(0))
    assert rms_db(samples) - rms_db(noisy - samples) == pytest.approx(6.0, abs=0.01)


def test_snr_follows_the_normal_distribution_and_noise_the_probability():
    config = AugmentationConfig(noise_probability=0.2, snr_mean=10.0, snr_std=5.0)
    augmenter, rng, samples = SpeechAugmenter(config, noise_rows(5000)), np.random.default_rng(0), tone(500, 0.1)
    differences = [augmenter.waveform(samples, rng) - samples for _ in range(3000)]
    ratios = [rms_db(samples) - rms_db(noise) for noise in differences if noise.any()]
    assert len(ratios) / 3000 == pytest.approx(0.2, abs=0.03)
    assert np.mean(ratios) == pytest.approx(10.0, abs=0.7)
    assert np.std(ratios) == pytest.approx(5.0, abs=0.5)


def test_silence_precedes_noise_at_both_ends_with_beta_lengths():
    config = AugmentationConfig(noise_probability=1.0, silence_max_seconds=1.0, snr_mean=60.0, snr_std=0.0)
    augmenter, rng, samples = SpeechAugmenter(config, noise_rows(5000)), np.random.default_rng(0), tone(500, 0.5, 0.5)
    added = []
    for _ in range(400):
        noisy = augmenter.waveform(samples, rng)
        start = int((noisy.abs() > 0.02).float().argmax())
        assert noisy[:start].abs().sum() > 0 or start < 3  # noise covers the silence
        torch.testing.assert_close(rms_db(noisy[start : start + 8000]), rms_db(samples), atol=0.1, rtol=0)
        added.append((start / RATE, (len(noisy) - start) / RATE - 0.5))
    added = np.array(added)
    assert added.max() < 1.0
    assert added.mean(axis=0) == pytest.approx([0.25, 0.25], abs=0.03)  # mean of Beta(1, 3)
    assert abs(np.corrcoef(added.T)[0, 1]) < 0.15


def test_silence_alone_is_zeros_around_untouched_speech():
    config = AugmentationConfig(silence_probability=0.25, silence_max_seconds=2.0)
    augmenter, rng, samples = SpeechAugmenter(config), np.random.default_rng(0), tone(500, 0.5, 0.5)
    rows = [augmenter.waveform(samples, rng) for _ in range(1000)]
    padded = [row for row in rows if len(row) > len(samples)]
    assert len(padded) / 1000 == pytest.approx(0.25, abs=0.04)
    for row in padded:
        start = int(row.nonzero()[0]) - int(samples.nonzero()[0])
        assert torch.equal(row[start : start + len(samples)], samples)
        assert not row[:start].any() and not row[start + len(samples) :].any()


def test_short_noise_is_looped_and_long_noise_is_cut_from_anywhere():
    config = AugmentationConfig(noise_probability=1.0, snr_std=0.0)
    samples, rng = tone(500), np.random.default_rng(0)
    looped = SpeechAugmenter(config, noise_rows(1000)).waveform(samples, rng) - samples
    torch.testing.assert_close(looped[:15000], looped[1000:], atol=1e-5, rtol=0)
    long = SpeechAugmenter(config, noise_rows(160000))
    starts = {round((long.waveform(samples, rng) - samples)[0].item(), 5) for _ in range(8)}
    assert len(starts) > 4


def test_silent_rows_get_no_noise_instead_of_nan():
    config = AugmentationConfig(noise_probability=1.0)
    silent = SpeechAugmenter(config, noise_rows(1000)).waveform(torch.zeros(800), np.random.default_rng(0))
    assert torch.equal(silent, torch.zeros(800))
    silent_noise = Dataset.from_dict({"samples": [[0] * 100]}, features=noise_rows(1).features)
    assert torch.equal(SpeechAugmenter(config, silent_noise).waveform(tone(50), np.random.default_rng(0)), tone(50))


def test_lowpass_keeps_the_telephone_band_without_delay():
    assert rms_db(lowpass(tone(2500), 3400, RATE)) == pytest.approx(rms_db(tone(2500)), abs=0.2)
    assert rms_db(lowpass(tone(4300), 3400, RATE)) < rms_db(tone(4300)) - 40
    torch.testing.assert_close(lowpass(tone(500), 3400, RATE)[200:-200], tone(500)[200:-200], atol=1e-3, rtol=0)
    assert len(lowpass(torch.ones(7), 3400, RATE)) == 7


def test_gain_stays_within_its_bounds():
    augmenter, rng = SpeechAugmenter(AugmentationConfig(gain_db=6.0)), np.random.default_rng(0)
    gains = [rms_db(augmenter.waveform(tone(500), rng)) - rms_db(tone(500)) for _ in range(200)]
    assert -6.01 < min(gains) < -5 and 5 < max(gains) < 6.01


@pytest.mark.parametrize("num_frames", [1, 7, 60, 300, 2000])
def test_time_masks_cover_at_most_their_share(num_frames):
    config = AugmentationConfig(num_time_masks=10, time_mask_width=50, time_mask_share=0.2)
    augmenter, rng = SpeechAugmenter(config), np.random.default_rng(0)
    masked = []
    for _ in range(200):
        features = augmenter.spec_augment(torch.ones(num_frames, 80), rng)
        assert ((features == 0).all(1) | (features == 1).all(1)).all()
        masked.append((features == 0).all(1).float().mean().item())
    assert max(masked) <= 0.2 + 1e-6
    assert max(masked) > 0.1 or num_frames < 60


def test_frequency_masks_reach_all_bins_and_their_full_width():
    config = AugmentationConfig(num_frequency_masks=1, frequency_mask_width=27)
    augmenter, rng = SpeechAugmenter(config), np.random.default_rng(0)
    masks = torch.stack([(augmenter.spec_augment(torch.ones(50, 80), rng) == 0).all(0) for _ in range(1000)])
    assert masks.sum(1).max() == 27
    assert masks.sum(1).min() == 0
    assert masks.any(0).all()


def test_cr_ctc_has_two_and_a_half_times_the_time_masks_of_other_stages():
    two, one = AugmentationConfig.paper(), AugmentationConfig.paper(views=1)
    assert (two.num_time_masks, two.time_mask_share) == (2.5 * one.num_time_masks, 2.5 * one.time_mask_share)
    assert replace(two, num_time_masks=10, time_mask_share=0.15) == one
    with pytest.raises(ValueError, match="views is 1, or 2"):
        AugmentationConfig.paper(views=3)


def test_two_views_differ():
    augmenter, rng = SpeechAugmenter(AugmentationConfig.paper(), noise_rows(100)), np.random.default_rng(0)
    features = torch.randn(400, 80)
    assert not torch.equal(augmenter.spec_augment(features, rng), augmenter.spec_augment(features, rng))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed_factors": [0.1]}, "speed_factors"),
        ({"noise_probability": 20}, "noise_probability"),
        ({"silence_probability": 20}, "silence_probability"),
        ({"silence_probability": 0.1}, "silence_max_seconds"),
        ({"time_mask_share": 1.5}, "time_mask_share"),
        ({"gain_db": -1.0}, "gain_db"),
        ({"num_time_masks": -1}, "num_time_masks"),
        ({"silence_alpha": 0.0}, "silence_alpha"),
        ({"lowpass_min_hz": 4000.0, "lowpass_max_hz": 3400.0}, "lowpass_min_hz"),
    ],
)
def test_wrong_config_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**change)


def test_augmenter_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="needs noise rows"):
        SpeechAugmenter(AugmentationConfig(noise_probability=0.1))
    with pytest.raises(ValueError, match="decode_ahead"):
        SpeechAugmenter(AugmentationConfig(noise_probability=0.1), Dataset.from_dict({"audio": ["a.wav"]}))
    with pytest.raises(ValueError, match="8000"):
        SpeechAugmenter(AugmentationConfig(lowpass_probability=1.0), sampling_rate=8000)
