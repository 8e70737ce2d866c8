# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Audio with silence around it, holes, noise; sounds without speech."""

import numpy as np
import pytest

from entropy_asr.trainers.evaluation.disturbances import (
    add_noise,
    made_babble,
    made_non_speech,
    mask_audio,
    pad_with_silence,
)


RATE = 16000


def test_silence_is_as_long_as_was_asked_for_at_both_ends():
    padded = pad_with_silence(np.ones(100, np.float32), 0.5)
    assert padded.dtype == np.float32 and len(padded) == 100 + RATE
    assert not padded[:8000].any() and padded[8000:8100].all() and not padded[8100:].any()


@pytest.mark.parametrize("length", [5, 1600, 16000, 50001])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.95])
def test_the_share_that_is_masked_is_exact(length, share):
    samples = np.ones(length, np.float32)
    masked = mask_audio(samples, share, np.random.default_rng(1))
    assert (masked == 0).sum() == round(share * length) and samples.all()
    assert np.array_equal(masked, mask_audio(samples, share, np.random.default_rng(1)))


def test_holes_are_everywhere():
    """On average each moment of many utterances is masked equally often, but for the ends of a hole's length."""
    masked = np.mean(
        [mask_audio(np.ones(32000), 0.2, np.random.default_rng(seed)) == 0 for seed in range(2000)], axis=0
    )
    assert abs(masked[8000:24000].mean() - 0.2) < 0.02


@pytest.mark.parametrize("snr", [20, 0])
def test_noise_has_the_power_that_was_asked_for(snr):
    rng = np.random.default_rng(0)
    speech = 0.05 * np.sin(np.arange(RATE) / 10).astype(np.float32)
    for noises in (None, [rng.normal(size=3000).astype(np.float32)]):
        noise = add_noise(speech, snr, np.random.default_rng(3), noises) - speech
        ratio = 10 * np.log10(np.mean(speech**2) / np.mean(noise**2))
        assert abs(ratio - snr) < 0.01


def test_loud_noise_does_not_clip_and_silence_stays_silent():
    loud = add_noise(np.full(RATE, 0.9, np.float32), -10, np.random.default_rng(0))
    assert np.abs(loud).max() <= 1 and loud.dtype == np.float32
    assert not add_noise(np.zeros(10, np.float32), 0, np.random.default_rng(0)).any()
    assert add_noise(np.ones(10, np.float32), 0, np.random.default_rng(0), [np.zeros(4)]).tolist() == [1] * 10


def test_babble_is_repeatable_and_has_no_transcript():
    rows = [{"samples": (3000 * np.sin(np.arange(4000) * (0.1 + i))).astype(np.int16)} for i in range(4)]
    sounds = made_babble(rows, 3)
    assert len(sounds) == 3 and sounds["samples"] == made_babble(rows, 3)["samples"]
    assert set(sounds["language"]) == {"none"} and sounds["file"] == ["babble 0", "babble 1", "babble 2"]
    for row in sounds:
        assert 2 <= row["duration"] <= 8 and 16000 < np.abs(row["samples"]).max() <= 16384


def test_babble_goes_without_what_cannot_be_read():
    row = {"samples": np.full(4000, 3000, np.int16)}
    broken = {"audio": {"bytes": b"RIFF no audio", "path": "broken.wav"}}
    sounds = made_babble([broken, row], 2)
    assert all(np.abs(sound).max() > 16000 for sound in sounds["samples"])


def test_made_sounds_are_repeatable_and_have_no_speech():
    sounds = made_non_speech(7)
    assert len(sounds) == 7 and set(sounds["language"]) == {"none"} and set(sounds["text"]) == {""}
    assert sounds["samples"] == made_non_speech(7)["samples"]
    for row in sounds:
        assert 0.5 <= row["duration"] <= 8 and len(row["samples"]) == round(row["duration"] * RATE)
        assert np.abs(row["samples"]).max() <= 32767
    assert sounds["file"][:4] == ["silence 0", "noise 1", "chord 2", "silence 3"]
    assert not np.any(sounds[0]["samples"]) and np.any(sounds[1]["samples"]) and np.any(sounds[2]["samples"])
