# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What joining the phoneme head's score of each hypothesis with the language model's is worth, weight by weight.

    python tests/benchmarks/benchmark_rescoring.py --data_dir ../shared/data [--model M] [--rows 30] [--hypotheses 8]

For each data set, on its development rows: error rate and seconds of processor time (with `OMP_NUM_THREADS=1`, what a
free machine takes) of greedy search, of beam search, and of hypotheses that are scored; error rate for each weight of
the phoneme head, how many transcripts that betters and worsens against beam search, and the error rate of the best
hypothesis there is; and how well each confidence tells transcripts with errors from those without (area under the ROC
curve): the phoneme head's alone, which is `return_confidence`, and the joint one at each weight, all of the same
transcript. `--output` keeps the hypotheses, and `--hypotheses_file` measures with those of an earlier run.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from entropy_asr.modeling.hypotheses_entropy_asr import RESCORING_WEIGHT
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline, load_pipeline
from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.evaluation.error_rates import score_transcripts


SETS = ("speechocean762", "aishell_sample")
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
BATCH_SIZE = 8
# Both scores of every hypothesis, from which those at any other weight follow.
MIDDLE = 0.5


@dataclass(frozen=True)
class Heard:
    """One utterance: what was said, in which language, and its hypotheses as the pipeline gives them."""

    text: str
    language: str
    hypotheses: list[dict[str, Any]]

    def best(self, weight: float) -> dict[str, Any] | None:
        """The hypothesis of the best joint score at a weight; none where no speech was heard."""
        return max(self.hypotheses, key=lambda one: joint_confidence(one, weight), default=None)

    def errors(self, hypothesis: dict[str, Any] | None) -> float:
        rate = score_transcripts([self.text], ["" if hypothesis is None else hypothesis["text"]], self.language)
        return rate.cer if self.language == "zh" else rate.wer


def joint_confidence(hypothesis: dict[str, Any], weight: float) -> float:
    """The joint confidence, whose logarithm is the score, at a weight: linear in it between those that are known."""
    tokens = max(1, len(hypothesis["token_log_probs"]))
    llm = hypothesis["llm_log_prob"] / tokens
    if not weight:
        return math.exp(llm)
    if not hypothesis["confidence"]:
        return 0.0
    phonemes = (math.log(hypothesis["confidence"]) - (1 - MIDDLE) * llm) / MIDDLE
    return math.exp((1 - weight) * llm + weight * phonemes)


def timed(pipe: EntropyASRPipeline, audio: list[np.ndarray], **options: Any) -> tuple[list[dict[str, Any]], float]:
    """Results, and seconds of processor time."""
    start = time.process_time()
    results = pipe(audio, batch_size=BATCH_SIZE, guards={"no_speech": False}, **options)
    return results, round(time.process_time() - start, 2)


def error_rate(texts: list[str], hypotheses: list[str], language: str) -> float:
    counts = score_transcripts(texts, hypotheses, language)
    return round(100 * (counts.cer if language == "zh" else counts.wer), 2)


def listen(pipe: EntropyASRPipeline, data_dir: Path, name: str, rows: int, count: int) -> list[Heard]:
    """Hypotheses of a data set's rows; prints error rates and seconds of three ways to search."""
    data = load_source(DataSource(path=str(data_dir / name), split="dev", max_rows=rows))
    audio, texts, language = [read_samples(row) for row in data], data["text"], data["language"][0]
    pipe(audio[:1], num_return_sequences=count)  # what is made once
    ways = {
        "greedy": {},
        "beams": {"num_beams": count},
        "scored by the language model": {"num_return_sequences": count, "rescoring_weight": 0},
        "scored by both": {"num_return_sequences": count, "rescoring_weight": MIDDLE},
    }
    for way, options in ways.items():
        results, seconds = timed(pipe, audio, **options)
        report = {"set": name, "rows": len(texts), "search": way, "seconds": seconds}
        if way in ("greedy", "beams"):
            report["error_rate"] = error_rate(texts, [result["text"] for result in results], language)
        print(json.dumps(report), flush=True)
    return [Heard(text, language, result["hypotheses"]) for text, result in zip(texts, results, strict=True)]


def measure_weights(name: str, heard: list[Heard]) -> None:
    texts, language = [one.text for one in heard], heard[0].language
    before = [one.errors(one.best(0.0)) for one in heard]
    for weight in WEIGHTS:
        chosen = [one.best(weight) for one in heard]
        after = [one.errors(best) for one, best in zip(heard, chosen, strict=True)]
        report = {"set": name, "weight": weight}
        report["error_rate"] = error_rate(texts, ["" if best is None else best["text"] for best in chosen], language)
        pairs = list(zip(after, before, strict=True))
        report |= {"better": sum(a < b for a, b in pairs), "worse": sum(a > b for a, b in pairs)}
        print(json.dumps(report), flush=True)
    oracle = [min(one.hypotheses, key=one.errors)["text"] if one.hypotheses else "" for one in heard]
    print(json.dumps({"set": name, "best there is": error_rate(texts, oracle, language)}), flush=True)


def measure_confidences(name: str, heard: list[Heard], ranking: float) -> None:
    """Areas under the curve of confidences of the transcripts that one weight ranks first."""
    best = [(one, one.best(ranking)) for one in heard if one.hypotheses]
    is_right = [one.errors(hypothesis) == 0 for one, hypothesis in best]
    if len(set(is_right)) < 2:
        return
    report: dict[str, Any] = {"set": name, "ranked at": ranking, "right": sum(is_right), "wrong": len(best)}
    report["wrong"] -= report["right"]
    for weight in WEIGHTS:
        label = {0.0: "language model", 1.0: "phoneme head (return_confidence)"}.get(weight, f"joint {weight}")
        scores = [joint_confidence(hypothesis, weight) for _, hypothesis in best]
        report[label] = round(float(roc_auc_score(is_right, scores)), 3)
    print(json.dumps(report), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--hypotheses", type=int, default=8)
    parser.add_argument("--output", type=Path, help="also write all hypotheses here, as JSON")
    parser.add_argument("--hypotheses_file", type=Path, help="measure with the hypotheses that `--output` wrote")
    args = parser.parse_args()
    if (args.data_dir is None) == (args.hypotheses_file is None):
        parser.error("give either --data_dir or --hypotheses_file")
    if args.hypotheses_file is None:
        pipe = load_pipeline(args.model or default_model(), device="cpu")
        heard = {name: listen(pipe, args.data_dir, name, args.rows, args.hypotheses) for name in args.sets}
    else:
        kept = json.loads(args.hypotheses_file.read_text(encoding="utf-8"))
        heard = {name: [Heard(**one) for one in rows] for name, rows in kept.items()}
    if args.output is not None:
        args.output.write_text(json.dumps({name: [vars(one) for one in rows] for name, rows in heard.items()}))
    for name, rows in heard.items():
        measure_weights(name, rows)
        for ranking in (0.0, RESCORING_WEIGHT):
            measure_confidences(name, rows, ranking)
    for ranking in (0.0, RESCORING_WEIGHT):
        measure_confidences("all", [one for rows in heard.values() for one in rows], ranking)


if __name__ == "__main__":
    main()
