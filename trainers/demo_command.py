# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr demo`: the demo's page on this computer."""

import argparse
import os
from pathlib import Path


def run(args: argparse.Namespace) -> int:
    """Serve the demo until interrupted. Options go before environment variables.

    Args:
        args: `model`, `device`, `dtype`, `report`.

    Raises:
        ImportError: the extra `demo` is missing.
        ValueError: there is no such report, or an environment variable holds no number.
    """
    if args.report is not None and not (Path(args.report) / "report.md").is_file():
        raise ValueError(f"{args.report} has no report.md: `entropy-asr report --output_dir {args.report}` writes it")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        from entropy_asr.spaces.demo.app import main
    except ImportError as error:
        raise ImportError(f'{error}: install the extra with pip install "entropy-asr[demo]"') from error
    from entropy_asr.spaces.demo.settings import DemoSettings

    main(DemoSettings.from_environment(model=args.model, device=args.device, dtype=args.dtype, report=args.report))
    return 0
