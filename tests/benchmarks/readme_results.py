# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Writes README's table of results from the files that measurements left; nothing in it is typed.

```shell
python tests/benchmarks/readme_results.py
```

Ours come from the checkpoint's `results.json` (the evaluation stage of its recipe), peers from `evaluate_peer.py`, and
what a second of speech costs from `compare_costs.py`.
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml


ROOT = Path(__file__).parents[2]
OURS = ROOT / "spaces" / "demo" / "checkpoint" / "results.json"
PEERS = Path(__file__).parent / "results"
COSTS = Path(__file__).parent / "costs.json"
MARKS = ("<!-- results: tests/benchmarks/readme_results.py writes this table -->", "<!-- end of results -->")


def results_table() -> str:
    """Error rates of all test sets, a column a model."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in (OURS, *sorted(PEERS.glob("*.json")))]
    reports = [report for report in reports if "results" in report]  # of whole test sets; others measure features
    titles = yaml.safe_load((ROOT / "hub_cards" / "data_sources.yaml").read_text(encoding="utf-8"))
    names = [f"{report['name']} ({report['parameters'] / 1e6:.0f}M)" for report in reports]
    lines = [f"| test set | rate | {' | '.join(names)} |", f"| --- | --- {'| ---: ' * len(names)}|"]
    for name, score in reports[0]["results"].items():
        kind, _ = rate(score)
        found = [report["results"].get(name) for report in reports]
        cells = ["–" if score is None else rate(score)[1] for score in found]
        lines.append(f"| {title(name, titles)} | {kind} | {' | '.join(cells)} |")
    return "\n".join([*lines, *hallucination_lines(reports[0]["results"], titles), *cost_lines(titles)])


def cost_lines(titles: dict[str, dict[str, str]]) -> list[str]:
    """A table of what a second of speech costs each model; nothing where it was not measured."""
    if not COSTS.is_file():
        return []
    report = json.loads(COSTS.read_text(encoding="utf-8"))
    heard = f"{report['recordings']} recordings of {title(report['dataset'], titles)}, {report['threads']} threads"
    columns = ("weights, MB", "peak memory, MiB", "CPU seconds a second of speech", "the same as a stream")
    lines = ["", f"| {heard}, {report['cpu']} | {' | '.join(columns)} |", f"| --- {'| ---: ' * len(columns)}|"]
    for name, costs in report["models"].items():
        seconds = costs["seconds_per_second"]
        cells = [f"{costs['megabytes']:.0f}", f"{costs['peak_mib']:.0f}"]
        cells += [f"{seconds[way]:.3f}" if way in seconds else "–" for way in ("offline", "streaming")]
        lines.append(f"| {name} ({costs['parameters'] / 1e6:.0f}M) | {' | '.join(cells)} |")
    return lines


def title(name: str, titles: dict[str, dict[str, str]]) -> str:
    """What people call a test set; its own name for those that an evaluation makes itself."""
    return titles.get(name, {}).get("title", name)


def hallucination_lines(results: dict[str, Any], titles: dict[str, dict[str, str]]) -> list[str]:
    """A table of our hallucination rates, a column a condition; nothing where none were measured."""
    rates = {name: hallucination_rates(score) for name, score in results.items()}
    conditions = list(dict.fromkeys(condition for found in rates.values() for condition in found))
    if not conditions:
        return []
    lines = ["", f"| transcripts with text that nobody said, % | {' | '.join(conditions)} |"]
    lines.append(f"| --- {'| ---: ' * len(conditions)}|")
    for name, found in rates.items():
        cells = [f"{100 * found[condition]:.1f}" if condition in found else "–" for condition in conditions]
        lines.append(f"| {title(name, titles)} | {' | '.join(cells)} |")
    return lines


def hallucination_rates(score: dict[str, Any]) -> dict[str, float]:
    """Hallucination rate of a test set under each condition; of earlier results none."""
    found = {f"guards {'on' if score.get('guards', True) else 'off'}": score.get("hallucination")}
    found |= {name: condition["hallucination"] for name, condition in score.get("conditions", {}).items()}
    return {name: figures["hallucination_rate"] for name, figures in found.items() if figures is not None}


def rate(score: dict[str, Any]) -> tuple[str, str]:
    """What a set is measured by, and its value in %."""
    for key in ("wer", "cer"):
        if score[key] is not None:
            return key.upper(), f"{100 * score[key]:.1f}"
    return "text where nobody speaks", f"{100 * score['nonempty_share']:.1f}"


def with_table(readme: str) -> str:
    """README with a fresh table between its marks."""
    begin, end = map(re.escape, MARKS)
    return re.sub(f"(?<={begin}\n).*?(?={end})", lambda _: results_table() + "\n", readme, flags=re.DOTALL)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
