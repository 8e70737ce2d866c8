# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr settings`."""

from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.stages import STAGES


def test_stages_and_recipes_are_listed(capsys):
    assert cli.main(["settings"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name}: " in printed for name in STAGES)
    assert "\n  tiny\n" in printed and "\n  paper\n" in printed


def test_settings_of_a_stage_are_told(capsys):
    assert cli.main(["settings", "grpo"]) == 0
    printed = capsys.readouterr().out
    assert "\ndata: " in printed and "  max_duration (a number or null; default null)" in printed
    assert "and the fields of trl.GRPOConfig" in printed and "DataSource: " in printed


def test_an_unknown_stage_is_refused_with_one_that_may_be_meant(capsys):
    assert cli.main(["settings", "joint_sftt"]) == 2
    printed = capsys.readouterr()
    assert "did you mean context_sft, joint_sft" in printed.err and not printed.out
