# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The model that commands run, and the libraries kept quiet about it."""

import argparse
import os
from pathlib import Path
from typing import Any

from entropy_asr.hub_cards.imported_modules import package_folder

from .checks import CommandError, find_device


def bundled_checkpoint() -> Path:
    """Folder of the small checkpoint that is shipped in the package.

    Raises:
        CommandError: there is none.
    """
    folder = package_folder("spaces") / "demo" / "checkpoint"
    if not (folder / "config.json").is_file():
        raise CommandError("no checkpoint is bundled with this installation: name one with --model")
    return folder


def load_model(args: argparse.Namespace) -> Any:
    """The pipeline of the options `model` (None: the bundled checkpoint), `device` and `dtype`.

    Raises:
        CommandError: there is no such device, or the model cannot be loaded.
    """
    model = args.model or str(bundled_checkpoint())
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    device = find_device(args.device)
    quiet_libraries()
    from entropy_asr.modeling.pipeline_entropy_asr import load_pipeline

    try:
        return load_pipeline(model, device=device, dtype=args.dtype)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot load model {model}: {error}") from error


def quiet_libraries() -> None:
    """No bars of loading and saving, and no messages of transformers below errors unless they are asked for."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    import entropy_asr.modeling  # noqa: F401 (before transformers: it checks torch and torchaudio)

    hide_loading_bars()


def hide_loading_bars() -> None:
    """No bars of loading and saving models; those of training stay."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def generate_kwargs(args: argparse.Namespace) -> dict[str, Any]:
    """Options of `generate` that were given: `num_beams`."""
    return {} if args.num_beams is None else {"num_beams": args.num_beams}
