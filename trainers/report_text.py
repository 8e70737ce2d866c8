# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The entropy allocation report as Markdown: its tables, and links to its plots."""

from typing import Any

from entropy_asr.hub_cards.report_tables import dataset_tables, report_head

from .report_plots import plot_files


def report_markdown(report: dict[str, Any]) -> str:
    """Text of `report.md`."""
    lines = ["# Entropy allocation report", "", *report_head(report)]
    for name, result in report["datasets"].items():
        lines += [f"## {name}", "", *dataset_tables(result)]
        lines += [f"![{title}]({file})\n" for file, title in plot_files(name, result).items()]
    return "\n".join(lines).rstrip() + "\n"
