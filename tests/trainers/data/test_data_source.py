# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sources: where they are looked for, and what is refused with what there is."""

import json

import pytest
from audio_rows import write_audio_folder, write_parquet

from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.sources import load_sources


def test_wrong_sources_are_refused_with_what_exists(tmp_path, load):
    folder = write_parquet(tmp_path / "words")
    for kwargs, message in (
        ({"split": "dev"}, "words: no split 'dev'; it has train"),
        ({"text_column": "sentence"}, "no column 'sentence'; it has audio, text, language, duration"),
    ):
        with pytest.raises(ValueError, match=message):
            load(folder, **kwargs)
    with pytest.raises(ValueError, match="no column 'language'.*Set language="):
        load(write_audio_folder(tmp_path / "recordings"))
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match="must be parquet"):
        load(tmp_path / "notes.txt")
    for path in (tmp_path / "absent", "some-org/some-dataset"):
        with pytest.raises(FileNotFoundError, match=str(path)):
            load(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no parquet"):
        load(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"unknown fields \['splits'\]"):
        load_sources([{"path": "x", "splits": "dev"}])
    with pytest.raises(ValueError, match="no 'path'"):
        load_sources([{"split": "dev"}])
    with pytest.raises(ValueError, match="No data sources"):
        load_sources([])


@pytest.mark.parametrize("change", [{"repeat": 0}, {"max_rows": 0}, {"min_duration": 3.0, "max_duration": 2.0}])
def test_wrong_fields_are_refused_by_name(change):
    with pytest.raises(ValueError, match=next(iter(change)).replace("min", "max")):
        DataSource("x", **change)


def test_parquet_file_and_names(tmp_path, load):
    file = write_parquet(tmp_path) / "data" / "train-00000-of-00001.parquet"
    assert set(load(file)["source"]) == {file.name}
    assert set(load(file, name="tones", language="zh")["language"]) == {"zh"}
    assert set(load(file, name="tones")["source"]) == {"tones"}


def test_folder_with_a_readme_follows_its_splits(tmp_path, load):
    folder = write_parquet(tmp_path / "words")
    write_parquet(folder, "odd", [0.7])
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: dev\n    path: data/odd-*.parquet\n---\n"
    )
    (folder / "metadata.jsonl").write_text('{"file_name": "elsewhere.ogg"}\n')
    assert len(load(folder, split="dev")) == 1
    with pytest.raises(ValueError, match="no split 'train'; it has dev"):
        load(folder)


def test_files_that_do_not_fit_together_are_told_by_source(tmp_path, load):
    folder = write_audio_folder(tmp_path / "mixed")
    lines = [{"file_name": "0.wav", "text": "one"}, {"file_name": "1.wav", "text": 2}]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(ValueError, match="mixed: its files cannot be read: .*text.* changed from string to number"):
        load(folder, language="en")
