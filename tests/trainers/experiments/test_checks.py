# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Checks of likely causes."""

import json
import sys
from pathlib import Path

import pytest
from kept_seeds import CLAIMS, data_dir, write_seed, wrong_shares

from entropy_asr.trainers.experiments import checks
from entropy_asr.trainers.experiments.run import ExperimentRun, read_run
from entropy_asr.trainers.runs.errors import SettingsError, StageFailed
from entropy_asr.trainers.runs.launch import LaunchSettings


def test_a_stage_that_is_trained_again_starts_from_the_arms_own(tmp_path, monkeypatch):
    """Also where folders are relative, as the command has them."""
    monkeypatch.chdir(tmp_path)
    arms = CLAIMS.arms
    for name in {*arms["no_ia_sft"], *arms["proposed"]}:
        (tmp_path / "runs" / "2" / name).mkdir(parents=True)
        seconds = {"no_ia_sft_joint_sft": 80.0, "proposed_ia_sft": 30.0, "proposed_joint_sft": 10.0}.get(name, 10.0)
        record = {"steps": 400, "seconds": 9.0, "processor_seconds": seconds, "history": []}
        (tmp_path / "runs" / "2" / name / "stage.json").write_text(json.dumps(record))
    ran, status = [], [0]
    monkeypatch.setattr(checks, "launch", lambda command, options: ran.append(command) or status[0])
    monkeypatch.setattr(checks, "training_of", lambda folder: {})
    monkeypatch.setattr(checks, "counts_of", lambda transcripts: {})
    run = ExperimentRun(CLAIMS, Path("runs"), Path("kept"), ["--a", "1"])
    [check] = [check for check in CLAIMS.why if check["name"] == "equal_time"]
    assert checks.trained_again(run, 2, check)["changed"] == {"training.max_steps": 200}
    again = tmp_path / "runs" / "2-equal_time"
    assert (again / "finished_alignment" / "stage.json").is_file() and not (again / "no_ia_sft_joint_sft").exists()
    assert [command[command.index("train") + 1] for command in ran] == ["no_ia_sft_joint_sft", "no_ia_sft_results"]
    assert ran[0][-2:] == ["--stages.no_ia_sft_joint_sft.training.max_steps", "200"] and "--a" in ran[0]
    status[0] = 1
    with pytest.raises(StageFailed, match="stage no_ia_sft_joint_sft ended with exit status 1"):
        checks.trained_again(run, 2, check)


def test_checks_are_kept_one_by_one_and_made_once(tmp_path, monkeypatch):
    run, made = ExperimentRun(CLAIMS, tmp_path / "runs", tmp_path / "kept"), []
    monkeypatch.setattr(ExperimentRun, "check", lambda run, seed: [])
    kinds = dict.fromkeys(checks.KINDS, lambda run, seed, check: made.append(check["name"]) or {"seed": seed})
    monkeypatch.setattr(checks, "KINDS", kinds)
    with pytest.raises(SettingsError, match="seed 3 has not been run to its end: it lacks attention"):
        checks.run_checks(run, 3, [])
    for name in {*sum(CLAIMS.arms.values(), []), *CLAIMS.measured.stages}:
        (tmp_path / "runs" / "3" / name).mkdir(parents=True)
        (tmp_path / "runs" / "3" / name / "stage.json").write_text("{}")
    checks.run_checks(run, 3, ["silence"])
    checks.run_checks(run, 3, [])
    assert made == ["silence", "equal_time", "embedder"]
    assert json.loads((tmp_path / "kept" / "3" / "why.json").read_text()) == {name: {"seed": 3} for name in made}
    with pytest.raises(SettingsError, match="--checks: unknown pai_sizes"):
        checks.run_checks(run, 3, ["pai_sizes"])  # the page alone makes that


def test_a_stage_that_is_trained_again_records_the_command_that_was_typed(tmp_path, monkeypatch):
    said, argv = tmp_path / "said", ["entropy-asr", "experiment", "claims", "--checks", "-o", "runs"]
    code = f"import os; open({str(said)!r}, 'w').write(os.environ['ENTROPY_ASR_LAUNCHED'])"
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(LaunchSettings, "command", lambda self, arguments: [sys.executable, "-c", code, *arguments])
    checks.train_stage(ExperimentRun(CLAIMS, tmp_path, tmp_path), "half_joint_sft", [])
    assert said.read_text() == "entropy-asr experiment claims --checks"


def test_checks_of_a_seed_that_was_run_with_other_settings_are_refused(tmp_path):
    write_seed(tmp_path, 1, wrong_shares())
    options = ["--data_dir", data_dir(tmp_path / "data"), "--allocation.embedder", "null"]
    run = read_run(CLAIMS.path, str(tmp_path / "runs"), str(tmp_path / "kept"), options)
    with pytest.raises(
        SettingsError, match="1/proposed.json and what is to be run have different settings: encoder_s"
    ):
        checks.run_checks(run, 1, [])
    # Where nothing is kept, what is trained says with what.
    (tmp_path / "runs" / "1" / "half_joint_sft").mkdir(parents=True)
    (tmp_path / "runs" / "1" / "half_joint_sft" / "stage.json").write_text('{"settings": {}}')
    run = read_run(CLAIMS.path, str(tmp_path / "runs"), str(tmp_path / "none"), options)
    with pytest.raises(SettingsError, match="half_joint_sft holds a stage finished with other settings .*--results_d"):
        checks.run_checks(run, 1, [])
