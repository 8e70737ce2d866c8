# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Corpora as shards: all rows in order, and from any place on the rows that are left."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from audio_rows import write_audio_folder
from corpora import write_corpus
from datasets import Dataset

from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.shared_columns import SAMPLES
from entropy_asr.trainers.transcription.corpus import UnreadableShard, open_corpus


def numbers(pieces) -> list[int]:
    return [int(row["audio"]["path"].rpartition("/")[2].partition(".")[0]) for piece in pieces for row in piece.rows]


def opened(path, rows_per_part=3, **fields):
    return open_corpus(DataSource(str(path), text_column=None, **fields), rows_per_part=rows_per_part)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "parquet")


@pytest.mark.parametrize("rows_per_part", [1, 3, 4, 100])
def test_shards_in_their_order_hold_all_rows_once(parquet, rows_per_part):
    corpus = opened(parquet, rows_per_part)
    # 8, 8 and 7 rows in row groups of four.
    assert corpus.num_shards == 6
    shards = [list(corpus.pieces(shard)) for shard in range(corpus.num_shards)]
    assert numbers(sum(shards, [])) == list(range(23))
    for pieces in shards:
        assert [piece.is_last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert {len(piece.rows) for piece in pieces[:-1]} <= {rows_per_part} and pieces[-1].rows


def test_a_shard_goes_on_behind_each_of_its_pieces(parquet):
    corpus = opened(parquet, 1)
    for shard in (0, 5):
        pieces = list(corpus.pieces(shard))
        for done, piece in enumerate(pieces[:-1], start=1):
            state = json.loads(json.dumps(piece.state))
            assert numbers(corpus.pieces(shard, state)) == numbers(pieces[done:])


def test_what_cannot_be_streamed_is_cut_evenly(tmp_path):
    corpus = opened(write_audio_folder(tmp_path / "recordings", seconds=[0.1] * 7))
    assert [numbers(corpus.pieces(shard)) for shard in range(corpus.num_shards)] == [[0, 1, 2], [3, 4], [5, 6]]
    rows = Dataset.from_dict({"samples": [[1, -2] * 800] * 4, "language": ["en"] * 4})
    rows.cast_column("samples", SAMPLES).save_to_disk(tmp_path / "saved")
    corpus = opened(tmp_path / "saved")
    assert corpus.num_shards == 2
    samples = next(corpus.pieces(0)).rows[0]["samples"]
    assert samples.dtype == np.int16 and samples[:2].tolist() == [1, -2]


def test_the_first_rows_are_those_of_the_whole(parquet):
    corpus = opened(parquet, 4, max_rows=10)
    pieces = list(corpus.pieces(0))
    assert corpus.num_shards == 1 and numbers(pieces) == list(range(10))
    assert numbers(corpus.pieces(0, pieces[0].state)) == list(range(4, 10))
    assert numbers(corpus.pieces(0)) == list(range(10))


def test_large_rows_make_small_pieces(parquet, monkeypatch):
    monkeypatch.setattr("entropy_asr.trainers.transcription.corpus.MAX_PART_BYTES", 5000)
    sizes = [len(piece.rows) for piece in opened(parquet, 100).pieces(0)]
    assert sum(sizes) == 4 and max(sizes) < 4


def test_columns_that_are_not_there_are_named(parquet):
    source = DataSource(str(parquet), text_column=None)
    with pytest.raises(ValueError, match="no column 'speaker'; it has audio, text, language, id"):
        open_corpus(source, ["id", "speaker"])
    assert open_corpus(source, ["id", "audio"]).kept.names == ["audio", "id"]
    with pytest.raises(ValueError, match="no column 'sentence'"):
        open_corpus(DataSource(str(parquet), text_column="sentence"))


def test_columns_that_go_into_others_are_not_lost_in_silence(tmp_path):
    numbered = write_corpus(tmp_path / "numbered")
    for path in numbered.glob("*.parquet"):
        table = pq.read_table(path)
        table = table.set_column(table.column_names.index("id"), "id", table["id"].cast("string"))
        pq.write_table(table.replace_schema_metadata(None), path)
    with pytest.raises(ValueError, match="column 'id' cannot be kept: it is the output's `reference`"):
        open_corpus(DataSource(str(numbered), text_column="id"), ["id"])
    rows = {"samples": [[1, -2] * 800], "sampling_rate": [16000], "text": ["one"], "language": ["en"]}
    Dataset.from_dict(rows).cast_column("samples", SAMPLES).save_to_disk(tmp_path / "saved")
    source = DataSource(str(tmp_path / "saved"), text_column=None)
    with pytest.raises(ValueError, match="column 'sampling_rate' cannot be kept: it is part of the audio"):
        open_corpus(source, ["sampling_rate"])
    assert open_corpus(source, ["samples"]).kept.names == open_corpus(source, ["audio"]).kept.names == ["samples"]


def test_a_damaged_file_is_an_unreadable_shard(tmp_path):
    folder = write_corpus(tmp_path / "corpus")
    damaged = folder / "train-00001-of-00003.parquet"
    content = bytearray(damaged.read_bytes())
    content[4:2000] = bytes(1996)  # its first row group
    damaged.write_bytes(content)
    corpus = opened(folder)
    assert numbers(corpus.pieces(0)) == [0, 1, 2, 3]
    with pytest.raises(UnreadableShard):
        list(corpus.pieces(2))
    assert numbers(corpus.pieces(3)) == [12, 13, 14, 15]
