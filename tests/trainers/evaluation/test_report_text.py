# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A report's page: it says what was measured, and its figures and pictures lie beside it."""

import json
import re

import pytest

from entropy_asr.spaces.environment import BUNDLED_CHECKPOINT
from entropy_asr.trainers.evaluation.report_text import report_markdown, save_report


pytest.importorskip("matplotlib.figure")
FOLDER = BUNDLED_CHECKPOINT / "report"


@pytest.fixture
def bundled() -> dict:
    return json.loads((FOLDER / "report.json").read_text("utf-8"))


def test_the_bundled_page_is_that_of_its_figures(bundled):
    assert report_markdown(bundled) == (FOLDER / "report.md").read_text("utf-8")


def test_a_report_is_a_page_with_its_figures_and_pictures(bundled, tmp_path):
    name, result = next(iter(bundled["datasets"].items()))
    report = {**bundled, "datasets": {name: result}}
    save_report(report, tmp_path)
    page = (tmp_path / "report.md").read_text("utf-8")
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", page)
    assert f"## {name}" in page and len(pictures) == 3
    assert all((tmp_path / picture).stat().st_size > 1000 for picture in pictures)
    assert json.loads((tmp_path / "report.json").read_text("utf-8")) == report
