# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The file of an experiment: what it refuses, each in a line that names the file, the key and the reason."""

import json
from pathlib import Path

import pytest
from kept_seeds import CLAIMS

from entropy_asr.trainers.experiments.experiment import load_experiment
from entropy_asr.trainers.recipes.places import read_yaml
from entropy_asr.trainers.runs.errors import SettingsError


ERRORS = {"says": "x", "kind": "errors", "first": "proposed", "second": "half", "high": 0}
FIGURE = {"says": "x", "kind": "allocation", "metric": "nse", "terms": {"phonemes": 1}, "low": 0}
SILENT = {"name": "n", "kind": "text in silence", "cause": "c", "check": "c", "about": [], "arms": ["half"]}
AGAIN = {**SILENT, "kind": "trained again", "arm": "half", "stage": "half_sft", "results": "half_results"}
CKA = {**SILENT, "kind": "text CKA", "embedder": "e", "rows": 9, "stages": ["half_ia_sft"]}
del AGAIN["arms"], CKA["arms"]


def experiment_file(folder: Path, **changed) -> Path:
    """The shipped file with some fields changed; None: left out."""
    content = {**read_yaml(CLAIMS.path), **changed}
    path = folder / "mine.yaml"
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}, indent=1))
    return path


def test_the_shipped_one_is_known_by_its_bare_name(tmp_path):
    assert CLAIMS.name == "claims" and CLAIMS.recipe_path.name == "claims.yaml"
    assert load_experiment(experiment_file(tmp_path)).name == "mine.yaml"


def test_a_recipe_beside_the_file_is_taken(tmp_path):
    (tmp_path / "arms.yaml").write_text("stages: {}")
    assert load_experiment(experiment_file(tmp_path, recipe="arms.yaml")).recipe_path == tmp_path / "arms.yaml"


ONE_OF_A_CONFIG = [{"path": "a"}, {"path": "b", "dataset_config": "c"}]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"claim": []}, "settings: unknown claim; did you mean claimant, claims"),
        ({"arms": None}, "arms missing"),
        ({"arms": {}}, "arms: at least one"),
        ({"seeds": ["one"]}, "seeds: expected a list, each entry a whole number"),
        ({"seeds": [1, -1]}, "seeds: whole numbers from 0 on, none of them twice"),
        ({"seeds": [1, 2, 1]}, "seeds: whole numbers from 0 on, none of them twice"),
        ({"recipe": "no_such"}, "recipe: there is neither a file .*no_such nor a shipped recipe"),
        ({"summary_arms": ["prop"]}, "summary_arms: arms: unknown prop"),
        ({"claims": [{**ERRORS, "first": "propsed"}]}, r"claims\[0\]: arms: unknown propsed; did you mean proposed"),
        ({"claims": [{**ERRORS, "sound": "padded"}]}, r"claims\[0\]: unknown sound"),
        ({"claims": [{**ERRORS, "sounds": "padded"}]}, r"claims\[0\].sounds: hallucinations"),
        ({"claims": [{**ERRORS, "kind": "hallucinations"}]}, r"claims\[0\].sounds: hallucinations"),
        ({"claims": [{**ERRORS, "kind": "error"}]}, r"claims\[0\].kind: one of errors"),
        ({"claims": [{**ERRORS, "high": None}]}, r"claims\[0\]: low or high missing"),
        ({"claims": [ERRORS, ERRORS]}, r"claims\[1\]: 'x' is claimed twice"),
        ({"claims": [{**FIGURE, "terms": {"phoneme": 1}}]}, r"claims\[0\]: allocation.stages: unknown phoneme; did"),
        ({"claims": [{**FIGURE, "over": "no_such"}]}, r"claims\[0\]: allocation.stages: unknown no_such"),
        ({"claims": [{**FIGURE, "metric": "wer"}]}, r"claims\[0\].metric: expected one of"),
        ({"claims": [ERRORS], "why": [{**SILENT, "arms": ["whole"]}]}, r"why\[0\]: arms: unknown whole"),
        ({"claims": [ERRORS], "why": [{**SILENT, "about": ["y"]}]}, r"why\[0\].about: claims: unknown y"),
        ({"claims": [ERRORS], "why": [{**SILENT, "rows": 3}]}, r"why\[0\]: unknown rows"),
        ({"claims": [ERRORS], "why": [CKA]}, r"why\[0\]: allocation.stages: unknown half_ia_sft"),
        ({"claims": [ERRORS], "why": [{**AGAIN, "set": {"a.b": "equal time"}}]}, r"why\[0\].than: which arm"),
        ({"allocation": {"stages": ["phonemes"], "sets": [], "steps": []}}, "allocation.sets: at least one"),
        (
            {"allocation": {"stages": ["a"], "sets": ONE_OF_A_CONFIG, "steps": []}},
            "allocation.sets: one split, dataset_config, text_column and language for all",
        ),
        ({"allocation": {"stages": ["a"], "sets": [{"pth": 1}], "steps": []}}, r"allocation.sets\[0\]: unknown pth"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path, changed, reason):
    path = experiment_file(tmp_path, **changed)
    # Checks of the shipped file are about claims that others have replaced.
    if "claims" in changed and "why" not in changed:
        path = experiment_file(tmp_path, why=[], **changed)
    with pytest.raises(SettingsError, match=reason) as error:
        load_experiment(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_claims_and_checks_are_what_their_kinds_read_them_as(tmp_path):
    claims = [{**ERRORS, "low": None, "high": "0"}, {**FIGURE, "says": "y", "high": None, "over": None}]
    claims.append({**FIGURE, "says": "z", "over": "attention"})
    found = load_experiment(
        experiment_file(tmp_path, claims=claims, why=[{**AGAIN, "set": {"a.b": None}, "than": None}])
    )
    assert found.claims == [ERRORS, {**FIGURE, "says": "y"}, {**FIGURE, "says": "z", "over": "attention"}]
    assert found.why == [{**AGAIN, "set": {"a.b": None}}]
