# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the records of finished stages say together: how a checkpoint came about."""

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .console import LAUNCHED
from .records import RECORD


# Fields of a stage's section `model` that name a checkpoint.
MODEL_PATHS = ("path", "encoder", "language_model", "head")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# Options that say where output goes.
OUTPUTS = ("-o", "--output_dir", "--results_dir", "--readme")
# Characters; a system gives the environment of a process less room than its command.
MAX_COMMAND = 20_000
PACKAGES = ("entropy-asr", "torch", "torchaudio", "transformers", "trl", "datasets")


def read_records(folder: Path) -> dict[str, dict[str, Any]]:
    """Records of the finished training stages whose folders lie in `folder`, in the order they ended."""
    paths = sorted(folder.glob(f"*/{RECORD}"), key=lambda path: path.stat().st_mtime)
    records = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    return {name: record for name, record in records.items() if "history" in record}


def earlier_report(records: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The `results.json` beside the checkpoint that the first of these stages went on with; None for a fresh start."""
    for record in records.values():
        start = Path(record["settings"].get("model", {}).get("path") or "") / "results.json"
        if start.is_file():
            return json.loads(start.read_text(encoding="utf-8"))
    return None


def training_history(records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How a checkpoint came about: its stages and data, those of the checkpoint it started from among them.

    Returns:
        `training`, as [`summarize_training`] gives it, earlier stages first and named `earlier/...`; `data`, names as
        in [`training_data`]; `base_models`, ids as in [`base_models`]; `started_from`, name and command of the
        earlier checkpoint, and its own `started_from`; None for a fresh start.
    """
    training, data, bases = summarize_training(records), training_data(records), base_models(records)
    earlier = earlier_report(records)
    if earlier is None:
        return {"training": training, "data": data, "base_models": bases, "started_from": None}
    before = {f"earlier/{name}": stage for name, stage in earlier["training"].items()}
    return {
        "training": before | training,
        "data": sorted({*earlier["data"], *data}),
        "base_models": sorted({*earlier.get("base_models", []), *bases}),
        "started_from": {key: earlier.get(key) for key in ("name", "command", "started_from")},
    }


def summarize_training(records: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Steps, seconds, and the curves of loss and of what was measured on development rows, for each stage."""
    return {
        name: {
            "steps": record["steps"],
            "seconds": record["seconds"],
            "loss": [[entry["step"], entry["loss"]] for entry in record["history"] if "loss" in entry],
            "development": [
                {key: value for key, value in entry.items() if key == "step" or _is_error_rate(key)}
                for entry in record["history"]
                if is_evaluation(entry)
            ],
        }
        for name, record in records.items()
    }


def is_evaluation(entry: dict[str, float]) -> bool:
    """Whether an entry of a log history is an evaluation, of one set (`eval_loss`) or a named one (`eval_x_loss`)."""
    return any(name.startswith("eval_") and name.endswith("_loss") for name in entry)


def _is_error_rate(name: str) -> bool:
    return name.startswith("eval_") and name.endswith(("_per", "_wer", "_cer"))


def training_data(records: dict[str, dict[str, Any]]) -> list[str]:
    """Names of everything that was trained on: data sources, text files, synthetic speech."""
    return sorted({name for record in records.values() for name in _data_names(record["settings"]["data"])})


def base_models(records: dict[str, dict[str, Any]]) -> list[str]:
    """Ids on the Hub of the encoders and language models that training started from; folders are nobody's base."""
    paths = [
        path
        for record in records.values()
        for key, path in record["settings"].get("model", {}).items()
        if key in MODEL_PATHS and path and not Path(path).exists()
    ]
    return sorted({path for path in paths if HUB_ID.fullmatch(path)})


def _data_names(data: dict[str, Any]) -> Iterator[str]:
    for kind in ("train", "noise", "transcripts", "text"):
        for source in data.get(kind, []):
            yield Path(source["path"]).stem
    for source in data.get("synthetic", []):
        yield source.get("name") or source.get("engine", "espeak-ng")
        texts = [source["texts"]] if isinstance(source["texts"], str) else source["texts"]
        yield from (Path(text).stem for text in texts if not text.startswith("built-in:"))


def command_line() -> str:
    """The command that was typed, without where its output goes: this process's, or the one that started it."""
    if LAUNCHED in os.environ:
        return os.environ[LAUNCHED]
    kept, given = [], iter(sys.argv[1:])
    for part in given:
        name, _, value = part.partition("=")
        if part in OUTPUTS:
            next(given, None)
        elif name not in OUTPUTS and not re.match("-o.", part):
            # Folders outside the working directory mean nothing to a reader elsewhere.
            place = value if part.startswith("-") else part
            kept.append(part.removesuffix(place) + Path(place).name if place.startswith("/") else part)
    command = shlex.join(["entropy-asr", *kept])
    return command if len(command) <= MAX_COMMAND else f"{command[:MAX_COMMAND]} ..."


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on."""
    return {name: version(name) for name in PACKAGES}
