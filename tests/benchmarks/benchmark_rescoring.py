# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What joining the phoneme head's score of each hypothesis with the language model's is worth, weight by weight.

    python tests/benchmarks/benchmark_rescoring.py --data_dir ../shared/data --output results.json [--rows 60]
        [--model M] [--hypotheses 4] [--heard hypotheses.json]

On development rows, weights are chosen: of the ranking by the lowest error rate, of the confidence by the largest area
under the ROC curve that tells transcripts with errors from those without, each as a mean over sets. On test rows, all
weights are reported:

- error rate of greedy search and of the best hypothesis by each weight, how many transcripts a weight betters and
  worsens against the language model alone (weight 0), and the error rate of the best hypothesis there is;
- areas under the curve of the language model's confidence (weight 0), of the joint ones, and of the phoneme head's
  (weight 1), which is `return_confidence`, all of the transcript that the chosen weight ranks first;
- text of sounds without speech, guards off: the area under the curve by which each confidence tells it from text of
  speech, and the share of it that stands where each confidence, bounded so that it loses one in fifty texts of the
  development rows, is the guard; beside it what today's guard leaves, and what that loses of speech;
- with `--costs`, seconds of processor time for a second of speech (with `OMP_NUM_THREADS=1`, what a free machine
  takes).

`--heard` keeps the hypotheses, set by set: a run that was stopped goes on there.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_guards import made_sounds
from sklearn.metrics import roc_auc_score

from entropy_asr.modeling.guards_entropy_asr import NO_SPEECH
from entropy_asr.modeling.hypotheses_entropy_asr import RESCORING_WEIGHT
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline, load_pipeline
from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.evaluation.error_rates import score_transcripts


SPLITS = ("dev", "test")
SPEECH = ("librispeech_subset", "speechocean762", "aishell_sample")
NOISES = "esc10_noise"
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
BATCH_SIZE = 8
# Both scores of every hypothesis, from which those at any other weight follow.
MIDDLE = 0.5
# Of texts of speech that a confidence may lose where it is a guard.
LOST = 0.02


@dataclass(frozen=True)
class Heard:
    """One utterance: what was said, in which language ("" for sounds), and what was heard.

    Attributes:
        hypotheses: as the pipeline gives them, guards off.
        greedy: the text of greedy search, guards off.
        is_silenced: whether today's guard leaves the text empty.
        seconds: of audio.
    """

    text: str
    language: str
    hypotheses: list[dict[str, Any]]
    greedy: str
    is_silenced: bool
    seconds: float

    def best(self, weight: float) -> dict[str, Any]:
        """The hypothesis of the best joint score at a weight."""
        return max(self.hypotheses, key=lambda one: joint_confidence(one, weight))

    def errors(self, text: str) -> float:
        rate = score_transcripts([self.text], [text], self.language)
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


def listen(pipe: EntropyASRPipeline, sounds: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """What is heard of sounds `{"samples", "text", "language"}`."""
    audio = [sound["samples"] for sound in sounds]
    off = {"guards": {"no_speech": False}, "batch_size": BATCH_SIZE}
    greedy = pipe(audio, **off)
    guarded = pipe(audio, batch_size=BATCH_SIZE, max_new_tokens=1, return_flags=True)
    several = pipe(audio, num_return_sequences=count, rescoring_weight=MIDDLE, **off)
    return [
        {
            "text": sound["text"],
            "language": sound["language"],
            "hypotheses": found["hypotheses"],
            "greedy": first["text"],
            "is_silenced": NO_SPEECH in guard["flags"],
            "seconds": len(sound["samples"]) / pipe.processor.sampling_rate,
        }
        for sound, first, guard, found in zip(sounds, greedy, guarded, several, strict=True)
    ]


def recordings(data_dir: Path, name: str, split: str, rows: int) -> list[dict[str, Any]]:
    """Rows of a split, evenly spaced: neighbours are often of one speaker."""
    data = load_source(DataSource(path=str(data_dir / name), split=split))
    data = data.select(np.linspace(0, len(data) - 1, min(rows, len(data))).round().astype(int))
    return [{"samples": read_samples(row), "text": row["text"], "language": row["language"]} for row in data]


def all_heard(model: str, args: argparse.Namespace) -> dict[str, Any]:
    """What is heard in each split of each set, and of sounds without speech; what `--heard` has is not heard again."""
    kept = json.loads(args.heard.read_text(encoding="utf-8")) if args.heard and args.heard.is_file() else {}
    pipe = None

    def keep(name: str, hear: Callable[[EntropyASRPipeline], Any]) -> None:
        nonlocal pipe
        if name in kept:
            return
        pipe = pipe or load_pipeline(model, device="cpu")
        kept[name] = hear(pipe)
        print(f"heard {name}", flush=True)
        if args.heard is not None:
            args.heard.write_text(json.dumps(kept), encoding="utf-8")

    for split in SPLITS:
        for name in SPEECH:
            rows = partial(recordings, args.data_dir, name, split, args.rows)
            keep(f"{split} {name}", lambda pipe, rows=rows: listen(pipe, rows(), args.hypotheses))
    keep("sounds", lambda pipe: listen(pipe, sounds(args.data_dir, args.rows), args.hypotheses))
    if args.costs:
        keep("costs", lambda pipe: costs(pipe, args.data_dir, args.hypotheses))
    return kept


def sounds(data_dir: Path, rows: int) -> list[dict[str, Any]]:
    """Recordings of sounds without speech, and half as many made ones."""
    recorded = [{**one, "text": "", "language": ""} for one in recordings(data_dir, NOISES, "test", rows)]
    made = [one for group in made_sounds(rows // 6).values() for one in group]
    return recorded + [{"samples": samples, "text": "", "language": ""} for samples in made]


def costs(pipe: EntropyASRPipeline, data_dir: Path, count: int) -> dict[str, float]:
    """Processor seconds for a second of speech, on two rows of each set."""
    audio = [one["samples"] for name in SPEECH for one in recordings(data_dir, name, "dev", 2)]
    seconds = sum(map(len, audio)) / pipe.processor.sampling_rate
    ways = {
        "greedy": {},
        "beams": {"num_beams": count},
        "beams, scored by the language model": {"num_return_sequences": count, "rescoring_weight": 0},
        "beams, scored by both": {"num_return_sequences": count},
    }
    report = {}
    for way, options in ways.items():
        start = time.process_time()
        pipe(audio, batch_size=BATCH_SIZE, **options)
        report[way] = round((time.process_time() - start) / seconds, 4)
    return report


def error_rate(heard: list[Heard], texts: list[str]) -> float:
    counts = score_transcripts([one.text for one in heard], texts, heard[0].language)
    return round(100 * (counts.cer if heard[0].language == "zh" else counts.wer), 2)


def error_rates(heard: list[Heard]) -> dict[str, Any]:
    """Error rates in percent, by weight, and how many transcripts each weight betters and worsens."""
    before = [one.errors(one.best(0.0)["text"]) for one in heard]
    report: dict[str, Any] = {"rows": len(heard), "greedy": error_rate(heard, [one.greedy for one in heard])}
    report["by_weight"], report["better"], report["worse"] = {}, {}, {}
    for weight in WEIGHTS:
        texts = [one.best(weight)["text"] for one in heard]
        after = [one.errors(text) for one, text in zip(heard, texts, strict=True)]
        report["by_weight"][str(weight)] = error_rate(heard, texts)
        report["better"][str(weight)] = sum(a < b for a, b in zip(after, before, strict=True))
        report["worse"][str(weight)] = sum(a > b for a, b in zip(after, before, strict=True))
    oracle = [min((hypothesis["text"] for hypothesis in one.hypotheses), key=one.errors) for one in heard]
    return report | {"best_there_is": error_rate(heard, oracle)}


def areas(heard: list[Heard], ranking: float) -> dict[str, Any]:
    """Areas under the curve of confidences, by weight, of the transcripts that one weight ranks first."""
    best = [(one, one.best(ranking)) for one in heard]
    is_right = [one.errors(hypothesis["text"]) == 0 for one, hypothesis in best]
    report: dict[str, Any] = {"right": sum(is_right), "wrong": len(best) - sum(is_right)}
    return report | {"by_weight": curves(is_right, [hypothesis for _, hypothesis in best])}


def curves(is_right: list[bool], hypotheses: list[dict[str, Any]]) -> dict[str, float | None]:
    """Area under the curve of each weight's confidence; None where all are right, or none."""
    if len(set(is_right)) < 2:
        return dict.fromkeys(map(str, WEIGHTS))
    return {
        str(weight): round(float(roc_auc_score(is_right, [joint_confidence(one, weight) for one in hypotheses])), 3)
        for weight in WEIGHTS
    }


def as_guard(speech: list[Heard], dev: list[Heard], sounds: list[Heard], ranking: float) -> dict[str, Any]:
    """How well each confidence tells text of speech from text of sounds, and what stands where it is the guard."""
    spoken, invented, chosen_on = (
        [best for best in (one.best(ranking) for one in rows) if best["text"]] for rows in (speech, sounds, dev)
    )
    is_right = [True] * len(spoken) + [False] * len(invented)
    left = {}
    for weight in WEIGHTS:
        bound = float(np.quantile([joint_confidence(one, weight) for one in chosen_on], LOST))
        stands = [sum(joint_confidence(one, weight) >= bound for one in rows) for rows in (invented, spoken)]
        left[str(weight)] = {
            "text_of_sounds": round(100 * stands[0] / len(sounds), 1),
            "speech_lost": round(100 * (len(spoken) - stands[1]) / len(speech), 1),
        }
    silenced = {
        "text_of_sounds": sum(bool(one.best(ranking)["text"]) and not one.is_silenced for one in sounds) / len(sounds),
        "speech_lost": sum(one.is_silenced for one in speech) / len(speech),
    }
    return {
        "sounds": len(sounds),
        "with_text": len(invented),
        "area_by_weight": curves(is_right, [*spoken, *invented]),
        "left_by_weight": left,
        "left_by_todays_guard": {name: round(100 * share, 1) for name, share in silenced.items()},
    }


def mean_by_weight(reports: list[dict[str, float]]) -> dict[float, float]:
    return {weight: float(np.mean([report[str(weight)] for report in reports])) for weight in WEIGHTS}


def report_of(kept: dict[str, Any]) -> dict[str, Any]:
    """What was measured, from what was heard."""
    dev, test = ({name: [Heard(**one) for one in kept[f"{split} {name}"]] for name in SPEECH} for split in SPLITS)
    rates = {
        split: {n: error_rates(h) for n, h in sets.items()} for split, sets in zip(SPLITS, (dev, test), strict=True)
    }
    by_weight = mean_by_weight([one["by_weight"] for one in rates["dev"].values()])
    ranking = min(by_weight, key=by_weight.get)
    together = {
        split: [one for rows in sets.values() for one in rows] for split, sets in (("dev", dev), ("test", test))
    }
    on_dev = areas(together["dev"], RESCORING_WEIGHT)
    sure = on_dev["by_weight"]
    surest = None if None in sure.values() else float(max(sure, key=sure.get))
    return {
        "chosen_on_dev": {"ranking": ranking, "confidence": surest, "default": RESCORING_WEIGHT},
        "error_rates": rates,
        "areas": {
            "dev": {"all": on_dev},
            "test": {name: areas(rows, RESCORING_WEIGHT) for name, rows in (*test.items(), ("all", together["test"]))},
        },
        "without_speech": as_guard(
            together["test"], together["dev"], [Heard(**one) for one in kept["sounds"]], RESCORING_WEIGHT
        ),
        **({"costs": kept["costs"]} if "costs" in kept else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--rows", type=int, default=60, help="of each set and split, and sounds without speech")
    parser.add_argument("--hypotheses", type=int, default=4)
    parser.add_argument("--costs", action="store_true", help="also measure processor time")
    parser.add_argument("--output", type=Path, required=True, help="the measurements, as JSON")
    parser.add_argument("--heard", type=Path, help="hypotheses of this run, or of an earlier one, as JSON")
    args = parser.parse_args()
    model = args.model or default_model()
    kept = all_heard(model, args)
    report = {"kind": "rescoring", "model": Path(model).name, "hypotheses": args.hypotheses, **report_of(kept)}
    args.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(args.output.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
