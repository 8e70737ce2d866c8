# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recipes, experiments and stages' configurations on the command line: found, and looked at before the libraries are
imported."""

import argparse
from pathlib import Path

from entropy_asr.hub_cards.imported_modules import package_folder

from .checks import CommandError, check_output_folder


def resolve_recipe(name: str) -> Path:
    """Find a YAML file by its path, or a shipped recipe by its bare name ("tiny", "tiny.yaml").

    Raises:
        CommandError: there is neither; names those that are shipped.
    """
    return _resolve(name, "recipes")


def resolve_experiment(name: str) -> Path:
    """Find an experiment's YAML file by its path, or a shipped one by its bare name ("claims").

    Raises:
        CommandError: there is neither; names those that are shipped.
    """
    return _resolve(name, "experiments")


def shipped_names(kind: str) -> list[str]:
    """Names of the YAML files that are shipped: of "recipes", or "experiments"."""
    return sorted(file.stem for file in (package_folder("trainers") / kind).glob("*.yaml"))


def _resolve(name: str, kind: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    shipped = package_folder("trainers") / kind / f"{name.removesuffix('.yaml')}.yaml"
    if path.name == name and shipped.is_file():
        return shipped
    names = ", ".join(shipped_names(kind)) or "none"
    raise CommandError(f"no such file: {name} ({kind} that are shipped: {names})")


def check_training(path: Path, args: argparse.Namespace) -> None:
    """Refuse a file that is no YAML, and a folder that cannot be written, before the libraries are imported.

    Args:
        path: YAML file.
        args: `output_dir`.

    Raises:
        CommandError: names the file or the folder.
    """
    import yaml

    try:
        yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(f"{path}: cannot be read as YAML: {error}") from error
    if args.output_dir is not None:
        check_output_folder(Path(args.output_dir), "--output_dir")
