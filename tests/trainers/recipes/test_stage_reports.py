# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Reports after the stages of a recipe: which models, when, once; and failures that do not stop training."""

import shutil
from pathlib import Path

import pytest
import yaml

from entropy_asr.trainers.recipes import recipe, stage_reports
from entropy_asr.trainers.recipes.recipe import run_recipe
from entropy_asr.trainers.runs.errors import StageFailed
from entropy_asr.trainers.runs.records import write_record


pytest.importorskip("matplotlib")

STAGES = {"encoder": {}, "language_model": {}, "alignment": {}, "sft": {"stage": "joint_sft"}}


@pytest.fixture
def calls(monkeypatch, tmp_path) -> list:
    """Stages end at once, reports are recorded."""
    recorded = []

    def run_section(stage, section, output_dir, seed):
        output_dir.mkdir(parents=True)
        write_record(output_dir, stage, section, {"seed": seed})

    def write_report(models, datasets, folder, options):
        recorded.append((Path(folder).relative_to(tmp_path).as_posix(), [Path(m).name for m in models]))
        assert datasets == ["my-data"] and options.num_seeds == 1
        Path(folder).mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(recipe, "run_section", run_section)
    monkeypatch.setattr(recipe, "check_section", lambda *arguments: None)
    monkeypatch.setattr(stage_reports, "write_report", write_report)
    return recorded


def run(tmp_path, **report) -> None:
    path = tmp_path / "recipe.yaml"
    section = {"datasets": ["{data}"], "frame_probes": ["linear"], "num_seeds": 1, **report}
    content = {"output_dir": "x", "variables": {"data": "my-data"}, "report": section, "stages": STAGES}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    run_recipe(path, str(tmp_path))


def test_each_stage_is_measured_beside_the_one_before_and_all_at_the_end(calls, tmp_path):
    run(tmp_path)
    assert calls == [
        ("encoder/report", ["encoder"]),
        ("alignment/report", ["encoder", "alignment"]),
        ("sft/report", ["alignment", "sft"]),
        ("report", ["encoder", "alignment", "sft"]),
    ]
    run(tmp_path)
    assert len(calls) == 4, "reports that are there are not made again"
    run(tmp_path, max_rows=7)
    assert len(calls) == 8


def test_reports_with_a_stage_that_was_trained_again_are_made_again(calls, tmp_path):
    run(tmp_path)
    shutil.rmtree(tmp_path / "alignment")
    STAGES["alignment"]["training"] = {"max_steps": 7}
    try:
        run(tmp_path)
    finally:
        STAGES["alignment"].clear()
    assert [folder for folder, _ in calls[4:]] == ["alignment/report", "sft/report", "report"]


def test_report_that_fails_does_not_stop_training_but_is_told_and_made_later(calls, tmp_path, monkeypatch):
    working = stage_reports.write_report

    def fail(models, datasets, folder, options):
        if len(models) == 1:
            raise ValueError("no utterance can be aligned")
        working(models, datasets, folder, options)

    monkeypatch.setattr(stage_reports, "write_report", fail)
    with pytest.raises(StageFailed, match=r"encoder/report: no utterance can be aligned"):
        run(tmp_path)
    assert (tmp_path / "sft" / "stage.json").exists() and len(calls) == 3
    monkeypatch.setattr(stage_reports, "write_report", working)
    run(tmp_path)
    assert calls[3:] == [("encoder/report", ["encoder"])]


def test_no_datasets_no_reports(calls, tmp_path):
    run(tmp_path, datasets=[])
    assert not calls


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"num_seds": 2}, "report: unknown num_seds; did you mean num_seeds"),
        ({"datasets": "x"}, "`datasets` is a list"),
    ],
)
def test_wrong_section_is_refused_before_the_first_stage(calls, tmp_path, field, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **field)
    assert not (tmp_path / "encoder").exists()
