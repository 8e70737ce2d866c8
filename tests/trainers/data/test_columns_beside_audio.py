# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Columns beside audio, which stays where it is."""

import pytest
from datasets import Dataset, concatenate_datasets

from entropy_asr.trainers.data.columns_beside_audio import add_columns


@pytest.mark.parametrize("selected", [[5, 1, 3], [0, 1, 2], [2, 2, 4]])
def test_columns_are_laid_beside_selected_rows_without_copying_their_audio(tmp_path, selected):
    rows = Dataset.from_dict({"samples": [[n] * 50 for n in range(6)], "text": [f"text {n}" for n in range(6)]})
    rows.save_to_disk(tmp_path)
    rows = Dataset.load_from_disk(tmp_path).select(selected)
    labels = Dataset.from_dict({"label": [10, 20, 30]})
    joined = add_columns(rows, labels)
    assert joined.to_dict() == {**rows.to_dict(), **labels.to_dict()}
    memory = [table.data.column("samples").chunk(0).buffers() for table in (rows, joined)]
    is_shared = memory[0][-1].address == memory[1][-1].address
    assert is_shared == (len(set(selected)) == len(selected))  # a row twice is written twice


def test_columns_beside_a_part_of_repeated_and_joined_sources(tmp_path):
    parts = [Dataset.from_dict({"text": [f"{name}{n}" for n in range(4)]}) for name in "ab"]
    rows = concatenate_datasets([parts[0].select([3, 0, 1]).repeat(2), parts[1]]).select([0, 2, 4, 5, 8])
    labels = rows.map(lambda row, number: {"label": f"{row['text']} {number}"}, with_indices=True)
    joined = add_columns(rows, labels.select_columns("label"))
    assert joined["text"][:] == ["a3", "a1", "a0", "a1", "b2"]
    assert joined["label"][:] == ["a3 0", "a1 1", "a0 2", "a1 3", "b2 4"]
