# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Plots of a report: what is drawn, over which range, and under which names."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.evaluation import report_plots
from entropy_asr.trainers.evaluation.report_plots import draw_plots, measured_metrics, plot_files


figures = pytest.importorskip("matplotlib.figure")


def information(value: float) -> dict:
    interval = [value - 0.3, value + 0.2]
    return {"num_utterances": 40, "pca_size": {"u": 4, "P": 4}, "ridge": 1e-3, "interval": interval,
            "chance": {"mean": 0.4, "spread": 0.1}}  # fmt: skip


def model(nse: float, pai: float, csai: float | None = None, **others) -> dict:
    details = {"nse": {"num_utterances": 40, "interval": [nse - 0.01, nse + 0.01]}, "pai": information(pai)}
    details |= {} if csai is None else {"csai": information(csai)}
    return {"nse": nse, "pai": pai, "csai": csai, "details": details, **others}


def report_of(recipes: dict[str, list[str]] | None = None, **models: dict) -> dict:
    recipes = recipes or {"": list(models)}
    cka = {"names": list(models), "num_frames": 900, "biased": np.eye(len(models)).tolist()}
    cka["debiased"] = cka["biased"]
    data = {"num_utterances": 40, "seconds": 62.0, "languages": ["en"], "left_out": 0}
    results = {"my data": {"models": models, "cka": cka, "data": data}}
    head = {"definitions": "As the paper has them.", "command": "entropy-asr report", "options": {"split": "dev"}}
    return {**head, "recipes": recipes, "datasets": results}


def drawn(kind: str, report: dict):
    figure = figures.Figure()
    getattr(report_plots, f"_{kind}")(figure, report["datasets"]["my data"]["models"], report["recipes"])
    return figure


def texts_of(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_a_small_difference_of_nse_looks_small_and_information_starts_at_nothing():
    nse, pai = drawn("trajectory", report_of(a=model(0.734, 1.4), b=model(0.728, 1.3))).axes
    assert nse.get_ylim() == (0, 1)
    assert pai.get_ylim()[0] == 0 and pai.get_ylim()[1] > 1.6  # with all intervals
    assert "N = 40, k = 4" in pai.get_title() and "1.40" in texts_of(pai)


def test_chance_is_drawn_beside_every_figure_of_information():
    nse, pai = drawn("trajectory", report_of(a=model(0.7, 1.4), b=model(0.7, 1.3))).axes
    dotted = [line for line in pai.lines if line.get_linestyle() == ":"]
    assert [line.get_ydata().tolist() for line in dotted] == [[0.4, 0.4]]
    assert not [line for line in nse.lines if line.get_linestyle() == ":"]


def test_csai_is_drawn_only_where_it_was_measured():
    without, measured = report_of(a=model(0.7, 1.4)), report_of(a=model(0.7, 1.4), b=model(0.7, 1.4, 0.2))
    assert measured_metrics(without["datasets"]["my data"]["models"]) == ["nse", "pai"]
    assert len(drawn("trajectory", without).axes) == 2 and len(drawn("trajectory", measured).axes) == 3
    assert plot_files("my data", without) == {"my_data-trajectory.png": "NSE and PAI over the checkpoints"}
    assert plot_files("my data", measured)["my_data-trajectory.png"] == "NSE, PAI and CSAI over the checkpoints"


def test_each_recipe_has_its_line():
    recipes = {"ours": ["a", "b"], "theirs": ["a", "c"]}
    figure = drawn("trajectory", report_of(recipes, a=model(0.7, 1.0), b=model(0.6, 2.0), c=model(0.8, 0.5)))
    lines = [
        line.get_ydata().tolist()
        for line in figure.axes[1].lines
        if line.get_linestyle() == "-" and len(line.get_xdata()) == 2
    ]
    assert [1.0, 2.0] in lines and [1.0, 0.5] in lines
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours", "theirs"]


def test_text_cka_ends_at_the_adaptor():
    cka = {"layers": [0.1, 0.2, 0.3], "adaptor": 0.5, "chance": {"mean": 0.05, "spread": 0.01}}
    axis = drawn("text_cka", report_of(a=model(0.7, 1.4, text_cka=cka), b=model(0.7, 1.4))).axes[0]
    assert axis.lines[0].get_ydata().tolist() == [0.1, 0.2, 0.3] and axis.lines[1].get_ydata()[-1] == 0.5
    assert axis.get_ylim()[0] == 0


def test_a_ledger_is_drawn_as_parts_of_the_prior_and_a_broken_prior_is_said_to_be_one():
    counts = {"num_utterances": 10, "num_tokens": 99}
    left = {"uniform": 8.0, "prior": 6.0, "encoder": 3.0, "full": 2.0}
    whole = {**counts, "nats_per_token_left": left, "is_prior_broken": False}
    whole["allocation"] = {"encoder": 3.0, "llm": 1.0, "left": 2.0}
    broken = {**counts, "nats_per_token_left": {**left, "prior": 9.5}, "is_prior_broken": True}
    axis = drawn("ledger", report_of(a=model(0.7, 1.4, ledger=whole), b=model(0.6, 1.2, ledger=broken))).axes[0]
    first = [bar for bar in axis.patches if bar.get_height() and bar.get_x() < 0.5]
    assert sorted(bar.get_height() for bar in first) == [1.0, 2.0, 3.0]
    assert max(bar.get_y() + bar.get_height() for bar in first) == 6.0
    assert "broken prior:\n1.50 worse\nthan uniform" in texts_of(axis)


def test_a_ledger_of_a_text_that_is_not_in_the_sound_is_marked():
    counts = {"num_utterances": 10, "num_tokens": 99, "is_prior_broken": False}
    left = {"uniform": 8.0, "prior": 6.0, "encoder": 7.0, "full": 2.0}
    unheard = {**counts, "nats_per_token_left": left, "allocation": {"encoder": -1.0, "llm": 5.0, "left": 2.0}}
    assert "text not in the sound" in texts_of(drawn("ledger", report_of(a=model(0.7, 1.4, ledger=unheard))).axes[0])


def test_a_report_is_drawn_anew_from_its_figures_as_pictures_and_vectors(tmp_path):
    report = report_of(a=model(0.7, 1.4), b=model(0.6, 1.2))
    draw_plots(report, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["my_data-trajectory.png", "my_data-trajectory.svg"]
    before = {name: (tmp_path / name).read_bytes() for name in names}
    draw_plots(copy.deepcopy(report), tmp_path)
    assert before == {name: (tmp_path / name).read_bytes() for name in names}  # nothing depends on the day
    assert "NSE (0 to 1)" in before["my_data-trajectory.svg"].decode()  # text stays text
    pixels = np.asarray(Image.open(tmp_path / "my_data-trajectory.png").convert("L"))
    assert pixels.shape[1] > 600 and len(np.unique(pixels)) > 10


def test_plots_of_the_bundled_checkpoint_are_those_of_its_report():
    folder = Path(default_model()) / "report"
    report = json.loads((folder / "report.json").read_text("utf-8"))
    expected = {file for name in report["datasets"] for file in plot_files(name, report)}
    assert expected == {path.name for path in folder.glob("*.png")}
    text, card = (folder / "report.md").read_text("utf-8"), (folder.parent / "README.md").read_text("utf-8")
    assert all(f"({file})" in text and f"(report/{file})" in card for file in expected)
