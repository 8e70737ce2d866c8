# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the recipes' README says of the paper's numbers is what is in the files."""

from pathlib import Path

import pytest
import yaml

from entropy_asr.modeling.prompts_entropy_asr import INSTRUCTION
from entropy_asr.trainers.recipes import recipe
from entropy_asr.trainers.recipes.places import YAMLLoader
from entropy_asr.trainers.recipes.recipe import load_recipe


FOLDER = Path(recipe.__file__).parent


def table(heading: str) -> list[dict[str, str]]:
    """Rows of the first table below a heading, by column."""
    section = (FOLDER / "README.md").read_text(encoding="utf-8").split(f"## {heading}\n")[1]
    lines = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(header, row, strict=True)) for row in rows]


OWNERS = table("Whose is what in paper.yaml")
RECIPES = table("Which of the paper's stages each recipe runs")
PAPER = load_recipe(FOLDER / "paper.yaml", "run")["stages"]
OWN_TRAINING = {"grpo"}


def value_of(stage: str, setting: str):
    section = PAPER[stage]
    for key in setting.split("."):
        section = section[key]
    return section


def stages_of(row: dict[str, str]) -> list[str]:
    """The stages that a row is about: those that say something else have a row of their own."""
    if row["stage"] != "all":
        return [row["stage"]]
    own = {other["stage"] for other in OWNERS if other["setting"] == row["setting"]} | OWN_TRAINING
    section = row["setting"].split(".")[0]
    return [stage for stage, sections in PAPER.items() if section in sections and stage not in own]


@pytest.mark.parametrize("row", OWNERS, ids=lambda row: f"{row['stage']}-{row['setting']}")
def test_numbers_of_the_table_are_those_of_the_recipe(row):
    expected = yaml.load(row["value"], Loader=YAMLLoader)
    expected = expected.replace("{output_dir}", "run") if isinstance(expected, str) else expected
    assert row["from"] and stages_of(row)
    for stage in stages_of(row):
        assert value_of(stage, row["setting"]) == expected, stage


@pytest.mark.parametrize("stage", [name for name in PAPER if "training" in PAPER[name]])
def test_each_setting_says_whose_it_is(stage):
    said = {row["setting"] for row in OWNERS if stage in stages_of(row)}
    assert {f"training.{name}" for name in PAPER[stage]["training"]} <= said


@pytest.mark.parametrize("row", RECIPES, ids=lambda row: row["recipe"])
def test_recipes_run_the_stages_that_the_table_says(row):
    stages = load_recipe(FOLDER / f"{row['recipe']}.yaml", "run")["stages"]
    kinds = {name: section.get("stage", name) for name, section in stages.items()}
    assert [name if name == kind else f"{name}={kind}" for name, kind in kinds.items()] == row["stages"].split(", ")
    training = [
        section["training"] for name, section in stages.items() if kinds[name] not in ("language_model", "evaluation")
    ]
    pretraining = [section["training"] for name, section in stages.items() if kinds[name] == "encoder"]
    # Those that train the encoder: a new head alone is warmed up with plain CTC.
    pretraining = [arguments for arguments in pretraining if "audio_tower" not in arguments.get("freeze", [])]
    objective = "CR-CTC" if all(arguments.get("consistency_weight") for arguments in pretraining) else "CTC"
    assert objective == row["objective of pretraining"]
    drawn = [bool(arguments["chunk_sizes"]) for arguments in training]
    assert all(drawn) if row["chunks"] == "all stages" else not any(drawn)


@pytest.mark.parametrize("row", RECIPES, ids=lambda row: row["recipe"])
def test_the_papers_stages_come_in_the_papers_order(row):
    stages = load_recipe(FOLDER / f"{row['recipe']}.yaml", "run")["stages"]
    order = ["encoder", "alignment", "iterative_async_sft", "joint_sft", "context_sft", "grpo", "phoneme_head"]
    names = {"ia_sft": "iterative_async_sft"}
    found = [names.get(name, name) for name in stages]
    assert [name for name in found if name in order] == order


def test_prompt_is_the_papers():
    assert INSTRUCTION.format(language="") == "Transcribe the speech into text."
    shares = [
        value_of(stage, "training.language_prompt_probability") for stage in ("alignment", "ia_sft", "joint_sft")
    ]
    assert shares == [0.0, 0.0, 0.0]
