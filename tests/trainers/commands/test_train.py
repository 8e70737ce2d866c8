# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr train`: what it passes on."""

from entropy_asr.trainers.commands import cli


def test_train_passes_unknown_options_on_as_overrides(recipe_calls, tmp_path):
    config = tmp_path / "stage.yaml"
    config.touch()
    overrides = ["--learning_rate", "1e-4", "--output_dir", "out", "--max", "-1"]
    assert cli.main(["train", "joint_sft", "--config", str(config), *overrides]) == 0
    assert recipe_calls == [("joint_sft", config, overrides)]
