# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whole hours from the command line: `entropy-asr transcribe --dataset` against faster-whisper and transformers.

    python tests/benchmarks/benchmark_corpus.py --dataset DATA/librispeech_subset DATA/speechocean762 \
      --whisper openai/whisper-base [--minutes 30] [--portions 3] [--threads 2]

Test and dev rows, with repetition until there are enough, are laid into portions of equal length, files of parquet.
Each system transcribes each portion in a process of its own, greedily, in English, in turn; loading the model counts.
faster-whisper (`pip install faster-whisper`) runs the same weights that transformers' pipeline has, converted by
CTranslate2, in int8 and in float32, one recording after another; transformers' pipeline and ours take batches of 16.
Error rates stand beside the times, since a system that hears less may be faster.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import datasets
import numpy as np
from interleaved import Step, interleave, print_conditions, print_goal, ratio, spread

from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.evaluation.error_rates import ErrorCounts


RATE = 16000
OURS, PIPELINE = "entropy-asr transcribe", "transformers pipeline"
FASTER = {"faster-whisper int8": "int8", "faster-whisper float32": "float32"}
Texts = Iterable[str]


def make_portions(paths: list[str], minutes: float, number: int, folder: Path) -> list[Path]:
    """Parquet files of `minutes` each, the same mixture of rows in all of them."""
    rows = [load_source(DataSource(path=path, split=split)) for path in paths for split in ("dev", "test")]
    kept = datasets.concatenate_datasets([part.select_columns(["audio", "text", "duration"]) for part in rows])
    order = np.random.default_rng(0).permutation(len(kept))
    seconds, portions, place = np.array(kept["duration"]), [], 0
    for index in range(number):
        chosen, length = [], 0.0
        while length < 60 * minutes:
            chosen.append(order[place % len(order)])
            length += seconds[chosen[-1]]
            place += 1
        portions.append(folder / f"{index}.parquet")
        kept.select(chosen).to_parquet(portions[-1])
    return portions


def ours(portion: Path, output: Path, args: argparse.Namespace) -> list[str]:
    cli = [sys.executable, "-m", "entropy_asr.trainers.commands.cli", "transcribe", "--model", args.model]
    options = ["--dataset", str(portion), "--output", str(output), "--language", "en", "--batch_size", "16"]
    return [*cli, *options]


def theirs(name: str) -> Callable[[Path, Path, argparse.Namespace], list[str]]:
    def command(portion: Path, output: Path, args: argparse.Namespace) -> list[str]:
        weights = args.converted if name in FASTER else args.whisper
        options = ["--child", name, "--dataset", str(portion), "--whisper", str(weights), "--output", str(output)]
        return [sys.executable, __file__, *options, "--threads", str(args.threads)]

    return command


def run_child(args: argparse.Namespace) -> None:
    """A peer in a process of its own: texts of a portion to a file of parquet, as ours writes."""
    rows = SpeechDataset(load_source(DataSource(path=args.dataset[0], split="train", language="en")))
    samples = [rows[index]["samples"] for index in range(len(rows))]
    texts = list(faster_whisper(args, samples) if args.child in FASTER else pipeline_texts(args, samples))
    datasets.Dataset.from_dict({"text": texts}).to_parquet(args.output)


def faster_whisper(args: argparse.Namespace, samples: list[np.ndarray]) -> Texts:
    from faster_whisper import WhisperModel

    model = WhisperModel(args.whisper, device="cpu", compute_type=FASTER[args.child], cpu_threads=args.threads)
    for recording in samples:
        segments, _ = model.transcribe(recording, language="en", beam_size=1, temperature=0.0)
        yield "".join(segment.text for segment in segments)


def pipeline_texts(args: argparse.Namespace, samples: list[np.ndarray]) -> Texts:
    import torch
    from evaluate_peer import Peer

    torch.set_num_threads(args.threads)
    return [output["text"] for output in Peer(args.whisper)(samples, 16, {})]


def timed(command: Callable, portions: Iterable[Path], args: argparse.Namespace, texts: list) -> Step:
    """Processor and wall seconds of the next portion, all threads and processes together; texts are kept."""
    left = iter(portions)

    def step() -> tuple[float, float]:
        portion = next(left)
        output = Path(tempfile.mkdtemp(dir=portion.parent)) / "texts.parquet"
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command(portion, output, args), check=True, env=environment, stdout=subprocess.DEVNULL)
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
        texts.append((portion, [text or "" for text in datasets.Dataset.from_parquet(str(output))["text"]]))
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall

    return step


def error_rate(found: list[tuple[Path, list[str]]]) -> float:
    """WER in percent over all portions."""
    counts = ErrorCounts("word")
    for portion, texts in found:
        said = datasets.Dataset.from_parquet(str(portion))["text"]
        for reference, hypothesis in zip(said, texts, strict=True):
            counts.add(reference, hypothesis, "en")
    return 100 * counts.error_rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[2] / "spaces" / "demo" / "checkpoint"
    parser.add_argument("--model", default=str(default))
    parser.add_argument("--whisper", required=True, help="folder or Hub id of the peers' weights")
    parser.add_argument("--dataset", nargs="+", required=True)
    parser.add_argument("--minutes", type=float, default=30, help="of a portion")
    parser.add_argument("--portions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of each process")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        run_child(args)
        return
    with tempfile.TemporaryDirectory() as name:
        compare(args, Path(name))


def compare(args: argparse.Namespace, folder: Path) -> None:
    print_conditions(args.threads)
    args.converted = folder / "converted"
    convert = ["ct2-transformers-converter", "--model", args.whisper, "--output_dir", str(args.converted)]
    # Without it, faster-whisper fetches one.
    convert += ["--copy_files", "tokenizer.json"]
    script = Path(sys.executable).with_name(convert[0])
    subprocess.run(
        [str(script) if script.exists() else convert[0], *convert[1:]], check=True, stdout=subprocess.DEVNULL
    )
    portions = make_portions(args.dataset, args.minutes, args.portions, folder)
    texts: dict[str, list] = {name: [] for name in (OURS, *FASTER, PIPELINE)}
    commands = {name: ours if name == OURS else theirs(name) for name in texts}
    # `interleave` does a round first that does not count.
    once_more = [portions[0], *portions]
    steps = {name: timed(commands[name], once_more, args, found) for name, found in texts.items()}
    measured = interleave(steps, args.portions)
    audio = 60 * args.minutes
    print(f"{args.portions} portions of {args.minutes:g} minutes of {', '.join(Path(p).name for p in args.dataset)}")
    print(f"{'':26} {'CPU s':>16} {'wall s':>16} {'audio s/CPU s':>13} {'audio s/wall s':>14} {'WER %':>6}")
    for name, values in measured.items():
        cpu, wall = values.T
        print(
            f"{name:26} {spread(cpu, 1):>16} {spread(wall, 1):>16} {audio / np.median(cpu):13.1f} "
            f"{audio / np.median(wall):14.1f} {error_rate(texts[name][1:]):6.1f}",
            flush=True,
        )
    for name in (*FASTER, PIPELINE):
        print_goal(f"corpus, ours / {name}", ratio(measured[name][:, 0], measured[OURS][:, 0]), 1)


if __name__ == "__main__":
    main()
