# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""An experiment with its recipe: its arms are fair, and what does not fit together is refused before anything runs."""

import json
from pathlib import Path

import pytest
from kept_seeds import CLAIMS, data_dir

from entropy_asr.trainers.experiments import run as experiment_run
from entropy_asr.trainers.experiments.progress import lanes_of
from entropy_asr.trainers.experiments.results import check_kept
from entropy_asr.trainers.experiments.run import read_run, without_folders
from entropy_asr.trainers.recipes.places import read_yaml
from entropy_asr.trainers.recipes.recipe import check_recipe, load_recipe
from entropy_asr.trainers.runs.errors import SettingsError


RECIPE = CLAIMS.recipe_path
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "claims"


@pytest.fixture(autouse=True)
def _embedder_is_there(monkeypatch):
    monkeypatch.setattr(experiment_run, "PACKAGED", {"all-minilm-l6-v2": "json"})


def stages(*options: str) -> dict:
    return load_recipe(RECIPE, "run", list(options))["stages"]


def test_recipe_is_valid_and_stages_start_from_what_was_made_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plans = check_recipe(load_recipe(RECIPE, "run"))
    made = {f"run/{plan.name}": place for place, plan in enumerate(plans)}
    lanes = {plan.name: plan.background for plan in plans}
    for place, plan in enumerate(plans):
        for path in plan.section.get("model", {}).values():
            if not str(path).startswith("run/") or str(path).endswith("snapshots"):
                continue
            source = "/".join(str(path).split("/")[:2])
            assert made[source] < place, f"{plan.name} starts from {path}"
            # The foreground waits for nothing behind it; what is in the background may start from what is in front.
            assert plan.background or not lanes[source.removeprefix("run/")]


def test_arms_differ_in_nothing_but_what_they_are_about():
    found = stages()
    speech = [section for section in found.values() if "training" in section and "text" not in section["data"]]
    assert len({json.dumps(section["data"]["train"]) for section in speech}) == 1
    # No phonemes for a language model, no joined units, no hints, no prompts that name the language.
    for name in ("language_model", "half_language_model"):
        assert not found[name]["data"]["transcripts_from_phonemes"]
        assert not any(source["from_phonemes"] for source in found[name]["data"]["text"])
    assert not any(section.get("stage") in ("encoded_sft", "context_sft") for section in found.values())
    supervised = [section["training"] for section in found.values() if "language_prompt_probability" in str(section)]
    for key in ("max_batch_duration", "max_batch_size", "learning_rate", "weight_decay", "chunk_sizes", "left_chunks"):
        assert len({json.dumps(training[key]) for training in supervised}) == 1, key
    last = [found[names[-1]]["training"] for names in CLAIMS.arms.values()]
    assert len({json.dumps(training["lr_scheduler_kwargs"]) for training in last}) == 1
    encoders = [found[name]["training"] for name in ("phonemes", "characters", "attention")]
    for key in ("max_steps", "max_batch_duration", "learning_rate", "lr_scheduler_type", "warmup_steps"):
        assert len({training[key] for training in encoders}) == 1, key


def test_every_claim_is_about_stages_that_there_are():
    found = stages()
    assert set(CLAIMS.measured.stages) <= set(found)
    for claim in CLAIMS.claims:
        names = claim.get("terms", {}) or [f"{claim['first']}_results", f"{claim['second']}_results"]
        assert set(names) <= set(found) and ("low" in claim or "high" in claim), claim["says"]
        # A word that YAML reads as true would be no name.
        assert all(isinstance(key, str) for key in claim) and (claim["kind"] != "hallucinations" or "sounds" in claim)


def test_what_each_stage_is_expected_to_take_fits_into_two_hours():
    plans = check_recipe(load_recipe(RECIPE, "run"))
    lanes = lanes_of(plans, CLAIMS.seconds)
    assert sorted(name for lane in lanes for name in lane.seconds) == sorted(CLAIMS.seconds)
    assert max(lane.remaining() for lane in lanes) + CLAIMS.report_seconds < 110 * 60
    # Neither core waits long for the other.
    assert abs(lanes[0].remaining() - lanes[1].remaining()) < 0.15 * lanes[0].remaining()


def a_run(tmp_path: Path, *overrides: str, **changed):
    """The shipped experiment with its data in a folder that is there; `changed` fields of its file."""
    path = CLAIMS.path
    if changed:
        path = tmp_path / "mine.yaml"
        content = {**read_yaml(CLAIMS.path), **changed}
        content = {name: value for name, value in content.items() if value is not None}
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return read_run(path, str(tmp_path / "runs"), None, ["--data_dir", data_dir(tmp_path / "data"), *overrides])


def test_settings_are_those_that_kept_results_have(tmp_path):
    kept = json.loads((RESULTS / "1" / "proposed.json").read_text(encoding="utf-8"))["settings"]
    own = a_run(tmp_path).settings(1)
    assert {name: own[name] for name in kept} == {**kept, "encoder": "openai/whisper-base"}
    # Of a folder, as theirs was.
    assert a_run(tmp_path, "--encoder", "/some/whisper-base").settings(1)["encoder"] == kept["encoder"]
    # Data and language models are settings where they are given.
    named = a_run(
        tmp_path, "--language_model", "org/some-lm", "--train=[{path: /my/speech}]", "--stages.half_results.seed", "3"
    )
    found = named.settings(2)
    assert found["language_model"] == "org/some-lm" and found["train"] == [{"path": "my/speech"}]
    assert found["stages.half_results.seed"] == 3 and found["seed"] == 2
    assert not {"data_dir", "test", "language_model", "noise"} & set(own)


@pytest.mark.parametrize("encoder", ["openai/whisper-base", "/some/whisper-base"])
def test_kept_results_can_be_added_to(tmp_path, encoder):
    options = ["--data_dir", data_dir(tmp_path / "data"), "--encoder", encoder]
    check_kept(read_run(CLAIMS.path, str(tmp_path), str(RESULTS), options), 4)
    other = read_run(CLAIMS.path, str(tmp_path), str(RESULTS), [*options, "--encoder", "openai/whisper-small"])
    with pytest.raises(SettingsError, match="encoder 'whisper-base' and 'openai/whisper-small'"):
        check_kept(other, 4)


@pytest.mark.parametrize(
    ("path", "data", "model"),
    [
        ("/a/cv/train.parquet", "cv/train.parquet", "train.parquet"),
        ("/b/ls/train.parquet", "ls/train.parquet", "train.parquet"),
        ("orgA/speech", "orgA/speech", "orgA/speech"),
        ("orgB/speech", "orgB/speech", "orgB/speech"),
        ("there/mine", "there/mine", "mine"),
        ("./there/mine", "there/mine", "mine"),
        ("speech", "speech", "speech"),
    ],
)
def test_where_things_lie_is_no_setting_but_which_they_are(tmp_path, monkeypatch, path, data, model):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there" / "mine").mkdir(parents=True)
    found = {"train": [{"path": path, "split": "dev"}], "encoder": path}
    assert without_folders(found) == {"train": [{"path": data, "split": "dev"}], "encoder": model}


def test_variables_of_the_file_keep_their_characters(tmp_path):
    said = "\N{SNOWMAN} \N{GRINNING FACE} 'a' \\"
    assert a_run(tmp_path, variables={"encoder": said}).recipe(1)["variables"]["encoder"] == said


def test_variables_of_the_file_take_the_place_of_the_recipes_and_give_way_to_the_command_line(tmp_path):
    run = a_run(tmp_path, "--batch_size", "9", variables={"test_rows": 7, "batch_size": 8})
    assert (run.settings(1)["test_rows"], run.settings(1)["batch_size"]) == (7, 9)
    assert run.recipe(1)["stages"]["half_results"]["data"]["max_rows"] == 7
    assert run.check(1)
    with pytest.raises(SettingsError, match=r"mine\.yaml, line 1: variables: of the recipe: unknown test_row; did"):
        a_run(tmp_path, variables={"test_row": 7}).check(1)


def test_language_models_that_are_named_are_not_made(tmp_path):
    run = a_run(tmp_path, "--language_model", "org/whole", "--half_language_model", "org/half")
    plans = {plan.name: plan for plan in run.check(1)}
    assert not {"language_model", "half_language_model"} & set(plans)
    assert len(plans) == len(a_run(tmp_path).check(1)) - 2
    for arm in CLAIMS.arms:
        start = "finished" if arm in ("no_ia_sft", "no_hot_swap") else "proposed" if arm == "no_joint_sft" else arm
        expected = "org/half" if arm == "half" else "org/whole"
        assert plans[f"{start}_alignment"].section["model"]["language_model"] == expected
    one = {plan.name for plan in a_run(tmp_path, "--language_model", "org/whole").check(1)}
    assert "half_language_model" in one and "language_model" not in one


def test_data_that_are_named_are_those_of_all_stages(tmp_path):
    mine = ["--train=[{path: my/speech}]", "--development=[{path: my/dev}]", "--test=[{path: my/test, split: test}]"]
    sounds = ["--noise=[{path: my/noise}]", "--test_noise=[{path: my/noise, split: test}]"]
    models = ["--language_model", "org/whole", "--half_language_model", "org/half", "--further_test", "null"]
    run = a_run(tmp_path, *mine, *sounds, *models, "--allocation.sets=[{path: my/test, language: en}]")
    assert str(tmp_path / "data" / "speech") not in json.dumps(run.recipe(1)["stages"])
    assert "fsdd" not in json.dumps(run.recipe(1)["stages"])
    [measured] = run.allocation_sets(1)
    assert (measured.path, measured.split, measured.language) == ("my/test", "test", "en")
    # By default they follow the recipe's folder.
    assert a_run(tmp_path).allocation_sets(1)[0].path == f"{tmp_path}/data/speechocean762"
    assert not [plan.name for plan in run.check(1) if "further" in plan.name]


@pytest.mark.parametrize(
    ("changed", "overrides", "reason"),
    [
        ({}, ["--joint_sft_steps", "7"], "arms: they take different numbers of steps, .*proposed 887, no_ia_sft 960"),
        ({"arms": {**CLAIMS.arms, "half": ["half_align"]}}, [], r"arms\.half: stages of claims.yaml: unknown half_al"),
        ({"seconds": {**CLAIMS.seconds, "phonemes": None}}, [], "seconds.phonemes: expected"),
        ({"seconds": {"phonemes": 1}}, [], "seconds: characters_head, .* missing, of stages of claims.yaml"),
        ({}, ["--stages.half_sft.seed", "1"], "unknown half_sft"),
        ({}, ["--no_such_variable", "1"], "unknown no_such_variable"),
        ({}, ["--allocation.row", "1"], "--allocation.row: allocation: unknown row; did you mean rows"),
        ({}, ["--allocation.stages", "[nothing]"], "unknown .*phonemes"),
        ({}, ["--allocation.sets", "[{path: '{data}/x'}]"], "--allocation.sets: variable in .*unknown data"),
        ({}, ["--allocation.sets", "[{path: x}, {path: y, split: dev}]"], "one split, dataset_config, text_column"),
        ({}, ["--language_model", "/no/such/folder"], "^--language_model: .*model.language_model: there is no"),
        ({}, ["--test_rows", "many"], "^--test_rows: .*max_rows: expected a whole number"),
        ({}, ["--joint_sft_steps", "many"], "^--joint_sft_steps: .*max_steps: expected a whole number"),
        ({}, ["--noise", "[]"], "^--noise: stages.characters_head.data.noise: augmentation.noise_probability needs"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused_with_its_place(tmp_path, changed, overrides, reason):
    with pytest.raises(SettingsError, match=reason) as error:
        a_run(tmp_path, *overrides, **changed).check(1)
    assert "\n" not in str(error.value) and list(tmp_path.glob("runs")) == []


def test_data_that_are_not_there_are_missed_before_anything_runs(tmp_path):
    run = read_run(CLAIMS.path, str(tmp_path), None, ["--data_dir", str(tmp_path / "nowhere")])
    with pytest.raises(SettingsError, match="There is no folder .*nowhere: name one with --data_dir"):
        run.check(1)


def test_a_data_set_that_is_not_there_is_missed_before_anything_runs(tmp_path):
    """Not an hour later, by the stage that measures on it."""
    run = a_run(tmp_path)
    (tmp_path / "data" / "aishell_sample").rmdir()
    with pytest.raises(SettingsError, match=r"data\.eval\[1\]\.path: there is no file or folder '.*aishell_sample'"):
        run.check(1)


def test_data_sets_in_the_users_own_folder_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert a_run(tmp_path, "--further_test=[{path: ~/mine}]").check(1)
    with pytest.raises(SettingsError, match="there is no file or folder '.*/yours'"):
        a_run(tmp_path, "--further_test=[{path: ~/yours}]").check(1)


def test_an_embedder_whose_package_is_missing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("entropy_asr.trainers.experiments.run.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="needs the extra embedder"):
        a_run(tmp_path).check(1)
    assert a_run(tmp_path, "--allocation.embedder", "null").check(1)
