# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The model that commands run, and the libraries kept quiet about it."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_asr.hub_cards.imported_modules import bundled_checkpoint

from .checks import CommandError, find_device


if TYPE_CHECKING:
    from accelerate import PartialState


def default_model() -> Path:
    """Folder of the checkpoint that commands run where none is named: the one in the package.

    Raises:
        CommandError: there is none.
    """
    folder = bundled_checkpoint()
    if not (folder / "config.json").is_file():
        raise CommandError("no checkpoint is bundled with this installation: name one with --model")
    return folder


def load_model(args: argparse.Namespace) -> Any:
    """The pipeline of the options `model` (None: the bundled checkpoint), `device` and `dtype`.

    Raises:
        CommandError: there is no such device, or the model cannot be loaded.
    """
    model = args.model or str(default_model())
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    device = find_device(args.device)
    quiet_libraries()
    from entropy_asr.modeling.pipeline_entropy_asr import load_pipeline

    try:
        return load_pipeline(model, device=device, dtype=args.dtype)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot load model {model}: {error}") from error


def find_process(args: argparse.Namespace) -> "PartialState":
    """Which of several processes this is; the option `device` becomes its own where there are several.

    Raises:
        CommandError: one GPU is asked for by its number, for all of them.
    """
    from ..runs.processes import process_state
    from ..runs.settings import SettingsError

    try:
        state = process_state(args.device == "cpu")
    except SettingsError as error:
        raise CommandError(str(error)) from error
    if state.num_processes > 1:
        if args.device is not None and ":" in args.device:
            raise CommandError(f"--device {args.device}: each of several processes takes a GPU of its own")
        args.device = str(state.device)
    return state


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
