# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr report`: where the encoders of checkpoints leave the entropy."""

import argparse
import os
from pathlib import Path
from typing import Any

from .checks import (
    ENCODER_FILES,
    CommandError,
    check_dataset,
    check_model,
    check_output_folder,
    find_device,
    need_extra,
)
from .models import find_process, quiet_libraries
from .options import (
    DATASETS,
    add_command,
    add_dataset_config,
    add_device,
    add_language,
    add_launch_options,
    launch_if_asked,
    positive,
    whole,
)


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    text = "Write where the encoders of checkpoints leave the entropy: report.json, report.md, plots (extra: report)."
    parser = add_command(commands, "report", run, text)
    parser.add_argument(
        "--model",
        action="extend",
        nargs="+",
        metavar="M",
        help="folder or Hub id of a checkpoint or of any speech encoder; of several, the earliest stage first",
    )
    parser.add_argument(
        "--trajectory",
        action="append",
        nargs="+",
        metavar="NAME",
        help="instead: name of a recipe, then its checkpoints, the earliest first; once for each recipe",
    )
    parser.add_argument("--dataset", action="extend", nargs="+", required=True, metavar="D", help=DATASETS)
    parser.add_argument("--split", default="test", help="default: %(default)s")
    add_dataset_config(parser)
    parser.add_argument("--text_column", default="text", metavar="C", help="column; default: %(default)s")
    add_language(parser, "of all rows (default: the data set's column)")
    parser.add_argument(
        "-o", "--output_dir", type=Path, default=Path("report"), metavar="D", help="default: %(default)s"
    )
    parser.add_argument("--max_rows", type=positive, default=1000, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--embedder", metavar="E", help="text embedder of CSAI, such as Qwen/Qwen3-Embedding-0.6B (default: no CSAI)"
    )
    parser.add_argument("--pca_size", type=positive, metavar="K", help="components; default: by the number of rows")
    parser.add_argument("--ridge", type=float, default=1e-3, metavar="L", help="default: %(default)s")
    parser.add_argument(
        "--frame_probes",
        nargs="+",
        choices=("linear", "mlp"),
        default=[],
        help="of single frames (default: none)",
    )
    parser.add_argument("--aligner", metavar="M", help="for them: checkpoint that times phonemes, none of the models")
    parser.add_argument("--num_seeds", type=positive, metavar="N", help="their splits; default: 3")
    parser.add_argument(
        "--ledger_rows", type=whole, default=50, metavar="N", help="0: no ledger; default: %(default)s"
    )
    parser.add_argument("--batch_size", type=positive, default=8, help="default: %(default)s")
    add_device(parser)
    add_launch_options(parser, "ddp (the default of --num_processes)")


def run(args: argparse.Namespace) -> int:
    """Measure entropy allocation; see [`~evaluation.report.write_report`]."""
    need_extra("report", "report")
    models = read_models(args.model, args.trajectory)
    for model in models if isinstance(models, list) else sum(models.values(), []):
        check_model(model, files=ENCODER_FILES)
    for path in args.dataset:
        check_dataset(path)
    check_output_folder(args.output_dir, "--output_dir")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if (status := launch_if_asked(args)) is not None:
        return status
    state = find_process(args)
    if state.num_processes == 1:
        args.device = find_device(args.device)
    quiet_libraries()
    from ..evaluation.report import ReportOptions, write_report
    from ..evaluation.shares import Shares

    given = {name: getattr(args, name) for name in ReportOptions.__dataclass_fields__}
    shares = Shares(state.process_index, state.num_processes)
    write_report(models, args.dataset, args.output_dir, ReportOptions(**given), shares)
    if state.is_main_process:
        print(args.output_dir / "report.md")
    return 0


def read_models(models: list[str] | None, trajectories: list[list[str]] | None) -> list[str] | dict[str, list[str]]:
    """The checkpoints: a list, or lists by the name of their recipe.

    Raises:
        CommandError: neither or both, a recipe without checkpoints, or two of one name.
    """
    if bool(models) == bool(trajectories):
        raise CommandError("give checkpoints with --model, or recipes with --trajectory NAME M [M ...], one of them")
    if models:
        return models
    for name, *checkpoints in trajectories:
        if not checkpoints:
            raise CommandError(f"--trajectory {name}: a recipe's name and then its checkpoints")
    found = {name: checkpoints for name, *checkpoints in trajectories}
    if len(found) < len(trajectories):
        raise CommandError("--trajectory: two recipes have the same name")
    return found
