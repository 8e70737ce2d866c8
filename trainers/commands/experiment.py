# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr experiment FILE`: all arms of an experiment with several seeds, and the page of which claims hold."""

import argparse
import math
from pathlib import Path
from typing import Any

from ..runs.errors import CommandError, SettingsError
from .checks import check_dataset, check_output_file, check_output_folder, need_extra
from .models import hide_loading_bars
from .options import add_command, whole
from .recipe_files import check_training, resolve_experiment


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "experiment",
        run,
        "Run all arms of an experiment with several seeds, and write which claims hold (extra: report). What is done "
        "is left, what was ended goes on. Any field of its recipe can be overridden with --key value, such as "
        "--encoder, --language_model or --train '[{path: my-org/my-speech}]'; of the entropy allocation with "
        "--allocation.key.",
        input_errors=(SettingsError,),
        is_training=True,
    )
    parser.add_argument(
        "experiment", metavar="FILE", help="YAML file, or the name of one that is shipped, such as claims"
    )
    parser.add_argument(
        "-o", "--output_dir", metavar="D", help="where checkpoints go, a folder a seed (default: the recipe's)"
    )
    parser.add_argument(
        "--results_dir", metavar="D", help="where results and the page go (default: results in --output_dir)"
    )
    parser.add_argument("--seeds", type=whole, nargs="+", metavar="N", help="default: the file's")
    parser.add_argument(
        "--hours",
        type=_hours,
        metavar="H",
        help="end after so long, with exit status 75 where something is left (default: when all is done)",
    )
    parser.add_argument(
        "--aggregate", action="store_true", help="train nothing: write the page from the results of whole seeds"
    )
    parser.add_argument("--readme", type=Path, metavar="F", help="with --aggregate: write a summary between its marks")
    parser.add_argument(
        "--checks",
        nargs="*",
        metavar="NAME",
        help="instead: make checks of likely causes that the file names, on one seed that is done; without a name, "
        "all that are not kept; the page shows those of claims that do not hold, or lean so",
    )


def run(args: argparse.Namespace) -> int:
    """Run the experiment, or write its page alone, or make checks."""
    path = resolve_experiment(args.experiment)
    check_options(args)
    check_training(path, args)
    if args.results_dir is not None:
        check_output_folder(Path(args.results_dir), "--results_dir")
    need_extra("report", "experiment")
    hide_loading_bars()
    from ..experiments.checks import run_checks
    from ..experiments.page import write_page
    from ..experiments.run import read_run
    from ..experiments.seeds import run_seeds

    found = read_run(path, args.output_dir, args.results_dir, args.overrides)
    if args.aggregate:
        print(write_page(found.experiment, found.results_dir, args.readme))
        return 0
    seeds = args.seeds or found.experiment.seeds
    found.check(seeds[0])
    for one in found.allocation_sets(seeds[0]):
        check_dataset(one.path, "--allocation.sets")
    if args.checks is not None:
        run_checks(found, seeds[0], args.checks)
        return 0
    return run_seeds(found, seeds, args.hours or math.inf)


def check_options(args: argparse.Namespace) -> None:
    """Refuse options that have no effect together.

    Raises:
        CommandError: names them.
    """
    training = {"--seeds": args.seeds, "--hours": args.hours, "--checks": args.checks}
    given = [name for name, value in training.items() if value is not None]
    if args.aggregate:
        if refused := [*given, *(word.split("=")[0] for word in args.overrides if word.startswith("--"))]:
            raise CommandError(f"--aggregate trains nothing: without {', '.join(refused)}")
        if args.output_dir is not None and args.results_dir is not None:
            raise CommandError("--aggregate reads --results_dir alone: without --output_dir")
        if args.readme is not None and not args.readme.is_file():
            raise CommandError(f"--readme {args.readme}: there is no such file")
        check_output_file(args.readme, "--readme")
        return
    if args.readme is not None:
        raise CommandError("--readme is written with --aggregate")
    if args.checks is not None and (len(args.seeds or []) != 1 or args.hours is not None):
        raise CommandError("--checks is about one seed, --seeds N, and has no --hours")
    if args.seeds is not None and len(set(args.seeds)) < len(args.seeds):
        raise CommandError("--seeds: one is named twice")
    if any(word.split("=")[0] == "--seed" for word in args.overrides):
        raise CommandError("--seed: an experiment has --seeds")


def _hours(text: str) -> float:
    """A number of hours above 0, as an argument."""
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 < hours < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours")
    return hours
