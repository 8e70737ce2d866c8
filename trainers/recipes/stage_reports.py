# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The entropy allocation report after each stage of a recipe, and one over all stages at its end."""

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..evaluation.report import ReportOptions, write_report
from ..evaluation.report_plots import require_matplotlib
from ..runs.errors import SettingsError, StageFailed
from ..runs.records import RECORD, json_sha256, write_text
from ..runs.settings import check_names, from_mapping
from ..stages import STAGES
from .schedule import PlannedStage


logger = logging.getLogger(__name__)

FOLDER = "report"
# Written last, so that a report that was cut short is made again.
MARK = "complete.json"


@dataclass
class ReportPlan:
    """Section `report` of a recipe.

    Args:
        datasets: Data sets to measure on: Hub ids, folders or parquet files. None of them: no reports.
        options: The other fields of the section, those of [`~report_options.ReportOptions`].
    """

    datasets: list[str]
    options: ReportOptions

    @classmethod
    def from_section(cls, section: dict[str, Any]) -> "ReportPlan":
        """From the recipe's mapping.

        Raises:
            SettingsError: an unknown field, no `datasets`, or plots cannot be drawn here.
        """
        check_names(section, {"datasets", *ReportOptions.__dataclass_fields__}, "report", ("report",))
        if not isinstance(section.get("datasets"), list):
            raise SettingsError("report: `datasets` is a list of data sets to measure on.", ("report", "datasets"))
        options = {name: value for name, value in section.items() if name != "datasets"}
        try:
            if section["datasets"]:
                require_matplotlib()
        except ImportError as error:
            raise SettingsError(f"report: {error}") from error
        return cls(section["datasets"], from_mapping(ReportOptions, options, "report"))


class StageReports:
    """Makes reports as stages end.

    Args:
        plan: What is measured.
        stages: All stages of the recipe in their order.
        output_dir: Folder of the recipe.
    """

    def __init__(self, plan: ReportPlan, stages: list[PlannedStage], output_dir: Path):
        self.plan = plan
        self.stages = [stage for stage in stages if STAGES[stage.stage].leaves_encoder]
        self.output_dir = output_dir
        self.failed: dict[str, str] = {}

    def after(self, stage: PlannedStage) -> None:
        """Report on a stage that has ended, beside the last finished one above it: before and after."""
        if stage not in self.stages:
            return
        above = [other for other in self.stages[: self.stages.index(stage)] if other.is_finished()]
        self._report([*above[-1:], stage], stage.output_dir / FOLDER)

    def at_the_end(self) -> None:
        """Report on all stages together.

        Raises:
            StageFailed: this or an earlier report could not be made; the stages themselves are finished.
        """
        self._report(self.stages, self.output_dir / FOLDER)
        if self.failed:
            reasons = "\n".join(f"{folder}: {reason}" for folder, reason in self.failed.items())
            raise StageFailed(
                f"All stages are finished, but reports failed; run the recipe again for them.\n{reasons}"
            )

    def _report(self, stages: list[PlannedStage], folder: Path) -> None:
        models = [str(stage.output_dir) for stage in stages]
        # Of several processes the first does it alone.
        if not models or not self.plan.datasets or os.environ.get("RANK", "0") != "0":
            return
        # What a stage wrote last: the same folder may have been trained again.
        records = [json.loads((stage.output_dir / RECORD).read_text(encoding="utf-8")) for stage in stages]
        mark = {"models": models, "stages": json_sha256(records), **asdict(self.plan)}
        if (folder / MARK).exists() and json.loads((folder / MARK).read_text(encoding="utf-8")) == mark:
            return
        try:
            write_report(models, self.plan.datasets, folder, self.plan.options)
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            # Training goes on: a report can be made later.
            logger.error(f"{folder}: no report: {error}")
            self.failed[str(folder)] = str(error)
        else:
            write_text(folder / MARK, json.dumps(mark, indent=1) + "\n")
            logger.warning(f"Report: {folder / 'report.md'}")
