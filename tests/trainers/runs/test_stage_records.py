# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What results and cards say of a training run is what the stages recorded."""

import json
import os
import subprocess

from entropy_asr.trainers.runs.launch import LaunchSettings
from entropy_asr.trainers.runs.stage_records import (
    command_line,
    read_records,
    summarize_training,
    training_data,
    training_history,
)


def write_record(folder, name, age, data, **fields):
    path = folder / name / "stage.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"stage": name, "settings": {"data": data}, **fields}))
    os.utime(path, (1000 - age, 1000 - age))


def test_records_tell_stages_in_order_with_their_curves_and_all_data(tmp_path):
    history = [{"step": 5, "loss": 2.0}, {"step": 5, "eval_loss": 1.5, "eval_per": 0.5, "eval_runtime": 9.0}]
    synthetic = {"texts": ["d/novel.txt"], "language": "en", "num_texts": 3}
    neural = {**synthetic, "engine": "kokoro", "weights": "w"}
    write_record(tmp_path, "b", 1, {"text": [{"path": "d/novel.txt"}]}, steps=1, seconds=2.0, history=[])
    write_record(
        tmp_path,
        "a",
        9,
        {"train": [{"path": "d/speech"}], "synthetic": [synthetic, neural, {**neural, "name": "mine"}]},
        steps=5,
        seconds=3.0,
        history=history,
    )
    write_record(tmp_path, "checkpoint", 0, {"eval": []}, results={})
    records = read_records(tmp_path)
    assert list(records) == ["a", "b"]
    assert training_data(records) == ["espeak-ng", "kokoro", "mine", "novel", "speech"]
    summary = summarize_training(records)
    assert summary["a"] == {
        "steps": 5,
        "seconds": 3.0,
        "loss": [[5, 2.0]],
        "development": [{"step": 5, "eval_per": 0.5}],
    }


def test_evaluations_of_several_sets_are_part_of_the_curves():
    entry = {"step": 4, "eval_none_loss": 1.0, "eval_none_wer": 0.5, "eval_right_wer": 0.25, "eval_right_loss": 0.9}
    summary = summarize_training(
        {"context_sft": {"steps": 4, "seconds": 1.0, "history": [entry, {"step": 4, "loss": 2}]}}
    )
    assert summary["context_sft"]["development"] == [{"step": 4, "eval_none_wer": 0.5, "eval_right_wer": 0.25}]


def test_the_command_does_not_tell_where_output_went(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/entropy-asr", "recipe", "tiny", "--output_dir", "/home/me", "--seed", "3"])
    assert command_line() == "entropy-asr recipe tiny --seed 3"
    for outputs in (["-o", "/home/me"], ["-o/home/me"], ["--output_dir=/home/me/x", "--results_dir", "/home/me/y"]):
        monkeypatch.setattr("sys.argv", ["/bin/entropy-asr", "recipe", "tiny", *outputs, "--seed", "3"])
        assert command_line() == "entropy-asr recipe tiny --seed 3"
    # A stage that a recipe has started was not typed by anybody.
    monkeypatch.setattr("os.environ", LaunchSettings().variables())
    monkeypatch.setattr("sys.argv", ["cli.py", "train", "checkpoint", "--config", "tiny.yaml"])
    assert command_line() == "entropy-asr recipe tiny --seed 3"


def test_the_command_does_not_tell_where_this_machine_keeps_things(monkeypatch):
    monkeypatch.delenv("ENTROPY_ASR_LAUNCHED", raising=False)
    monkeypatch.setattr("sys.argv", ["entropy-asr", "report", "--model", "/home/me/a", "--data_dir=/home/me/d", "x/y"])
    assert command_line() == "entropy-asr report --model a --data_dir=d x/y"


def test_a_command_of_any_length_can_be_handed_on(monkeypatch):
    monkeypatch.delenv("ENTROPY_ASR_LAUNCHED", raising=False)
    monkeypatch.setattr("sys.argv", ["entropy-asr", "transcribe", "--hotwords", *(["word"] * 100_000)])
    subprocess.run(["true"], env=LaunchSettings().variables(), check=True)
    assert command_line().startswith("entropy-asr transcribe --hotwords word word") and command_line().endswith(" ...")


def test_a_checkpoint_that_was_gone_on_with_is_part_of_the_history(tmp_path):
    start, runs = tmp_path / "start", tmp_path / "runs"
    start.mkdir()
    runs.mkdir()
    stage = {"steps": 7, "seconds": 1.0, "loss": [], "development": []}
    earlier = {"name": "first", "command": "recipe first", "training": {"a": stage}, "data": ["novel", "zebra"]}
    (start / "results.json").write_text(json.dumps(earlier))
    run = {"steps": 2, "seconds": 3.0, "history": []}
    write_record(runs, "a", 1, {"train": [{"path": "d/speech"}]}, **run)
    assert training_history(read_records(runs))["started_from"] is None
    record = json.loads((runs / "a" / "stage.json").read_text())
    record["settings"]["model"] = {"path": str(start)}
    (runs / "a" / "stage.json").write_text(json.dumps(record))
    history = training_history(read_records(runs))
    assert list(history["training"]) == ["earlier/a", "a"] and history["training"]["earlier/a"] == stage
    assert history["data"] == ["novel", "speech", "zebra"]
    assert history["started_from"] == {"name": "first", "command": "recipe first", "started_from": None}
    (start / "results.json").write_text(json.dumps({**earlier, "name": "second", **history}))
    assert training_history(read_records(runs))["started_from"]["started_from"] == history["started_from"]


def test_models_of_the_hub_that_training_started_from_are_named_and_folders_are_not(tmp_path):
    write_record(tmp_path, "encoder", 1, {"train": []}, steps=2, seconds=3.0, history=[])
    record = json.loads((tmp_path / "encoder" / "stage.json").read_text())
    record["settings"]["model"] = {"encoder": str(tmp_path / "encoder"), "language_model": "Qwen/Qwen3-0.6B"}
    (tmp_path / "encoder" / "stage.json").write_text(json.dumps(record))
    assert training_history(read_records(tmp_path))["base_models"] == ["Qwen/Qwen3-0.6B"]
