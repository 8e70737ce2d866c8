# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Every figure that is published has a source: the card of the bundled checkpoint, and README.md."""

import json
import re
import runpy
import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

import entropy_asr.hub_cards.model_card
import entropy_asr.spaces
from entropy_asr.hub_cards.model_card import data_sources, write_model_card


CHECKPOINT = Path(entropy_asr.spaces.__file__).parent / "demo" / "checkpoint"
MEASUREMENTS = Path(entropy_asr.hub_cards.model_card.__file__).parent / "measurements.yaml"
README = Path(__file__).parents[2] / "README.md"
RESULTS = (CHECKPOINT / "results.json", *Path(__file__).parents[1].glob("benchmarks/results/*.json"))
# Decimals and percentages; not versions ("Python 3.11"), names ("Qwen3-0.6B"), or papers ("arXiv 2604.08003").
FIGURE = re.compile(r"(?<!Python )(?<!arXiv )(?<![\w./-])\d+(?:\.\d+(?![\w.])|(?=\s?%))")


def figures_of(markdown: str) -> list[str]:
    """Figures of the prose and tables; code and addresses are left out."""
    prose = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
    prose = re.sub(r"`[^`\n]*`|\]\([^)]*\)|https?://\S+", "", prose)
    return FIGURE.findall(prose)


def sources() -> set[str]:
    """Figures as they may be written: measured results with up to two decimals, and listed measurements."""
    written = {str(entry["figure"]) for entry in yaml.safe_load(MEASUREMENTS.read_text(encoding="utf-8"))}
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in RESULTS]
    scores = [score for report in reports for score in report.get("results", {}).values()]
    for score in scores:
        rates = (100 * score[name] for name in ("wer", "cer", "nonempty_share") if score[name] is not None)
        written |= {f"{rate:.{decimals}f}" for rate in rates for decimals in (0, 1, 2)}
        written |= {f"{100 * rate:.1f}" for rate in readme_script()["hallucination_rates"](score).values()}
    costs = readme_script()["COSTS"]
    models = json.loads(costs.read_text(encoding="utf-8"))["models"].values() if costs.is_file() else ()
    written |= {f"{seconds:.3f}" for model in models for seconds in model["seconds_per_second"].values()}
    return written


def readme_script() -> dict:
    """What writes README's table."""
    return runpy.run_path(str(README.parent / "tests" / "benchmarks" / "readme_results.py"))


def test_readme_figures_have_sources():
    without = sorted(set(figures_of(README.read_text(encoding="utf-8"))) - sources())
    assert not without, f"README.md: no source for {without}: measure them, or list them in {MEASUREMENTS.name}"


def test_readme_has_the_table_that_the_results_give():
    script = readme_script()
    readme = README.read_text(encoding="utf-8")
    assert script["results_table"]() in readme, "run tests/benchmarks/readme_results.py"
    assert script["with_table"](readme) == readme


def test_readmes_table_has_what_an_evaluation_under_conditions_adds(tmp_path):
    """A set of made sounds, which no list of data sources knows, and hallucination rates of all sets."""
    script = readme_script()
    measured = {"wer": None, "cer": None, "nonempty_share": 0.5}
    results = {
        "fsdd_digits": {**measured, "wer": 0.25, "guards": True, "hallucination": {"hallucination_rate": 0.034}},
        "made sounds without speech": {
            **measured,
            "hallucination": {"hallucination_rate": 0.5},
            "conditions": {"guards off": {"hallucination": {"hallucination_rate": 1.0}}},
        },
    }
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"name": "ours", "parameters": 9e6, "results": results}), encoding="utf-8")
    script["results_table"].__globals__["OURS"] = path
    lines = script["results_table"]().splitlines()
    assert "| made sounds without speech | text where nobody speaks | 50.0 |" in lines[3]
    assert lines[4:6] == ["", "| transcripts with text that nobody said, % | guards on | guards off |"]
    assert lines[7].endswith(" | 3.4 | – |") and lines[8] == "| made sounds without speech | 50.0 | 100.0 |"
    # Results without them have no such table.
    plain = {"fsdd_digits": {**measured, "wer": 0.25}}
    path.write_text(json.dumps({"name": "ours", "parameters": 9e6, "results": plain}), encoding="utf-8")
    assert all("nobody said" not in line for line in script["results_table"]().splitlines())


def test_the_page_for_integrators_has_the_tables_that_measurements_give():
    script = runpy.run_path(str(README.parent / "tests" / "benchmarks" / "feature_tables.py"))
    page = script["PAGE"].read_text(encoding="utf-8")
    measured = [name for name in script["TABLES"] if (script["RESULTS"] / f"{name}.json").is_file()]
    assert page.count("<!-- table ") == len(measured)
    assert script["with_tables"](page) == page, "run tests/benchmarks/feature_tables.py"


def test_measurements_say_where_they_come_from():
    for entry in yaml.safe_load(MEASUREMENTS.read_text(encoding="utf-8")):
        assert set(entry) == {"figure", "source"} and len(entry["source"]) > 10, entry


def test_an_invented_figure_is_noticed():
    invented = "It has a WER of 3.14 and is right in 97 % of cases (Python 3.11, Qwen3-0.6B, `0.25`)."
    assert figures_of(invented) == ["3.14", "97"]
    assert not set(figures_of(invented)) & sources()


def test_card_of_the_bundled_checkpoint_is_what_the_command_writes(tmp_path):
    copy = tmp_path / "checkpoint"
    shutil.copytree(CHECKPOINT, copy, ignore=shutil.ignore_patterns("*.safetensors", "README.md"))
    write_model_card(copy)
    published = (CHECKPOINT / "README.md").read_text(encoding="utf-8")
    assert published == (copy / "README.md").read_text(encoding="utf-8"), "run `entropy-asr card` on the checkpoint"


def test_card_of_the_bundled_checkpoint_agrees_with_its_results():
    card = ModelCard.load(CHECKPOINT / "README.md")
    results = json.loads((CHECKPOINT / "results.json").read_text(encoding="utf-8"))["results"]
    known = data_sources(CHECKPOINT)
    for result in card.data.eval_results:
        assert result.metric_value == pytest.approx(100 * results[result.dataset_type][result.metric_type], abs=0.005)
    for score_name, score in results.items():
        # Sounds that an evaluation makes itself are on no list of data sources.
        name = known.get(score_name, {}).get("title", score_name)
        table = card.text.partition("## Results")[2].splitlines()
        row = next(line for line in table if line.startswith(f"| {name} |"))
        cells = [cell.strip() for cell in row.strip("| ").split("|")]
        rates = (score["wer"], score["cer"], score["nonempty_share"])
        expected = ["-" if rate is None else f"{100 * rate:.1f}" for rate in rates]
        assert cells == [name, str(score["utterances"]), *expected]
