# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recipes on the command line, by path and by bare name."""

import pytest

from entropy_asr.trainers.commands import cli, recipe_files


@pytest.mark.parametrize("name", ["small", "small.yaml"])
def test_recipe_is_found_by_bare_name(recipe_calls, tmp_path, monkeypatch, name):
    recipe = tmp_path / "recipes" / "small.yaml"
    recipe.parent.mkdir()
    recipe.touch()
    monkeypatch.setattr(recipe_files, "package_folder", lambda name: tmp_path)
    assert cli.main(["recipe", name, "--output_dir", "out", "--seed", "7"]) == 0
    assert recipe_calls == [(recipe, "out", ["--seed", "7"])]


def test_unknown_recipe_is_refused_with_the_names_there_are(recipe_calls, tmp_path, monkeypatch, capsys):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "small.yaml").touch()
    monkeypatch.setattr(recipe_files, "package_folder", lambda name: tmp_path)
    assert cli.main(["recipe", "smal"]) == 2
    assert recipe_calls == []
    assert "small" in capsys.readouterr().err.replace("smal ", "")
