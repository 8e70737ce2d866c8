# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Any data set as shards of rows, each read from where it was left.

A shard is a file of a stream or, where files are few, a row group of one; of what cannot be streamed it is that many
rows. How a corpus is cut depends on nothing but the corpus, so that another number of processes may go on with it.
Rows keep their order: shard after shard, and within each as they lie.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets import Audio, IterableDataset

from ..data.data_source import DataSource, open_stream
from ..data.shared_columns import to_shared_columns


# With fewer files than this, shards are their row groups: of more, opening each to count them would take minutes.
MIN_FILES = 1000
# Rows that are held at once end with this much encoded audio, whatever their number.
MAX_PART_BYTES = 2**28
# Language of rows of which nobody says it.
UNKNOWN = ""
AUDIO_COLUMNS = ("audio", "samples")


class UnreadableShard(Exception):
    """A shard whose file cannot be read, and why."""


@dataclass
class ShardPiece:
    """Consecutive rows of a shard: what is transcribed and written at once.

    Args:
        rows: With the shared columns; `text` is the reference, "" where none was asked for.
        state: Where the shard goes on behind them, as JSON can hold it; None: nowhere, they are its last.
    """

    rows: list[dict[str, Any]]
    state: dict[str, Any] | None

    @property
    def is_last(self) -> bool:
        return self.state is None


@dataclass
class Corpus:
    """Rows to transcribe.

    Args:
        rows: A stream with the shared columns.
        kept: Columns of the data set that the output has too.
        rows_per_part: Rows of a piece.
        max_rows: The first so many are wanted, which then are one shard. None: all.
    """

    rows: IterableDataset
    kept: pa.Schema
    rows_per_part: int
    max_rows: int | None = None

    @property
    def num_shards(self) -> int:
        return self.rows.num_shards if self.max_rows is None else 1

    def pieces(self, shard: int, state: dict[str, Any] | None = None) -> Iterator[ShardPiece]:
        """Pieces of a shard, from its beginning or from the state of another piece; at least one, maybe empty.

        Raises:
            UnreadableShard: its file cannot be read.
        """
        is_whole = self.max_rows is None
        rows = self.rows.shard(self.num_shards, shard) if is_whole else self.rows.take(self.max_rows)
        if state is not None:
            rows.load_state_dict(state)
        try:
            yield from self._cut(rows)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise UnreadableShard(" ".join(str(error).split()) or type(error).__name__) from error

    def _cut(self, rows: IterableDataset) -> Iterator[ShardPiece]:
        source, ahead = iter(rows), []
        while True:
            piece = self._take(chain(ahead, source))
            state = rows.state_dict()
            # Whether a row follows shows when it is read; the state is that of before.
            ahead = [row for row in [next(source, None)] if row is not None]
            yield ShardPiece(piece, state if ahead else None)
            if not ahead:
                return

    def _take(self, source: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
        piece, num_bytes = [], 0
        for row in source:
            if "samples" in row and row["samples"] is not None:
                # A list of integers takes 16 times the memory.
                row = {**row, "samples": np.array(row["samples"], dtype=np.int16)}
            piece.append(row)
            num_bytes += _num_bytes(row)
            if len(piece) == self.rows_per_part or num_bytes > MAX_PART_BYTES:
                break
        return piece


def _num_bytes(row: dict[str, Any]) -> int:
    if row.get("samples") is not None:
        return row["samples"].nbytes
    return len((row.get("audio") or {}).get("bytes") or b"")


def open_corpus(source: DataSource, keep_columns: Sequence[str] = (), rows_per_part: int = 1000) -> Corpus:
    """Rows of a data set with audio; nothing is read of them yet, and no row is left out.

    Args:
        source: Where they are; `text_column` None: they have no transcripts, or none that matters.
        keep_columns: Columns of the output beside its own, "audio" for one.
        rows_per_part: Rows that are transcribed and written at once; a killed run loses no more of each process.

    Raises:
        FileNotFoundError: there is no such data set.
        ValueError: a split or column is missing, or holds something else than it should.
    """
    rows = open_stream(source, rows_per_part)
    rows = rows._resolve_features() if rows.column_names is None else rows
    given = rows.features
    missing = [name for name in keep_columns if name not in given and name not in AUDIO_COLUMNS]
    if missing:
        raise ValueError(f"{source.path}: no column {', '.join(map(repr, missing))}; it has {', '.join(given)}.")
    if decoded := [name for name in keep_columns if isinstance(given.get(name), Audio) and name != "audio"]:
        raise ValueError(f"{source.path}: column {decoded[0]!r} is one more of audio, and only 'audio' is kept.")
    language = None if "language" in given else UNKNOWN
    extra = [name for name in keep_columns if name not in AUDIO_COLUMNS]
    rows = to_shared_columns(rows, source.path, source.text_column, language, source.name, extra)
    if merged := [name for name in extra if name not in rows.features]:
        place = "the output's `reference`" if merged[0] == source.text_column else "part of the audio"
        raise ValueError(f"{source.path}: column {merged[0]!r} cannot be kept: it is {place}.")
    audio = () if len(extra) == len(keep_columns) else AUDIO_COLUMNS
    kept = [name for name in rows.features if name in (*extra, *audio)]
    schema = datasets.Features({name: rows.features[name] for name in kept}).arrow_schema.remove_metadata()
    if rows.num_shards < MIN_FILES:
        # What is no parquet cannot be cut further.
        with suppress(NotImplementedError):
            rows = rows.reshard()
    return Corpus(rows, schema, rows_per_part, source.max_rows)
