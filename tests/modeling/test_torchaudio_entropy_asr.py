# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""torch and torchaudio that do not fit each other, or the latter missing: one sentence, and what mends it."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from entropy_asr.modeling import torchaudio_entropy_asr
from entropy_asr.modeling.torchaudio_entropy_asr import REQUIREMENTS, describe_failure


SYMBOL = "/lib/_torchaudio.abi3.so: undefined symbol: torch_exception_get_what_without_backtrace"
CUDA = "libcudart.so.13: cannot open shared object file: No such file or directory"
MISMATCH = "Detected that PyTorch and TorchAudio were compiled with different CUDA versions.\\nSecond line."
IMPORT = "try:\n    import entropy_asr.modeling\nexcept ImportError as error:\n    print(type(error).__name__, error)"


def run_beside(tmp_path: Path, source: str, *command: str) -> subprocess.CompletedProcess:
    """Run Python where another torchaudio is found first."""
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text(source, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    "source", [f"raise OSError({SYMBOL!r})", f"raise OSError({CUDA!r})", f"raise RuntimeError('{MISMATCH}')"]
)
def test_a_pair_that_does_not_fit_is_one_sentence_with_both_versions_and_the_command(tmp_path, source):
    result = run_beside(tmp_path, source, "-c", IMPORT)
    assert result.returncode == 0, result.stderr
    [line] = result.stdout.splitlines()
    assert line.startswith("TorchaudioError torch ")
    assert f"torch {version('torch')} and torchaudio {version('torchaudio')} do not fit each other (" in line
    assert re.search(r"\((/lib/_torchaudio|libcudart|Detected that).*\); run: pip install .*\"torchaudio>=", line)
    assert result.stderr == ""


def test_the_command_line_tells_it_in_one_line(tmp_path):
    source = f"raise OSError({SYMBOL!r})"
    file = tmp_path / "a.wav"
    file.write_bytes(b"RIFF")
    result = run_beside(tmp_path, source, "-m", "entropy_asr.trainers.commands.cli", "transcribe", str(file))
    assert (result.returncode, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("entropy-asr: error: torch ") and "do not fit each other" in line


def test_versions_out_of_range_are_installed_and_builds_that_differ_installed_again(monkeypatch):
    def installed(torch: str, torchaudio: str | None) -> str:
        versions = {"torch": torch, "torchaudio": torchaudio}
        monkeypatch.setattr(torchaudio_entropy_asr, "_installed", versions.get)
        return describe_failure(OSError(SYMBOL))

    command = 'run: pip install "{}" "{}"'.format(*REQUIREMENTS)
    assert installed("2.11.0", "2.11.1").endswith(command)
    assert installed("2.14.1+cpu", "2.11.1").endswith(command.replace("install", "install --force-reinstall"))
    missing = installed("2.14.1", None)
    assert missing.startswith("torchaudio is not installed, and torch 2.14.1") and missing.endswith(command)


def test_the_command_installs_what_the_package_requires():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [item for item in project["dependencies"] if re.match(r"torch(audio)?\b", item)]
    assert sorted(required) == sorted(REQUIREMENTS)
