# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How stages are started: commands that accelerate's own parser takes, configurations that it reads."""

import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.runs import launch
from entropy_asr.trainers.runs.launch import LaunchSettings, find_accelerate_config


def test_plain_process_without_a_configuration():
    command = LaunchSettings(environment={"OMP_NUM_THREADS": 1}).command(["train", "encoder"])
    assert command == [sys.executable, "-m", "entropy_asr.trainers.commands.cli", "train", "encoder"]
    assert LaunchSettings(environment={"OMP_NUM_THREADS": 1}).variables()["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "deepspeed_zero2"])
def test_shipped_configurations_are_read_by_accelerate(name):
    config = load_config_from_file(str(find_accelerate_config(name)))
    expected = {"ddp": "MULTI_GPU", "fsdp2": "FSDP", "deepspeed_zero2": "DEEPSPEED"}[name]
    assert config.distributed_type.value == expected
    assert config.num_processes == 8 and not config.use_cpu
    if name == "fsdp2":
        assert config.fsdp_config["fsdp_version"] == 2
        assert config.fsdp_config["fsdp_state_dict_type"] == "FULL_STATE_DICT"
    if name == "deepspeed_zero2":
        assert config.deepspeed_config["zero_stage"] == 2


def test_command_is_one_that_accelerate_takes():
    settings = LaunchSettings("ddp", num_processes=16, num_machines=2, machine_rank=1, main_process_ip="10.0.0.1")
    command = settings.command(["train", "encoder", "--config", "f.yaml", "--learning_rate", "1e-3"])
    args = launch_command_parser().parse_args(command[3:])
    assert (args.num_processes, args.num_machines, args.machine_rank) == (16, 2, 1)
    assert args.main_process_ip == "10.0.0.1" and args.main_process_port is None
    assert args.module and args.training_script == "entropy_asr.trainers.commands.cli"
    assert args.training_script_args == ["train", "encoder", "--config", "f.yaml", "--learning_rate", "1e-3"]


def test_stages_on_one_machine_do_not_share_a_port():
    args = launch_command_parser().parse_args(LaunchSettings("ddp").command(["train", "encoder"])[3:])
    assert args.main_process_port == 0


def test_configuration_of_ones_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("compute_environment: LOCAL_MACHINE\n")
    assert find_accelerate_config(str(path)) == path
    with pytest.raises(ValueError, match=r"no such file: fsdp3 \(shipped: ddp, deepspeed_zero2, fsdp2\)"):
        LaunchSettings("fsdp3")


def test_options_without_effect_are_refused():
    with pytest.raises(ValueError, match="num_processes without accelerate_config"):
        LaunchSettings(num_processes=2)


@pytest.fixture
def started(monkeypatch) -> list:
    calls = []

    class Process:
        def wait(self, timeout=None) -> int:
            return 3

        def terminate(self) -> None:
            pass

    monkeypatch.setattr(launch.subprocess, "Popen", lambda command, **kwargs: calls.append(command) or Process())
    return calls


def test_train_command_starts_the_launcher_and_passes_its_status_on(started, tmp_path):
    config = tmp_path / "stage.yaml"
    config.write_text("{}")
    options = ["--accelerate_config", "fsdp2", "--num_processes", "4", "--learning_rate", "1e-3"]
    assert cli.main(["train", "joint_sft", "--config", str(config), *options]) == 3
    [command] = started
    assert Path(command[command.index("--config_file") + 1]).name == "fsdp2.yaml"
    assert command[command.index("--num_processes") + 1] == "4"
    end = [
        "-m",
        "entropy_asr.trainers.commands.cli",
        "train",
        "joint_sft",
        "--config",
        str(config),
        "--learning_rate",
        "1e-3",
    ]
    assert command[-len(end) :] == end


def test_a_launcher_is_asked_to_end_what_it_has_started(monkeypatch):
    """An interruption while it is waited for: ended at once, it would leave its processes behind."""
    events = []

    class Process:
        def wait(self, timeout=None) -> int:
            events.append("wait")
            if timeout is None:
                raise KeyboardInterrupt
            return 143

        def terminate(self) -> None:
            events.append("terminate")

    environments = []
    monkeypatch.setattr("sys.argv", ["entropy-asr", "train", "encoder"])
    monkeypatch.setattr(launch.subprocess, "Popen", lambda command, env: environments.append(env) or Process())
    with pytest.raises(KeyboardInterrupt):
        launch.launch(["train", "encoder"], {"accelerate_config": "ddp"})
    assert events == ["wait", "terminate", "wait"]
    assert environments[0][launch.LAUNCHED] == "entropy-asr train encoder"
