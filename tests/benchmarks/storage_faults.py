# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What becomes of runs whose disk fills, whose folder is read-only, whose clock jumps, who meet another run.

    python tests/benchmarks/storage_faults.py --write [--draws 4] [--seed 0] [--faults "full disk" ...]

Each run has a file system of its own in memory, which is made too small or read-only (Linux, as root or where users
may have namespaces of their own). What it says of that must be one line, with the folder and the system's reason. Then
the fault is mended and the run is started again: its files must be those of an undisturbed run, bit for bit. What is
run are stages by `entropy-asr train`, the snapshot store, `entropy-asr transcribe --dataset`, and, where files of a
shared store are seen late, IA-SFT. `--write` puts the table into `results/faults.json`.
"""

import argparse
import logging
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
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
from kill_areas import prepared
from storage_areas import AREAS, FAULTS, PAIRS, can_mount


UNSHARED = "ENTROPY_ASR_UNSHARED"
COLUMNS = ("area", "fault", "runs", "refused", "unclear", "lost", "unequal", "seconds")


def measure(area: str, fault: str, draws: int, seed: int) -> dict[str, Any]:
    """A row of the table."""
    began = time.monotonic()
    rng = np.random.default_rng([seed, list(AREAS).index(area), list(FAULTS).index(fault)])
    with tempfile.TemporaryDirectory() as scratch:
        tally = FAULTS[fault](AREAS[area](Path(scratch)), draws, rng)
    row = {"area": area, "fault": fault, **asdict(tally), "seconds": round(time.monotonic() - began, 1)}
    return {name: row[name] for name in COLUMNS}


def unshare_mounts(parser: argparse.ArgumentParser) -> None:
    """Go on in a namespace of its own: nobody else sees what is mounted, and nothing of it is left."""
    if UNSHARED not in os.environ and shutil.which("unshare"):
        os.environ[UNSHARED] = "1"
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        os.execvp("unshare", ["unshare", "--mount", *as_root, sys.executable, *sys.argv])
    if UNSHARED not in os.environ or not can_mount():
        parser.error("file systems cannot be mounted here")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=4, help="how often each run meets each fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--areas", nargs="+", default=list(AREAS), metavar="A", choices=list(AREAS))
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), metavar="F", choices=list(FAULTS))
    parser.add_argument("--write", action="store_true", help="put the rows into results/faults.json")
    args = parser.parse_args()
    unshare_mounts(parser)
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    rows = []
    with prepared():
        for area, fault in PAIRS:
            if area in args.areas and fault in args.faults:
                rows.append(measure(area, fault, args.draws, args.seed))
                print("\n".join(table(rows[-1:], COLUMNS)[2:]), flush=True)
                if args.write:
                    write_results("storage", rows[-1:], {"seed": args.seed, "draws": args.draws})
    print("\n".join(table([*rows, *total(rows, COLUMNS)], COLUMNS)))
    return int(any(row["unclear"] or row["lost"] or row["unequal"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
