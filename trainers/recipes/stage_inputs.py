# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What stages read: looked for when a recipe starts, not hours later when the stage does."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..runs.errors import SettingsError, shown
from ..runs.model_names import looks_like_path
from ..runs.settings import dotted
from .schedule import PlannedStage


Key = tuple[str | int, ...]
# Text files of synthetic speech; other sources have a path.
TEXTS, PATH = "texts", "path"


def check_inputs(plans: list[PlannedStage], output_dir: Path) -> None:
    """Refuse what stages would only miss when they start: noise, and models and data at paths where nothing is.

    Names that may be ids of the Hub are not looked for.

    Args:
        plans: Stages that are to run.
        output_dir: Where they write, and read what others wrote.

    Raises:
        SettingsError: names the stage and the setting.
    """
    for plan in plans:
        wants_noise = float(plan.section.get("augmentation", {}).get("noise_probability", 0)) > 0
        if wants_noise and not plan.section.get("data", {}).get("noise"):
            key = ("stages", plan.name, "data", "noise")
            raise SettingsError(f"{dotted(key)}: augmentation.noise_probability needs some.", key)
        for key, path in _inputs(plan):
            _check_place(path, output_dir, key)


def _inputs(plan: PlannedStage) -> Iterator[tuple[Key, str]]:
    """Models, data and texts that a stage names, by their settings."""
    above = ("stages", plan.name)
    for name, value in plan.section.get("model", {}).items():
        if isinstance(value, str):
            yield (*above, "model", name), value
    for name, sources in plan.section.get("data", {}).items():
        for place, source in enumerate(sources if isinstance(sources, list) else []):
            for key, path in _paths(source):
                yield (*above, "data", name, place, *key), os.path.expanduser(path)


def _paths(source: Any) -> Iterator[tuple[Key, str]]:
    """Paths of a source of data."""
    if not isinstance(source, dict):
        return
    if isinstance(path := source.get(PATH), str):
        yield (PATH,), path
    texts = source.get(TEXTS)
    if isinstance(texts, str):
        yield (TEXTS,), texts
    elif isinstance(texts, list):
        yield from (((TEXTS, place), text) for place, text in enumerate(texts) if isinstance(text, str))


def _check_place(path: str, output_dir: Path, key: Key) -> None:
    """Refuse a path where nothing is and no stage writes."""
    if Path(path).is_relative_to(output_dir) or Path(path).exists():
        return
    if looks_like_path(path):
        raise SettingsError(f"{dotted(key)}: there is no file or folder {shown(path)}.", key)
