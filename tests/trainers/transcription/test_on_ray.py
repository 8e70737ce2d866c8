# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Ray hands shards to workers, and goes on with one whose worker was killed; through the command, in
`tests/trainers/commands/test_transcribe_corpus.py`."""

import os
import signal
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from corpora import load_recognizer, write_corpus

from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.transcription.corpus import open_corpus
from entropy_asr.trainers.transcription.engine import CorpusTranscriber
from entropy_asr.trainers.transcription.parts import Parts
from entropy_asr.trainers.transcription.transcripts import output_schema


pytestmark = pytest.mark.slow
pytest.importorskip("ray")


def make(folder: Path, output: Path, is_killed: bool = False) -> CorpusTranscriber:
    corpus = open_corpus(DataSource(str(folder), text_column=None), ["id"], rows_per_part=2)
    load = partial(load_killed, output.with_name("killed")) if is_killed else load_recognizer
    return CorpusTranscriber(corpus, Parts(output, {}), output_schema({}, corpus.kept, False), load)


def load_killed(flag: Path):
    """The stand-in; the first worker of all is killed after its first part."""
    recognize, calls = load_recognizer(), []

    def dying(items):
        calls.append(items)
        if len(calls) == 2 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return recognize(items)

    return dying


def test_two_workers_one_of_them_killed_write_what_one_process_writes(tmp_path, monkeypatch):
    # Workers import this file and what it imports.
    places = (Path(__file__).parent, Path(__file__).parents[2] / "helpers")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, places)))
    from entropy_asr.trainers.transcription.on_ray import transcribe_on_ray

    folder = write_corpus(tmp_path / "corpus")
    alone = make(folder, tmp_path / "one.parquet")
    alone.parts.prepare(6)
    alone.transcribe(range(6))
    alone.parts.finish(6)
    several = make(folder, tmp_path / "two.parquet", is_killed=True)
    several.parts.prepare(6)
    transcribe_on_ray(partial(make, folder, tmp_path / "two.parquet", True), several.missing(), num_workers=2)
    assert (tmp_path / "killed").exists() and several.missing() == []
    several.parts.finish(6)
    assert pq.read_table(tmp_path / "two.parquet").equals(pq.read_table(tmp_path / "one.parquet"))
