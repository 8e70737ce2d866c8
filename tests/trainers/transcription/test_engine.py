# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Shards shared out to processes: several do what one does, and one that cannot be read costs itself."""

import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import heard, load_recognizer, write_corpus

from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.transcription import engine
from entropy_asr.trainers.transcription.corpus import open_corpus
from entropy_asr.trainers.transcription.engine import CorpusTranscriber, progress_over_all
from entropy_asr.trainers.transcription.parts import Parts
from entropy_asr.trainers.transcription.transcripts import output_schema


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "parquet")


def transcriber(folder, output, load=load_recognizer) -> CorpusTranscriber:
    corpus = open_corpus(DataSource(str(folder), text_column=None), ["id"], rows_per_part=3)
    parts = Parts(output, {"model": "stand-in"})
    return CorpusTranscriber(corpus, parts, output_schema({}, corpus.kept, False), load)


def by(num_processes: int, folder, output) -> bytes:
    """The output of so many processes, one after the other, the last one first."""
    makes = [transcriber(folder, output) for _ in range(num_processes)]
    makes[0].parts.prepare(makes[0].corpus.num_shards)
    for index in reversed(range(num_processes)):
        makes[index].transcribe(range(index, makes[index].corpus.num_shards, num_processes))
    makes[0].wait()
    makes[0].parts.finish(makes[0].corpus.num_shards)
    return output.read_bytes()


@pytest.mark.parametrize("num_processes", [2, 5, 9])
def test_several_processes_write_what_one_writes(folder, tmp_path, num_processes):
    alone = by(1, folder, tmp_path / "one.parquet")
    assert by(num_processes, folder, tmp_path / "several.parquet") == alone
    table = pq.read_table(pa.BufferReader(alone))
    assert table["id"].to_pylist() == list(range(23))
    assert table["text"].to_pylist() == [None if number == 4 else heard(number) for number in range(23)]


def test_another_number_of_processes_goes_on(folder, tmp_path):
    alone = by(1, folder, tmp_path / "one.parquet")
    first = transcriber(folder, tmp_path / "out.parquet")
    first.parts.prepare(6)
    first.transcribe([1, 4])
    assert first.missing() == [0, 2, 3, 5]
    assert by(2, folder, tmp_path / "out.parquet") == alone


def test_what_is_done_needs_no_model(folder, tmp_path):
    def load():
        raise AssertionError("the model was loaded")

    done = transcriber(folder, tmp_path / "out.parquet")
    done.parts.prepare(6)
    done.transcribe(range(6))
    transcriber(folder, tmp_path / "out.parquet", load).transcribe(range(6))


def test_a_shard_that_cannot_be_read_costs_itself_until_it_can(tmp_path):
    folder = write_corpus(tmp_path / "corpus")
    alone = by(1, folder, tmp_path / "one.parquet")
    damaged = folder / "train-00001-of-00003.parquet"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:4] + bytes(1996) + whole[2000:])  # its first row group
    run = transcriber(folder, tmp_path / "out.parquet")
    run.parts.prepare(6)
    run.transcribe(range(6))
    run.wait()
    assert list(run.parts.failures()) == [2] and run.missing() == [2]
    damaged.write_bytes(whole)
    assert by(1, folder, tmp_path / "out.parquet") == alone


def test_the_first_process_waits_for_the_others_and_counts_their_rows(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(engine, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(engine, "QUIET_SECONDS", 0.05)
    first, second = (transcriber(folder, tmp_path / "out.parquet") for _ in range(2))
    first.parts.prepare(6)

    def later():
        time.sleep(0.3)
        second.transcribe(range(1, 6, 2))

    other = threading.Thread(target=later)
    with progress_over_all(first.parts, 6):
        first.transcribe(range(0, 6, 2))
        other.start()
        first.wait()
    assert first.missing() == []
    other.join()
    bar = capsys.readouterr().err.split("\r")[-1]
    assert "6/6" in bar and "23 rows, 1 of them with errors" in bar
