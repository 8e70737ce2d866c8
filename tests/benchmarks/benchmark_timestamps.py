# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Accuracy of word times: synthetic speech whose boundaries espeak-ng knows, and order in real recordings.

    python tests/benchmarks/benchmark_timestamps.py [--model M] [--sentences 60] [--data_dir ../shared/data]

Without `--model`, the bundled checkpoint. Reference texts are aligned, so that the figures are of the alignment alone.
With `--data_dir`, up to 1,000 utterances are also checked for order and bounds.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from entropy_asr.modeling.alignment_entropy_asr import TimedText, align_words
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline, load_pipeline
from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.data.synthesis import VOICES, synthesize_with_alignment
from entropy_asr.trainers.data.synthetic_sentences import synthetic_sentences


SETS = ("librispeech_subset", "fsdd_digits", "aishell_sample", "audio_cmn_words", "speechocean762")  # the largest last


def find_words(pipe: EntropyASRPipeline, samples: np.ndarray, text: str, language: str) -> list[TimedText]:
    inputs = pipe.processor(samples)
    logits, mask = pipe.model.get_phoneme_logits(inputs["input_features"], inputs["input_features_mask"])
    log_probs = logits[0][mask[0].bool()].float().log_softmax(-1)
    seconds = pipe.processor.seconds_per_frame
    return align_words(log_probs, text, pipe.processor.phoneme_tokenizer, seconds, language)


def measure_synthetic(pipe: EntropyASRPipeline, language: str, sentences: int) -> None:
    voices = [voice for voice in VOICES if voice.language == language]
    errors: dict[str, list[float]] = {"start": [], "end": []}
    for number, text in enumerate(synthetic_sentences(language, sentences, "test")):
        speech = synthesize_with_alignment(text, voices[number % len(voices)])
        found = find_words(pipe, speech.samples, text, language)
        position = 0
        for word in speech.words:
            size = len(word.text) if language == "zh" else 1
            errors["start"].append(found[position].start - word.start)
            errors["end"].append(found[position + size - 1].end - word.end)
            position += size
        assert position == len(found), text
    for name, values in errors.items():
        absolute = np.abs(values) * 1000
        row = {"language": language, "border": name, "words": len(values)}
        row |= {
            "median_ms": round(float(np.median(absolute)), 1),
            "bias_ms": round(1000 * float(np.median(values)), 1),
        }
        print(json.dumps(row | {"p90_ms": round(float(np.quantile(absolute, 0.9)), 1)}), flush=True)


def check_order(pipe: EntropyASRPipeline, data_dir: Path, utterances: int) -> None:
    checked = words = timeless = 0
    for position, name in enumerate(SETS):
        quota = (utterances - checked) // (len(SETS) - position)
        rows = load_source(DataSource(path=str(data_dir / name), split="test", max_rows=quota))
        for row in rows:
            samples = read_samples(row)
            found = find_words(pipe, samples, row["text"], row["language"])
            checked += 1
            words += len(found)
            if found and found[0].start is None:
                timeless += 1
                continue
            times = [time for word in found for time in (word.start, word.end)]
            bound = len(samples) / pipe.processor.sampling_rate + pipe.processor.seconds_per_frame
            assert times == sorted(times) and all(0 <= time <= bound for time in times), (name, row["text"])
    report = {"utterances_in_order_and_inside": checked - timeless, "without_room_for_the_text": timeless}
    print(json.dumps(report | {"words": words}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--sentences", type=int, default=60)
    parser.add_argument("--data_dir", type=Path)
    args = parser.parse_args()
    pipe = load_pipeline(args.model or default_model(), device="cpu")
    for language in ("en", "zh"):
        measure_synthetic(pipe, language, args.sentences)
    if args.data_dir:
        check_order(pipe, args.data_dir, 1000)


if __name__ == "__main__":
    main()
