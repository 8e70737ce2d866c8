# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is done to the audio of a test set: silence around it, holes in it, noise over it; and sounds without speech.

Every draw depends on a seed and the row's number alone, so that all models get the very same sound.
"""

import logging
from collections.abc import Sequence

import numpy as np
from datasets import Dataset

from entropy_asr.modeling.audio import AudioError, load_audio
from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH


logger = logging.getLogger(__name__)

SAMPLING_RATE = 16000
# A hole that audio is masked with: longer than a phoneme, shorter than most words.
HOLE_SECONDS = 0.2
BABBLE_VOICES = 6


def pad_with_silence(samples: np.ndarray, seconds: float) -> np.ndarray:
    """Digital silence before and after `(num_samples,)`."""
    return np.pad(samples, round(seconds * SAMPLING_RATE))


def mask_audio(samples: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Digital silence in the place of a share of the audio, in holes of `HOLE_SECONDS` at random places.

    Args:
        samples: `(num_samples,)`; not changed in place.
        share: From 0 to 1; what is masked is exactly this share, rounded to samples.
        rng: Source of every draw.
    """
    samples, length = samples.copy(), round(HOLE_SECONDS * SAMPLING_RATE)
    total = round(share * len(samples))
    holes = [min(length, total - start) for start in range(0, total, length)]
    # Holes in their order with what is left of the audio, in random parts, between them.
    gaps = np.diff(np.sort(rng.integers(len(samples) - total + 1, size=len(holes))), prepend=0)
    position = 0
    for gap, hole in zip(gaps, holes, strict=True):
        position += int(gap)
        samples[position : position + hole] = 0
        position += hole
    return samples


def add_noise(
    samples: np.ndarray, snr: float, rng: np.random.Generator, noises: Sequence[np.ndarray] | None = None
) -> np.ndarray:
    """Noise over the whole audio, scaled down together where it would be louder than full scale.

    Args:
        samples: `(num_samples,)` in [-1, 1]; not changed in place.
        snr: Power of the audio over that of the noise, in dB. Audio or noise of no power is left as it is.
        rng: Source of every draw.
        noises: One of them is taken, from a random place on and around its end; white noise by default.
    """
    if not noises:
        noise = rng.normal(size=len(samples))
    else:
        noise = noises[int(rng.integers(len(noises)))]
        noise = np.resize(np.roll(noise, -int(rng.integers(max(1, len(noise))))), len(samples))
    powers = [float(np.mean(np.square(part, dtype=np.float64))) if len(part) else 0.0 for part in (samples, noise)]
    if not all(powers):
        return samples
    mixed = samples + noise * (powers[0] / powers[1] / 10 ** (snr / 10)) ** 0.5
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)


def made_non_speech(count: int, seed: int = 0) -> Dataset:
    """Sounds in which nobody speaks, in turn silence, white noise and chords, of 0.5 to 8 seconds.

    Args:
        count: Number of recordings, at least 1.
        seed: Of lengths and sounds.

    Returns:
        Rows as `sources.load_source` gives them, with `samples` (int16); `file` begins with the kind.
    """
    rng = np.random.default_rng(seed)
    makers = {"silence": _silence, "noise": _noise, "chord": _chord}
    kinds = [list(makers)[index % len(makers)] for index in range(count)]
    sounds = [makers[kind](np.arange(int(rng.uniform(0.5, 8) * SAMPLING_RATE)) / SAMPLING_RATE, rng) for kind in kinds]
    return _without_speech(sounds, kinds)


def made_babble(rows: Sequence[dict], count: int, seed: int = 0) -> Dataset:
    """Voices over one another, of which none can be understood: each is as loud as the others and runs backwards.

    Args:
        rows: Speech to take voices from.
        count: Number of sounds, of 2 to 8 seconds.
        seed: Of lengths and voices.

    Returns:
        Rows as [`made_non_speech`] gives them.
    """
    rng, sounds = np.random.default_rng(seed), []
    for _ in range(count):
        sound = np.zeros(int(rng.uniform(2, 8) * SAMPLING_RATE))
        for index in rng.integers(len(rows), size=BABBLE_VOICES).tolist():
            try:
                voice = samples_of(rows[index])[::-1]
            except AudioError as error:
                logger.warning(f"babble goes without a recording that cannot be read: {error}")
                continue
            sound += np.resize(voice, len(sound)) / max(1e-4, float(np.sqrt(np.mean(np.square(voice)))))
        sounds.append(0.5 * sound / max(1e-9, np.abs(sound).max()))
    return _without_speech(sounds, ["babble"] * count)


def samples_of(row: dict) -> np.ndarray:
    """Audio of a row, `(num_samples,)` float32 at 16 kHz.

    Raises:
        AudioError: it cannot be read.
    """
    samples = row.get("samples")
    return load_audio(row["audio"] if samples is None else {"samples": samples, "sampling_rate": SAMPLING_RATE})


def _without_speech(sounds: list[np.ndarray], kinds: list[str]) -> Dataset:
    return Dataset.from_list(
        [
            {
                "samples": np.round(sound * 32767).astype(np.int16),
                "text": "",
                "language": NON_SPEECH,
                "duration": len(sound) / SAMPLING_RATE,
                "file": f"{kind} {index}",
            }
            for index, (kind, sound) in enumerate(zip(kinds, sounds, strict=True))
        ]
    )


def _silence(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(len(time))


def _noise(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=len(time)) * 10 ** rng.uniform(-4, -0.7)).clip(-1, 1)


def _chord(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    root = rng.uniform(100, 500)
    notes = [np.sin(2 * np.pi * root * ratio * time) for ratio in (1, 5 / 4, 3 / 2)]
    return sum(notes) / 6 * (0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.5, 4) * time))
