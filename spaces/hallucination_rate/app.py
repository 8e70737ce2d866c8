# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Gradio page of the metric: a table of transcripts is uploaded, rates, a plot and flagged transcripts come back."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import evaluate
import gradio as gr
import pandas as pd


FOLDER = Path(__file__).resolve().parent
HELP = """# Hallucination rate
A speech recogniser hallucinates when it writes what nobody said. Word error rate hides that: a fluent invention and a
mumbled word cost the same. Here a transcript counts as a hallucination if it has text where nobody spoke, text that
neither the words nor the sounds of the reference support, a burst of inserted words, or a loop. How numbers, times and
spellings are written makes no difference.

Upload a `.csv` or `.tsv` file with the columns `reference` (what was said, empty for silence) and `hypothesis` (the
recogniser's raw output, loops not collapsed), in UTF-8. A text with a comma needs quotes in a `.csv`; in a `.tsv`
quotes are characters like any other. English, Chinese or both. The definition is that of the entropy-asr project: see
the README of this Space, which also describes the API (`/compute`)."""
REASONS = {
    "empty_reference_rate": "nobody spoke",
    "unsupported_rate": "unsupported",
    "burst_rate": "inserted burst",
    "loop_rate": "loop",
    "hallucination_rate": "any of these",
}


class TableError(ValueError):
    """What is wrong with an uploaded table, in words for the visitor."""


def read_table(path: str) -> tuple[list[str], list[str]]:
    """References and hypotheses of a file.

    Args:
        path: A `.tsv` (tabs, no quoting) or anything else (commas, quotes as in CSV); UTF-8, a header line first.

    Raises:
        TableError: no such text, a column is missing, there are no rows, or a row has more or fewer fields than the
            header; the message names the file and the line.
    """
    name, is_tsv = Path(path).name, path.lower().endswith(".tsv")
    records = _records(_read_text(path), name, is_tsv)
    line, header = next(records, (1, []))
    columns = [column.strip() for column in header]
    if any(columns.count(column) != 1 for column in ("reference", "hypothesis")):
        raise TableError(
            f"{name}, line {line}: the header needs the columns `reference` and `hypothesis`, each once and separated "
            f"by {'tabs' if is_tsv else 'commas'}; it has {columns}."
        )
    places = columns.index("reference"), columns.index("hypothesis")
    rows = []
    for line, record in records:
        if len(record) != len(columns):
            hint = " A text with a comma needs quotes." if len(record) > len(columns) and not is_tsv else ""
            raise TableError(f"{name}, line {line}: {len(record)} field(s), the header has {len(columns)}.{hint}")
        rows.append([record[place] for place in places])
    if not rows:
        raise TableError(f"{name} has a header and no rows.")
    return [reference for reference, _ in rows], [hypothesis for _, hypothesis in rows]


def _read_text(path: str) -> str:
    name = Path(path).name
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise TableError(f"{name} cannot be read ({error.strerror}): upload it again.") from error
    if content.startswith(b"PK"):
        raise TableError(f"{name} is a spreadsheet or an archive: save the table as CSV (UTF-8).")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TableError(f"{name}, line {line}: not UTF-8 text. Save the table as CSV (UTF-8).") from error


def _records(text: str, name: str, is_tsv: bool) -> Iterator[tuple[int, list[str]]]:
    """First line (from 1) and fields of each record; empty lines are none."""
    style = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if is_tsv else {"strict": True}
    # Only these end a line: `splitlines` would also cut texts at rare ones, such as U+2028.
    reader = csv.reader(io.StringIO(text, newline=""), **style)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TableError(
                f"{name}: the row that begins in line {line} cannot be read ({error}). A quote may not be closed."
            ) from error
        if record:
            yield line, record


def compute(path: str | None, unsupported: float) -> tuple[pd.DataFrame, list[list], list[list]]:
    """Share of transcripts for each reason, all rates and counts, and the flagged transcripts."""
    if path is None:
        raise gr.Error("Upload a table first.", print_exception=False)
    try:
        references, hypotheses = read_table(path)
        metric = evaluate.load(str(FOLDER / "hallucination_rate.py"))
        result = metric.compute(
            predictions=hypotheses, references=references, return_utterances=True, unsupported=unsupported
        )
    except ValueError as error:
        raise gr.Error(str(error), duration=None, print_exception=False) from error
    utterances = result.pop("utterances")
    bars = pd.DataFrame({"reason": list(REASONS.values()), "share": [result[name] for name in REASONS]})
    rates = [[name, _shown(value)] for name, value in result.items()]
    flagged = [
        [", ".join(found["reasons"]), reference, hypothesis, " | ".join(span["text"] for span in found["spans"])]
        for found, reference, hypothesis in zip(utterances, references, hypotheses, strict=True)
        if found["hallucinated"]
    ]
    return bars, rates, flagged


def _shown(value: float | list[float] | None) -> float | str:
    if value is None:
        return "-"
    return " to ".join(str(round(bound, 4)) for bound in value) if isinstance(value, list) else round(value, 4)


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
            x="reason",
            y="share",
            x_title="Reason",
            y_title="Share of transcripts (0 to 1)",
            y_lim=[0, 1],
            sort=list(REASONS.values()),
            x_label_angle=-35,  # on a phone they would lie on each other
        )
        rates = gr.Dataframe(headers=["rate", "value"], label="Rates (shares of utterances) and counts")
        flagged = gr.Dataframe(
            headers=["reasons", "reference", "hypothesis", "offending text"],
            label="Flagged",
            wrap=True,
            column_widths=["190px", "270px", "370px", "370px"],  # as wide as the page; a phone moves them sideways
        )
        button.click(compute, [file, unsupported], [bars, rates, flagged], api_name="compute")
    return page


if __name__ == "__main__":
    build_page().launch()
