# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A stage is run once: one that is finished is left as it is, and its time is that of all its runs."""

import json

import pytest
from safetensors.torch import load_file
from training_helpers import Killed, die, run_and_kill, same_tensors, stage_section

from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.runs.settings import SettingsError
from entropy_asr.trainers.stages import find_stage
from entropy_asr.trainers.training import stage_run


def test_finished_stage_is_skipped_and_other_settings_refused(components, tmp_path, monkeypatch):
    section = stage_section("encoder", components, max_steps=1)
    run_section("encoder", section, tmp_path, 7)
    monkeypatch.setattr(stage_run, "run_trainer", lambda *arguments: pytest.fail("trained again"))
    before = (tmp_path / "stage.json").read_bytes()
    run_section("encoder", section, tmp_path, 7)
    assert (tmp_path / "stage.json").read_bytes() == before
    other = {**section, "training": {**section["training"], "learning_rate": 3e-4}}
    with pytest.raises(ValueError, match=r"finished with other settings \(training\)"):
        run_section("encoder", other, tmp_path, 7)
    with pytest.raises(ValueError, match=r"finished with other settings \(seed\)"):
        run_section("encoder", section, tmp_path, 8)


def test_noise_that_no_row_gets_is_refused_before_rows_are_loaded(components, tmp_path):
    section = stage_section("encoder", components)
    section["augmentation"]["noise_probability"] = 0.0
    with pytest.raises(SettingsError, match="encoder.data: `noise` is mixed into .* give that too"):
        find_stage("encoder").read(section, tmp_path, 7, "encoder")
    find_stage("encoder").read({**section, "data": {**section["data"], "noise": []}}, tmp_path, 7, "encoder")


@pytest.mark.parametrize("strategy", ["no", "steps"])
def test_rows_that_no_error_rate_comes_of_are_named(components, tmp_path, caplog, strategy):
    section = stage_section("encoder", components, max_steps=1)
    section["data"]["eval"] = section["data"]["train"]
    section["training"]["eval_strategy"] = strategy
    run_section("encoder", section, tmp_path, 7)
    assert ("no error rates are measured" in caplog.text) is (strategy == "no")


def test_run_killed_before_its_record_still_saves_the_best_weights(components, tmp_path, monkeypatch):
    # What is trained on is evaluated on: the loss falls, and the first one is the greatest.
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": True}
    section = stage_section("encoder", components, eval_strategy="steps", eval_steps=2, **best)
    section["data"]["eval"] = section["data"]["train"]
    with monkeypatch.context() as patch:
        patch.setattr(stage_run, "write_record", lambda *arguments: die())
        with pytest.raises(Killed):
            run_section("encoder", section, tmp_path, 7)
    saved = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    run_section("encoder", section, tmp_path, 7)
    assert same_tensors(load_file(tmp_path / "model.safetensors"), saved)
    last = tmp_path / "checkpoints" / "checkpoint-6"
    assert not same_tensors(load_file(last / "model.safetensors"), saved)


def test_recorded_time_includes_runs_that_were_killed(components, tmp_path, monkeypatch):
    section = stage_section("encoder", components)
    run_and_kill("encoder", section, tmp_path, monkeypatch, step=3)
    clock = tmp_path / "clock.json"
    assert json.loads(clock.read_text())["seconds"] > 0
    clock.write_text('{"seconds": 5000}')
    run_section("encoder", section, tmp_path, 7)
    assert json.loads((tmp_path / "stage.json").read_text())["seconds"] > 5000
