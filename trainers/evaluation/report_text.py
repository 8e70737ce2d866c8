# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The entropy allocation report as Markdown: a page with one table and three pictures a data set, the rest folded."""

import json
from pathlib import Path
from typing import Any

from entropy_asr.hub_cards.report_tables import detail_tables, report_head, summary_table

from .report_plots import draw_plots, plot_files


def report_markdown(report: dict[str, Any]) -> str:
    """Text of `report.md`."""
    lines = ["# Entropy allocation report", "", *report_head(report)]
    for name, result in report["datasets"].items():
        lines += [f"## {name}", "", *summary_table(result)]
        lines += [f"![{title}]({file})\n" for file, title in plot_files(name, report).items()]
        lines += ["<details><summary>Figures</summary>", "", *detail_tables(result), "</details>", ""]
    return "\n".join(lines).rstrip() + "\n"


def save_report(report: dict[str, Any], folder: Path) -> None:
    """Write `report.json`, `report.md` and the plots into a folder that is there.

    Raises:
        ImportError: matplotlib is not installed.
    """
    (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "report.md").write_text(report_markdown(report), "utf-8")
    draw_plots(report, folder)
