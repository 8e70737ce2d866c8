# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr experiment`: what it refuses, and the page of results that are kept."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from kept_seeds import data_dir

from entropy_asr.trainers.commands import checks, cli, recipe_files


RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "claims"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--aggregate", "--seeds", "1"], "--aggregate trains nothing: without --seeds"),
        (["--aggregate", "--hours", "1", "--test_rows=5"], "without --hours, --test_rows"),
        (["--aggregate", "--allocation.rows", "5"], "without --allocation.rows"),
        (["--aggregate", "-o", "a", "--results_dir", "b"], "without --output_dir"),
        (["--aggregate", "--readme", "no_such.md"], "--readme no_such.md: there is no such file"),
        (["--readme", "README.md"], "--readme is written with --aggregate"),
        (["--checks"], "--checks is about one seed"),
        (["--checks", "--seeds", "1", "2"], "--checks is about one seed"),
        (["--checks", "silence", "--seeds", "1", "--hours", "2"], "--checks is about one seed"),
        (["--seeds", "2", "2"], "one is named twice"),
        (["--seed", "2"], "an experiment has --seeds"),
    ],
)
def test_options_that_have_no_effect_together_are_refused_at_once(options, reason, capsys):
    assert cli.main(["experiment", "claims", *options]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("hours", ["0", "-1", "inf", "long"])
def test_hours_are_a_number_above_zero(hours, capsys):
    with pytest.raises(SystemExit):
        cli.main(["experiment", "claims", f"--hours={hours}"])
    assert "is not a number of hours" in capsys.readouterr().err


def test_an_experiment_that_is_not_there_is_refused_with_the_names_there_are(tmp_path, monkeypatch, capsys):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "known.yaml").touch()
    monkeypatch.setattr(recipe_files, "package_folder", lambda name: tmp_path)
    assert cli.main(["experiment", "knwn"]) == 2
    assert "no such file: knwn (experiments that are shipped: known)" in capsys.readouterr().err


def test_without_what_draws_pictures_nothing_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(checks.EXTRAS, "report", ("no_such_module",))
    monkeypatch.setitem(sys.modules, "entropy_asr.trainers.experiments.run", None)
    assert cli.main(["experiment", "claims", "--output_dir", str(tmp_path)]) == 2
    assert 'pip install "entropy-asr[report]"' in capsys.readouterr().err


def test_a_mistyped_setting_and_data_that_are_not_there_are_told_in_a_line(tmp_path, tmp_path_factory, capsys):
    pytest.importorskip("matplotlib")
    data = data_dir(tmp_path_factory.mktemp("data"))
    arguments = ["experiment", "claims", "--output_dir", str(tmp_path / "runs"), "--allocation.embedder", "null"]
    for options, reason in {
        ("--data_dir", str(tmp_path)): "data.train[0].path: there is no file or folder",
        ("--data_dir", data, "--allocation.sets", "[{path: ./mine}]"): "--allocation.sets ./mine: there is no",
        ("--data_dir", "nowhere", "--allocation.sets", "[{path: my/own}]"): "There is no folder nowhere",
        ("--encoder_step", "3"): "unknown encoder_step; did you mean",
    }.items():
        assert cli.main([*arguments, *options]) == 2
        error = capsys.readouterr().err
        assert reason in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_page_of_kept_results_is_the_one_that_is_shown(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    readme = tmp_path / "README.md"
    shown = RESULTS.parents[3] / "trainers" / "evaluation" / "README.md"
    readme.write_text(shown.read_text(encoding="utf-8"), encoding="utf-8")
    kept = tmp_path / "kept"
    shutil.copytree(RESULTS, kept, ignore=shutil.ignore_patterns("claims.*", "*.png"))
    assert cli.main(["experiment", "claims", "--aggregate", "--results_dir", str(kept), "--readme", str(readme)]) == 0
    assert capsys.readouterr().out.strip() == str(kept / "claims.md")
    assert (kept / "claims.md").read_text(encoding="utf-8") == (RESULTS / "claims.md").read_text(encoding="utf-8")
    again, before = (json.loads((folder / "claims.json").read_text(encoding="utf-8")) for folder in (kept, RESULTS))
    assert again == before
    linked = readme.read_text(encoding="utf-8").replace("(kept/", "(../../tests/benchmarks/results/claims/")
    assert linked == shown.read_text(encoding="utf-8")
    assert len(list(kept.glob("*.png"))) == 4
