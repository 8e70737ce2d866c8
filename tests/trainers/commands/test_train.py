# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr train`: what it passes on."""

import pytest

from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.runs import launch


def test_train_passes_unknown_options_on_as_overrides(recipe_calls, tmp_path):
    config = tmp_path / "stage.yaml"
    config.touch()
    overrides = ["--learning_rate", "1e-4", "--output_dir", "out", "--max", "-1"]
    assert cli.main(["train", "joint_sft", "--config", str(config), *overrides]) == 0
    assert recipe_calls == [("joint_sft", config, overrides)]


@pytest.mark.parametrize(
    ("given", "started"),
    [
        (["--num_processes", "8"], {"accelerate_config": "ddp", "num_processes": 8}),
        (["--accelerate_config", "fsdp2"], {"accelerate_config": "fsdp2"}),
        (["--num_processes", "1"], None),
    ],
)
def test_processes_are_those_of_ddp_unless_others_are_asked_for(recipe_calls, tmp_path, monkeypatch, given, started):
    config = tmp_path / "stage.yaml"
    config.touch()
    launched = []
    monkeypatch.setattr(launch, "launch", lambda arguments, options: launched.append((arguments, options)) or 0)
    assert cli.main(["train", "joint_sft", "--config", str(config), *given]) == 0
    assert launched == ([] if started is None else [(["train", "joint_sft", "--config", str(config)], started)])
    assert len(recipe_calls) == (started is None)
