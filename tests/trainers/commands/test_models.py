# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The model that a command runs."""

from fake_pipeline import write_wav

from entropy_asr.trainers.commands import cli, models


def test_model_that_cannot_be_loaded_is_named(pipeline, tmp_path, capsys):
    assert cli.main(["transcribe", write_wav(tmp_path / "a.wav"), "--model", "missing/model"]) == 2
    assert "missing/model" in capsys.readouterr().err


def test_without_bundled_checkpoint_the_error_names_the_option(pipeline, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(models, "bundled_checkpoint", lambda: tmp_path / "demo" / "checkpoint")
    assert cli.main(["transcribe", write_wav(tmp_path / "a.wav")]) == 2
    assert "--model" in capsys.readouterr().err


def test_bundled_checkpoint_is_the_default(pipeline, tmp_path, monkeypatch):
    checkpoint = tmp_path / "demo" / "checkpoint"
    checkpoint.mkdir(parents=True)
    (checkpoint / "config.json").write_text("{}")
    monkeypatch.setattr(models, "bundled_checkpoint", lambda: tmp_path / "demo" / "checkpoint")
    assert cli.main(["transcribe", write_wav(tmp_path / "a.wav")]) == 0
    assert pipeline.loaded == [(str(checkpoint), None, None)]
