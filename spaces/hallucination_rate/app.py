# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Gradio page of the metric: a table of transcripts is uploaded, rates, a plot and flagged transcripts come back."""

import csv
from pathlib import Path

import evaluate
import gradio as gr
import pandas as pd


FOLDER = Path(__file__).resolve().parent
HELP = """# Hallucination rate
A speech recogniser hallucinates when it writes what nobody said. Word error rate hides that: a fluent invention and a
mumbled word cost the same. Here a transcript counts as a hallucination if it has text where nobody spoke, too many
characters that the reference does not support, a burst of inserted words, or a loop.

Upload a `.csv` or `.tsv` file with the columns `reference` (what was said, empty for silence) and `hypothesis` (the
recogniser's raw output, loops not collapsed). English, Chinese or both. The definition is that of the entropy-asr
project: see the README of this Space."""
REASONS = {
    "empty_reference_rate": "text where nobody spoke",
    "unsupported_rate": "unsupported characters",
    "burst_rate": "burst of inserted words",
    "loop_rate": "loop",
    "hallucination_rate": "any of these",
}


def read_table(path: str) -> tuple[list[str], list[str]]:
    """References and hypotheses of a file.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t" if path.endswith(".tsv") else ","))
    if not rows or not {"reference", "hypothesis"} <= set(rows[0]):
        raise ValueError(
            f"The file needs columns `reference` and `hypothesis`; it has {list(rows[0]) if rows else []}."
        )
    return [row["reference"] or "" for row in rows], [row["hypothesis"] or "" for row in rows]


def compute(path: str | None, unsupported: float) -> tuple[pd.DataFrame, list[list], list[list]]:
    """Bars of the reasons, table of rates and table of flagged transcripts."""
    if path is None:
        raise gr.Error("Upload a table first.")
    try:
        references, hypotheses = read_table(path)
        metric = evaluate.load(str(FOLDER / "hallucination_rate.py"))
        result = metric.compute(
            predictions=hypotheses, references=references, return_utterances=True, unsupported=unsupported
        )
    except (OSError, ValueError) as error:
        raise gr.Error(str(error)) from error
    utterances = result.pop("utterances")
    bars = pd.DataFrame({"reason": list(REASONS.values()), "share": [result[name] for name in REASONS]})
    rates = [[name, "-" if value is None else round(value, 4)] for name, value in result.items()]
    flagged = [
        [", ".join(found["reasons"]), reference, hypothesis, " | ".join(span["text"] for span in found["spans"])]
        for found, reference, hypothesis in zip(utterances, references, hypotheses, strict=True)
        if found["hallucinated"]
    ]
    return bars, rates, flagged


def build_page() -> gr.Blocks:
    """The page."""
    with gr.Blocks(title="Hallucination rate") as page:
        gr.Markdown(HELP)
        file = gr.File(label="Table", type="filepath", file_types=[".csv", ".tsv"])
        gr.Examples([str(FOLDER / "example.csv")], file, example_labels=["seven transcripts"], label="Example")
        unsupported = gr.Slider(
            0, 1, value=0.35, step=0.01, label="Share of a transcript's characters that may be unsupported"
        )
        button = gr.Button("Compute", variant="primary")
        bars = gr.BarPlot(
            x="reason", y="share", x_title="Reason", y_title="Share of transcripts (0 to 1)", y_lim=[0, 1], sort=None
        )
        rates = gr.Dataframe(headers=["rate", "value"], label="Rates (shares of utterances) and counts")
        flagged = gr.Dataframe(headers=["reasons", "reference", "hypothesis", "offending text"], label="Flagged")
        button.click(compute, [file, unsupported], [bars, rates, flagged], api_name="compute")
    return page


if __name__ == "__main__":
    build_page().launch()
