# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sources: the shared columns, bounds, joined and repeated."""

import logging

import numpy as np
import pytest
from audio_rows import dummy_row, tone, write_audio_folder, write_parquet
from datasets import Dataset, DatasetDict, Features, IterableDataset, List, Value

from entropy_asr.trainers.data import decoding
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import load_source, load_sources
from entropy_asr.trainers.data.speech_dataset import SpeechDataset


COLUMNS = ["audio", "text", "language", "duration", "source"]


def test_parquet_folder_gives_the_shared_columns_and_split(tmp_path, load):
    folder = write_parquet(tmp_path / "words")
    write_parquet(folder, "test", [0.7])
    rows = load(folder)
    assert rows.column_names == COLUMNS
    assert rows.features["audio"] == {"bytes": Value("binary"), "path": Value("string")}
    first = rows[0]
    np.testing.assert_allclose(read_samples(first)[200:-200], tone(0.5)[200:-200], atol=0.05)
    assert first.pop("audio")["path"] == "0.ogg"
    assert first == {"text": "text 0", "language": "en", "duration": 0.5, "source": "words"}
    assert load(folder, split="test")["text"][:] == ["text 0"]


def test_audio_files_with_metadata_get_their_durations(tmp_path, load):
    rows = load(write_audio_folder(tmp_path / "recordings"), language="en")
    assert rows["text"][:] == ["text 0", "text 1"]
    assert rows["duration"][:] == [0.5, 1.5]
    np.testing.assert_allclose(SpeechDataset(rows)[1]["samples"], tone(1.5), atol=1e-4)


def test_saved_datasets_and_decoded_samples_are_read(tmp_path, load):
    rows = [{"samples": [1, 2, 3] * 1600, "sentence": "", "language": "none"}]
    features = Features({"samples": List(Value("int16")), "sentence": Value("string"), "language": Value("string")})
    saved = Dataset.from_list(rows, features=features)
    saved.save_to_disk(tmp_path / "one")
    DatasetDict(dev=saved).save_to_disk(tmp_path / "several")
    for path, split in ((tmp_path / "one", "train"), (tmp_path / "several", "dev")):
        loaded = load(path, split=split, text_column="sentence")
        assert loaded[0]["duration"] == 0.3
        assert loaded.column_names == ["samples", *COLUMNS[1:]]
    with pytest.raises(ValueError, match="it has dev"):
        load(tmp_path / "several")


def test_duration_bounds_then_max_rows(tmp_path, load):
    folder = write_parquet(tmp_path, seconds=[0.2, 1.0, 3.0, 0.6, 1.5])
    assert load(folder, min_duration=0.5, max_duration=2.0)["duration"][:] == [1.0, 0.6, 1.5]
    assert load(folder, min_duration=0.5, max_rows=2)["duration"][:] == [1.0, 3.0]
    with pytest.raises(ValueError, match=r"no row of split 'train' has a duration within \[5.0"):
        load(folder, min_duration=5.0)


def test_sources_are_joined_and_repeated(tmp_path):
    write_parquet(tmp_path / "a", seconds=[0.2])
    write_audio_folder(tmp_path / "b")
    rows = load_sources(
        [
            {"path": str(tmp_path / "a"), "repeat": 3},
            DataSource(str(tmp_path / "b"), language="zh", max_rows=1),
        ],
        tmp_path / "cache",
        tmp_path / "decoded",
    )
    assert list(zip(rows["source"], rows["language"], strict=True)) == [("a", "en")] * 3 + [("b", "zh")]
    assert rows.column_names == ["text", "language", "duration", "source", "samples"]


def test_repeated_rows_are_decoded_once(tmp_path, monkeypatch):
    write_parquet(tmp_path / "a", seconds=[0.2, 0.3])
    decoded = []
    monkeypatch.setattr(decoding, "read_samples", lambda row: decoded.append(row) or read_samples(row))
    rows = load_sources([{"path": str(tmp_path / "a"), "repeat": 4}], tmp_path / "cache", tmp_path / "decoded")
    assert (len(rows), len(decoded)) == (8, 2)


def test_text_must_be_there_for_speech_and_empty_for_noise(tmp_path, load):
    noise = dummy_row(1, 0.3, language="none", text="")
    assert load(write_parquet(tmp_path / "noise", rows=[noise]))["text"][:] == [""]
    with pytest.raises(ValueError, match="'bark'"):
        load(write_parquet(tmp_path / "labels", rows=[noise | {"text": "bark"}]))
    with pytest.raises(ValueError, match=r"gaps: 1 of 2 rows cannot be used: row 1 \(1\.ogg\): it has no text\. Mend"):
        load(write_parquet(tmp_path / "gaps", rows=[dummy_row(0, 0.2), dummy_row(1, 0.2, text=None)]))


def test_streamed_rows_have_the_same_columns(tmp_path, load):
    folder = write_parquet(tmp_path, seconds=[0.2, 0.5, 1.0, 2.0], drop=["language"])
    kwargs = {"language": "en", "min_duration": 0.3, "max_rows": 2}
    stream = load(folder, streaming=True, **kwargs)
    assert isinstance(stream, IterableDataset)
    assert list(stream) == list(load(folder, **kwargs))
    with pytest.raises(ValueError, match="only parquet can be streamed"):
        load(write_audio_folder(tmp_path / "recordings"), **kwargs | {"streaming": True})
    with pytest.raises(ValueError, match="Streamed sources can neither be mixed"):
        load_sources([DataSource(str(folder), streaming=True), DataSource(str(folder))])


def test_streamed_rows_without_a_duration_get_one(tmp_path, load, caplog):
    rows = [dummy_row(0, 0.5), dummy_row(1, 0.5, audio={"bytes": b"hello", "path": "notes.txt"})]
    stream = load(write_parquet(tmp_path, rows=rows, drop=["duration"]), streaming=True)
    with caplog.at_level(logging.WARNING):
        assert [row["duration"] for row in stream] == pytest.approx([0.5], abs=1e-3)
    assert "notes.txt" in caplog.text


def test_a_streamed_row_of_negative_duration_is_not_taken_for_a_short_one(tmp_path, load):
    rows = [dummy_row(0, 0.5), dummy_row(1, 0.5, duration=-1.0)]
    assert len(list(load(write_parquet(tmp_path, rows=rows), streaming=True))) == 2, "told where it is read"


def test_real_sets_load_and_decode(tmp_path, data_dir):
    for name, language in (("aishell_sample", "zh"), ("fsdd_digits", "en"), ("esc10_noise", "none")):
        source = DataSource(str(data_dir / name), split="test", max_rows=8)
        rows = load_sources([source], tmp_path / "cache", tmp_path / "decoded")
        assert set(rows["language"]) == {language}
        assert all(bool(text) == (language != "none") for text in rows["text"])
        for index, declared in enumerate(load_source(source, tmp_path / "cache")["duration"]):
            samples = SpeechDataset(rows)[index]["samples"]
            assert len(samples) / 16000 == pytest.approx(declared, abs=0.05)
            assert 0.001 < np.abs(samples).max() <= 1.0
