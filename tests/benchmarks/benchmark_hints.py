# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What hotwords do to transcripts: recall of rare words, error rate, and leaks of words that were not spoken.

    python tests/benchmarks/benchmark_hints.py --data_dir ../shared/data [--model M] [--rows 100]

Hotwords are spans of the test transcripts that occur once in them (`trainers/data/keywords.py`). "index" is the
pipeline's way: the words of all utterances are listened for, those that are heard are hints. "oracle" writes each
utterance's own words into its prompt: what hints could do if all were heard. Distractors are 1, 10 or 100 words of
other utterances, either listened for or ("prompt") written into the prompt unheard, as systems without an index do;
one leaks where the transcript has it, and neither the reference nor the transcript without hints does.
"""

import argparse
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from entropy_asr.modeling import HotwordIndex
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline, load_pipeline
from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.keywords import keyword_spans
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.data.text import contains
from entropy_asr.trainers.evaluation.error_rates import score_transcripts


SETS = ("librispeech_subset", "fsdd_digits", "aishell_sample", "audio_cmn_words")
DISTRACTORS = (1, 10, 100)
BATCH_SIZE = 16


def rare_words(texts: list[str], language: str) -> list[list[str]]:
    """Up to two spans of each text that are in no other, long ones first; whole texts of one word count as rare."""
    spans = [keyword_spans(text, language) for text in texts]
    counts = Counter(span for group in spans for span in group)
    rare = [sorted((span for span in group if counts[span] == 1), key=len, reverse=True)[:2] for group in spans]
    return [words or list(group)[:1] for words, group in zip(rare, spans, strict=True)]


def transcribe(pipe: EntropyASRPipeline, audio: list[np.ndarray], hints: list[list[str]] | None = None, **options):
    """Texts by the pipeline, or with prompts into which the hints are written as they are."""
    if hints is None:
        return [result["text"] for result in pipe(audio, batch_size=BATCH_SIZE, **options)]
    texts = []
    for start in range(0, len(audio), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        inputs = pipe.processor.apply_transcription_request(audio[part], hotwords=hints[part])
        longest = max(len(samples) for samples in audio[part]) / pipe.processor.sampling_rate
        sequences = pipe.model.generate(**inputs, max_new_tokens=8 + int(25 * longest), do_sample=False)
        texts += [text.strip() for text in pipe.processor.batch_decode(sequences)]
    return texts


def measure(pipe: EntropyASRPipeline, name: str, data_dir: Path, rows: int) -> None:
    data = load_source(DataSource(path=str(data_dir / name), split="test", max_rows=rows))
    audio, texts, language = [read_samples(row) for row in data], data["text"], data["language"][0]
    wanted = rare_words(texts, language)
    words = list(dict.fromkeys(word for group in wanted for word in group))
    index = HotwordIndex.build(words, pipe.processor.phoneme_tokenizer, skip_unusable=True)
    plain = transcribe(pipe, audio)
    runs: dict[str, list[str]] = {"none": plain, "oracle": transcribe(pipe, audio, wanted)}
    for tolerance in (0.0, 0.1, 0.2):
        runs[f"index_{tolerance}"] = transcribe(pipe, audio, hotwords=index, hotword_tolerance=tolerance)
    for run, hypotheses in runs.items():
        report = score(texts, hypotheses, wanted, language)
        print(json.dumps({"set": name, "rows": len(texts), "hotwords": len(index), "run": run} | report), flush=True)
    measure_leaks(pipe, name, audio, texts, plain, words, language)


def score(texts: list[str], hypotheses: list[str], wanted: list[list[str]], language: str) -> dict[str, Any]:
    pairs = [(hypothesis, word) for hypothesis, group in zip(hypotheses, wanted, strict=True) for word in group]
    hits = sum(contains(hypothesis, word, language) for hypothesis, word in pairs)
    counts = score_transcripts(texts, hypotheses, language)
    rate = counts.cer if language == "zh" else counts.wer
    return {"rare_recall": round(hits / len(pairs), 3), "error_rate": round(100 * rate, 2)}


def measure_leaks(
    pipe: EntropyASRPipeline,
    name: str,
    audio: list[np.ndarray],
    texts: list[str],
    plain: list[str],
    words: list[str],
    language: str,
) -> None:
    """Share of utterances with a distractor in the transcript, listened for and written into the prompt."""
    rng = random.Random(0)
    for count in DISTRACTORS:
        chosen = []
        for text in texts:
            others = [word for word in words if not contains(text, word, language)]
            chosen.append(rng.sample(others, min(count, len(others))))
        listened = []
        for samples, group in zip(audio, chosen, strict=True):
            index = HotwordIndex.build(group, pipe.processor.phoneme_tokenizer, skip_unusable=True)
            listened.append(pipe(samples, hotwords=index)["text"])
        report = {"set": name, "distractors": count, "leak_index": leaks(listened, plain, chosen, language)}
        if count <= 10:  # a hundred do not fit beside the audio of a small model
            written = transcribe(pipe, audio, chosen)
            report["leak_prompt"] = leaks(written, plain, chosen, language)
        print(json.dumps(report), flush=True)


def leaks(hypotheses: list[str], plain: list[str], chosen: list[list[str]], language: str) -> float:
    leaked = 0
    for hypothesis, before, group in zip(hypotheses, plain, chosen, strict=True):
        leaked += any(contains(hypothesis, word, language) and not contains(before, word, language) for word in group)
    return round(leaked / len(hypotheses), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--rows", type=int, default=100)
    args = parser.parse_args()
    pipe = load_pipeline(args.model or default_model(), device="cpu")
    for name in SETS:
        measure(pipe, name, args.data_dir, args.rows)


if __name__ == "__main__":
    main()
