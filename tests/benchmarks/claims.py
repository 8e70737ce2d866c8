# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Do the paper's claims hold? Runs the arms of `trainers/recipes/claims.yaml`, and writes a page of what they gave.

```shell
python tests/benchmarks/claims.py run --data_dir DATA --encoder openai/whisper-base --seeds 1 --hours 2
python tests/benchmarks/claims.py page
```

`run` does what is missing, seed by seed, and goes on exactly where it was ended. After `--hours` it ends by itself,
with exit status 75 where it is not done. Further options, such as `--test_rows 50`, go to the recipe. How far it is,
and when it will have ended, is printed each minute, and in `progress.json` of the seed's folder. What an arm gave is
written to `--results_dir` as soon as the arm is done, in small files; of these alone `page` makes the page, and a part
of README, at any time, of the seeds that are whole. What is claimed, and when a claim holds, is in `claims.yaml`.
"""

import argparse
import math
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from claims_page import write_page
from claims_progress import SECONDS, Progress, lanes_of
from claims_results import RESULTS, keep_allocation, keep_arm, plan

from entropy_asr.trainers.recipes.recipe import check_recipe, load_recipe
from entropy_asr.trainers.runs.records import RECORD


ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "trainers" / "recipes" / "claims.yaml"
NOT_DONE = 75
REPORT = "allocation"
CLI = [sys.executable, "-m", "entropy_asr.trainers.commands.cli"]


def run(args: argparse.Namespace, options: list[str]) -> int:
    """Run what is missing of all seeds; 0 when nothing is left, `NOT_DONE` when the time is up, else what failed."""
    until = time.monotonic() + 3600 * args.hours
    common = ["--data_dir", args.data_dir, "--encoder", args.encoder, *options]
    check_steps(load_recipe(RECIPE, args.output_dir, common)["stages"])
    for seed in args.seeds:
        if status := run_seed(args, common, seed, until):
            return status
    return 0


def run_seed(args: argparse.Namespace, options: list[str], seed: int, until: float) -> int:
    """Run what is missing of a seed, and keep what its arms gave."""
    folder, kept = Path(args.output_dir) / str(seed), Path(args.results_dir) / str(seed)
    given = [*options, "--seed", str(seed)]
    recipe = load_recipe(RECIPE, str(folder), given)
    # Where things lie is no setting of the experiment.
    settings = {name: value for name, value in recipe["variables"].items() if name not in ("data_dir", "encoder")}
    settings |= {"encoder": Path(args.encoder).name, "seed": seed}
    progress = Progress(lanes_of(check_recipe(recipe), plan()["seconds"]), plan()["report_seconds"])

    def watch() -> None:
        progress.write(folder)
        for arm in plan()["arms"]:
            keep_arm(folder, kept, arm, settings)

    command = [*CLI, "recipe", str(RECIPE), *given, "--output_dir", str(folder)]
    if status := run_until(until, command, watch):
        return status
    watch()
    if not (folder / REPORT / "done").exists():
        if status := run_until(until, [*CLI, *report_arguments(args, folder)]):
            return status
        (folder / REPORT / "done").touch()
    keep_allocation(folder / REPORT, kept)
    for checkpoint in folder.glob("*/checkpoints/checkpoint-*"):
        if (checkpoint.parents[1] / RECORD).exists():
            shutil.rmtree(checkpoint)
    print(f"Seed {seed} is done: {kept}", flush=True)
    return 0


def check_steps(stages: dict[str, Any]) -> None:
    """Refuse arms of different numbers of steps.

    Raises:
        ValueError: `all_sft_steps` is not the sum of the others.
    """
    found = {
        arm: sum(stages[name]["training"]["max_steps"] for name in names) for arm, names in plan()["arms"].items()
    }
    if len(set(found.values())) > 1:
        raise ValueError(f"Arms take different steps: {found}; all_sft_steps is ia_sft_steps + joint_sft_steps.")


def report_arguments(args: argparse.Namespace, folder: Path) -> list[str]:
    """The command for the entropy allocation report of a seed."""
    sets = [f"{args.data_dir}/{name}" for name in plan()["allocation_sets"]]
    embedder = [] if args.embedder == "none" else ["--embedder", args.embedder]
    rows = ["--max_rows", str(args.allocation_rows), "--ledger_rows", str(args.ledger_rows)]
    models = [str(folder / name) for name in plan()["allocation_stages"]]
    return ["report", "--model", *models, "--dataset", *sets, *embedder, *rows, "-o", str(folder / REPORT)]


def run_until(until: float, command: list[str], watch: Callable[[], None] = lambda: None) -> int:
    """Run a command, and end it as a user would when the time is up; `watch` is called each minute."""
    if until <= time.monotonic():
        return NOT_DONE
    process = subprocess.Popen(command)
    try:
        while (remaining := until - time.monotonic()) > 0:
            try:
                return process.wait(min(remaining, SECONDS))
            except subprocess.TimeoutExpired:
                watch()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait()
    print("The time is up; run the same command again to go on.", flush=True)
    return NOT_DONE


def parse(arguments: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The command line, and what of it goes to the recipe."""
    parser = argparse.ArgumentParser(description="Do the paper's claims hold?")
    commands = parser.add_subparsers(required=True)
    runner = commands.add_parser("run", help="run what is missing; further options go to the recipe")
    runner.add_argument("--data_dir", required=True, help="folder with the data sets")
    runner.add_argument("--encoder", default="openai/whisper-base", help="folder or Hub id; default: %(default)s")
    runner.add_argument("--output_dir", default="runs/claims", help="default: %(default)s")
    runner.add_argument("--results_dir", default=str(RESULTS), help="where results go; default: beside this file")
    runner.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    runner.add_argument("--hours", type=float, default=math.inf, help="end after so long; default: when all is done")
    runner.add_argument(
        "--embedder", default="all-minilm-l6-v2", help="of CSAI, folder or Hub id; none: no CSAI; default: %(default)s"
    )
    runner.add_argument("--allocation_rows", type=int, default=400, help="utterances of a data set; default: 400")
    runner.add_argument("--ledger_rows", type=int, default=15, help="of them in the ledger; default: 15")
    runner.set_defaults(do=run)
    pager = commands.add_parser("page", help="write the page of what was kept, and README's summary of it")
    pager.add_argument("--results_dir", type=Path, default=RESULTS, help="default: beside this file")
    pager.add_argument(
        "--readme", type=Path, default=ROOT / "trainers" / "evaluation" / "README.md", help="default: %(default)s"
    )
    pager.set_defaults(do=lambda args, _: write_page(args.results_dir, args.readme))
    args, options = parser.parse_known_args(arguments)
    if options and args.do is not run:
        parser.error(f"unrecognized arguments: {' '.join(options)}")
    return args, options


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says."""
    args, options = parse(arguments)
    return args.do(args, options)


if __name__ == "__main__":
    sys.exit(main())
