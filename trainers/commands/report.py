# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr report`: where the encoders of checkpoints leave the entropy."""

import argparse
import os
from pathlib import Path
from typing import Any

from .checks import check_dataset, check_model, check_output_folder, find_device, need_extra
from .models import quiet_libraries
from .options import add_command, add_device, add_language, positive


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    text = "Write where the encoders of checkpoints leave the entropy: report.json, report.md, plots (extra: report)."
    parser = add_command(commands, "report", run, text)
    parser.add_argument(
        "--model",
        action="extend",
        nargs="+",
        required=True,
        metavar="M",
        help="folder or Hub id of a checkpoint or of any speech encoder; of several, the earliest stage first",
    )
    parser.add_argument("--dataset", action="extend", nargs="+", required=True, metavar="D", help="as for evaluate")
    parser.add_argument("--split", default="test", help="default: %(default)s")
    parser.add_argument("--text_column", default="text", metavar="C", help="column; default: %(default)s")
    add_language(parser, "of all rows (default: the data set's column)")
    parser.add_argument(
        "-o", "--output_dir", type=Path, default=Path("report"), metavar="D", help="default: %(default)s"
    )
    parser.add_argument("--max_rows", type=positive, default=400, metavar="N", help="default: %(default)s")
    parser.add_argument("--aligner", metavar="M", help="checkpoint that times phonemes (default: the first that can)")
    parser.add_argument("--probes", nargs="+", choices=("linear", "mlp"), default=["linear", "mlp"])
    parser.add_argument("--num_seeds", type=positive, default=3, metavar="N", help="splits; default: %(default)s")
    parser.add_argument("--no_layers", dest="layers", action="store_false", help="only the encoder's output")
    parser.add_argument("--max_probe_frames", type=positive, default=100_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--ledger_rows", type=int, default=50, metavar="N", help="0: no ledger; default: %(default)s")
    parser.add_argument("--batch_size", type=positive, default=8, help="default: %(default)s")
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Measure entropy allocation; see [`~evaluation.report.write_report`]."""
    need_extra("report", "report")
    for model in args.model:
        check_model(model)
    for path in args.dataset:
        check_dataset(path)
    check_output_folder(args.output_dir, "--output_dir")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    args.device = find_device(args.device)
    quiet_libraries()
    from ..evaluation.report import ReportOptions, write_report

    given = {name: getattr(args, name) for name in ReportOptions.__dataclass_fields__}
    write_report(args.model, args.dataset, args.output_dir, ReportOptions(**given))
    print(args.output_dir / "report.md")
    return 0
