# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The paper's ablations as switches of a recipe."""

import json
from pathlib import Path

import pytest
from training_helpers import stage_section

from entropy_asr.trainers.recipes import recipe
from entropy_asr.trainers.recipes.recipe import check_recipe, load_recipe, parse_overrides, run_recipe
from entropy_asr.trainers.runs.settings import SettingsError


SHIPPED = Path(recipe.__file__).parent
FULL = ("paper", "small-gpu", "synthetic-full", "scratch", "tiny")
SWITCHES = (["--no_ia_sft"], ["--no_hot_swap"], ["--no_joint_sft"], ["--units", "character"])


def stages(name: str, *options: str) -> dict:
    return load_recipe(SHIPPED / f"{name}.yaml", "run", list(options))["stages"]


@pytest.mark.parametrize("switch", SWITCHES, ids=" ".join)
@pytest.mark.parametrize("name", FULL)
def test_every_full_recipe_has_them_and_stays_valid(name, switch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changed = load_recipe(SHIPPED / f"{name}.yaml", str(tmp_path), switch)
    whole = load_recipe(SHIPPED / f"{name}.yaml", str(tmp_path))
    assert changed["stages"] != whole["stages"]
    changed["report"] = None
    plans = check_recipe(changed)
    # Whatever a stage starts from was made by a stage before it.
    made = {str(tmp_path / plan.name): place for place, plan in enumerate(plans)}
    for place, plan in enumerate(plans):
        for path in plan.section.get("model", {}).values():
            if str(path).startswith(f"{tmp_path}/") and not str(path).endswith("snapshots"):
                assert made[path] < place, f"{plan.name} starts from {path}"


def test_without_ia_sft_joint_sft_has_its_steps():
    whole, changed = stages("paper"), stages("paper", "--no_ia_sft")
    assert list(changed) == [name for name in whole if name != "ia_sft"]
    assert changed["joint_sft"]["training"]["max_steps"] == 4_000_000 + 2_000_000
    assert changed["joint_sft"]["model"] == {"path": "run/alignment", "encoder": "run/encoder"}
    assert changed["joint_sft"]["after"] == ["encoder"]
    assert changed["context_sft"] == whole["context_sft"]


def test_steps_are_those_that_were_asked_for():
    changed = stages("tiny", "--no_ia_sft", "--sft_steps", "7", "--ia_sft_steps=5")
    whole = stages("tiny")
    others = sum(whole[name]["training"]["max_steps"] for name in ("sft_words", "sft_text", "joint_sft"))
    assert changed["joint_sft"]["training"]["max_steps"] == others + 7 + 5
    assert [name for name in changed if "sft" in name] == ["joint_sft", "context_sft"]
    assert changed["joint_sft"]["model"]["path"] == "run/alignment"


def test_without_hot_swap_all_train_on_the_finished_encoder():
    changed = stages("paper", "--no_hot_swap")
    assert changed["alignment"]["model"] == {"encoder": "run/encoder", "language_model": "Qwen/Qwen3-1.7B"}
    assert changed["alignment"]["after"] == ["encoder"]
    training = changed["ia_sft"]["training"]
    assert training["final_steps"] == training["max_steps"] == 4_000_000


def test_without_joint_sft_later_stages_go_on_from_ia_sft_when_pretraining_has_ended():
    changed = stages("paper", "--no_joint_sft")
    assert "joint_sft" not in changed
    assert changed["context_sft"]["model"] == {"path": "run/ia_sft"}
    assert changed["context_sft"]["after"] == ["encoder"]


def test_characters_take_the_place_of_phonemes_in_pretraining():
    for name, first in (("scratch", "encoder_words"), ("tiny", "encoder_head")):
        changed = stages(name, "--units", "character")
        assert [changed[stage]["stage"] for stage in (first, "encoder")] == ["character_encoder"] * 2
        data = changed["sft_text"]["data"]
        assert data["text"] == [] and "phoneme_errors" not in data and data["passes"]
    assert stages("tiny", "--units", "phoneme") == stages("tiny")


def test_a_switch_may_stand_alone_or_have_a_value():
    assert parse_overrides(["--no_ia_sft", "--a", "1", "--no_joint_sft=false", "--no_hot_swap", "no"]) == [
        (["no_ia_sft"], True),
        (["a"], 1),
        (["no_joint_sft"], False),
        (["no_hot_swap"], False),
    ]
    assert stages("paper", "--no_ia_sft", "false") == stages("paper")
    with pytest.raises(ValueError, match="--key value"):
        parse_overrides(["--bf16", "--no_ia_sft"])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("synthetic", ["--no_hot_swap"], "no_hot_swap: this recipe has no IA-SFT"),
        ("conventional-synthetic", ["--no_ia_sft"], "no_ia_sft: this recipe has no IA-SFT"),
        ("conventional-synthetic", ["--units", "character"], "units: this recipe has no encoder pretraining"),
        ("paper", ["--units", "letters"], "units: one of phoneme, character, not 'letters'"),
        ("paper", ["--no_ia_sft", "--no_joint_sft"], "no_ia_sft and no_joint_sft do not go together"),
        ("paper", ["--no_ia_sft", "--no_hot_swap"], "no_ia_sft and no_hot_swap do not go together"),
        ("paper", ["--no_ia_sft", "maybe"], "no_ia_sft: expected true or false, got 'maybe'"),
    ],
)
def test_what_cannot_be_changed_is_refused(name, options, message):
    with pytest.raises(SettingsError, match=message):
        stages(name, *options)


def test_ablated_recipe_runs(components, tmp_path):
    """Without hot swap: alignment and IA-SFT on the finished encoder."""
    content = {
        "output_dir": str(tmp_path / "run"),
        "stages": {
            "encoder": stage_section("encoder", components, max_steps=1, snapshot_dir="{output_dir}/snapshots"),
            "alignment": stage_section("alignment", components, max_steps=1),
            "iterative_async_sft": stage_section("iterative_async_sft", components, max_steps=2),
        },
    }
    stages = content["stages"]
    stages["encoder"]["data"]["eval"] = stages["encoder"]["data"]["train"]
    language_model = str(components / "language_model")
    stages["alignment"]["model"] = {"encoder_snapshots": "{output_dir}/snapshots", "language_model": language_model}
    stages["iterative_async_sft"]["model"] = {"path": "{output_dir}/alignment"}
    stages["iterative_async_sft"]["training"] |= {"snapshot_dir": "{output_dir}/snapshots", "final_steps": 1}
    path = tmp_path / "recipe.json"  # JSON is YAML
    path.write_text(json.dumps(content))
    run_recipe(path, overrides=["--no_hot_swap"])
    swaps = json.loads((tmp_path / "run/iterative_async_sft/checkpoints/encoder_swaps.json").read_text())
    assert [(swap["step"], swap["snapshot"]) for swap in swaps] == [(0, "000000001-final")]
