# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Settings have types: what is written in another way is understood or refused by name, value and place."""

from pathlib import Path
from typing import Literal

import pytest

from entropy_asr.trainers.data.augmentation import AugmentationConfig
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.keywords import ContextConfig
from entropy_asr.trainers.data.section import DataSection, SynthesisSource
from entropy_asr.trainers.recipes import recipe
from entropy_asr.trainers.recipes.recipe import run_recipe, run_stage
from entropy_asr.trainers.runs.launch import LaunchSettings
from entropy_asr.trainers.runs.settings import PATIENCE, SettingsError, coerced, field_types, training_arguments
from entropy_asr.trainers.stages import STAGES, find_stage
from entropy_asr.trainers.stages.context_sft import LongUtterances
from entropy_asr.trainers.stages.encoder_pretraining import EncoderPretrainingConfig
from entropy_asr.trainers.stages.grpo import ASRGRPOConfig
from entropy_asr.trainers.stages.joint_sft import JointSFTConfig


@pytest.mark.parametrize(
    ("value", "kind", "meant"),
    [
        ("4", int, 4),
        (3.0, int, 3),
        ("1e4", int, 10000),
        ("12345678901234567", int, 12345678901234567),
        ("1e-4", float, 1e-4),
        (3, float, 3.0),
        (" 2.5 ", float | None, 2.5),
        (None, float | None, None),
        ("4", int | None, 4),
        ("no", bool, False),
        ("Yes", bool, True),
        ("off", bool | None, False),
        (1, bool, True),
        ("no", str | bool, "no"),
        (2024, str, "2024"),
        (Path("a/b"), str | None, "a/b"),
        (("a", "b"), list[str], ["a", "b"]),
        (["1", 2], list[float], [1.0, 2.0]),
        ({"a": 0}, dict[str, str], {"a": "0"}),
        ("left", Literal["left", "right"], "left"),
    ],
)
def test_values_are_understood_however_they_are_written(value, kind, meant):
    result = coerced(value, kind)
    assert result == meant and type(result) is type(meant)
    if isinstance(meant, list):
        assert list(map(type, result)) == list(map(type, meant))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("four", int),
        (2.5, int),
        ("2.5", int),
        (True, int),
        (float("inf"), int),
        ("lots", float),
        (False, float),
        (float("nan"), float),
        (".nan", float | None),
        (float("nan"), float | None),
        ("maybe", bool),
        (2, bool),
        (None, bool),
        (1.5, str),
        (True, str),
        (["a"], str),
        ("a", list[str]),
        (["a"], list[int]),
        ([1], dict),
        ("up", Literal["left", "right"]),
    ],
)
def test_values_of_other_types_are_not(value, kind):
    with pytest.raises(TypeError):
        coerced(value, kind)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataSection(num_proc="four"), "num_proc: expected a whole number, got 'four'"),
        (lambda: DataSection(decode_ahead="perhaps"), "decode_ahead: expected true or false, got 'perhaps'"),
        (lambda: DataSection(train=[{"path": "x", "repeat": 1.5}]), r"data\.train\[0\]\.repeat: .* whole .* got 1\.5"),
        (lambda: DataSection(train={"path": "x"}), "train: expected a list, each entry a mapping, got"),
        (lambda: DataSource("x", max_duration="long"), "max_duration: expected a number or null, got 'long'"),
        (lambda: DataSource("x", extra_columns="speaker"), "extra_columns: expected a list, each entry text"),
        (lambda: SynthesisSource("x", "en", num_texts="many"), "num_texts: expected a whole number, got 'many'"),
        (lambda: AugmentationConfig(num_time_masks=2.5), r"num_time_masks: expected a whole number, got 2\.5"),
        (lambda: AugmentationConfig(speed_factors=["fast"]), "speed_factors: expected a list, each entry a number"),
        (lambda: ContextConfig(max_keywords="x"), "max_keywords: expected a whole number"),
        (lambda: LongUtterances(min_duration="x"), "min_duration: expected a number"),
        (lambda: LaunchSettings(num_processes="two"), "num_processes: expected a whole number or null"),
        (lambda: JointSFTConfig("o", max_batch_duration="lots"), "max_batch_duration: expected a number, got 'lots'"),
        (lambda: JointSFTConfig("o", max_steps="many"), "max_steps: expected a whole number, got 'many'"),
        (lambda: ASRGRPOConfig("o", num_generations="x"), "num_generations: expected a whole number"),
        (
            lambda: EncoderPretrainingConfig("o", chunk_sizes=[1, "x"]),
            "chunk_sizes: expected a list",
        ),
    ],
)
def test_settings_made_in_python_are_checked_too(make, message):
    with pytest.raises(SettingsError, match=message):
        make()


def test_settings_hold_what_was_meant():
    section = DataSection(
        train=[{"path": "a", "streaming": "no", "max_duration": "12"}], num_proc="4", decode_ahead="no", max_duration=9
    )
    assert (section.num_proc, section.decode_ahead, section.max_duration) == (4, False, 9.0)
    assert section.train == [{"path": "a", "streaming": False, "max_duration": 12.0}]
    args = JointSFTConfig("o", max_batch_duration="12.5", learning_rate="1e-4", max_steps="3", bf16="no", use_cpu="on")
    assert (args.max_batch_duration, args.learning_rate, args.max_steps, args.bf16) == (12.5, 1e-4, 3, False)


def test_checkpoints_that_nothing_could_go_on_from_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="encoder.training: `save_only_model` leaves the state of optimizer"):
        training_arguments(JointSFTConfig, {"save_only_model": True}, tmp_path, 0, "encoder", "training")


def test_processes_wait_for_one_that_prepares_rows_as_long_as_it_takes(tmp_path):
    values = {"bf16": False}
    assert training_arguments(JointSFTConfig, values, tmp_path, 0).ddp_timeout == PATIENCE.total_seconds()
    assert training_arguments(JointSFTConfig, {**values, "ddp_timeout": 60}, tmp_path, 0).ddp_timeout == 60


@pytest.mark.parametrize("name", STAGES)
def test_types_of_all_sections_are_known(name):
    """Also of those that other packages define: a type that cannot be resolved would end each stage."""
    for cls in find_stage(name).sections.values():
        assert field_types(cls)


# Where a setting was written


RECIPE = """\
output_dir: {folder}/out
variables: {{steps: 3, seconds: 20}}
shared:
  speech: &speech
    train:
      - {{path: nowhere}}
stages:
  encoder:
    data: *speech
    augmentation:
      num_time_masks: 2
    model: {{preset: tiny}}
    training:
      max_steps: "{{steps}}"
      max_batch_duration: "{{seconds}}"
"""


def message_of(run, *arguments) -> str:
    with pytest.raises(SettingsError) as raised:
        run(*arguments)
    return str(raised.value)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE.format(folder=tmp_path))
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "num_time_masks: 2",
            "num_time_masks: 2.5",
            "line 11: stages.encoder.augmentation.num_time_masks: expected a whole number, got 2.5.",
        ),
        (
            "num_time_masks: 2",
            "num_time_mask: 2",
            "line 11: stages.encoder.augmentation: unknown num_time_mask; did you mean num_time_masks",
        ),
        (
            "num_time_masks: 2",
            "num_time_masks: -1",
            "line 11: stages.encoder.augmentation: num_time_masks must not be negative, got -1.",
        ),
        (
            "path: nowhere",
            "path: nowhere, min_duration: x",
            "line 6: stages.encoder.data.train[0].min_duration: expected a number, got 'x'.",
        ),
        ("path: nowhere", "pth: nowhere", "line 6: stages.encoder.data.train[0]: unknown pth; did you mean path?"),
        ("seconds: 20", "seconds: lots", "line 2: stages.encoder.training.max_batch_duration: expected a number"),
        ("{steps}", "{stepz}", "line 14: variable in '{stepz}': unknown stepz; did you mean steps?"),
        ("preset: tiny", "preset: [tiny]", "line 12: stages.encoder.model.preset: expected text"),
        (
            "    model:",
            "    background: perhaps\n    model:",
            "line 12: stages.encoder.background: expected true",
        ),
        ("output_dir:", "seed: x\noutput_dir:", "line 1: seed: expected a whole number, got 'x'."),
        ("output_dir:", "sed: 1\noutput_dir:", "line 1: settings: unknown sed; did you mean seed"),
        ("    model:", "    data: {}\n    model:", "line 12: stages.encoder.data stands in line 9 too."),
        ("    model:", "   model:", "line 12: no valid YAML"),
    ],
)
def test_errors_of_a_recipe_name_the_line(file, tmp_path, old, new, message):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    assert message_of(run_recipe, file).startswith(f"{file}, {message}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("overrides", "key", "problem"),
    [
        (["--seconds", "lots"], "encoder.training.max_batch_duration", "expected a number, got 'lots'."),
        (
            ["--stages.encoder.training.max_steps", "many"],
            "encoder.training.max_steps",
            "expected a whole number, got",
        ),
        (["--stages.encoder.data.num_proc=four"], "encoder.data.num_proc", "expected a whole number, got 'four'."),
        (["--stages.encoder.data.num_prok=4"], "encoder.data", "unknown num_prok; did you mean num_proc?"),
    ],
)
def test_errors_of_the_command_line_name_the_option(file, overrides, key, problem):
    expected = f"{overrides[0].split('=')[0]}: stages.{key}: {problem}"
    assert message_of(run_recipe, file, None, overrides).startswith(expected)
    assert message_of(run_stage, "encoder", file, overrides).startswith(expected)


def test_values_that_are_no_yaml_are_told(file):
    assert message_of(run_recipe, file, None, ["--seconds", "[1"]) == "--seconds: '[1' is no valid YAML value."
    assert message_of(run_recipe, file, None, ["--seed", "x"]) == "--seed: seed: expected a whole number, got 'x'."


def test_the_file_of_one_stage_has_lines_too(tmp_path):
    path = tmp_path / "stage.yaml"
    path.write_text(f"output_dir: {tmp_path}/out\nmodel: {{path: nowhere}}\ntraining:\n  max_batch_duration: lots\n")
    wrong = "training.max_batch_duration: expected a number, got"
    assert message_of(run_stage, "joint_sft", path) == f"{path}, line 4: {wrong} 'lots'."
    option = ["--max_batch_duration", "more"]
    assert message_of(run_stage, "joint_sft", path, option) == f"--max_batch_duration: {wrong} 'more'."
    assert not (tmp_path / "out").exists()


def test_text_that_means_numbers_is_no_error(file, monkeypatch):
    """A float of YAML 1.1 is text to some writers of YAML."""
    file.write_text(file.read_text().replace("seconds: 20", "seconds: '2e1'"))
    started = []
    monkeypatch.setattr(recipe, "run_section", lambda stage, *arguments: started.append(stage))
    run_recipe(file)
    assert started == ["encoder"]
