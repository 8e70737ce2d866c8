# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What voice activity detection misses of quiet speech, and takes for speech of everyday sounds, by level and gain.

    python tests/benchmarks/benchmark_vad.py --data_dir ../shared/data

On training splits: the settings in `modeling/vad_entropy_asr.py` were chosen by it. Digits (fsdd_digits) and sentences
(speechocean762), most of them at 40 to 50 dB below full scale, are laid out in a shuffled row with gaps of 0.8 to
2.5 s in noise at 60 dB below; every second sentence keeps its level. Sounds are those of esc10_noise.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from entropy_asr.modeling import detect_speech
from entropy_asr.modeling import vad_entropy_asr as vad
from entropy_asr.modeling.vad_entropy_asr import EndpointSettings
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import load_source


RATE = 16000
# (level in dB, largest gain in dB, half-life in seconds); the first is no gain.
CANDIDATES = ((-30, 0, 0.3), (-30, 14, 0.3), (-30, 20, 0.3), (-30, 20, 1.0), (-36, 20, 0.3))


def recordings(data_dir: Path, name: str, count: int) -> list[np.ndarray]:
    """Evenly spaced rows of a training split."""
    rows = load_source(DataSource(path=str(data_dir / name), split="train"))
    return [read_samples(rows[int(index)]) for index in np.linspace(0, len(rows) - 1, count)]


def level(samples: np.ndarray) -> float:
    """Mean power of the loudest third of 10 ms frames, in dB of full scale."""
    power = np.sort(np.square(samples[: len(samples) // 160 * 160].reshape(-1, 160)).mean(-1))
    return 10 * np.log10(power[-max(1, len(power) // 3) :].mean() + 1e-12)


def quiet_row(data_dir: Path) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """The sound, and start and end of each utterance in seconds."""
    rng = np.random.default_rng(1)
    digits, sentences = (recordings(data_dir, name, n) for name, n in (("fsdd_digits", 240), ("speechocean762", 40)))
    spoken = [x * 10 ** ((rng.uniform(-50, -40) - level(x)) / 20) for x in digits + sentences[::2]] + sentences[1::2]
    parts, places, position = [], [], 0
    for index in rng.permutation(len(spoken)):
        gap = int(RATE * rng.uniform(0.8, 2.5))
        parts += [np.zeros(gap), spoken[index]]
        places.append(((position + gap) / RATE, (position + gap + len(spoken[index])) / RATE))
        position += gap + len(spoken[index])
    sound = np.concatenate(parts)
    return (sound + 0.001 * rng.normal(size=len(sound))).clip(-1, 1).astype(np.float32), places


@contextmanager
def amplifier(decibels: float, max_gain: float, half_life: float) -> Iterator[None]:
    before = vad.LEVEL, vad.MAX_GAIN, vad.LEVEL_HALF_LIFE
    vad.LEVEL, vad.MAX_GAIN, vad.LEVEL_HALF_LIFE = 10 ** (decibels / 20), 10 ** (max_gain / 20), half_life
    try:
        yield
    finally:
        vad.LEVEL, vad.MAX_GAIN, vad.LEVEL_HALF_LIFE = before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--sounds", type=int, default=100)
    args = parser.parse_args()
    row, places = quiet_row(args.data_dir)
    sounds = recordings(args.data_dir, "esc10_noise", args.sounds)
    rng = np.random.default_rng(0)
    noises = [(rng.normal(size=20 * RATE) * 10.0**-e).clip(-1, 1) for e in (1, 2, 3, 4)]
    for candidate in CANDIDATES:
        with amplifier(*candidate):
            for threshold in (0.5, 0.4):
                settings = EndpointSettings(threshold=threshold)
                found = detect_speech(row, settings=settings)
                missed = sum(not any(a < end and b > start for a, b in found) for start, end in places)
                report = {"level_db": candidate[0], "max_gain_db": candidate[1], "half_life_s": candidate[2]}
                report |= {"threshold": threshold, "missed": missed, "of": len(places)}
                report["sounds_as_speech"] = sum(bool(detect_speech(sound, settings=settings)) for sound in sounds)
                report["white_noises_as_speech"] = sum(bool(detect_speech(x, settings=settings)) for x in noises)
                print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
