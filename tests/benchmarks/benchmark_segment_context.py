# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Long recordings whose segments are told the last sentence of the one before, and such that are not.

    python tests/benchmarks/benchmark_segment_context.py --data_dir ../shared/data --output results.json [--model M]
        [--minutes 1]

Utterances of one speaker after the other, in their order and with pauses of a second, make one recording of each set
and split. It is transcribed without context, and with the last sentence that was heard (`carry_context`). The
utterances alone are also told the last sentence that was said: a model that cannot use context is told from one that
its own errors mislead. Reported are error rates, how many segments' texts the context changes, and how many texts
repeat three words (or five characters) of the context that nobody said there.

Rows of these sets are sentences without a thread, but those of `ljspeech_sample` (test alone), which are read from one
book: what is measured on the others is what context costs, more than what it gives.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_hints import transcribe

from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline, load_pipeline
from entropy_asr.modeling.segment_context_entropy_asr import last_sentence
from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.evaluation.error_rates import score_transcripts


SETS = {
    "librispeech_subset": ("dev", "test"),
    "speechocean762": ("dev", "test"),
    "aishell_sample": ("dev", "test"),
    "ljspeech_sample": ("test",),
}
RATE, PAUSE_SECONDS = 16000, 1.0
# Length of what counts as repeated, in units of the language.
REPEATED = {"en": 3, "zh": 5}


def utterances(data_dir: Path, name: str, split: str, minutes: float) -> tuple[list[np.ndarray], list[str], str]:
    """Samples and texts of the first rows, speaker by speaker, that last so long; and their language."""
    data = load_source(DataSource(path=str(data_dir / name), split=split))
    order = sorted(range(len(data)), key=lambda index: str(data[index].get("speaker_id", "")))
    samples, texts, seconds = [], [], 0.0
    for index in order:
        row = data[index]
        samples.append(read_samples(row))
        texts.append(row["text"])
        seconds += len(samples[-1]) / RATE
        if seconds > 60 * minutes:
            break
    return samples, texts, data[0]["language"]


def joined(samples: list[np.ndarray]) -> np.ndarray:
    """One recording, with faint noise in the pauses: 60 dB below full scale."""
    rng = np.random.default_rng(0)
    pause = int(PAUSE_SECONDS * RATE)
    parts = [part for one in samples for part in (np.zeros(pause, np.float32), one)]
    recording = np.concatenate([*parts, np.zeros(pause, np.float32)])
    return (recording + 0.001 * rng.normal(size=len(recording))).astype(np.float32).clip(-1, 1)


def units(text: str, language: str) -> list[str]:
    return list(text.replace(" ", "")) if language == "zh" else text.lower().split()


def repeats(text: str, context: str, said: str, language: str) -> bool:
    """Whether a text has a run of units that the context has, and nobody said there."""
    size = REPEATED[language]
    runs = [
        {tuple(one[start : start + size]) for start in range(len(one) - size + 1)}
        for one in (units(each, language) for each in (text, context, said))
    ]
    return bool((runs[0] & runs[1]) - runs[2])


def rate(texts: list[str], hypotheses: list[str], language: str) -> float:
    counts = score_transcripts(texts, hypotheses, language)
    return round(100 * (counts.cer if language == "zh" else counts.wer), 2)


def measure(pipe: EntropyASRPipeline, samples: list[np.ndarray], texts: list[str], language: str) -> dict[str, Any]:
    """Error rates in percent of the joined recording, and of its utterances alone."""
    recording, report = joined(samples), {"utterances": len(texts)}
    report["seconds"] = round(len(recording) / RATE, 1)
    whole = [" ".join(texts)]
    found = {}
    for name, told in (("nothing", False), ("heard", True)):
        result = pipe(recording, carry_context=told, return_segments=True)
        found[name] = [segment["text"] for segment in result["segments"]]
        report[f"recording, told {name}"] = rate(whole, [result["text"]], language)
    report["segments"] = len(found["heard"])
    report["texts that change"] = sum(one != other for one, other in zip(*found.values(), strict=True))
    said = ["", *map(last_sentence, texts[:-1])]
    for name, hints in (("nothing", [[]] * len(texts)), ("said", [[one] if one else [] for one in said])):
        heard = transcribe(pipe, samples, hints)
        report[f"utterances, told {name}"] = rate(texts, heard, language)
        report[f"repeats, told {name}"] = sum(map(repeats, heard, said, texts, [language] * len(texts)))
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--output", type=Path, required=True, help="the measurements, as JSON")
    args = parser.parse_args()
    model = args.model or default_model()
    pipe = load_pipeline(model, device="cpu")
    report: dict[str, Any] = {"kind": "segment_context", "model": Path(model).name, "sets": {}}
    for name in args.sets:
        for split in SETS[name]:
            rows = utterances(args.data_dir, name, split, args.minutes)
            report["sets"].setdefault(split, {})[name] = measure(pipe, *rows)
            print(json.dumps({split: {name: report["sets"][split][name]}}), flush=True)
            args.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
