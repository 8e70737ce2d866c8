# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What `{name}` stands for in a recipe, in whichever order its variables stand."""

import pytest

from entropy_asr.trainers.recipes.variables import resolve_variables, substitute
from entropy_asr.trainers.runs.settings import SettingsError


def test_variables_keep_their_type_alone_and_are_text_inside_text():
    content = {"steps": "{n}", "path": ["{folder}/{n}", r"layers\.\d{2}\."], "rate": 1.0}
    assert substitute(content, {"n": 3, "folder": "data"}) == {
        "steps": 3,
        "path": ["data/3", r"layers\.\d{2}\."],
        "rate": 1.0,
    }


def test_unknown_variable_is_named_with_what_comes_close():
    with pytest.raises(ValueError, match="data_dri.*did you mean data_dir"):
        substitute("{data_dri}/x", {"data_dir": "d"})


def test_variables_name_others_in_any_order():
    variables = {"sets": [{"path": "{model}/x"}], "model": "{base}/final", "base": "{root}/runs", "root": "/data"}
    assert resolve_variables(variables, "out") == {
        "sets": [{"path": "/data/runs/final/x"}],
        "model": "/data/runs/final",
        "base": "/data/runs",
        "root": "/data",
        "output_dir": "out",
    }
    assert resolve_variables({"place": "{output_dir}/made"}, "out")["place"] == "out/made"


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"a": "{b}", "b": ["{a}"]}, "They name each other: [ab] -> [ab] -> [ab]"),
        ({"a": "{a}/x"}, "They name each other: a -> a"),
        ({"a": "{c}"}, "unknown c"),
    ],
)
def test_a_circle_and_an_unknown_name_are_refused(variables, reason):
    with pytest.raises(SettingsError, match=reason):
        resolve_variables(variables, "out")
