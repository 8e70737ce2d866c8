# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr train STAGE --config F`: one training stage, in one process or several."""

import argparse
from typing import Any

from ..runs.errors import SettingsError
from .models import hide_loading_bars
from .options import add_command, positive
from .recipe_files import check_training, resolve_recipe


LAUNCH_OPTIONS = (
    "accelerate_config",
    "num_processes",
    "num_machines",
    "machine_rank",
    "main_process_ip",
    "main_process_port",
)


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
    parser.add_argument("stage", metavar="STAGE", help="stage to run, such as joint_sft")
    parser.add_argument(
        "--config", required=True, metavar="F", help="YAML file, or the name of a recipe that is shipped"
    )
    # The long form is one of the fields that can be overridden.
    parser.add_argument("-o", dest="output_dir", metavar="D", help="the same as --output_dir D")
    group = parser.add_argument_group("several processes (through accelerate launch)")
    group.add_argument(
        "--accelerate_config", metavar="A", help="ddp, fsdp2, deepspeed_zero2, or a YAML file of accelerate"
    )
    group.add_argument("--num_processes", type=positive, metavar="N", help="number of processes on all machines")
    group.add_argument("--num_machines", type=positive, metavar="N", help="number of machines")
    group.add_argument("--machine_rank", type=int, metavar="N", help="number of this machine, from 0")
    group.add_argument("--main_process_ip", metavar="IP", help="address of machine 0")
    group.add_argument("--main_process_port", type=int, metavar="P", help="port of machine 0")


def run(args: argparse.Namespace) -> int:
    """Run a stage; in processes of its own where options of accelerate are given."""
    config = resolve_recipe(args.config)
    check_training(config, args)
    if args.output_dir is not None:
        args.overrides += ["--output_dir", args.output_dir]
    options = {name: getattr(args, name) for name in LAUNCH_OPTIONS if getattr(args, name) is not None}
    if options:
        from ..runs.launch import launch

        return launch(["train", args.stage, "--config", str(config), *args.overrides], options)
    from ..recipes.recipe import run_stage

    hide_loading_bars()
    run_stage(args.stage, config, args.overrides)
    return 0
