# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Writes the tables of modeling/README.md from files that measurements left; nothing in them is typed.

    python tests/benchmarks/feature_tables.py

`results/rescoring.json` comes from `benchmark_rescoring.py`, `results/partial_text.json` from
`benchmark_partial_text.py`, `results/segment_context.json` from `benchmark_segment_context.py`,
`results/text_style.json` from `benchmark_text_style.py`, and
`results/evaluations/streaming.json` from `entropy-asr evaluate --chunk_ms 640 --output FILE`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml


ROOT = Path(__file__).parents[2]
PAGE = ROOT / "modeling" / "README.md"
RESULTS = Path(__file__).parent / "results"
TITLES = yaml.safe_load((ROOT / "hub_cards" / "data_sources.yaml").read_text(encoding="utf-8"))


def title(name: str) -> str:
    """What people call a data set."""
    return TITLES.get(name, {}).get("title", name)


def table(heads: list[str], rows: list[list[Any]]) -> str:
    """A table of Markdown, whose figures are on the right."""
    lines = [f"| {' | '.join(heads)} |", f"| --- {'| ---: ' * (len(heads) - 1)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def shown(value: float | None) -> str:
    """A figure as tables have it."""
    return "–" if value is None else f"{value:.2f}" if value < 1 else f"{value:.1f}"


def weight_heads(default: float) -> dict[str, str]:
    """Columns of weights, by their name in results."""
    return {"0.0": "language model", str(default): f"both, {default}", "1.0": "phoneme head"}


def rescoring(report: dict[str, Any]) -> str:
    """Error rates of the best hypothesis, and how well confidences know errors and sounds without speech."""
    heads = weight_heads(report["chosen_on_dev"]["default"])
    rates = [
        [
            title(name),
            one["rows"],
            one["greedy"],
            *(one["by_weight"][weight] for weight in heads),
            one["best_there_is"],
        ]
        for name, one in report["error_rates"]["test"].items()
    ]
    first = table(["error rate, %", "rows", "greedy", *heads.values(), "best of them"], rates)
    areas = [
        [
            f"texts with errors: {'all' if name == 'all' else title(name)}",
            one["right"],
            one["wrong"],
            *known(one, heads),
        ]
        for name, one in report["areas"]["test"].items()
        if None not in one["by_weight"].values()
    ]
    sounds = report["without_speech"]
    areas.append(
        ["texts of sounds", "–", sounds["with_text"], *(sounds["area_by_weight"][weight] for weight in heads)]
    )
    second = table(["area under the ROC curve", "right", "wrong", *heads.values()], areas)
    costs = report["costs"]
    third = table(["processor seconds for a second of speech", *costs], [["one core", *map(str, costs.values())]])
    return f"{first}\n\n{third}\n\n{second}\n\n{guards(sounds, heads)}"


def known(area: dict[str, Any], heads: dict[str, str]) -> list[float]:
    return [area["by_weight"][weight] for weight in heads]


def guards(sounds: dict[str, Any], heads: dict[str, str]) -> str:
    """What stands of text of sounds, and what is lost of speech, by each guard."""
    ways = {"today's guard": sounds["left_by_todays_guard"]}
    ways |= {f"confidence of {head}": sounds["left_by_weight"][weight] for weight, head in heads.items()}
    rows = [["none", round(100 * sounds["with_text"] / sounds["sounds"], 1), 0.0]]
    rows += [[way, left["text_of_sounds"], left["speech_lost"]] for way, left in ways.items()]
    return table(["guard against text of sounds", "sounds with text, %", "speech lost, %"], rows)


def partial_text(report: dict[str, Any]) -> str:
    """What partial texts cost and are worth, both ways."""
    columns = {
        "error_rate": "error rate, %",
        "first text, s": "first text, s",
        "of it kept": "of it kept",
        "characters taken back": "taken back",
        "tokens a second": "tokens a second",
        "decoding, ms a second": "ms a second",
    }
    rows = [
        [f"{title(name)}, {one['rows']} rows: {way}", *(shown(one.get(column)) for column in columns)]
        for name, ways in report["sets"].items()
        for way, one in ways.items()
    ]
    return table(["partial texts", *columns.values()], rows)


def segment_context(report: dict[str, Any]) -> str:
    """Error rates of long recordings with and without context."""
    columns = {
        "recording, told nothing": "recording",
        "recording, told heard": "told what was heard",
        "utterances, told nothing": "utterances",
        "utterances, told said": "told what was said",
    }
    rows = [
        [f"{title(name)}, {split}, {one['seconds']:.0f} s", *(shown(one[column]) for column in columns)]
        for split, sets in report["sets"].items()
        for name, one in sets.items()
    ]
    return table(["error rate, %", *columns.values()], rows)


def streaming(report: dict[str, Any]) -> str:
    """Error rates of whole utterances, and of the same in chunks."""
    chunks = f"chunks of {report['chunk_ms']} ms"
    rows = []
    for name, one in report["results"].items():
        condition = next(value for key, value in one["conditions"].items() if key.startswith(chunks))
        unit = "wer" if one["wer"] is not None else "cer"
        rows.append([title(name), one["utterances"], *(f"{100 * rate[unit]:.1f}" for rate in (one, condition))])
    return table(["error rate, %", "rows", "whole utterances", chunks], rows)


def text_style(report: dict[str, Any]) -> str:
    """Error rates, marks and capitals of a model, and of the same with an adapter that has learnt them from text."""
    rows = []
    for name, one in report["sets"].items():
        for way, found in one.items():
            if way == "rows":
                continue
            rates = [found["error_rate"], *(found.get(name, {}).get("f1") for name in ("marks", "capitals"))]
            figures = ("–" if rate is None else f"{100 * rate:.1f}" for rate in rates)
            rows.append([f"{title(name)}, {one['rows']} rows: {way}", *figures])
    return table(["%", "error rate", "marks, F1", "capitals, F1"], rows)


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "rescoring": rescoring,
    "partial_text": partial_text,
    "segment_context": segment_context,
    "text_style": text_style,
    "evaluations/streaming": streaming,
}


def with_tables(page: str) -> str:
    """A page with fresh tables between its marks, of all that was measured."""
    for name, write in TABLES.items():
        if not (RESULTS / f"{name}.json").is_file():
            continue
        begin, end = f"<!-- table {name}: tests/benchmarks/feature_tables.py writes it -->\n", "<!-- end of table -->"
        before, found, rest = page.partition(begin)
        if not found:
            raise ValueError(f"the page has no place for the table {name}")
        report = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        page = f"{before}{begin}{write(report)}\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
