# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Share of non-empty transcripts of audio without speech, guards off and on, and what the guards cost in speech.

    python tests/benchmarks/benchmark_guards.py --data_dir ../shared/data [--model M] [--rows 80]

Without speech: silence, white noise, chords and the test split of esc10_noise; with speech: test splits. Entry points:
the pipeline in batches with guards off and on, streams without and with voice activity detection, the latter with
guards off and on; the command line runs the pipeline. No threshold was chosen on these: see `calibrate_guards.py`.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline, load_pipeline
from entropy_asr.modeling.streaming_transcriber_entropy_asr import StreamingTranscriber
from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import load_source


RATE = 16000
SPEECH = ("fsdd_digits", "speech_commands_mini", "librispeech_subset", "aishell_sample", "audio_cmn_words")


def made_sounds(rows: int) -> dict[str, list[np.ndarray]]:
    """Seeded sounds of 0.5 to 8 seconds, float32 at 16 kHz."""
    rng = np.random.default_rng(0)
    sounds: dict[str, list[np.ndarray]] = {"silence": [], "white_noise": [], "chords": []}
    for _ in range(rows):
        time = np.arange(int(rng.uniform(0.5, 8) * RATE)) / RATE
        sounds["silence"].append(np.zeros(len(time)))
        sounds["white_noise"].append(rng.normal(size=len(time)) * 10 ** rng.uniform(-4, -0.7))
        root = rng.uniform(100, 500)
        notes = [np.sin(2 * np.pi * root * ratio * time) for ratio in (1, 5 / 4, 3 / 2)]
        sounds["chords"].append(sum(notes) / 6 * (0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.5, 4) * time)))
    return {name: [sound.astype(np.float32).clip(-1, 1) for sound in group] for name, group in sounds.items()}


def recordings(data_dir: Path, name: str, rows: int) -> list[np.ndarray]:
    return [
        read_samples(row) for row in load_source(DataSource(path=str(data_dir / name), split="test", max_rows=rows))
    ]


STREAMS = {"all_sound": (False, False), "vad_off": (False, True), "vad_on": (True, True)}


def stream_text(pipe: EntropyASRPipeline, sound: np.ndarray, guards: bool, use_vad: bool) -> str:
    transcriber = StreamingTranscriber(pipe, guards=guards, use_vad=use_vad)
    updates = [*transcriber.push(sound), *transcriber.finish()]
    return "".join(update.text for update in updates if update.is_final)


def measure(pipe: EntropyASRPipeline, name: str, sounds: list[np.ndarray], streams: bool) -> None:
    row = {"set": name, "utterances": len(sounds)}
    for guards in (False, True):
        settings = {"guards": {"no_speech": guards}, "batch_size": 16}
        texts = [result["text"] for result in pipe(sounds, **settings)]
        row[f"pipeline_nonempty_{'on' if guards else 'off'}"] = round(sum(map(bool, texts)) / len(texts), 3)
    for name, settings in STREAMS.items() if streams else ():
        texts = [stream_text(pipe, sound, *settings) for sound in sounds]
        row[f"stream_nonempty_{name}"] = round(sum(map(bool, texts)) / len(texts), 3)
    print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--rows", type=int, default=80)
    args = parser.parse_args()
    pipe = load_pipeline(args.model or default_model(), device="cpu")
    sounds = made_sounds(args.rows // 2) | {"esc10_noise": recordings(args.data_dir, "esc10_noise", args.rows)}
    for name, group in sounds.items():
        measure(pipe, name, group, streams=True)
    for name in SPEECH:
        measure(pipe, name, recordings(args.data_dir, name, args.rows), streams=False)


if __name__ == "__main__":
    main()
