# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command line as a whole: its help, wrong arguments, and where errors are caught."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.commands.options import add_command
from entropy_asr.trainers.runs.errors import CommandError, StageFailed


def test_help_needs_no_heavy_import():
    """`entropy-asr --help` answers at once; importing torch alone takes seconds."""
    code = (
        "import sys\nfrom entropy_asr.trainers.commands.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for command in ("transcribe", "train", "recipe", "evaluate"):
        assert command in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["transcribe", "a.wav", "--batch_size", "0"],
        ["transcribe", "a.wav", "--language", "klingon"],
        ["transcribe", "a.wav", "--beams", "3"],
        ["evaluate", "--dataset", "d", "--max", "3"],
        ["train", "joint_sft"],
        ["train", "joint_sft", "--config", "tiny", "stray"],
        ["unknown"],
        [],
    ],
)
def test_wrong_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "error" in capsys.readouterr().err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    names = [
        "transcribe",
        "hotwords",
        "stream",
        "serve",
        "train",
        "recipe",
        "evaluate",
        "report",
        "demo",
        "card",
        "publish",
    ]
    assert all(f"\n    {name}" in text for name in names)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CommandError("no such thing"), 2),
        (ValueError("no such thing"), 2),
        (ImportError("no such thing"), 2),
        (OSError(28, "no such thing"), 2),
        (StageFailed("no such thing"), 1),
    ],
)
def test_what_a_user_can_mend_is_one_line_of_any_command(monkeypatch, capsys, error, status):
    def fail(args):
        raise error

    monkeypatch.setattr(
        cli, "COMMANDS", (SimpleNamespace(add_parser=lambda group: add_command(group, "x", fail, "")),)
    )
    assert cli.main(["x"]) == status
    assert capsys.readouterr().err == "entropy-asr: error: no such thing\n"


def test_a_fault_of_the_program_shows_its_traceback(monkeypatch, recipe_calls):
    """Settings of training are read strictly, so a ValueError below them is no setting that was mistyped."""
    module = sys.modules["entropy_asr.trainers.recipes.recipe"]
    monkeypatch.setattr(module, "run_recipe", lambda *arguments: [][0])
    with pytest.raises(IndexError):
        cli.main(["recipe", "tiny"])

    def fail(*arguments):
        raise ValueError("shapes do not fit")

    monkeypatch.setattr(module, "run_recipe", fail)
    with pytest.raises(ValueError, match="shapes"):
        cli.main(["recipe", "tiny"])


def test_an_interrupted_training_says_how_it_goes_on(monkeypatch, capsys, recipe_calls):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["entropy_asr.trainers.recipes.recipe"], "run_recipe", interrupt)
    assert cli.main(["recipe", "tiny"]) == 130
    assert "run the same command again to go on" in capsys.readouterr().err
