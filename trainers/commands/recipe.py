# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr recipe F`: all stages of a recipe."""

import argparse
from typing import Any

from ..runs.errors import SettingsError
from .models import hide_loading_bars
from .options import add_command
from .recipe_files import check_training, resolve_recipe


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "recipe",
        run,
        "Run all stages of a recipe. Any of its fields can be overridden with --key value.",
        input_errors=(SettingsError,),
        is_training=True,
    )
    parser.add_argument("recipe", metavar="F", help="YAML file, or the name of a recipe that is shipped, such as tiny")
    parser.add_argument(
        "-o", "--output_dir", metavar="D", help="where checkpoints and results go (default: the recipe's)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the recipe's stages in their order; those that are done are left as they are."""
    path = resolve_recipe(args.recipe)
    check_training(path, args)
    from ..recipes.recipe import run_recipe

    hide_loading_bars()
    run_recipe(path, args.output_dir, args.overrides)
    return 0
