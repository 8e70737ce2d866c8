# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The metric Spaces: their pages compute on uploaded files, their cards load on the Hub."""

import importlib.util
import json
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from huggingface_hub import RepoCard

import entropy_asr.spaces


SPACES = Path(entropy_asr.spaces.__file__).parent


def load_page(name: str):
    spec = importlib.util.spec_from_file_location(f"{name}_app", SPACES / name / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["entropy_allocation", "hallucination_rate"])
def test_space_is_complete(name):
    card = RepoCard.load(SPACES / name / "README.md")
    assert card.data.sdk == "gradio"
    assert (SPACES / name / card.data.app_file).is_file()
    assert "operational definition" in card.text
    assert "evaluate" in (SPACES / name / "requirements.txt").read_text()
    assert isinstance(load_page(name).build_page(), gr.Blocks)


def test_examples_of_the_pages_are_measured(tmp_path):
    page = load_page("entropy_allocation")
    table = dict(page.compute(page.example_frames(tmp_path), ["linear"], 1)[1])
    assert 1 < table["pai"] < np.log(5) + 0.05
    page = load_page("hallucination_rate")
    _, rates, flagged = page.compute(str(SPACES / "hallucination_rate" / "example.csv"), 0.35)
    assert dict(rates)["num_hallucinated"] == len(flagged) == 3


def test_frames_are_measured_as_uploaded(tmp_path):
    page = load_page("entropy_allocation")
    rng = np.random.default_rng(0)
    phonemes = rng.integers(0, 3, 1200)
    frames = np.eye(3)[phonemes] + 0.1 * rng.normal(size=(1200, 3))
    np.savez(
        tmp_path / "frames.npz",
        frames=frames,
        phonemes=phonemes,
        other_frames=2 * frames,
        words=np.stack([np.arange(0, 1200, 2), np.arange(2, 1202, 2), phonemes[::2]], axis=1),
        lengths=np.full(12, 100),
    )
    curve, rows, details = page.compute(str(tmp_path / "frames.npz"), ["linear"], 1)
    assert curve["share"].is_monotonic_decreasing and curve["share"].sum() == pytest.approx(1)
    table = dict(rows)
    assert table["pai"] == pytest.approx(np.log(3), abs=0.05)
    assert table["cka"] == pytest.approx(1)
    assert json.loads(details)["csai"]["num_words"] == 600
    np.savez(tmp_path / "wrong.npz", phones=phonemes)
    for path, message in ((None, "Upload"), (str(tmp_path / "wrong.npz"), "`frames` is needed")):
        with pytest.raises(gr.Error, match=message):
            page.compute(path, ["linear"], 1)


def test_transcripts_are_scored_as_uploaded(tmp_path):
    page = load_page("hallucination_rate")
    file = tmp_path / "table.csv"
    file.write_text("reference,hypothesis\nturn on the light,turn on the light\n,谢谢观看\n", encoding="utf-8")
    bars, rates, flagged = page.compute(str(file), 0.35)
    shown = {"empty_reference_rate": 0.5, "unsupported_rate": 0, "burst_rate": 0, "loop_rate": 0}
    assert bars["share"].tolist() == [*shown.values(), 0.5] and list(page.REASONS)[:-1] == list(shown)
    assert dict(rates)["hallucination_rate"] == 0.5
    assert flagged == [["empty_reference", "", "谢谢观看", "谢谢观看"]]
    file.write_text("a,b\n1,2\n")
    with pytest.raises(gr.Error, match="columns `reference` and `hypothesis`"):
        page.compute(str(file), 0.35)
