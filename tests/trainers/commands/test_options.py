# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Options that several commands take."""

import pytest

from entropy_asr.trainers.commands import cli


@pytest.mark.parametrize("text", ["tpu", "cuda:x", "cuda:", "cpu:one", ""])
def test_an_unknown_device_is_one_sentence(capsys, text):
    with pytest.raises(SystemExit) as stop:
        cli.main(["transcribe", "a.wav", "--device", text])
    assert stop.value.code == 2
    assert f"unknown device {text}: cpu, gpu, cuda" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "code"), [("Chinese", "zh"), ("zh-CN", "zh"), ("english", "en"), ("auto", None)])
def test_languages_go_by_any_name(capsys, name, code):
    assert cli.build_parser().parse_args(["transcribe", "a.wav", "--language", name]).language == code
    with pytest.raises(SystemExit):
        cli.build_parser().parse_args(["transcribe", "a.wav", "--language", "klingon"])
    assert "klingon" in capsys.readouterr().err


def test_a_number_of_ledger_rows_is_not_negative(capsys):
    parse = cli.build_parser().parse_args
    assert parse(["report", "--dataset", "d", "--ledger_rows", "0"]).ledger_rows == 0
    with pytest.raises(SystemExit):
        parse(["report", "--dataset", "d", "--ledger_rows", "-5"])
    assert "--ledger_rows: must not be negative: -5" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-3"])
def test_counts_are_at_least_one(capsys, text):
    with pytest.raises(SystemExit):
        cli.build_parser().parse_args(["evaluate", "--dataset", "d", "--max_rows", text])
    assert f"must be at least 1, not {text}" in capsys.readouterr().err
