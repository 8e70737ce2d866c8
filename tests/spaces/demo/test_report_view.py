# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A report as the page shows it."""

from entropy_asr.spaces.demo.report_view import read_report


def test_a_report_is_read_data_set_by_data_set_with_plots_as_vectors_where_they_are(tmp_path):
    for name in ("a-trajectory.png", "a-ledger.png", "a-ledger.svg", "b & c-ledger.png"):
        (tmp_path / name).write_bytes(b"")
    lines = ["# Report", "of all", "## a", "words", "![over stages](a-trajectory.png)", "![who < knows](a-ledger.png)"]
    lines += ["<details><summary>Figures</summary>", "", "folded", "</details>", "## b & c", "![](b & c-ledger.png)"]
    (tmp_path / "report.md").write_text("\n".join([*lines, "![](gone.png)"]), encoding="utf-8")
    general, first, second = read_report(tmp_path)
    assert (general.title, general.text, first.title, first.text) == (None, "of all\n", "a", "words\n")
    assert first.folded.strip() == "folded" and not second.folded
    shown = first.plots_html()
    assert shown.index("a-trajectory.png") < shown.index("a-ledger.svg") and "who &lt; knows" in shown
    assert "a-ledger.png" not in shown, "a vector is taken before a bitmap"
    assert "b%20%26%20c-ledger.png" in second.plots_html() and "gone" not in second.plots_html()
