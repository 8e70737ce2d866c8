# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Where stages are named: one line makes a new one known to recipes, to the command line and to Python."""

import ast
import json
import sys
from pathlib import Path

import pytest
from training_helpers import TOY_STAGE, stage_section

import entropy_asr.trainers
from entropy_asr.trainers.recipes.recipe import run_recipe, run_stage
from entropy_asr.trainers.stages import STAGES, StageEntry, find_stage, public_names


@pytest.fixture
def toy(tmp_path, monkeypatch):
    (tmp_path / "toy_stage_of_a_test.py").write_text(TOY_STAGE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(STAGES, "toy", StageEntry("toy_stage_of_a_test", "Toy"))
    yield
    sys.modules.pop("toy_stage_of_a_test", None)


def test_new_stage_is_its_file_and_one_line(toy, components, tmp_path):
    recipe = tmp_path / "recipe.json"  # JSON is YAML
    section = stage_section("joint_sft", components, max_steps=1, save_strategy="no")
    recipe.write_text(
        json.dumps({"output_dir": str(tmp_path / "run"), "stages": {"mine": {"stage": "toy", **section}}})
    )
    run_recipe(recipe)
    record = json.loads((tmp_path / "run" / "mine" / "stage.json").read_text())
    assert (record["stage"], record["steps"], record["seed"]) == ("toy", 1, 0)
    assert json.loads((tmp_path / "run" / "mine" / "training.json").read_text())["trainer"] == "ToyTrainer"
    assert entropy_asr.trainers.ToyTrainer.__name__ == "ToyTrainer"


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_can_be_found(name):
    assert find_stage(name).sections


def test_unknown_stage_is_refused_with_those_spelt_alike(tmp_path):
    config = tmp_path / "stage.yaml"
    config.write_text("output_dir: x\n")
    with pytest.raises(ValueError, match="unknown joint_stf; did you mean .*joint_sft"):
        run_stage("joint_stf", config)


def test_trainers_and_their_arguments_can_be_imported_by_name():
    names = {name for name in dir(entropy_asr.trainers) if name.endswith(("Config", "Trainer"))}
    assert {"AlignmentConfig", "ASRGRPOTrainer", "PhonemeHeadTrainer", "JointSFTConfig"} <= names
    assert all(getattr(entropy_asr.trainers, name).__name__ == name for name in names)
    with pytest.raises(AttributeError, match="NoTrainer"):
        entropy_asr.trainers.NoTrainer  # noqa: B018


def test_star_imports_and_editors_see_every_trainer_that_is_offered():
    imported: dict = {}
    exec("from entropy_asr.trainers import *", imported)
    assert set(public_names()) <= set(imported)
    tree = ast.parse(Path(entropy_asr.trainers.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert {name: f".{seen[name].removeprefix('stages.')}" for name in public_names()} == public_names()
