# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr demo`: the demo's page on this computer."""

import argparse
import os
from pathlib import Path
from typing import Any

from .checks import CommandError, check_model, check_port, find_device, need_extra
from .options import add_command, add_model


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands, "demo", run, "Open the demo's page on this computer (extra: demo); GRADIO_SERVER_PORT holds."
    )
    add_model(parser)
    parser.add_argument("--report", metavar="D", help="folder that `entropy-asr report` wrote: a tab compares")


def run(args: argparse.Namespace) -> int:
    """Serve the demo until interrupted. Options go before environment variables.

    Args:
        args: `model`, `device`, `dtype`, `report`.

    Raises:
        CommandError: the extra `demo` is missing, there is no such report, or the port is in use.
        ValueError: an environment variable holds no number.
    """
    check_model(args.model)
    if args.report is not None and not (Path(args.report) / "report.md").is_file():
        raise CommandError(
            f"{args.report} has no report.md: `entropy-asr report --output_dir {args.report}` writes it"
        )
    need_extra("demo", "demo")
    check_server()
    device = find_device(args.device)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import entropy_asr.modeling  # noqa: F401 (before all others: it checks torch and torchaudio)
    from entropy_asr.spaces.demo.app import main
    from entropy_asr.spaces.demo.settings import DemoSettings

    main(DemoSettings.from_environment(model=args.model, device=device, dtype=args.dtype, report=args.report))
    return 0


def check_server() -> None:
    """Refuse a port that was asked for and is in use; without one Gradio looks for a free one.

    Raises:
        CommandError: names the port and the reason.
    """
    port = os.environ.get("GRADIO_SERVER_PORT")
    if port is None:
        return
    if not port.isdecimal():
        raise CommandError(f"GRADIO_SERVER_PORT must be a number, not {port!r}")
    check_port(os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), int(port), "GRADIO_SERVER_PORT")
