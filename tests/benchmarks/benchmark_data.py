# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What preparing data costs: speech that is synthesised, text that becomes phonemes, rows that are read back.

    python tests/benchmarks/benchmark_data.py

On one core. Goals: speech 100 times as fast as it is spoken (tens of thousands of sentences before a run), phonemes of
25,000 sentences in 40 s, a decoded row in a millisecond (a loader must not wait for the disk).
"""

import statistics
import tempfile
import time

import numpy as np
from datasets import Dataset, Features, List, Value

from entropy_asr.modeling import EntropyASRPhonemeTokenizer
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.data.synthesis import SAMPLING_RATE, VOICES, synthesize
from entropy_asr.trainers.data.synthetic_sentences import synthetic_sentences


def synthesis_speed(language: str, num_sentences: int = 300) -> float:
    """Seconds of speech a second."""
    voices = [voice for voice in VOICES if voice.language == language]
    texts = synthetic_sentences(language, num_sentences)
    start = time.perf_counter()
    samples = sum(len(synthesize(text, voices[index % len(voices)])) for index, text in enumerate(texts))
    return samples / SAMPLING_RATE / (time.perf_counter() - start)


def phoneme_speed(language: str, num_sentences: int = 3000) -> float:
    """Sentences a second, those of the first call left out: it loads dictionaries."""
    tokenizer, texts = EntropyASRPhonemeTokenizer(), synthetic_sentences(language, num_sentences)
    tokenizer.phonemize_batch(texts[:1], language)
    start = time.perf_counter()
    tokenizer.phonemize_batch(texts, language)
    return num_sentences / (time.perf_counter() - start)


def reading_time(num_rows: int = 40, seconds: int = 10) -> float:
    """Median milliseconds of reading a decoded row."""
    features = Features({"samples": List(Value("int16")), "text": Value("string")})
    samples = np.arange(seconds * SAMPLING_RATE).astype(np.int16)
    with tempfile.TemporaryDirectory() as folder:
        rows = {"samples": [samples] * num_rows, "text": ["a"] * num_rows}
        Dataset.from_dict(rows, features=features).save_to_disk(folder)
        dataset, times = SpeechDataset(Dataset.load_from_disk(folder)), []
        for index in range(num_rows):
            start = time.perf_counter()
            dataset[index]
            times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


if __name__ == "__main__":
    for code in ("en", "zh"):
        speed = phoneme_speed(code)
        print(f"{code}: speech {synthesis_speed(code):.0f} times as fast as spoken (goal: 100)")
        print(f"{code}: {speed:.0f} sentences a second to phonemes, 25,000 in {25_000 / speed:.1f} s (goal: 40)")
    print(f"a decoded row of 10 s: {reading_time():.3f} ms (goal: 1)")
