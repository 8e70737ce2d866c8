# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recipes: overrides, variables, errors that name what is wrong, and all stages one after another."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from training_helpers import stage_section

from entropy_asr.modeling import load_pipeline
from entropy_asr.trainers.recipes import recipe
from entropy_asr.trainers.recipes.recipe import (
    check_recipe,
    load_recipe,
    parse_overrides,
    plan_reports,
    read_yaml,
    run_recipe,
    run_stage,
)
from entropy_asr.trainers.runs.settings import SettingsError


# Bound on WER and CER on held-out synthetic sentences; chance is 1.
MAX_ERROR_RATE = 0.35
SHIPPED = Path(recipe.__file__).parent
FEW_STEPS = {
    "num_texts": 6,
    "num_lines": 12,
    "word_steps": 2,
    "encoder_steps": 2,
    "language_model_epochs": 1,
    "alignment_steps": 2,
    "sft_steps": 2,
    "stages.checkpoint.generation.max_new_tokens": 4,
    "stages.checkpoint.data.synthetic_eval": "[{texts: built-in:test, language: en, num_texts: 3}]",
}
LATER_STEPS = {
    "context_steps": 2,
    "grpo_steps": 2,
    "head_steps": 2,
    "stages.ia_sft.training.final_steps": 1,
    "stages.context_sft.training.eval_strategy": "'no'",
    "stages.grpo.training.eval_strategy": "'no'",
    "stages.grpo.training.max_completion_length": 4,
}


def as_overrides(values: dict) -> list[str]:
    return [part for key, value in values.items() for part in (f"--{key}", str(value))]


def write(path: Path, content: dict) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture
def calls(monkeypatch) -> list:
    """Stages are recorded instead of run."""
    recorded = []
    monkeypatch.setattr(recipe, "run_section", lambda *arguments: recorded.append(arguments))
    return recorded


# Overrides and variables


def test_overrides_are_yaml_values_with_both_spellings():
    parsed = parse_overrides(["--a.b", "1e-3", "--c=[1, x]", "--d", "true", "--e", "-2"])
    assert parsed == [(["a", "b"], 0.001), (["c"], [1, "x"]), (["d"], True), (["e"], -2)]


@pytest.mark.parametrize("overrides", [["--a"], ["a", "1"], ["--a", "1", "b"]])
def test_overrides_without_key_or_value_are_refused(overrides):
    with pytest.raises(ValueError, match="--key value"):
        parse_overrides(overrides)


def test_numbers_in_scientific_notation_are_numbers(tmp_path):
    """YAML 1.1 reads `1e-3` as text, and training would fail on it hours later."""
    path = tmp_path / "recipe.yaml"
    path.write_text("output_dir: o\nstages: {encoder: {training: {learning_rate: 1e-3, weight_decay: 2.5e+1}}}\n")
    training = load_recipe(path)["stages"]["encoder"]["training"]
    assert training == {"learning_rate": 1e-3, "weight_decay": 25.0}


def test_override_makes_a_section_but_not_a_stage_nor_a_field_of_a_number(tmp_path):
    path = write(tmp_path / "recipe.yaml", {"output_dir": "o", "stages": {"encoder": {"training": {"max_steps": 1}}}})
    made = load_recipe(path, overrides=["--stages.encoder.augmentation.gain_db", "3"])["stages"]["encoder"]
    assert made["augmentation"] == {"gain_db": 3}
    with pytest.raises(ValueError, match="unknown other"):
        load_recipe(path, overrides=["--stages.other.training.max_steps", "3"])
    with pytest.raises(ValueError, match="'stages.encoder.training.max_steps' is no section"):
        load_recipe(path, overrides=["--stages.encoder.training.max_steps.x", "3"])


def test_override_of_an_anchor_that_is_written_out_already_is_refused(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "output_dir: o\nshared: {training: &training {max_steps: 1}}\nstages: {encoder: {training: *training}}\n"
    )
    with pytest.raises(SettingsError, match="--shared.training.max_steps: anchors are already .* --stages.NAME"):
        load_recipe(path, overrides=["--shared.training.max_steps", "60"])
    path.write_text(path.read_text() + "variables: {shared: 2}\n")
    assert load_recipe(path, overrides=["--shared", "3"])["variables"]["shared"] == 3


KNOTS = "\n".join(f"  - &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("stages: &a\n  one: *a\n", "line 1: an anchor holds itself"),
        (f"shared:\n  - &a0 [x]\n{KNOTS}\nstages: {{}}\n", "with its anchors written out, this has more than 100000"),
        ("[" * 5000, "nested too deeply"),
        ("stages: !!int ''\n", "a value that its tag does not fit"),
        ("stages: 2001-99-99\n", "a value that its tag does not fit"),
    ],
)
def test_yaml_that_would_fill_memory_or_is_no_value_is_refused(tmp_path, text, reason):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=f"recipe.yaml.*{reason}"):
        load_recipe(path, str(tmp_path / "out"))


def test_training_that_is_no_mapping_is_named(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("stages: {encoder: {training: 0.5, model: {preset: tiny}}}\n")
    with pytest.raises(SettingsError, match=r"stages.encoder.training: expected a mapping, got 0.5"):
        check_recipe(load_recipe(path, str(tmp_path / "out")))


def test_a_stage_that_is_no_mapping_is_named_by_itself(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"stages:\n  encoder: {{training: {{max_steps: 1}}}}\n  joint_sft: [{'x' * 1000}]\n")
    with pytest.raises(
        SettingsError, match=r"line 3: stages.joint_sft: expected a mapping, got \['x+ ... x+'\]"
    ) as caught:
        load_recipe(path, str(tmp_path / "out"))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("value", ["&a [*a]", "2001-99-99", "[" * 5000, "!!int ''"])
def test_an_override_that_is_no_value_is_refused(value):
    with pytest.raises(SettingsError, match="--seed"):
        parse_overrides(["--seed", value])


def test_override_of_one_stage_leaves_stages_that_share_its_anchor(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "output_dir: o\nstages:\n  encoder: {data: &speech {max_duration: 9, train: []}}\n  sft: {data: *speech}\n"
    )
    stages = load_recipe(path, overrides=["--stages.encoder.data.max_duration", "5"])["stages"]
    assert stages["encoder"]["data"]["max_duration"] == 5
    assert stages["sft"]["data"]["max_duration"] == 9


def test_overrides_reach_variables_top_level_and_stages(tmp_path):
    path = write(
        tmp_path / "recipe.yaml",
        {"output_dir": "o", "variables": {"n": 1}, "stages": {"encoder": {"training": {"max_steps": "{n}"}}}},
    )
    loaded = load_recipe(path, None, as_overrides({"n": 7, "seed": 3, "stages.encoder.training.max_grad_norm": 5}))
    assert loaded["seed"] == 3
    assert loaded["stages"]["encoder"]["training"] == {"max_steps": 7, "max_grad_norm": 5}
    assert load_recipe(path, "elsewhere")["output_dir"] == "elsewhere"


# Errors


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("num_textz=3", "num_textz.*did you mean num_texts"),
        ("stage.encoder.training.max_steps=3", "unknown stage; did you mean stages"),
        ("stages.encodr.training.max_steps=3", "unknown encodr; did you mean encoder"),
        ("stages.encoder.trainin.max_steps=3", "unknown trainin; did you mean training"),
        (
            "stages.encoder.training.max_stepz=3",
            "stages.encoder.training: unknown max_stepz; did you mean.*max_steps",
        ),
        ("stages.encoder.dat=3", "unknown dat; did you mean data"),
        ("stages.encoder.data.cache_di=x", "data: unknown cache_di; did you mean cache_dir"),
        ("stages.encoder.data.train=[{paht: x}]", r"data.train\[0\]: unknown paht; did you mean path"),
        ("stages.encoder.data.train=[{split: x}]", r"data.train\[0\]: path missing"),
        (
            "stages.encoder.data.synthetic=[{texts: built-in:train, language: en, num_text: 3}]",
            r"data.synthetic\[0\]: unknown num_text; did you mean num_texts",
        ),
        ("stages.encoder.augmentation={gain_bd: 3}", "augmentation: unknown gain_bd; did you mean gain_db"),
        ("stages.encoder.model.prest=tiny", "model: unknown prest; did you mean preset"),
        ("stages.encoder_words.model.preset=huge", "'huge'"),
        ("stages.language_model.tokenizer.vocab_siz=3", "did you mean vocab_size"),
        ("stages.language_model.data.blocksize=3", "did you mean block_size"),
        ("stages.sft.lora={lora_alfa: 3}", "lora: unknown lora_alfa; did you mean.*lora_alpha"),
        ("stages.sft.training.frezee=[lm_head]", "training: unknown frezee; did you mean.*freeze"),
        ("stages.sft.stage=joint_sfd", "unknown joint_sfd; did you mean.*joint_sft"),
        ("stages.checkpoint.generation={num_beam: 2}", "did you mean num_beams"),
        ("stages.checkpoint.export={dtyp: float32}", "did you mean dtype"),
        ("stages.checkpoint.model.pat=x", "did you mean path"),
        ("stages.checkpoint.data.train=[]", "stages.checkpoint.data: unknown train"),
    ],
)
def test_unknown_key_anywhere_is_an_error_before_the_first_stage(calls, tmp_path, override, message):
    """A typo in the last stage would otherwise be found hours after the start."""
    with pytest.raises(ValueError, match=message):
        run_recipe(SHIPPED / "synthetic.yaml", str(tmp_path), [f"--{override}"])
    assert not calls


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipe_is_valid(path, tmp_path, monkeypatch):
    # Recipes for GPUs are read on machines without one too.
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)
    loaded = load_recipe(path, str(tmp_path))
    plans = check_recipe(loaded)
    plan_reports(loaded, plans)
    assert [plan.name for plan in plans] == list(read_yaml(path)["stages"])
    assert len(plans) > 2
    assert {plan.output_dir.parent for plan in plans} == {tmp_path}


def test_recipe_with_background_stages_is_refused_under_a_launcher(tmp_path, monkeypatch):
    recipe = load_recipe(SHIPPED / "synthetic.yaml", str(tmp_path), ["--stages.encoder.background", "true"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="run it without a launcher"):
        check_recipe(recipe)


def test_settings_that_the_stage_decides_are_refused(calls, tmp_path):
    for name in ("output_dir", "seed", "do_eval"):
        with pytest.raises(ValueError, match=f"`{name}`"):
            run_recipe(SHIPPED / "synthetic.yaml", str(tmp_path), [f"--stages.encoder.training.{name}", "3"])


def test_file_that_is_no_mapping_is_refused(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(ValueError, match="expected a YAML mapping, got list"):
        load_recipe(path)


# One stage


def test_train_runs_a_stage_from_its_own_file(calls, tmp_path, components):
    section = stage_section("alignment", components)
    path = write(tmp_path / "stage.yaml", {**section, "output_dir": str(tmp_path / "out"), "seed": 5})
    run_stage("alignment", path, ["--learning_rate", "1e-4", "--data.max_duration", "0.9"])
    section["training"]["learning_rate"] = 1e-4
    section["data"]["max_duration"] = 0.9
    assert calls == [("alignment", section, tmp_path / "out", 5)]


def test_train_runs_one_stage_of_a_recipe(calls, tmp_path):
    run_stage("sft", SHIPPED / "synthetic.yaml", ["--output_dir", str(tmp_path), "--sft_steps", "9"])
    [(stage, section, output_dir, seed)] = calls
    assert (stage, output_dir, seed) == ("joint_sft", tmp_path / "sft", 17)
    assert section["training"]["max_steps"] == 9
    assert section["model"] == {"path": f"{tmp_path}/alignment"}
    with pytest.raises(ValueError, match="alignmen.*did you mean alignment"):
        run_stage("alignmen", SHIPPED / "synthetic.yaml")


def test_train_without_output_dir_is_refused(tmp_path, components):
    path = write(tmp_path / "stage.yaml", stage_section("alignment", components))
    with pytest.raises(ValueError, match="`output_dir` missing"):
        run_stage("alignment", path)


# All stages


def assert_trained(folder: Path) -> dict:
    """The record of a stage whose losses are finite; the checkpoint is none that trains."""
    record = json.loads((folder / "stage.json").read_text())
    losses = [entry["train_loss"] for entry in record.get("history", []) if "train_loss" in entry]
    assert bool(losses) == (folder.name != "checkpoint")
    assert all(math.isfinite(loss) for loss in losses)
    return record


def assert_transcribes(folder: Path) -> dict:
    """Results of the checkpoint, which was measured and can be loaded."""
    report = json.loads((folder / "results.json").read_text())
    assert report["results"]["espeak-ng en"]["utterances"] == 3
    assert isinstance(load_pipeline(folder)(np.zeros(8000, np.float32))["text"], str)
    return report


def test_synthetic_recipe_runs_all_stages(small_tiny, tmp_path):
    """Few steps: files, finite losses, a checkpoint that loads; then nothing to do the second time."""
    run_recipe(SHIPPED / "synthetic.yaml", str(tmp_path), as_overrides(FEW_STEPS))
    stages = load_recipe(SHIPPED / "synthetic.yaml")["stages"]
    for name in stages:
        assert assert_trained(tmp_path / name)["seed"] == 17
        assert (tmp_path / name / "model.safetensors").is_file()
    report = assert_transcribes(tmp_path / "checkpoint")
    assert 0 < report["wall_seconds"] <= json.loads((tmp_path / "clock.json").read_text())["seconds"]

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    run_recipe(SHIPPED / "synthetic.yaml", str(tmp_path), as_overrides(FEW_STEPS))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    with pytest.raises(ValueError, match=r"finished with other settings \(training\)"):
        run_recipe(SHIPPED / "synthetic.yaml", str(tmp_path), as_overrides({**FEW_STEPS, "encoder_steps": 3}))
    with pytest.raises(ValueError, match=r"finished with other settings \(seed\)"):
        run_recipe(SHIPPED / "synthetic.yaml", str(tmp_path), as_overrides({**FEW_STEPS, "seed": 18}))


def without_processes(path: Path, folder: Path) -> Path:
    """A copy of a recipe that runs all stages in this process, one after the other."""
    content = read_yaml(path)
    for section in content["stages"].values():
        for name in ("background", "after", "launch"):
            section.pop(name, None)
    return write(folder / path.name, content)


@pytest.mark.parametrize(
    ("name", "steps"), [("conventional-synthetic", FEW_STEPS), ("synthetic-full", FEW_STEPS | LATER_STEPS)]
)
def test_recipes_of_the_conventional_pipeline_and_of_later_stages_run(small_tiny, name, steps, tmp_path):
    path = without_processes(SHIPPED / f"{name}.yaml", tmp_path)
    run_recipe(path, str(tmp_path), as_overrides(steps))
    for stage in load_recipe(path)["stages"]:
        assert_trained(tmp_path / stage)
    assert_transcribes(tmp_path / "checkpoint")


@pytest.mark.slow
def test_synthetic_recipe_transcribes_held_out_sentences(tmp_path):
    """The shipped settings end with a model that has learnt to transcribe sentences it never heard."""
    run_recipe(SHIPPED / "synthetic.yaml", str(tmp_path))
    results = json.loads((tmp_path / "checkpoint" / "results.json").read_text())["results"]
    assert results["espeak-ng en"]["wer"] <= MAX_ERROR_RATE
    assert results["espeak-ng zh"]["cer"] <= MAX_ERROR_RATE


def test_a_recipe_without_its_data_runs_the_one_named_for_that(monkeypatch, tmp_path, caplog):
    (tmp_path / "other.yaml").write_text("output_dir: runs/other\nstages: {}\n")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "output_dir: runs/mine\nwithout_data: other.yaml\nvariables: {data_dir: nowhere}\n"
        "stages: {encoder: {data: {train: [{path: '{data_dir}/speech'}]}, model: {preset: tiny}, training: {}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    run_recipe(recipe)
    assert "nowhere" in caplog.text
    assert "other.yaml" in caplog.text
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        run_recipe(recipe, overrides=["--data_dir", "elsewhere"])


def test_a_recipe_without_its_public_encoder_runs_the_one_named_for_that(components, monkeypatch, tmp_path, caplog):
    (tmp_path / "other.yaml").write_text("output_dir: runs/other\nvariables: {encoder: none}\nstages: {}\n")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "output_dir: runs/mine\nwithout_encoder: other.yaml\nvariables: {encoder: no-such/encoder}\n"
        "stages: {encoder: {data: {train: [{path: nowhere}]}, model: {path: '{encoder}'}, training: {}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    run_recipe(recipe)
    assert "no-such/encoder" in caplog.text and "other.yaml runs instead of mine.yaml" in caplog.text
    with pytest.raises(FileNotFoundError, match="--encoder: there is no folder other/encoder, nor can it be had from"):
        run_recipe(recipe, overrides=["--encoder", "other/encoder"])
    # Where it is there, the recipe itself runs: its data is what is missing then.
    with pytest.raises(FileNotFoundError, match="^nowhere: neither"):
        run_recipe(recipe, overrides=["--encoder", str(components / "encoder")])


def test_a_recipe_with_the_users_own_data_needs_no_folder_of_its_own(monkeypatch, tmp_path, caplog):
    """Also where its data are a variable, in which another one stands."""
    (tmp_path / "other.yaml").write_text("output_dir: runs/other\nstages: {}\n")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "output_dir: runs/mine\nwithout_data: other.yaml\n"
        "variables: {data_dir: nowhere, train: [{path: '{data_dir}/speech'}], noise: [{path: '{data_dir}/noise'}]}\n"
        "stages: {encoder: {data: {train: '{train}', noise: '{noise}'}, model: {preset: tiny}, training: {}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert load_recipe(recipe)["stages"]["encoder"]["data"]["train"] == [{"path": "nowhere/speech"}]
    run_recipe(recipe)
    assert "other.yaml" in caplog.text
    caplog.clear()
    with pytest.raises(Exception, match="my_own_folder"):
        run_recipe(recipe, overrides=["--train", "[{path: my_own_folder}]", "--noise", "[]"])
    assert "other.yaml" not in caplog.text
    # The other recipe must not run on synthetic speech what was asked for on one's own.
    with pytest.raises(FileNotFoundError, match="--train: there is no folder nowhere, and other.yaml, .* no train"):
        run_recipe(recipe, overrides=["--train", "[{path: my_own_folder}]"])


def test_a_stage_whose_model_is_named_is_left_out(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        'output_dir: run\nvariables: {lm: "{output_dir}/made", parts: ["{lm}"]}\n'
        'stages: {made: {stage: language_model, makes: "{lm}"}, alignment: {model: {language_model: "{lm}"}}}\n'
    )
    whole = load_recipe(path)["stages"]
    assert whole == {"made": {"stage": "language_model"}, "alignment": {"model": {"language_model": "run/made"}}}
    assert load_recipe(path)["variables"]["parts"] == ["run/made"]
    assert load_recipe(path, str(tmp_path))["stages"]["made"] == whole["made"]
    named = load_recipe(path, None, ["--lm", "Qwen/Qwen3-0.6B"])["stages"]
    assert named == {"alignment": {"model": {"language_model": "Qwen/Qwen3-0.6B"}}}
    with pytest.raises(SettingsError, match=r"--lm: makes: expected text, got \[1\]"):
        load_recipe(path, None, ["--lm", "[1]"])
    with pytest.raises(SettingsError, match=r"--stages.made.seed: the stage is left out, since Qwen/Q is taken"):
        load_recipe(path, None, ["--lm", "Qwen/Q", "--stages.made.seed", "5"])


def test_nothing_waits_for_a_stage_that_is_left_out(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        'output_dir: run\nvariables: {lm: "{output_dir}/made"}\n'
        'stages: {other: {background: true}, made: {background: true, makes: "{lm}"}, last: {after: [other, made]}}\n'
    )
    assert load_recipe(path)["stages"]["last"]["after"] == ["other", "made"]
    assert load_recipe(path, None, ["--lm", "Qwen/Q"])["stages"]["last"]["after"] == ["other"]


def test_a_stage_without_what_it_needs_is_left_out(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "output_dir: run\nvariables: {test: [{path: here}]}\n"
        'stages: {made: {only_with: "{test}", data: {eval: "{test}"}}, last: {after: [made]}}\n'
    )
    assert load_recipe(path)["stages"] == {"made": {"data": {"eval": [{"path": "here"}]}}, "last": {"after": ["made"]}}
    for nothing in ("null", "[]"):
        assert load_recipe(path, None, ["--test", nothing])["stages"] == {"last": {"after": []}}
    with pytest.raises(
        SettingsError, match="--stages.made.seed: the stage is left out, since there is nothing for it"
    ):
        load_recipe(path, None, ["--test", "null", "--stages.made.seed", "5"])


def test_variables_are_given_by_their_names_alone(tmp_path):
    path = write(tmp_path / "recipe.yaml", {"output_dir": "o", "variables": {"train": []}, "stages": {}})
    with pytest.raises(SettingsError, match="--variables.train: variables are given by their names, --train"):
        load_recipe(path, overrides=["--variables.train", "[x]"])
