# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whether a model uses hints: recall of keywords and error rate without hints, with right and with wrong ones.

    python tests/benchmarks/benchmark_context.py --data_dir ../shared/data [--model M] [--rows 100] [--split test]

Hints are those of context SFT's evaluation (`trainers/stages/context_sft.py`): "right" are keywords of the transcript
among distractors that sound like them, "wrong" the distractors alone; distractors are keywords of the training
transcripts. "leaks" is the share of transcripts with a distractor that the reference does not have.
"""

import argparse
import json
from pathlib import Path

from benchmark_hints import transcribe
from datasets import Dataset

from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline, load_pipeline
from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.keywords import ContextConfig, KeywordChooser, add_keywords
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.data.text import contains
from entropy_asr.trainers.evaluation.error_rates import score_transcripts
from entropy_asr.trainers.stages.context_sft import keyword_recall, with_hints


SETS = ("librispeech_subset", "speechocean762", "aishell_sample", "audio_cmn_words")


def hinted_rows(pipe: EntropyASRPipeline, path: str, split: str, max_rows: int) -> Dataset:
    """Evenly spaced rows of a split with keywords and distractors."""
    context = ContextConfig(max_keywords=2, max_distractors=3, vocabulary_size=4000)
    chooser = KeywordChooser(load_source(DataSource(path)), context, pipe.processor.phoneme_tokenizer)
    rows = load_source(DataSource(path, split=split))
    return add_keywords(rows.select(range(0, len(rows), max(1, len(rows) // max_rows))), chooser)


def measure(pipe: EntropyASRPipeline, rows: Dataset, kind: str) -> dict[str, float | str]:
    rows = with_hints(rows, kind)
    texts, languages = rows["text"][:], rows["language"][:]
    hypotheses = transcribe(pipe, [read_samples(row) for row in rows], rows["hints"][:])
    score = score_transcripts(texts, hypotheses, languages)
    leaked = [
        any(contains(hypothesis, word, language) for word in words)
        for hypothesis, words, language in zip(hypotheses, rows["distractors"][:], languages, strict=True)
    ]
    recall = keyword_recall(hypotheses, rows["keywords"][:], languages)
    rates = {"wer": score.wer, "cer": score.cer, "keyword_recall": recall, "leaks": sum(leaked) / len(leaked)}
    return {"hints": kind, **{name: round(100 * rate, 2) for name, rate in rates.items() if rate is not None}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--split", default="test")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    args = parser.parse_args()
    pipe = load_pipeline(args.model or default_model(), device="cpu")
    for name in args.sets:
        rows = hinted_rows(pipe, str(args.data_dir / name), args.split, args.rows)
        for kind in ("none", "right", "wrong"):
            print(json.dumps({"set": name, "rows": len(rows)} | measure(pipe, rows, kind)), flush=True)


if __name__ == "__main__":
    main()
