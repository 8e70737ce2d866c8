# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Bad input by the thousand: each is either used, or refused in one line that says what is wrong with it.

    python tests/benchmarks/fuzz_inputs.py --write [--inputs 10000] [--seed 0] [--areas "audio files" ...]
    python tests/benchmarks/fuzz_inputs.py --areas recipes --only 17 --inputs 1000   # shows one input and its outcome

Inputs are made by their number: valid seeds mutated by a seeded generator, or examples that hypothesis draws. Each is
used in a forked process that has bounds of time and of address space. What is neither a result nor an error of an
expected class with a clear message goes into a file of `--findings` with its input. Ends with status 1 where there are
findings. `--write` puts the table into `results/faults.json`. `--coverage` needs the package atheris.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any


os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.append(str(Path(__file__).parents[1] / "helpers"))

import torch
import transformers
from bounded_calls import ACCEPTED, REFUSED, Bounds, Outcome, run_bounded
from faults import table, write_results
from faults import total as sums
from fuzz_areas import Area, Audio, Hotwords, Recipes
from fuzz_checkpoints import Checkpoints, Configurations, ThinCheckpoints, Tokenizers
from fuzz_metrics import Metrics
from fuzz_servers import Forms, Frames


# Shares of the inputs. A folder of a checkpoint costs a hundred times what a recording of a tenth of a second does.
SHARES: dict[type[Area], float] = {
    Audio: 0.30,
    Configurations: 0.05,
    Tokenizers: 0.08,
    Checkpoints: 0.05,
    ThinCheckpoints: 0.01,
    Hotwords: 0.15,
    Frames: 0.10,
    Forms: 0.06,
    Recipes: 0.10,
    Metrics: 0.10,
}
COLUMNS = ("area", "inputs", "accepted", "refused", "findings", "seconds", "slowest, s", "most memory, MiB")


def fuzz(area: Area, count: int, args: argparse.Namespace) -> dict[str, Any]:
    """A row of the table; findings are written as they come."""
    with tempfile.TemporaryDirectory() as scratch:
        area.prepare(Path(scratch), count, args.seed)
        began, kinds, slowest, most = time.monotonic(), Counter(), 0.0, 0.0
        numbers = range(count) if args.only is None else range(args.only, args.only + 1)
        bounds = Bounds(args.seconds, args.megabytes)
        calls = (
            lambda number: area.run(area.make(number)),
            lambda number, error: area.judge(area.make(number), error),
        )
        for outcome in run_bounded(numbers, *calls, bounds):
            kinds[outcome.kind] += 1
            slowest, most = max(slowest, outcome.seconds), max(most, outcome.megabytes)
            if outcome.is_finding:
                write_finding(area, outcome, args.findings)
            if args.only is not None or args.verbose:
                print(outcome.number, outcome.kind, outcome.reason, sep="\t", flush=True)
            if args.only is not None:
                print(repr(area.make(outcome.number))[:5000])
        found = sum(kinds.values()) - kinds[ACCEPTED] - kinds[REFUSED]
        figures = (area.name, len(numbers), kinds[ACCEPTED], kinds[REFUSED], found)
        return dict(zip(COLUMNS, (*figures, round(time.monotonic() - began, 1), slowest, most), strict=True))


def write_finding(area: Area, outcome: Outcome, folder: Path) -> None:
    """A file with what happened and the input, as Python writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = f"{area.name}, seed {area.seed}, input {outcome.number}: {outcome.kind}\n{outcome.reason}\n"
    path = folder / f"{area.name.replace(' ', '-')}-{outcome.number:05d}.txt"
    path.write_text(f"{text}\n{area.make(outcome.number)!r}\n", encoding="utf-8", errors="backslashreplace")
    lines = outcome.reason.strip().splitlines() or [""]
    print(f"{path.name}: {outcome.kind}: {lines[-1][:200]}", flush=True)


def fuzz_by_coverage(args: argparse.Namespace) -> dict[str, Any]:
    """A row of recordings that atheris makes, each of which reaches other lines of the readers than those before."""
    with tempfile.TemporaryDirectory() as scratch:
        began = time.monotonic()
        script, counts = Path(__file__).with_name("fuzz_coverage.py"), Path(scratch) / "counts.json"
        command = [sys.executable, script, args.coverage, args.seed, scratch, args.findings]
        ended = subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL, check=False, stderr=subprocess.PIPE)
        if not counts.is_file():
            raise SystemExit(f"fuzz_coverage.py has failed: {ended.stderr.decode(errors='replace')[-2000:]}")
        found = json.loads(counts.read_text())
    seconds, slowest = round(time.monotonic() - began, 1), round(found["slowest"], 4)
    figures = (found["inputs"], found["accepted"], found["refused"], found["findings"], seconds, slowest)
    # libFuzzer bounds the memory, and does not say how much was taken.
    return dict(zip(COLUMNS[:-1], ("audio files, by coverage", *figures), strict=True))


def quiet() -> None:
    """Libraries say what they will of bad input; here the error alone matters."""
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    transformers.utils.logging.set_verbosity(transformers.utils.logging.CRITICAL)
    transformers.utils.logging.disable_progress_bar()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000, help="of all areas together, whichever are chosen")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--areas", nargs="*", default=[kind.name for kind in SHARES], metavar="A")
    parser.add_argument("--only", type=int, metavar="N", help="the input of this number alone")
    parser.add_argument("--seconds", type=float, default=Bounds.seconds, help="of a processor, for an input")
    parser.add_argument("--megabytes", type=int, default=Bounds.megabytes, help="address space of an input")
    parser.add_argument("--findings", type=Path, default=Path("outputs/findings"))
    parser.add_argument("--coverage", type=int, default=0, metavar="N", help="and N recordings guided by coverage")
    parser.add_argument("--write", action="store_true", help="put the rows into results/faults.json")
    parser.add_argument("--verbose", action="store_true", help="a line for each input")
    args = parser.parse_args()
    if unknown := set(args.areas) - {kind.name for kind in SHARES}:
        parser.error(f"there is no area {unknown.pop()!r}: {', '.join(kind.name for kind in SHARES)}")
    quiet()
    makers = {kind: partial(fuzz, kind(), round(args.inputs * share)) for kind, share in SHARES.items()}
    makers = {kind.name: make for kind, make in makers.items() if kind.name in args.areas}
    makers |= {"by coverage": fuzz_by_coverage} if args.coverage else {}
    rows, settings = [], {"seed": args.seed, "seconds for each": args.seconds, "MiB for each": args.megabytes}
    for make in makers.values():
        rows.append(make(args))
        print("\n".join(table(rows[-1:], COLUMNS)[2:]), flush=True)
        if args.write:
            write_results("fuzzed_inputs", rows[-1:], settings)
    print("\n".join(table([*rows, *sums(rows, COLUMNS)], COLUMNS)))
    return int(any(row["findings"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
