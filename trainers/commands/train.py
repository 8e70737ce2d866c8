# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr train STAGE --config F`: one training stage, in one process or several."""

import argparse
from typing import Any

from ..runs.errors import SettingsError
from .models import hide_loading_bars
from .options import add_command, add_launch_options, launch_options
from .recipe_files import check_training, resolve_recipe


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "train",
        run,
        "Run one training stage. Any field of its configuration can be overridden with --key value.",
        input_errors=(SettingsError,),
        is_training=True,
    )
    parser.add_argument("stage", metavar="STAGE", help="such as joint_sft; `entropy-asr settings` lists them")
    parser.add_argument(
        "--config",
        required=True,
        metavar="F",
        help="YAML file, or the name of a recipe that is shipped; `entropy-asr settings STAGE` tells what it may hold",
    )
    # The long form is one of the fields that can be overridden.
    parser.add_argument("-o", dest="output_dir", metavar="D", help="the same as --output_dir D")
    add_launch_options(parser, "ddp (the default of --num_processes), fsdp2, deepspeed_zero2")


def run(args: argparse.Namespace) -> int:
    """Run a stage; in processes of its own where options of accelerate are given."""
    config = resolve_recipe(args.config)
    check_training(config, args)
    if args.output_dir is not None:
        args.overrides += ["--output_dir", args.output_dir]
    if options := launch_options(args):
        from ..runs.launch import launch

        return launch(["train", args.stage, "--config", str(config), *args.overrides], options)
    from ..recipes.recipe import run_stage

    hide_loading_bars()
    run_stage(args.stage, config, args.overrides)
    return 0
