# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Data sets of synthetic speech: the same for the same arguments, whole or not there."""

import os
from pathlib import Path

import datasets
import numpy as np
import pytest

from entropy_asr.trainers.data import synthetic_dataset
from entropy_asr.trainers.data.synthesis import (
    SAMPLING_RATE,
)
from entropy_asr.trainers.data.synthetic_dataset import build_synthetic_dataset


TEXTS = ["the red dog", "我们去北京", "open the door", "今天", "one two three"]
LANGUAGES = ["en", "zh", "en", "zh", "en"]


def test_dataset_rows(tmp_path: Path) -> None:
    rows = build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / "set", seed=3, voices_per_text=2)
    assert rows.column_names == ["samples", "text", "language", "duration", "source"]
    assert rows["text"][:] == [text for text in TEXTS for _ in range(2)]
    assert set(rows["source"]) == {"espeak-ng"}
    assert rows.features["samples"] == datasets.List(datasets.Value("int16"))
    for row in rows:
        assert row["duration"] == pytest.approx(len(row["samples"]) / SAMPLING_RATE)
        assert np.abs(row["samples"]).max() > 2000
    assert rows[0]["samples"] != rows[1]["samples"]
    assert datasets.load_from_disk(str(tmp_path / "set"))[:] == rows[:]


def test_dataset_is_the_same_for_every_process_count(tmp_path: Path) -> None:
    one, two, other = (
        build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / name, seed=seed, num_proc=num_proc)
        for name, seed, num_proc in (("one", 0, 1), ("two", 0, 2), ("other", 1, 1))
    )
    assert one[:] == two[:]
    assert one["samples"][:] != other["samples"][:]


def test_dataset_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "set"
    first = build_synthetic_dataset(TEXTS, LANGUAGES, folder)[:]

    def refuse(*arguments: object) -> None:
        raise AssertionError("built again")

    with monkeypatch.context() as patch:
        patch.setattr(synthetic_dataset, "_write", refuse)
        assert build_synthetic_dataset(TEXTS, LANGUAGES, folder)[:] == first
        with pytest.raises(AssertionError, match="built again"):
            build_synthetic_dataset(TEXTS, LANGUAGES, folder, seed=1)
    assert len(build_synthetic_dataset(TEXTS[:1], "en", folder)) == 1
    assert os.listdir(tmp_path) == ["set"]


def test_interrupted_dataset_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "set"
    first = build_synthetic_dataset(TEXTS[:1], "en", folder)[:]
    with pytest.raises(datasets.exceptions.DatasetGenerationError) as error:
        build_synthetic_dataset(["fine", "..."], "en", folder)
    assert "nothing to speak in '...'" in str(error.value.__cause__)
    assert os.listdir(tmp_path) == ["set"]
    assert datasets.load_from_disk(str(folder))[:] == first

    def interrupt(*arguments: object, **keywords: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets.Dataset, "save_to_disk", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / "new")
    assert os.listdir(tmp_path) == ["set"]


def test_dataset_refuses(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="mine"):
        build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / "mine")
    with pytest.raises(ValueError, match="no texts"):
        build_synthetic_dataset([], "en", tmp_path / "set")
    with pytest.raises(ValueError, match="language 'fr'"):
        build_synthetic_dataset(["bonjour"], "fr", tmp_path / "set")
    with pytest.raises(ValueError, match="99 voices a text"):
        build_synthetic_dataset(["hello"], "en", tmp_path / "set", voices_per_text=99)
