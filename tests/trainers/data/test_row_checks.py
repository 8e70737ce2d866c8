# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Bad rows are found when rows are loaded, named by row and file, and refused or left out by one setting."""

import logging
import math
import re

import pytest
from datasets import Dataset, Value, concatenate_datasets

from entropy_asr.trainers.data.columns_beside_audio import replace_columns
from entropy_asr.trainers.data.row_checks import checked_rows, row_problem
from entropy_asr.trainers.data.section import DataSection
from entropy_asr.trainers.data.sources import load_sources


GOOD = {"text": "the old man", "language": "en", "duration": 1.0}


def make(*changes) -> Dataset:
    rows = [{"audio": {"bytes": b"x", "path": f"{n}.wav"}, **GOOD, **change} for n, change in enumerate(changes)]
    return Dataset.from_list(rows)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"text": "", "language": "none"}, None),
        ({"language": "en-US"}, None),
        ({"language": "fr"}, "language 'fr' is not understood"),
        ({"language": ""}, "language '' is not understood"),
        ({"language": None}, "it has no language"),
        ({"text": None}, "it has no text"),
        ({"text": 5}, "its text is 5"),
        ({"text": ["a"]}, r"its text is \['a'\]"),
        ({"text": ""}, "its text is empty; language 'none' would say"),
        ({"text": " \u3000\n"}, "its text is empty"),
        ({"text": "\u200b\ufeff"}, "its text is empty"),
        ({"text": "bark", "language": "none"}, "it holds no speech, but it has the text 'bark'"),
        ({"duration": math.nan}, "its duration is nan"),
        ({"duration": None}, "its duration is None"),
        ({"duration": -1.0}, "its duration is -1"),
        ({"duration": math.inf}, "its duration is inf"),
        ({"duration": "1"}, "its duration is 1"),
        ({"audio": None}, "it has no audio"),
        ({"audio": {"bytes": None, "path": None}}, "it has no audio"),
        ({"samples": None}, "it has no samples"),
        ({"phoneme_ids": None}, "it has no phoneme_ids"),
    ],
)
def test_problems_of_a_row(change, problem):
    found = row_problem({**GOOD, **change})
    assert (found is None) if problem is None else re.search(problem, found)


BAD = (
    {},
    {"language": "xx"},
    {"text": " "},
    {"duration": math.nan},
    {"audio": None},
    {"language": "yy"},
    {"text": None},
    {"text": ""},
)


def test_all_bad_rows_are_told_at_once():
    with pytest.raises(ValueError, match="mine: 7 of 8 rows cannot be used: ") as raised:
        checked_rows(make(*BAD), "mine", None)
    message = str(raised.value)
    assert "row 1 (1.wav): language 'xx' is not understood" in message
    assert "row 2 (2.wav): its text is empty" in message
    assert "row 3 (3.wav): its duration is nan" in message
    assert "row 4: it has no audio; row 5 (5.wav): language 'yy'" in message
    assert "row 6" not in message and "and 2 more. Mend them, or leave them out with bad_rows='skip'." in message


def test_bad_rows_are_left_out_with_one_warning(caplog):
    with caplog.at_level(logging.WARNING):
        kept = checked_rows(make(*BAD), "mine", "skip")
    assert [row["path"] for row in kept["audio"][:]] == ["0.wav"]
    assert len(caplog.records) == 1 and "7 of 8 rows cannot be used: row 1 (1.wav): lang" in caplog.text
    with pytest.raises(ValueError, match=r"1 of 1 rows .* None is left"):
        checked_rows(make({"text": None}).cast_column("text", Value("string")), "mine", "skip")


def test_what_is_understood_is_written_in_one_form():
    rows = make(
        {"language": "en-US", "text": "cafe\u0301"}, {"language": "zh-CN", "text": "你好"}, {"language": "en-GB"}
    )
    checked = checked_rows(rows, "mine", None)
    assert checked["language"][:] == ["en", "zh", "en"]
    assert checked["text"][0] == "caf\u00e9" and checked.column_names == rows.column_names
    assert checked["audio"][:] == rows["audio"][:]


def test_rows_in_order_are_not_touched():
    """Their fingerprint is the key of their decoded audio."""
    rows = make({}, {"language": "zh", "text": "你好"})
    assert checked_rows(rows, "mine", None)._fingerprint == rows._fingerprint


def test_selected_and_repeated_rows_keep_their_audio():
    rows = make({}, {"language": "English"}, {"language": "Chinese"}, {})
    for chosen in (rows.select([2, 0, 1]), concatenate_datasets([rows, rows])):
        checked = checked_rows(chosen, "mine", None)
        assert checked["audio"][:] == chosen["audio"][:]
        assert checked["language"][:] == [{"English": "en", "Chinese": "zh"}.get(x, x) for x in chosen["language"]]


def test_a_column_that_names_regions_for_some_rows_only_is_refused():
    rows = make({}, {}, {"language": "en-US"})
    with pytest.raises(ValueError, match=r"row 2 calls its language 'en-US', row 0 'en': .*language='en'.*bad_rows"):
        checked_rows(rows, "mine", None)
    assert checked_rows(rows, "mine", "skip")["language"][:] == ["en"] * 3
    assert checked_rows(make({}, {"language": "EN "}), "mine", None)["language"][:] == ["en", "en"]


def test_columns_that_stay_as_they_are_are_not_replaced():
    rows = make({}, {})
    assert replace_columns(rows, text=GOOD["text"].split("|") * 2) is rows


def test_one_setting_of_the_section_holds_for_all_sources(tmp_path):
    path = tmp_path / "rows.parquet"
    make({}, {"text": None}).to_parquet(path)
    with pytest.raises(ValueError, match=r"rows\.parquet: 1 of 2 rows cannot be used: row 1 \(1\.wav\)"):
        load_sources([{"path": str(path)}])
    section = DataSection(train=[{"path": str(path)}], bad_rows="skip", decode_ahead=False)
    assert len(section.train_rows()) == 1
    own = DataSection(train=[{"path": str(path), "bad_rows": "refuse"}], bad_rows="skip", decode_ahead=False)
    with pytest.raises(ValueError, match="1 of 2 rows"):
        own.train_rows()
    with pytest.raises(ValueError, match="bad_rows is 'refuse' or 'skip', not 'drop'"):
        DataSection(train=[{"path": "x"}], bad_rows="drop")
