# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Starting a stage in processes of its own: one, or several through accelerate's launcher."""

import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from .console import LAUNCHED
from .settings import SettingsError, typed
from .stage_records import command_line


MODULE = "entropy_asr.trainers.commands.cli"
END_SECONDS = 30.0


@dataclass
@typed
class LaunchSettings:
    """How a stage is started.

    Args:
        accelerate_config: A configuration of accelerate: "ddp", "fsdp2", "deepspeed_zero2", or a YAML file. None: one
            plain process.
        num_processes: Number of processes, on all machines together; None: what the configuration says.
        num_machines: Number of machines.
        machine_rank: Number of this machine, from 0.
        main_process_ip: Address of machine 0.
        main_process_port: Port of machine 0; None: a free one, on a single machine.
        environment: Environment variables of the processes, `CUDA_VISIBLE_DEVICES` for one.
    """

    accelerate_config: str | None = None
    num_processes: int | None = None
    num_machines: int | None = None
    machine_rank: int | None = None
    main_process_ip: str | None = None
    main_process_port: int | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        if self.accelerate_config is None and self._options():
            raise SettingsError(f"launch: {', '.join(self._options())} without accelerate_config has no effect.")
        if self.accelerate_config is not None:
            find_accelerate_config(self.accelerate_config)

    def _options(self) -> dict[str, int | str]:
        names = ("num_processes", "num_machines", "machine_rank", "main_process_ip", "main_process_port")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Command line that runs `entropy-asr` with these arguments."""
        if self.accelerate_config is None:
            return [sys.executable, "-m", MODULE, *arguments]
        options = self._options()
        if options.get("num_machines", 1) == 1:
            # Two stages at once on one machine must not meet at the default port.
            options.setdefault("main_process_port", 0)
        launcher = [sys.executable, "-m", "accelerate.commands.launch"]
        launcher += ["--config_file", str(find_accelerate_config(self.accelerate_config))]
        launcher += [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return [*launcher, "-m", MODULE, *arguments]

    def variables(self) -> dict[str, str]:
        """The environment of the processes."""
        variables = {name: str(value) for name, value in self.environment.items()}
        return {**os.environ, LAUNCHED: command_line(), **variables}


def launch(arguments: Sequence[str], options: dict[str, Any]) -> int:
    """Run `entropy-asr` with these arguments in processes that [`LaunchSettings`] of these options start.

    Returns:
        The exit status.
    """
    settings = LaunchSettings(**options)
    process = subprocess.Popen(settings.command(arguments), env=settings.variables())
    try:
        return process.wait()
    finally:
        end_processes([process])


def end_processes(processes: Collection[subprocess.Popen]) -> None:
    """End processes that still run, and those that they have started: asked to, they have half a minute for it."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def find_accelerate_config(name: str) -> Path:
    """A YAML file by its path, or one that is shipped by its bare name.

    Raises:
        SettingsError: there is neither.
    """
    folder = Path(str(resources.files("entropy_asr.trainers"))) / "accelerate_configs"
    for path in (Path(name), folder / f"{name}.yaml"):
        if path.is_file():
            return path
    shipped = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    raise SettingsError(f"accelerate_config: no such file: {name} (shipped: {shipped}).")
