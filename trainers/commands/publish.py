# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr publish`: a checkpoint or a Space to the Hub in one call."""

import argparse
from pathlib import Path
from typing import Any

from .checks import CommandError, check_folder, check_model, check_whole_model
from .models import quiet_libraries
from .options import add_command


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands, "publish", run, "Upload model, processor, code and card, or a Space, to the Hub in one call."
    )
    parser.add_argument("model", nargs="?", metavar="D", help="folder of the checkpoint")
    parser.add_argument("--space", metavar="S", help="demo, server, entropy_allocation or hallucination_rate instead")
    parser.add_argument(
        "--model",
        dest="space_model",
        metavar="M",
        help="what the Space runs, by its Hub id (default: the bundled checkpoint, which comes along)",
    )
    parser.add_argument("--repo_id", metavar="USER/NAME", help="repository on the Hub; made where it is not there")
    parser.add_argument(
        "--for_vllm", action="store_true", help="AutoModel gives the model without its head, as vLLM expects"
    )
    parser.add_argument(
        "--private", action="store_true", default=None, help="make it a private one (default: as its owner has it)"
    )
    parser.add_argument("--dry_run", action="store_true", help="only show what would be uploaded, and check it")
    parser.add_argument("--commit_message", metavar="M", help="default: Upload with entropy-asr publish")


def run(args: argparse.Namespace) -> int:
    """Put together, check, and upload unless it is a dry run."""
    if args.model is not None:
        check_folder(args.model)
        check_model(args.model, "publish")
        check_whole_model(Path(args.model))
    if (args.model is None) == (args.space is None):
        raise CommandError("name a checkpoint's folder, or a Space with --space, one of them")
    if args.space_model is not None:
        if args.space is None:
            raise CommandError("--model belongs to a Space: name it with --space")
        check_model(args.space_model)
    if args.space is not None and args.for_vllm:
        raise CommandError("--for_vllm belongs to a checkpoint, not to a Space")
    if args.repo_id is None and not args.dry_run:
        raise CommandError("--repo_id USER/NAME is missing (or --dry_run)")
    quiet_libraries()
    from entropy_asr.hub_cards.publish import publish_model, publish_space

    options = {"is_dry_run": args.dry_run, "private": args.private, "message": args.commit_message}
    if args.space is None:
        publish_model(Path(args.model), args.repo_id, for_vllm=args.for_vllm, **options)
    else:
        publish_space(args.space, args.repo_id, model=args.space_model, **options)
    return 0
