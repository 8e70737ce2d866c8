# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Several channels become one: their average, which must not cancel what is said."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from entropy_asr.modeling.audio import audio_blocks, load_audio
from entropy_asr.modeling.channels_entropy_asr import ChannelMixer, mix_channels


RATE = 16000
RNG = np.random.default_rng(0)


def voice(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """Like speech: noise of changing colour and loudness, with pauses."""
    rng = np.random.default_rng(seed)
    noise = np.cumsum(rng.standard_normal(round(seconds * RATE)))
    noise -= np.convolve(noise, np.ones(200) / 200, mode="same")
    loudness = np.repeat(rng.uniform(0, 1, -(-len(noise) // 1600)) ** 2, 1600)[: len(noise)]
    return (0.1 * noise / noise.std() * loudness).astype(np.float32)


def energy(samples: np.ndarray) -> float:
    return float((samples.astype(np.float64) ** 2).mean())


def wav(channels: list[np.ndarray], rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack(channels, axis=1), rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_inverted_channel_does_not_cancel(rate):
    x = voice()
    np.testing.assert_allclose(mix_channels(np.stack([x, -x], axis=1), rate), x, atol=1e-7)
    np.testing.assert_allclose(mix_channels(np.stack([-x, x], axis=1), rate), -x, atol=1e-7)
    np.testing.assert_allclose(mix_channels(np.stack([x, -0.9 * x], axis=1), rate), 0.95 * x, atol=1e-7)


def test_all_ways_in_mix_alike():
    x = voice()
    stereo = np.stack([x, -x])
    decoder = SimpleNamespace(get_all_samples=lambda: SimpleNamespace(data=torch.from_numpy(stereo), sample_rate=RATE))
    data = wav([x, -x])
    for source in (
        data,
        stereo,
        stereo.T,
        torch.from_numpy(stereo),
        {"array": stereo, "sampling_rate": RATE},
        decoder,
    ):
        np.testing.assert_allclose(load_audio(source), x, atol=1e-7)
    pcm = np.round(stereo * 32767).astype(np.int16)
    np.testing.assert_allclose(load_audio(pcm), x, atol=1e-4)
    np.testing.assert_allclose(np.concatenate(list(audio_blocks(data, block_seconds=0.13))), x, atol=1e-7)


@pytest.mark.parametrize("signs", [(1, 1, -1, -1), (-1, 1, -1, 1, 1, -1), (1, -1, 0), (1, -0.5, -0.5)])
def test_more_channels_do_not_cancel(signs):
    x = voice()
    mixed = mix_channels(np.stack([sign * x for sign in signs], axis=1), RATE)
    share = sum(map(abs, signs)) / len(signs)
    np.testing.assert_allclose(np.abs(mixed), share * np.abs(x), atol=1e-6)


@pytest.mark.parametrize("delay", [1, 5, 40, 400])
@pytest.mark.parametrize("gain", [-1.0, -0.8, 0.8])
def test_delayed_channels_keep_their_energy(delay, gain):
    x = voice()
    mixed = mix_channels(np.stack([x[delay:], gain * x[:-delay]], axis=1), RATE)
    # What channels that have nothing in common would leave is half of their mean; of that, a quarter is the least.
    assert energy(mixed) > 0.25 * 0.5 * 0.5 * (1 + gain**2) * energy(x)


def test_ordinary_recordings_are_their_plain_average():
    one, other, noise = voice(seed=1), voice(seed=2), RNG.standard_normal(2 * RATE).astype(np.float32) * 0.01
    for channels in ([one, other], [one, 0 * one], [one + noise, one], [one, 0.3 * one, other], [0 * one] * 2):
        samples = np.stack(channels, axis=1).astype(np.float32)
        np.testing.assert_allclose(mix_channels(samples, RATE), samples.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("sizes", [(1,), (7, 1000), (799, 801), (5000,)])
def test_blocks_change_nothing(sizes):
    # Inverted from the middle on.
    one, other = voice(seed=1), 0.1 * voice(seed=2)
    second = one * np.where(np.arange(len(one)) < RATE, 1, -1) + other
    samples = np.stack([one, second], axis=1).astype(np.float32)[: 7 * RATE // 4 + 13]
    whole = mix_channels(samples, RATE)
    mixer, pieces, start = ChannelMixer(2, RATE), [], 0
    while start < len(samples):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(mixer.push(samples[start : start + size]))
        start += size
    np.testing.assert_array_equal(np.concatenate([*pieces, mixer.finish()]), whole)
    assert len(whole) == len(samples)


def test_part_that_is_inverted_is_heard_without_clicks():
    time = np.arange(4 * RATE) / RATE
    x = (0.3 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)
    # The tone is inverted where it crosses zero, which makes no step.
    inverted = np.where((time >= 222 / 220) & (time < 557 / 220), -1, 1).astype(np.float32)
    mixed = mix_channels(np.stack([x, x * inverted], axis=1), RATE)
    loudness = np.sqrt((mixed.reshape(-1, 800) ** 2).mean(axis=1))
    # Half of the tone is the most that is lost, in the frame in which it changes.
    assert loudness.min() > 0.3 / np.sqrt(2) * 0.35
    assert np.sort(loudness)[2] > 0.3 / np.sqrt(2) * 0.9
    assert np.abs(np.diff(mixed)).max() < 1.5 * np.abs(np.diff(x)).max()


def test_pieces_of_a_live_stream():
    x = voice()
    pieces = [mix_channels(np.stack([x, -x], axis=1)[start : start + 3000], RATE) for start in range(0, len(x), 3000)]
    np.testing.assert_allclose(np.concatenate(pieces), x, atol=1e-7)
    pcm = np.round(np.stack([x, x], axis=1) * 32767).astype(np.int16)
    np.testing.assert_array_equal(mix_channels(pcm, RATE), pcm[:, 0])
    assert mix_channels(pcm[:0], RATE).shape == (0,)


def test_mono_is_left_alone():
    x = voice()
    np.testing.assert_array_equal(mix_channels(x[:, None], RATE), x)
