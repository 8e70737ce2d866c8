# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tones and noise, rows of them, and data sets on disk."""

import io
import json

import numpy as np
import soundfile
from datasets import Audio, Dataset


def tone(seconds, rate=16000, frequency=440):
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def make_noise(seconds: float, sampling_rate: int = 16000, seed: int = 0) -> np.ndarray:
    """White noise `(num_samples,)`, the same for a seed."""
    samples = np.random.default_rng(seed).normal(scale=0.1, size=round(seconds * sampling_rate))
    return samples.clip(-1, 1).astype(np.float32)


def encode(waveform, rate=16000, container="OGG", subtype="OPUS"):
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def dummy_row(number, seconds, **changes):
    audio = {"bytes": encode(tone(seconds)), "path": f"{number}.ogg"}
    return {"audio": audio, "text": f"text {number}", "language": "en", "duration": seconds} | changes


def write_parquet(folder, split="train", seconds=(0.5, 1.0, 2.0), rows=None, drop=()):
    """Writes a split in the layout of a Hub data set; gives its folder."""
    rows = rows or [dummy_row(number, length) for number, length in enumerate(seconds)]
    dataset = Dataset.from_list([{key: value for key, value in row.items() if key not in drop} for row in rows])
    (folder / "data").mkdir(parents=True, exist_ok=True)
    dataset.cast_column("audio", Audio(decode=False)).to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def write_audio_folder(folder, seconds=(0.5, 1.5)):
    """Writes WAV files beside a metadata.jsonl without durations."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, length in enumerate(seconds):
        soundfile.write(folder / f"{number}.wav", tone(length), 16000)
        lines.append(json.dumps({"file_name": f"{number}.wav", "text": f"text {number}"}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder
