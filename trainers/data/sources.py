# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speech data from the Hub, folders and parquet files, as `datasets` rows that all stages share.

A row has the columns `audio` (struct of bytes and path, not decoded) or, after [`~decoding.decode_ahead`], `samples`
(int16, 16 kHz, mono); and `text`, `language` ("en", "zh", or "none" for rows without speech), `duration` in seconds,
`source`. `datasets`' own `Audio` feature needs torchcodec and FFmpeg to decode and, even with `decode=False`, to write
a row (in `map`, in a stream, in the audio folder builder); so `audio` is a plain struct here and soundfile reads it.

All rows are checked ([`~row_checks`]); `bad_rows` of a source says whether bad ones are refused or left out.
"""

import os
from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
from datasets import Audio, Dataset, Image, IterableDataset

from ..runs.settings import check_names
from .data_source import DataSource, as_source, open_source
from .decoding import decode_ahead, with_durations
from .row_checks import REFUSE, SKIP, checked_rows, normalized_labels, row_name, row_problem
from .shared_columns import has_shared_columns, to_shared_columns


def load_sources(
    sources: Sequence[DataSource | dict[str, Any] | Dataset | IterableDataset] | Dataset | IterableDataset,
    cache_dir: str | os.PathLike | None = None,
    decode_dir: str | os.PathLike | None = None,
    num_proc: int = 1,
) -> Dataset | IterableDataset:
    """Loads several sources and joins them, each row as often as its source's `repeat` says.

    Args:
        sources: The sources, dictionaries of their fields, or data sets as [`as_rows`] takes them; or one data set.
        cache_dir: Where `datasets` keeps what it prepares. None: its own cache.
        decode_dir: Where each source is decoded ahead, once however often it is repeated (see
            [`~decoding.decode_ahead`]). None: audio stays encoded.
        num_proc: Number of processes that decode.

    Returns:
        The rows, source after source.

    Raises:
        ValueError: No sources, an unknown field, or streamed and loaded sources mixed.
    """
    if isinstance(sources, (Dataset, IterableDataset, datasets.DatasetDict, str)):
        sources = [sources]
    sources = [source if isinstance(source, DataSource) else as_source(source) for source in sources]
    if not sources:
        raise ValueError("No data sources were given.")
    streamed = [_name(source) for source in sources if _is_streamed(source)]
    if streamed and (len(streamed) < len(sources) or decode_dir is not None):
        raise ValueError(f"Streamed sources can neither be mixed with loaded ones nor be decoded ahead: {streamed}.")
    parts = []
    for source in sources:
        given = not isinstance(source, DataSource)
        rows = as_rows(source) if given else load_source(source, cache_dir)
        if decode_dir is not None:
            rows = decode_ahead(rows, decode_dir, num_proc, None if given else source.bad_rows)
        parts.append(rows if given or source.repeat == 1 else rows.repeat(source.repeat))
    # A stream that is joined takes `max_rows` from each of its files.
    return parts[0] if streamed and len(parts) == 1 else datasets.concatenate_datasets(parts)


def _is_streamed(source: DataSource | Dataset | IterableDataset) -> bool:
    return source.streaming if isinstance(source, DataSource) else isinstance(source, IterableDataset)


def load_source(source: DataSource, cache_dir: str | os.PathLike | None = None) -> Dataset | IterableDataset:
    """Loads one source, filters it by duration and brings it to the shared columns (`repeat` is not applied).

    Args:
        source: The source.
        cache_dir: Where `datasets` keeps what it prepares. None: its own cache.

    Returns:
        Rows with the columns of this module's docstring. A row whose audio has to be read for its duration and cannot
        be is left out, with a warning that names it.

    Raises:
        FileNotFoundError: The path is neither a folder, nor a file, nor a Hub id that can be reached.
        ValueError: The split or a column is missing, rows lack text or language, no row is left, or something else
            than parquet is to be streamed.
    """
    return _prepared(open_source(source, cache_dir), source)


def as_rows(dataset: Dataset | IterableDataset, **fields: Any) -> Dataset | IterableDataset:
    """Brings any data set of speech to the shared columns: what [`load_source`] does after loading.

    Args:
        dataset: Rows with audio, as an `Audio` column (torchcodec is not needed), paths, bytes, or arrays with their
            sampling rate (`{"array": ..., "sampling_rate": ...}`, or lists beside a column `sampling_rate`), in the
            column `audio`; and with text. Durations are measured where there is no column `duration`.
        **fields: Fields of [`~data_source.DataSource`] that are no matter of loading: `language` for data without
            such a column, `text_column`, `bad_rows`, `name`, bounds, `extra_columns`.

    Example:
        rows = as_rows(load_dataset("my-org/speech", split="train"), language="en", text_column="sentence")
    """
    if isinstance(dataset, (datasets.DatasetDict, datasets.IterableDatasetDict)):
        raise ValueError(f"Give one split of the data set, as dataset['train']; it has {', '.join(dataset)}.")
    if not isinstance(dataset, (Dataset, IterableDataset)):
        raise ValueError(f"Rows come as a datasets.Dataset or IterableDataset, not as {type(dataset).__name__}.")
    known = set(DataSource.__dataclass_fields__) - {"path", "split", "config", "streaming", "repeat"}
    check_names(fields, known, "as_rows")
    return _prepared(dataset, DataSource(path=_name(dataset), **fields))


def trainer_rows(
    rows: Dataset | IterableDataset, text_column: str = "text", language: str | None = None, has_audio: bool = True
) -> Dataset | IterableDataset:
    """Rows that a trainer was given: as of [`as_rows`], with all their other columns, and checked.

    Args:
        rows: Rows of [`load_sources`], which stay as they are, or any data set of speech.
        text_column: Column with the transcripts.
        language: Language of rows without such a column.
        has_audio: Whether there must be audio.
    """
    if not isinstance(rows, (Dataset, IterableDataset)):
        return as_rows(rows)  # which says what may be given
    if rows.column_names is None:
        rows = rows._resolve_features()
    # Rows that were brought to the shared columns have their transcripts in `text`, wherever those came from.
    ready = has_shared_columns(rows.features) and (text_column == "text" or text_column not in rows.features)
    if not has_audio or (ready and isinstance(rows, IterableDataset)):
        return rows
    if ready:
        return checked_rows(rows, _name(rows), None)
    given = {name: feature for name, feature in rows.features.items() if not isinstance(feature, (Audio, Image))}
    fields = {"text_column": text_column, "extra_columns": list(given)}
    if "language" not in given:
        fields["language"] = language
    return _prepared(rows, DataSource(path=_name(rows), **fields), "source" in given)


def _name(source: DataSource | Dataset | IterableDataset) -> str:
    if isinstance(source, DataSource):
        return source.path
    return source.info.dataset_name or str(source.split or "data set")


def _prepared(
    rows: Dataset | IterableDataset, source: DataSource, is_named: bool = False
) -> Dataset | IterableDataset:
    """Rows with the shared columns, checked and bounded; with their own `source` where they are named."""
    name = None if is_named else source.name
    rows = to_shared_columns(rows, source.path, source.text_column, source.language, name, source.extra_columns)
    if isinstance(rows, IterableDataset):
        return _filter_stream(_checked_stream(with_durations(rows, source), source), source)
    rows = checked_rows(with_durations(rows, source), source.path, source.bad_rows)
    durations = np.asarray(rows.with_format("arrow")["duration"][:])
    keep = (durations >= source.min_duration) & (durations <= (source.max_duration or np.inf))
    rows = rows.select(np.flatnonzero(keep)[: source.max_rows])
    if not len(rows):
        raise ValueError(
            f"{source.path}: no row of split '{source.split}' has a duration within [{source.min_duration}, "
            f"{source.max_duration}] s."
        )
    return rows


def _checked_stream(rows: IterableDataset, source: DataSource) -> IterableDataset:
    """Streamed rows with text composed and languages as codes; bad ones are refused here or left out when read."""

    def check(row: dict[str, Any]) -> dict[str, Any]:
        text, language = normalized_labels(row["text"], row["language"])
        row = {**row, "text": text, "language": language}
        if source.bad_rows == REFUSE and (problem := row_problem(row)):
            raise ValueError(f"{row_name(row)}: {problem}. Leave such rows out with bad_rows='{SKIP}'.")
        return {"text": text, "language": language}

    return rows.map(check, features=rows.features)


def _filter_stream(rows: IterableDataset, source: DataSource) -> IterableDataset:
    rows = within_durations(rows, source.min_duration, source.max_duration or float("inf"))
    return rows if source.max_rows is None else rows.take(source.max_rows)


def within_durations(rows: IterableDataset, shortest: float, longest: float) -> IterableDataset:
    """Streamed rows whose `duration` is within these bounds, in seconds, or missing."""

    def is_within(duration: float | None) -> bool:
        # What is no duration is no short or long one: `row_problem` names it where the row is read.
        return duration is None or duration < 0 or not (duration < shortest or duration > longest)

    return rows.filter(is_within, input_columns="duration")
