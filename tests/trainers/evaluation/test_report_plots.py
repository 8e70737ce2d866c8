# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Plots of a report: what is drawn, over which range, and under which names."""

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from entropy_asr.trainers.commands.models import bundled_checkpoint
from entropy_asr.trainers.evaluation import report_plots
from entropy_asr.trainers.evaluation.report_plots import draw_plots, measured_metrics, plot_files
from entropy_asr.trainers.evaluation.report_text import redraw_report


figures = pytest.importorskip("matplotlib.figure")
NAMES = ["sft", "last"]
SPECTRUM = [0.5, 0.3, 0.2]


def probe(information: float, error: float | None = 0.1, **values: float) -> dict:
    return {"information": information, "standard_error": error, **values}


def model(nse: float, pai: float, csai: dict | None = None, ledger: dict | None = None) -> dict:
    details = {
        "nse": {"num_frames": 900, "dimension": 3, "effective_rank": 2.0, "spectrum": SPECTRUM},
        "pai": {"num_frames": 800, "dimension": 3, "num_classes": 9, "linear": probe(pai), "mlp": probe(pai - 0.2)},
        "csai": csai or {"left_out": "too few words"},
    }
    layer = {"nse": nse, "pai": pai, "csai": None, "num_rows": {"nse": 900, "pai": 800}}
    layers = [{**layer, "csai": 0.01, "num_rows": {**layer["num_rows"], "csai": 24}} if csai else layer] * 3
    return {"nse": nse, "details": details, "layers": layers} | ({"ledger": ledger} if ledger else {})


def result_of(*models: dict) -> dict:
    cka = {"names": NAMES[: len(models)], "num_frames": 900, "biased": np.eye(len(models)).tolist()}
    data = {"num_utterances": 40, "seconds": 62.0}
    return {"models": dict(zip(NAMES, models, strict=False)), "cka": cka, "data": data}


def words_csai(information: float) -> dict:
    return {"num_words": 24, "dimension": 3, "num_classes": 3, "linear": probe(information, 0.02, entropy=0.05)}


def drawn(kind: str, result: dict):
    figure = figures.Figure()
    getattr(report_plots, f"_{kind}")(figure, result)
    return figure


def texts_of(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


@pytest.mark.parametrize("kind", ["allocation", "layers"])
def test_a_small_difference_of_nse_looks_small(kind):
    nse, pai = drawn(kind, result_of(model(0.734, 1.4), model(0.728, 1.3))).axes[:2]
    assert nse.get_ylim() == (0, 1)
    low, high = pai.get_ylim()
    assert low == 0 and high > 1.5  # from where nothing is known, with all error bars


def test_all_values_errors_and_the_ceiling_are_inside_the_axes():
    pai, csai = drawn("allocation", result_of(model(0.7, 1.4, words_csai(-0.01)), model(0.7, -0.1))).axes[1:]
    assert pai.get_ylim()[0] < -0.1 - 0.2 - 0.1 and pai.get_ylim()[1] > 1.5
    assert csai.get_ylim()[0] < -0.03 and csai.get_ylim()[1] > 0.05
    assert "the most that it can be" in [text.get_text() for text in csai.get_legend().get_texts()]
    assert "-0.010" in texts_of(csai) and "-0.000" not in texts_of(csai)


def test_csai_is_drawn_only_where_it_was_measured():
    without, measured = result_of(model(0.7, 1.4)), result_of(model(0.7, 1.4), model(0.7, 1.4, words_csai(0.02)))
    assert measured_metrics(without) == ["nse", "pai"] and measured_metrics(measured) == ["nse", "pai", "csai"]
    for kind in ("allocation", "layers"):
        assert len(drawn(kind, without).axes) == 2 and len(drawn(kind, measured).axes) == 3
    assert list(plot_files("my data", without).values())[:2] == [
        "NSE and PAI of each checkpoint",
        "NSE and PAI by layer",
    ]
    assert plot_files("my data", measured)["my_data-layers.png"] == "NSE, PAI and CSAI by layer"


def test_layers_are_counted_from_the_input_of_the_first():
    """An encoder of 2 layers has 3 hidden states."""
    axis = drawn("layers", result_of(model(0.7, 1.4))).axes[0]
    assert axis.lines[0].get_xdata().tolist() == [0, 1, 2] and "0: before the first" in axis.get_xlabel()


def test_a_ledger_is_drawn_as_parts_of_the_prior_and_a_broken_prior_is_said_to_be_one():
    counts = {"num_utterances": 10, "num_tokens": 99}
    left = {"uniform": 8.0, "prior": 6.0, "encoder": 3.0, "full": 2.0}
    whole = {**counts, "nats_per_token_left": left, "is_prior_broken": False}
    whole["allocation"] = {"encoder": 3.0, "llm": 1.0, "left": 2.0}
    broken = {**counts, "nats_per_token_left": {**left, "prior": 9.5}, "is_prior_broken": True}
    axis = drawn("ledger", result_of(model(0.7, 1.4, ledger=whole), model(0.6, 1.2, ledger=broken))).axes[0]
    first = [bar for bar in axis.patches if bar.get_height() and bar.get_x() < 0.5]
    assert sorted(bar.get_height() for bar in first) == [1.0, 2.0, 3.0]
    assert max(bar.get_y() + bar.get_height() for bar in first) == 6.0
    assert "broken prior:\n1.50 worse\nthan uniform" in texts_of(axis)


def test_a_report_is_drawn_anew_from_its_figures_as_pictures_and_vectors(tmp_path):
    report = {"datasets": {"digits": result_of(model(0.7, 1.4), model(0.6, 1.2))}, "aligner": None}
    report["options"] = {"split": "dev"}
    draw_plots(report, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    stems = ["digits-allocation", "digits-cka", "digits-layers", "digits-spectrum"]
    assert names == sorted(f"{stem}.{kind}" for stem in stems for kind in ("png", "svg"))
    before = {name: (tmp_path / name).read_bytes() for name in names}
    draw_plots(copy.deepcopy(report), tmp_path)
    assert before == {name: (tmp_path / name).read_bytes() for name in names}  # nothing depends on the day
    assert "NSE (0 to 1)" in before["digits-allocation.svg"].decode()  # text stays text
    pixels = np.asarray(Image.open(tmp_path / "digits-allocation.png").convert("L"))
    assert pixels.shape[1] > 600 and len(np.unique(pixels)) > 10


def test_plots_of_the_bundled_checkpoint_are_those_of_its_report():
    folder = Path(bundled_checkpoint()) / "report"
    report = json.loads((folder / "report.json").read_text("utf-8"))
    expected = {file for name, result in report["datasets"].items() for file in plot_files(name, result)}
    assert expected == {path.name for path in folder.glob("*.png")}
    text, card = (folder / "report.md").read_text("utf-8"), (folder.parent / "README.md").read_text("utf-8")
    trained = set(re.findall(r"^\| (\w+) \| \d+ \| [\d.]+ \|", card, re.MULTILINE))
    for name in expected:
        assert f"]({name})" in text
        drawing = (folder / name).with_suffix(".svg").read_text("utf-8")
        assert "cka" in name or any(model in drawing for model in report["models"])
    assert set(report["models"]) <= trained  # the stages of the card's table, by the same names


def test_a_folder_without_a_report_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path))):
        redraw_report(tmp_path)
