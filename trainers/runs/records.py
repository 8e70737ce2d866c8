# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The file with which a stage says that it is finished, with which settings, and what came of it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from .disk import named_disk_errors
from .settings import SettingsError


RECORD = "stage.json"


def json_sha256(value: Any) -> str:
    """SHA-256 of a JSON-serialisable value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def finished(output_dir: Path, section: dict[str, Any], seed: int) -> bool:
    """Whether this stage ended here with these very settings.

    Raises:
        ValueError: it ended here with other settings; nothing is overwritten.
    """
    path = output_dir / RECORD
    if not path.exists():
        return False
    record = json.loads(path.read_text(encoding="utf-8"))
    differing = differing_settings(record["settings"], json.loads(json.dumps(section)))
    if record.get("seed", seed) != seed:
        differing.append("seed")
    if differing:
        raise SettingsError(
            f"{output_dir} holds a stage finished with other settings ({', '.join(differing)}). Remove the folder or "
            "choose another output_dir."
        )
    return True


def differing_settings(record: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """Names of settings that are not what a record says, sorted; both as JSON gives them back."""
    return sorted(name for name in {*record, *settings} if record.get(name) != settings.get(name))


def write_record(output_dir: Path, stage: str, section: dict[str, Any], results: dict[str, Any]) -> None:
    """Write the file that says the stage is finished, last of all."""
    record = {"stage": stage, "settings": section, **results, "versions": {"torch": torch.__version__}}
    write_text(output_dir / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file by a rename: whenever it is there, it is whole."""
    temporary = path.with_name(f"{path.name}.tmp")
    with named_disk_errors(path):
        temporary.write_text(text, encoding="utf-8")
    temporary.rename(path)
