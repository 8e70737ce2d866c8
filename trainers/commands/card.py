# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr card FOLDER`: the card of a checkpoint or of a synthetic data set, from the files in it."""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from .checks import check_folder, check_whole_model, checkpoints_below
from .options import add_command


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(commands, "card", run, "Write the card (README.md) of a checkpoint or a data set.")
    parser.add_argument("folder", metavar="D", help="checkpoint, adapters, or synthetic data set")
    parser.add_argument("--license", metavar="L", help="the Hub's name of its licence (default: what is known of it)")
    parser.add_argument("--report", metavar="D", help="folder that `entropy-asr report` wrote: goes into the card")


def run(args: argparse.Namespace) -> int:
    """Write `README.md` into the folder.

    Args:
        args: `folder`; `report`: folder of `entropy-asr report`, which is copied into a checkpoint's folder;
            `license`: the Hub's name of the licence, by default what is known.

    Raises:
        ValueError: the folder holds nothing to write a card of, or it cannot be made of its results.
        CommandError: it holds a part of a model.
    """
    check_folder(args.folder)
    from entropy_asr.hub_cards.dataset_card import RECORD, write_dataset_card
    from entropy_asr.hub_cards.trained_card import ADAPTERS

    folder = Path(args.folder)
    is_dataset = (folder / RECORD).is_file()
    files = ("results.json", "config.json", ADAPTERS)
    if not is_dataset and not any((folder / name).is_file() for name in files):
        raise ValueError(
            f"{folder} holds neither a model ({', '.join(files)}) nor a synthetic data set ({RECORD}) to describe"
            f"{checkpoints_below(folder)}"
        )
    if is_dataset and (args.report is not None or args.license is not None):
        raise ValueError("--report and --license belong to a checkpoint, not to a data set")
    if args.report is not None:
        copy_report(Path(args.report), folder / "report")
    try:
        path = write_dataset_card(folder) if is_dataset else _write_model_card(folder, args.license)
    except KeyError as error:
        raise ValueError(f"{error.args[0]}: describe it in {folder / 'data_sources.yaml'}") from error
    print(path)
    return 0


def _write_model_card(folder: Path, licence: str | None) -> Path:
    """The card of a recipe's checkpoint, or of any model that was trained; says what is not known."""
    from entropy_asr.hub_cards.model_card import is_recipes_checkpoint, write_model_card
    from entropy_asr.hub_cards.trained_card import UNKNOWN_LICENCE, licence_of, write_trained_card

    said = licence_of(folder)
    if is_recipes_checkpoint(folder):
        path = write_model_card(folder, licence)
        suits = licence_of(folder)
        # By an option, by hand, or since the data were others: a card does not become more permissive by itself.
        if licence is None and said not in (None, suits):
            path = write_model_card(folder, said)
            print(f"licence {said}, as its card says; by its data: {suits} (--license {suits})", file=sys.stderr)
        return path
    check_whole_model(folder)
    # What an earlier card says, by an option or by hand, stays said.
    path = write_trained_card(folder, licence or said)
    if licence_of(folder) == UNKNOWN_LICENCE:
        print(f"licence not known, written as {UNKNOWN_LICENCE!r}: --license NAME says which", file=sys.stderr)
    if not (folder / "results.json").is_file():
        command = f"entropy-asr evaluate --model {folder} --dataset D --output {folder / 'results.json'}"
        print(f"not evaluated: run {command}, then this command again", file=sys.stderr)
    return path


def copy_report(source: Path, target: Path) -> None:
    """Copy a report: its figures, text and plots.

    Raises:
        ValueError: it is no report.
    """
    if not (source / "report.json").is_file():
        raise ValueError(f"{source} has no report.json: `entropy-asr report --output_dir {source}` writes it")
    target.mkdir(exist_ok=True)
    texts = [source / name for name in ("report.json", "report.md") if (source / name).is_file()]
    for path in [*texts, *sorted(source.glob("*.png"))]:
        shutil.copyfile(path, target / path.name)
