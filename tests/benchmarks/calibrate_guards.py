# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Thresholds of the guard against silence for a checkpoint, chosen on training and development splits only.

    python tests/benchmarks/calibrate_guards.py --data_dir ../shared/data [--model M] [--rows 60]

Each recording counts twice: as it is, which is what the pipeline hears, and as the segments that voice activity
detection cuts out of it (speech with half a second of pause around it), which is what streams hear. Printed are the
shares of sounds (esc10_noise) taken for speech and of speech taken for silence (mean over data sets) of the settings
as they are, of the one that loses least speech, and of those that lose at most `--max_loss` more, fewest sounds first.
"""

import argparse
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from entropy_asr.modeling import detect_speech
from entropy_asr.modeling import vad_entropy_asr as vad
from entropy_asr.modeling.guards_entropy_asr import GuardSettings, is_speech_absent
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline, load_pipeline
from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import load_source


RATE = 16000
NOISE = ("esc10_noise", "train", 4)  # with so many times as many rows
SPEECH = (
    ("fsdd_digits", "train", 1),
    ("speech_commands_mini", "train", 1),
    ("audio_cmn_words", "dev", 1),
    ("aishell_sample", "dev", 1),
    ("speechocean762", "dev", 1),
    ("librispeech_subset", "dev", 0.25),  # long utterances, and never near a threshold
)
GRID = {
    "min_blank_mass": (0.75, 0.8),
    "max_phonemes_per_second": (3.0, 4.0, 5.0),
    "min_phoneme_probability": (0.0, 0.2, 0.3, 0.4, 0.5),
    "vad_threshold": (0.5, 0.6, 0.7, 0.8, 0.9),
}

Heard = list[tuple[torch.Tensor, np.ndarray]]


def listen(pipe: EntropyASRPipeline, samples: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    """Phoneme log-probabilities `(T, V)` of a sound, and the sound."""
    inputs = pipe.processor(samples)
    logits, mask = pipe.model.get_phoneme_logits(inputs["input_features"], inputs["input_features_mask"])
    return logits[0][mask[0].bool()].float().log_softmax(-1), samples


def hear(pipe: EntropyASRPipeline, data_dir: Path, name: str, split: str, count: int) -> tuple[Heard, Heard]:
    """Recordings as they are, and the segments of them."""
    data = load_source(DataSource(path=str(data_dir / name), split=split))
    pause = np.zeros(RATE // 2, dtype=np.float32)
    whole, segments = [], []
    for index in np.linspace(0, len(data) - 1, min(count, len(data))):
        samples = read_samples(data[int(index)])
        whole.append(listen(pipe, samples))
        row = samples if name == NOISE[0] else np.concatenate([pause, samples, pause])
        for start, end in detect_speech(row):
            segments.append(listen(pipe, row[round(start * RATE) : round(end * RATE)]))
    return whole, segments


def remember_detections() -> None:
    """Let the guard ask the detector about each sound once a threshold."""
    known: dict[tuple[bytes, float], list] = {}

    def detect(samples: np.ndarray, sampling_rate: int = RATE, settings: vad.EndpointSettings | None = None) -> list:
        key = samples.tobytes(), settings.threshold
        if key not in known:
            known[key] = detect_speech(samples, sampling_rate, settings)
        return known[key]

    vad.detect_speech = detect


def share_absent(heard: Heard, settings: GuardSettings) -> float:
    absent = [is_speech_absent(log_probs, samples, RATE, settings) for log_probs, samples in heard]
    return sum(absent) / max(1, len(absent))


def measure(noise: tuple[Heard, Heard], speech: list[tuple[Heard, Heard]], settings: GuardSettings) -> dict:
    """Shares for whole recordings and for segments; the segments of sounds as a share of the recordings."""
    report = {name: getattr(settings, name) for name in GRID}
    report["sounds"] = round(1 - share_absent(noise[0], settings), 4)
    kept = len(noise[1]) * (1 - share_absent(noise[1], settings))
    report["sound_segments"] = round(kept / len(noise[0]), 4)
    for kind, name in enumerate(("lost", "lost_segments")):
        report[name] = round(float(np.mean([share_absent(pair[kind], settings) for pair in speech])), 4)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--max_loss", type=float, default=0.005)
    args = parser.parse_args()
    pipe = load_pipeline(args.model or default_model(), device="cpu")
    noise, *speech = (
        hear(pipe, args.data_dir, name, split, round(args.rows * share)) for name, split, share in (NOISE, *SPEECH)
    )
    remember_detections()
    print(json.dumps({"as they are": measure(noise, speech, GuardSettings())}), flush=True)
    choices = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    rows = [measure(noise, speech, replace(GuardSettings(), **choice)) for choice in choices]
    rows.sort(key=lambda row: (row["lost"] + row["lost_segments"], row["sounds"] + row["sound_segments"]))
    print(json.dumps({"least lost": rows[0]}), flush=True)
    bounds = {name: rows[0][name] + args.max_loss for name in ("lost", "lost_segments")}
    rows = [row for row in rows if all(row[name] <= bound for name, bound in bounds.items())]
    for row in sorted(rows, key=lambda row: row["sounds"] + row["sound_segments"])[:8]:
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
