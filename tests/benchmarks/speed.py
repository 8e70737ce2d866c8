# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Runs the benchmarks against other implementations one after another, and makes one page of what they print.

```shell
python tests/benchmarks/speed.py run --data_dir DATA --whisper openai/whisper-base [--only encoder decoding]
python tests/benchmarks/speed.py page
```

`run` wants a machine that does nothing else. What a benchmark prints is kept in `results/speed/NAME.txt` below its
command; one that fails leaves what was there. `page` writes SPEED.md from these files: first all goals, then why some
are not met (`speed_notes.md`, written by hand), then what was printed.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path


HERE = Path(__file__).parent
KEPT = HERE / "results" / "speed"
PAGE = HERE / "SPEED.md"
NOTES = HERE / "speed_notes.md"
# Name: title, script and its options. DATA and WHISPER stand for what the command line gives.
BENCHMARKS = {
    "encoder": ("Encoders, a pass", "benchmark_encoder.py --parameters 10 --profile"),
    "encoder_bf16": ("Encoders, a pass in bfloat16", "benchmark_encoder.py --parameters 10 --dtype bfloat16"),
    "encoder_training": ("Encoders, a training step", "benchmark_encoder.py --training --parameters 10 --profile"),
    "encoder_training_no_dropout": (
        "Encoders, a training step in which nothing is dropped",
        "benchmark_encoder.py --training --no_dropout --parameters 10",
    ),
    "encoder_training_bf16": (
        "Encoders, a training step in bfloat16",
        "benchmark_encoder.py --training --parameters 10 --dtype bfloat16",
    ),
    "decoding": ("Prefill, tokens, batches", "benchmark_decoding.py"),
    "token_costs": ("Ways to make tokens cheaper", "benchmark_token_costs.py"),
    "streaming": ("Chunks of a stream", "benchmark_streaming.py"),
    "corpus": (
        "Whole hours",
        "benchmark_corpus.py --minutes 10 --dataset DATA/librispeech_subset DATA/speechocean762 --whisper WHISPER",
    ),
    "training_step": ("CR-CTC and padding", "benchmark_training_step.py --data_dir DATA"),
    "stages": ("Stages of training", "benchmark_stages.py --dataset DATA/librispeech_subset DATA/speechocean762"),
}
GOAL = re.compile(r"goal: (.+): (\S+), wanted (\S+), (met|not met)")
# Progress bars, what trainers log, what torch's profiler says of itself, and what libraries warn of.
NOISE = re.compile(r"\r|it/s|s/it|Warning|^USDT:|DeviceProperties\.cpp|^\{'|^\s+return |^\s+warnings\.warn")


def run(args: argparse.Namespace) -> int:
    """Run the benchmarks that are asked for; 1 where one failed."""
    failed = []
    for name in args.only or BENCHMARKS:
        script, *options = BENCHMARKS[name][1].split()
        given = [option.replace("DATA", args.data_dir).replace("WHISPER", args.whisper) for option in options]
        print(f"== {name}", flush=True)
        result = subprocess.run(
            [sys.executable, str(HERE / script), *given], stdout=subprocess.PIPE, text=True, check=False
        )
        print(result.stdout, flush=True)
        if result.returncode:
            failed.append(name)
            continue
        lines = [line.rstrip() for line in result.stdout.splitlines() if not NOISE.search(line)]
        KEPT.mkdir(parents=True, exist_ok=True)
        text = "\n".join([f"$ python tests/benchmarks/{BENCHMARKS[name][1]}", *lines]) + "\n"
        text = text.replace(args.data_dir, "DATA").replace(args.whisper, "WHISPER")
        (KEPT / f"{name}.txt").write_text(text, encoding="utf-8")
    print(f"failed: {', '.join(failed)}" if failed else "all ended well")
    return int(bool(failed))


def page() -> str:
    """All goals in one table, then what each benchmark printed."""
    found = {name: (KEPT / f"{name}.txt") for name in BENCHMARKS}
    texts = {name: path.read_text(encoding="utf-8") for name, path in found.items() if path.is_file()}
    lines = [
        "# Speed",
        "",
        "Written by `python tests/benchmarks/speed.py page` from what `speed.py run` measured, on a core that did "
        "nothing else. What is compared ran in turn; figures are medians, in brackets the distance between the "
        "quartiles. Random weights support speed claims only.",
        "",
        "| how many times as fast | measured | wanted | |",
        "| --- | ---: | ---: | --- |",
    ]
    for text in texts.values():
        lines += [f"| {name} | {value} | {bound} | {word} |" for name, value, bound, word in GOAL.findall(text)]
    lines += ["", NOTES.read_text(encoding="utf-8").rstrip()]
    for name, text in texts.items():
        shown = [line for line in text.splitlines() if not GOAL.match(line)]
        lines += ["", f"## {BENCHMARKS[name][0]}", "", "```text", *shown, "```"]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--data_dir", required=True, help="folder of data sets")
    running.add_argument("--whisper", required=True, help="folder or Hub id of Whisper-base")
    running.add_argument("--only", nargs="+", choices=list(BENCHMARKS), help="default: all")
    commands.add_parser("page")
    args = parser.parse_args()
    if args.command == "run":
        return run(args)
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
