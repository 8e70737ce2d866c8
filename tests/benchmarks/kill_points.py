# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Runs that are killed (SIGKILL) at points drawn at random, and run again until they end: what they end with.

    python tests/benchmarks/kill_points.py --write [--kills 200] [--seed 0] [--areas "snapshot store" ...]

A point is one of the changes that a run makes in its folder (a file opened to be written, renamed or removed, a folder
made or removed), at once or up to a twentieth of a second behind it; in corpora a line of the program; of two training
processes a moment. A run is killed several times, also while it goes on from an earlier kill. Then its files are those
of an uninterrupted run, bit for bit, or it counts as unequal; as lost where it does not end at all, or has other steps
on record. `--write` puts its table into `results/faults.json`.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("helpers", "trainers"))

import numpy as np
import torch
import transformers
from faults import table, total, write_results
from kill_areas import AREAS, prepared


COLUMNS = ("area", "runs", "kills", "lost", "unequal", "seconds")


def measure(name: str, kills: int, seed: int) -> dict[str, Any]:
    """A row of the table."""
    began = time.monotonic()
    kind = AREAS[name][0]
    with tempfile.TemporaryDirectory() as scratch:
        tally = kind(Path(scratch), np.random.default_rng([seed, list(AREAS).index(name)])).kill(kills)
    figures = (name, tally.runs, tally.kills, tally.lost, tally.unequal, round(time.monotonic() - began, 1))
    return dict(zip(COLUMNS, figures, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="of all areas together, whichever are chosen")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--areas", nargs="+", default=list(AREAS), metavar="A", choices=list(AREAS))
    parser.add_argument("--write", action="store_true", help="put the rows into results/faults.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    rows = []
    with prepared():
        for name in args.areas:
            rows.append(measure(name, max(1, round(args.kills * AREAS[name][1])), args.seed))
            print("\n".join(table(rows[-1:], COLUMNS)[2:]), flush=True)
            if args.write:
                write_results("kill_points", rows[-1:], {"seed": args.seed})
    print("\n".join(table([*rows, *total(rows, COLUMNS)], COLUMNS)))
    return int(any(row["lost"] or row["unequal"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
