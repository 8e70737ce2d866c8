# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr card FOLDER`: the card of a checkpoint or of a synthetic data set, from the results files in it."""

import argparse
import shutil
from pathlib import Path

from entropy_asr.hub_cards.dataset_card import RECORD, write_dataset_card
from entropy_asr.hub_cards.model_card import write_model_card


def run(args: argparse.Namespace) -> int:
    """Write `README.md` into the folder.

    Args:
        args: `folder`; `report`: folder of `entropy-asr report`, which is copied into a checkpoint's folder.

    Raises:
        ValueError: the folder has no results, or they cannot be made a card of.
    """
    folder = Path(args.folder)
    is_dataset = (folder / RECORD).is_file()
    if not is_dataset and not (folder / "results.json").is_file():
        raise ValueError(f"{folder} has neither results.json (a checkpoint) nor {RECORD} (a synthetic data set)")
    if args.report is not None:
        if is_dataset:
            raise ValueError("--report belongs to a checkpoint, not to a data set")
        copy_report(Path(args.report), folder / "report")
    try:
        path = write_dataset_card(folder) if is_dataset else write_model_card(folder)
    except KeyError as error:
        raise ValueError(f"{error.args[0]}: describe it in {folder / 'data_sources.yaml'}") from error
    print(path)
    return 0


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
