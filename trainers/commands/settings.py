# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr settings [STAGE]`: what the sections of a stage may hold; without a stage, which stages there are."""

import argparse
import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..runs.errors import SettingsError
from .options import add_command
from .recipe_files import shipped_names


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "settings",
        run,
        "Tell which settings a training stage has: names, types, defaults, what they do.",
        input_errors=(SettingsError,),
    )
    parser.add_argument("stage", nargs="?", metavar="STAGE", help="such as joint_sft (default: list the stages)")


def run(args: argparse.Namespace) -> int:
    """Print the reference of a stage, or the names of stages and recipes."""
    from ..stages import STAGES, find_stage

    if args.stage is None:
        print("stages (entropy-asr train STAGE --config F; entropy-asr settings STAGE tells their settings):")
        print("\n".join(f"  {name}: {_summary(entry.module)}" for name, entry in STAGES.items()))
        print("recipes that are shipped (entropy-asr recipe NAME):")
        print("\n".join(f"  {name}" for name in shipped_names("recipes")))
        return 0
    from ..runs.settings_reference import reference

    sections = find_stage(args.stage).sections
    print(f"{args.stage}: its sections, as they are written in YAML, or as --SECTION.KEY VALUE\n")
    print("\n".join(reference(sections)).rstrip())
    return 0


def _summary(module: str) -> str:
    """What the docstring of a stage's file begins with; the file is not imported, which would take long."""
    path = find_spec(module, "entropy_asr.trainers.stages").origin
    told = ast.get_docstring(ast.parse(Path(path).read_text(encoding="utf-8")))
    return " ".join(told.partition("\n\n")[0].split())
