# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The script that compares the rules with listeners' labels, on a made table of the data set's form."""

import runpy
from pathlib import Path

import pandas as pd
import pytest

from entropy_asr.spaces.hallucination_rate.detection import Thresholds


SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "evaluate_halas.py"))
YES, NO = "Hallucination or looping", "No hallucination"
ROWS = [  # reference, corrected reference, prediction, label, split
    ("we are doing well this quarter", "", "we are doing well this quarter", NO, "test"),
    ("we are", "so we are pleased with it", "thanks for watching my channel", YES, "test"),
    ("revenue grew", "[inaudible]", "revenue grew", NO, "test"),
    ("the next slide please", "", "the next slides these", YES, "test"),  # a listener's label that the rules miss
    ("good morning", "", "", YES, "test"),  # nothing was written
    ("all right", "", "you you you you", YES, "train"),
]


def write_table(path: Path) -> Path:
    columns = ["e22_reference_text", "corrected_reference_text", "one_prediction", "one_label", "split"]
    pd.DataFrame(ROWS, columns=columns).to_csv(path, index=False)
    return path


def test_rules_are_compared_with_the_labels_of_one_split(tmp_path):
    outputs = SCRIPT["read_outputs"](write_table(tmp_path / "table.csv"), "test", ("one",))
    result = SCRIPT["evaluate"](outputs, Thresholds())
    assert result["outputs"] == 4
    ours = result["rules"]["ours"]
    assert (ours["precision"], ours["recall"], ours["f1"]) == pytest.approx((1, 0.5, 2 / 3))
    assert result["rates"]["one"] == {"listeners": 0.5, "ours": 0.25} and result["mean_error_of_a_rate"] == 0.25
    assert [row["label"] for row in SCRIPT["disagreements"](outputs, Thresholds(), 5)] == [True]
    assert len(SCRIPT["read_outputs"](tmp_path / "table.csv", "all", ("one",))) == 5


def test_a_table_of_another_form_is_refused(tmp_path):
    with pytest.raises(ValueError, match="two_prediction, two_label"):
        SCRIPT["read_outputs"](write_table(tmp_path / "table.csv"), "test", ("two",))
