# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The record of a finished stage: there only when it is whole, and true for its own settings alone."""

import pytest

from entropy_asr.trainers.runs.errors import SettingsError
from entropy_asr.trainers.runs.records import finished, json_sha256, write_record


def test_a_stage_is_finished_with_the_settings_and_the_seed_of_its_record(tmp_path):
    section = {"training": {"chunk_sizes": (0, 4)}, "model": {"preset": "tiny"}}
    assert not finished(tmp_path, section, 7)
    write_record(tmp_path, "encoder", section, {"steps": 3, "seed": 7})
    assert [path.name for path in tmp_path.iterdir()] == ["stage.json"]
    assert finished(tmp_path, {"model": {"preset": "tiny"}, "training": {"chunk_sizes": [0, 4]}}, 7)
    with pytest.raises(SettingsError, match=r"finished with other settings \(data, training\)"):
        finished(tmp_path, {"training": {"chunk_sizes": [0]}, "model": {"preset": "tiny"}, "data": {}}, 7)
    with pytest.raises(SettingsError, match=r"finished with other settings \(seed\)"):
        finished(tmp_path, section, 8)


def test_a_hash_is_of_the_values_and_not_of_their_order():
    assert (
        json_sha256({"a": 1, "b": ["你"]}) == json_sha256({"b": ["你"], "a": 1}) != json_sha256({"a": 1, "b": ["好"]})
    )
