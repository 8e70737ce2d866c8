# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the demo runs and its limits, from environment variables: a Space has no command line."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from ..environment import BUNDLED_CHECKPOINT, read_settings


@dataclass(frozen=True)
class DemoSettings:
    """Settings of the demo. Each can be set by an environment variable: `model` by `ENTROPY_ASR_MODEL`, and so on.

    Args:
        model: Folder or Hub id; by default the small checkpoint that is bundled.
        device: "cpu", "cuda", ...; by default a GPU if there is one.
        dtype: Of the weights; by default as [`load_pipeline`] chooses.
        report: Folder that `entropy-asr report` wrote, for the tab that compares checkpoints; by default the one that
            lies in the model's folder.
        max_seconds: Longest recording.
        max_explained_seconds: Longest recording of the entropy tab.
        max_megabytes: Largest upload.
        max_hotwords: Most hotwords of one request.
        max_live: Live streams at a time.
        max_live_seconds: Longest live stream.
        max_queue: Requests that may wait; further ones are told to come back.
    """

    model: str = str(BUNDLED_CHECKPOINT)
    device: str | None = None
    dtype: str | None = None
    report: str | None = None
    max_seconds: float = 600.0
    max_explained_seconds: float = 30.0
    max_megabytes: int = 200
    max_hotwords: int = 1000
    max_live: int = 8
    max_live_seconds: float = 300.0
    max_queue: int = 64

    def __post_init__(self):
        for field in fields(self):
            if field.name.startswith("max_") and not getattr(self, field.name) > 0:
                raise ValueError(f"`{field.name}` must be positive, not {getattr(self, field.name)}.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **given) -> "DemoSettings":
        """Settings of environment variables; what is given and not None goes before them.

        Raises:
            ValueError: a value that is no number where one is needed.
        """
        return read_settings(cls, environment, **given)

    @property
    def model_name(self) -> str:
        """How the page calls the model."""
        if self.is_bundled:
            return "the small bundled checkpoint"
        path = Path(self.model)
        return path.resolve().name if path.is_dir() else self.model

    @property
    def report_folder(self) -> Path | None:
        """Folder of the report to show; None where there is none to be expected."""
        if self.report:
            return Path(self.report)
        folder = Path(self.model) / "report"
        return folder if folder.is_dir() else None

    @property
    def is_bundled(self) -> bool:
        """Whether it is the checkpoint beside this file."""
        return Path(self.model) == BUNDLED_CHECKPOINT
