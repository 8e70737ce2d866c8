# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stages that are killed and started again end with the weights of an uninterrupted run, bit for bit."""

import json

import pytest
from killed_runs import kill_here, run_forked, was_killed
from safetensors.torch import load_file
from training_helpers import (
    Killed,
    die,
    resumable_section,
    run_and_kill,
    same_tensors,
    section_stage,
    stop_at,
)
from transformers import Trainer

from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.runs.clock import WallClock
from entropy_asr.trainers.training import stage_run
from entropy_asr.trainers.training.stage_run import last_complete_checkpoint


STAGES = (
    "encoder",
    "language_model",
    "alignment",
    "joint_sft",
    "context_sft",
    "grpo",
    "phoneme_head",
    "attention_pretraining",
)

pytestmark = pytest.mark.usefixtures("small_tiny")


@pytest.fixture(scope="module")
def uninterrupted(components, tmp_path_factory):
    """Weights of each stage run to its end at once."""
    done = {}

    def weights(name, section):
        if name not in done:
            folder = tmp_path_factory.mktemp("uninterrupted")
            run_section(section_stage(name), section, folder, 7)
            done[name] = load_file(folder / "model.safetensors")
        return done[name]

    return weights


@pytest.mark.parametrize("name", [*STAGES, "lora"])
def test_resumed_run_ends_with_the_same_weights(name, components, uninterrupted, tmp_path, monkeypatch):
    """Stopped twice: after a step behind a checkpoint inside an epoch, and right behind one at an epoch's end."""
    section = resumable_section(name, components)
    expected = uninterrupted(name, section)
    run_and_kill(name, section, tmp_path, monkeypatch, step=3)
    assert last_complete_checkpoint(tmp_path / "checkpoints").name == "checkpoint-2"
    run_and_kill(name, section, tmp_path, monkeypatch, step=4)
    assert last_complete_checkpoint(tmp_path / "checkpoints").name == "checkpoint-4"
    run_section(section_stage(name), section, tmp_path, 7)
    assert same_tensors(load_file(tmp_path / "model.safetensors"), expected)
    record = json.loads((tmp_path / "stage.json").read_text())
    assert [entry["step"] for entry in record["history"] if "loss" in entry] == [1, 2, 3, 4, 5, 6]
    assert record["steps"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("name", [*STAGES, "lora"])
def test_process_that_is_killed_resumes(name, workers, components, uninterrupted, tmp_path, monkeypatch):
    """A real SIGKILL; a worker process prepares batches ahead, which must not change what is learnt from them."""
    expected = uninterrupted(name, resumable_section(name, components))
    section = resumable_section(name, components, workers)

    def kill_at_third_step() -> None:
        WallClock.on_step_begin = stop_at(3, kill_here)

    assert was_killed(run_forked(lambda: run_section(section_stage(name), section, tmp_path, 7), kill_at_third_step))
    assert last_complete_checkpoint(tmp_path / "checkpoints").name == "checkpoint-2"
    run_section(section_stage(name), section, tmp_path, 7)
    assert same_tensors(load_file(tmp_path / "model.safetensors"), expected)


@pytest.mark.parametrize("name", ["encoder", "lora"])
def test_run_killed_between_last_checkpoint_and_record_takes_no_step_more(
    name, components, uninterrupted, tmp_path, monkeypatch
):
    """`Trainer` would take a seventh step of six. All six lie inside an epoch here, not at its end."""
    section = resumable_section(name, components)
    expected = uninterrupted(name, section)
    with monkeypatch.context() as patch:
        patch.setattr(stage_run, "write_record", lambda *arguments: die())
        with pytest.raises(Killed):
            run_section(section_stage(name), section, tmp_path, 7)
    (tmp_path / "model.safetensors").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", lambda *arguments: pytest.fail("a step more"))
        run_section(section_stage(name), section, tmp_path, 7)
    assert same_tensors(load_file(tmp_path / "model.safetensors"), expected)
    record = json.loads((tmp_path / "stage.json").read_text())
    assert record["steps"] == 6
    assert [entry["step"] for entry in record["history"] if "loss" in entry] == [1, 2, 3, 4, 5, 6]


def test_half_written_checkpoint_is_left_out(components, uninterrupted, tmp_path, monkeypatch, caplog):
    section = resumable_section("encoder", components)
    expected = uninterrupted("encoder", section)
    run_and_kill("encoder", section, tmp_path, monkeypatch, step=5)
    state = tmp_path / "checkpoints" / "checkpoint-4" / "trainer_state.json"
    state.write_text(state.read_text()[:40])
    run_section("encoder", section, tmp_path, 7)
    assert "checkpoint-4 is incomplete" in caplog.text
    assert same_tensors(load_file(tmp_path / "model.safetensors"), expected)
