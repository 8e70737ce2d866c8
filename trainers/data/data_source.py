# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Where rows come from: the Hub, folders and parquet files, and how each of them is opened."""

import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets import Audio, Dataset, IterableDataset
from datasets.packaged_modules.audiofolder.audiofolder import AudioFolder

from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH, language_code

from ..runs.settings import typed
from .row_checks import REFUSE, SKIP


@dataclass
@typed
class DataSource:
    """Where rows come from.

    Args:
        path: Hub id, folder (parquet files, `metadata.jsonl` beside audio files, audio files in folders, or one
            written by `Dataset.save_to_disk`), or parquet file.
        split: Split to load. A single parquet file or a saved `Dataset` has no splits: there it must stay "train".
        name: What the `source` column says. None: the last part of `path`.
        config: Configuration of a Hub data set that has several.
        text_column: Column with the transcript. None: the rows hold no speech, noise for one, and get an empty one.
        language: Language of all rows, in any usual form. None: the data set's `language` column.
        repeat: How often each row occurs in an epoch, or in a pass over a stream.
        max_rows: Largest number of rows, the first ones after filtering by duration. None: all. Of a stream that is
            joined with others or split among processes, the first ones of each of its files.
        min_duration: Shortest duration in seconds.
        max_duration: Longest duration in seconds. None: no bound.
        streaming: Read parquet row by row, on the Hub instead of downloading it first: for corpora that exceed the
            disk (see [`~streamed_rows`]).
        extra_columns: Further columns that are kept where the data set has them, such as "speaker_id".
        bad_rows: "refuse" ends loading with one error that names the first bad rows, "skip" leaves them out with a
            warning: without text or language, of an unknown one, text without speech or the other way round, an
            impossible duration, unreadable audio. None: "skip" for streamed rows, since none of them must end a run
            of days, and for audio, of which large corpora hold some damaged; "refuse" for all else, which costs
            nothing before a run has begun. Audio that is only decoded in training is replaced in either case.
    """

    path: str
    split: str = "train"
    name: str | None = None
    config: str | None = None
    text_column: str | None = "text"
    language: str | None = None
    repeat: int = 1
    max_rows: int | None = None
    min_duration: float = 0.0
    max_duration: float | None = None
    streaming: bool = False
    extra_columns: list[str] = field(default_factory=list)
    bad_rows: str | None = None

    def __post_init__(self):
        if self.language is not None:
            self.language = language_code(self.language, non_speech=True)
        if self.bad_rows not in (None, REFUSE, SKIP):
            raise ValueError(f"{self.path}: bad_rows is '{REFUSE}' or '{SKIP}', not {self.bad_rows!r}.")
        if self.text_column is None:
            if self.language not in (None, NON_SPEECH):
                raise ValueError(f"{self.path}: text_column=None means no speech, but language={self.language!r}.")
            self.language = NON_SPEECH
        if self.repeat < 1:
            raise ValueError(f"{self.path}: repeat must be at least 1, got {self.repeat}.")
        if self.max_rows is not None and self.max_rows < 1:
            raise ValueError(f"{self.path}: max_rows must be None or at least 1, got {self.max_rows}.")
        if self.max_duration is not None and self.max_duration <= self.min_duration:
            raise ValueError(
                f"{self.path}: max_duration={self.max_duration} must be above min_duration={self.min_duration}."
            )
        self.name = self.name or Path(self.path).name


def as_source(fields: Any) -> DataSource | Dataset | IterableDataset:
    """A source of its path or its fields; data sets, and what is none of all, are given back.

    Raises:
        ValueError: a field that is unknown, or no path.
    """
    if isinstance(fields, str):
        return DataSource(fields)
    if not isinstance(fields, dict) or isinstance(fields, (datasets.DatasetDict, datasets.IterableDatasetDict)):
        return fields  # `as_rows` says what may be given
    unknown = sorted(set(fields) - set(DataSource.__dataclass_fields__))
    if unknown or "path" not in fields:
        problem = f"unknown fields {unknown}" if unknown else "no 'path'"
        raise ValueError(f"Data source {fields}: {problem}; fields are {list(DataSource.__dataclass_fields__)}.")
    return DataSource(**fields)


class NotStreamable(ValueError):
    """A source that has to be loaded."""


class _PathOfAudio(Audio):
    """`Audio` whose rows are written without torchcodec, for data sets of single audio files."""

    def encode_example(self, value: str) -> dict[str, str | None]:
        return {"bytes": None, "path": value}


def open_source(source: DataSource, cache_dir: str | os.PathLike | None) -> Dataset | IterableDataset:
    """Rows of a source as they are, whatever their columns.

    Raises:
        FileNotFoundError: there is neither such a folder, nor such a file, nor such a data set on the Hub.
        ValueError: there is no such split, a file cannot be read, or something else than parquet is to be streamed.
    """
    path = Path(source.path).expanduser()
    if path.is_dir() and any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        return _open_saved(source, path)
    if path.is_file():
        return _open_parquet_file(source, path, cache_dir)
    try:
        builder = datasets.load_dataset_builder(
            str(path) if path.is_dir() else source.path, source.config, cache_dir=_text(cache_dir)
        )
    except (datasets.exceptions.DatasetNotFoundError, ConnectionError) as error:
        raise FileNotFoundError(
            f"{source.path}: neither a folder, nor a file, nor a Hub data set that can be reached ({error})."
        ) from error
    except (datasets.exceptions.DataFilesNotFoundError, FileNotFoundError) as error:
        raise FileNotFoundError(
            f"{source.path}: no such file, or no parquet, metadata.jsonl or audio files in the folder ({error})."
        ) from error
    _check_split(source, list(builder.config.data_files))
    if isinstance(builder, AudioFolder):
        builder.BASE_FEATURE = _PathOfAudio
        if source.streaming:
            raise NotStreamable(f"{source.path}: only parquet can be streamed, not single audio files.")
    if source.streaming:
        return builder.as_streaming_dataset(source.split)
    try:
        builder.download_and_prepare()
    except (datasets.exceptions.DatasetGenerationError, pa.ArrowInvalid) as error:
        raise ValueError(f"{source.path}: its files cannot be read: {error.__cause__ or error}") from error
    return builder.as_dataset(source.split)


def open_stream(
    source: DataSource, rows_per_shard: int, cache_dir: str | os.PathLike | None = None
) -> IterableDataset:
    """Rows of a source as a stream of shards, whatever their columns, in their order.

    Args:
        source: Where they are. What can be streamed is, whatever `streaming` says.
        rows_per_shard: Rows of a shard where they have to be loaded; else a file is a shard.
        cache_dir: Where `datasets` keeps what it prepares.

    Raises:
        FileNotFoundError, ValueError: as [`open_source`].
    """
    try:
        return open_source(replace(source, streaming=True), cache_dir)
    except NotStreamable:
        rows = open_source(replace(source, streaming=False), cache_dir)
        return rows.to_iterable_dataset(num_shards=max(1, math.ceil(len(rows) / rows_per_shard)))


def _open_saved(source: DataSource, path: Path) -> Dataset:
    if source.streaming:
        raise NotStreamable(f"{source.path}: a saved data set is read from disk as it is; leave `streaming` out.")
    saved = datasets.load_from_disk(str(path))
    splits = saved if isinstance(saved, datasets.DatasetDict) else {"train": saved}
    _check_split(source, list(splits))
    return splits[source.split]


def _open_parquet_file(
    source: DataSource, path: Path, cache_dir: str | os.PathLike | None
) -> Dataset | IterableDataset:
    if path.suffix != ".parquet":
        raise ValueError(f"{source.path}: a data source that is a file must be parquet, not '{path.suffix}'.")
    _check_split(source, ["train"])
    return datasets.load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=_text(cache_dir), streaming=source.streaming
    )


def _text(path: str | os.PathLike | None) -> str | None:
    return None if path is None else os.fspath(path)


def _check_split(source: DataSource, splits: list[Any]) -> None:
    splits = [str(split) for split in splits]
    if source.split not in splits:
        raise ValueError(f"{source.path}: no split '{source.split}'; it has {', '.join(splits)}.")
