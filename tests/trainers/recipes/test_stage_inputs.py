# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What later stages read is missed when a recipe starts."""

from pathlib import Path

import pytest
import yaml
from training_helpers import stage_section

from entropy_asr.trainers.recipes import recipe
from entropy_asr.trainers.recipes.recipe import run_recipe
from entropy_asr.trainers.runs.settings import SettingsError


@pytest.fixture
def ran(monkeypatch) -> list[str]:
    """Stages that began; none of them does anything."""
    names: list[str] = []
    monkeypatch.setattr(recipe, "run_section", lambda stage, section, output_dir, seed: names.append(output_dir.name))
    return names


def two_stages(components: Path, tmp_path: Path, **later) -> Path:
    """Alignment, and joint SFT on what it leaves."""
    first, second = stage_section("alignment", components), stage_section("joint_sft", components)
    second["model"] = {"path": "{output_dir}/alignment"}
    for name, changes in later.items():
        second[name] |= changes
    content = {"output_dir": str(tmp_path / "run"), "stages": {"alignment": first, "joint_sft": second}}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_all_that_is_there_or_will_be_is_found(components, tmp_path, ran):
    run_recipe(two_stages(components, tmp_path))
    assert ran == ["alignment", "joint_sft"]


@pytest.mark.parametrize(
    ("later", "place"),
    [
        ({"data": {"train": [{"path": "./nowhere"}]}}, r"joint_sft\.data\.train\[0\]\.path"),
        ({"data": {"noise": [{"path": "/no/such/noise"}]}}, r"joint_sft\.data\.noise\[0\]\.path"),
        (
            {"data": {"synthetic": [{"texts": ["./no.txt"], "language": "en", "num_texts": 3}]}},
            r"joint_sft\.data\.synthetic\[0\]\.texts\[0\]",
        ),
        (
            {"data": {"synthetic": [{"texts": "./no.txt", "language": "en", "num_texts": 3}]}},
            r"joint_sft\.data\.synthetic\[0\]\.texts",
        ),
        ({"model": {"path": "/no/such/model"}}, r"joint_sft\.model\.path"),
    ],
)
def test_what_a_later_stage_would_miss_is_named_before_the_first_begins(later, place, components, tmp_path, ran):
    with pytest.raises(SettingsError, match=rf"stages\.{place}: there is no file or folder"):
        run_recipe(two_stages(components, tmp_path, **later))
    assert ran == [] and not (tmp_path / "run").exists()


def test_noise_that_is_wanted_and_not_given_is_named(components, tmp_path, ran):
    path = two_stages(components, tmp_path, data={"noise": []}, augmentation={"noise_probability": 0.5})
    with pytest.raises(SettingsError, match=r"joint_sft\.data\.noise: augmentation\.noise_probability needs some"):
        run_recipe(path)
    assert ran == []


def test_ids_of_the_hub_are_not_looked_for(components, tmp_path, ran):
    run_recipe(two_stages(components, tmp_path, data={"train": [{"path": "my-org/my-speech"}]}))
    assert ran == ["alignment", "joint_sft"]


def test_finished_stages_need_their_data_no_longer(components, tmp_path, ran, monkeypatch):
    path = two_stages(components, tmp_path, data={"train": [{"path": "/no/such/data"}]})
    finished = recipe.PlannedStage.is_finished
    monkeypatch.setattr(recipe.PlannedStage, "is_finished", lambda plan: plan.name == "joint_sft" or finished(plan))
    run_recipe(path)
    assert "alignment" in ran
