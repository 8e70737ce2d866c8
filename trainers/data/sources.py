# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speech data from the Hub, folders and parquet files, as `datasets` rows that all stages share.

A row has the columns `audio` (struct of bytes and path, not decoded) or, after [`decode_ahead`], `samples` (int16,
16 kHz, mono); and `text`, `language` ("en", "zh", or "none" for rows without speech), `duration` in seconds, `source`.
`datasets`' own `Audio` feature needs torchcodec and FFmpeg to decode and, even with `decode=False`, to write a row (in
`map`, in a stream, in the audio folder builder); so `audio` is a plain struct here and soundfile reads it.

All rows are checked ([`~rows`]); `bad_rows` of a source says whether bad ones are refused or left out.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
from datasets import Audio, Dataset, Image, IterableDataset, List, Value
from datasets.fingerprint import Hasher
from datasets.packaged_modules.audiofolder.audiofolder import AudioFolder

from entropy_asr.modeling.audio import AudioError, load_audio, measure_duration
from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH, language_code

from ..runs.settings import check_names, typed
from .columns import is_shared, shared_columns, to_int16
from .rows import REFUSE, SKIP, checked_rows, is_nothing, row_name, row_problem, understood, without_bad_rows


logger = logging.getLogger(__name__)

SAMPLING_RATE = 16000
# Rows that are looked at for one to take an unreadable one's place.
MAX_REPLACEMENTS = 1000
# Part of the cache key of decoded audio: raise it when decoding changes.
_DECODER_VERSION = 2


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
            disk (see [`~streaming`]).
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


class _AudioPath(Audio):
    """`Audio` whose rows are written without torchcodec, for data sets of single audio files."""

    def encode_example(self, value: str) -> dict[str, str | None]:
        return {"bytes": None, "path": value}


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
        decode_dir: Where each source is decoded ahead, once however often it is repeated (see [`decode_ahead`]).
            None: audio stays encoded.
        num_proc: Number of processes that decode.

    Returns:
        The rows, source after source.

    Raises:
        ValueError: No sources, an unknown field, or streamed and loaded sources mixed.
    """
    if isinstance(sources, (Dataset, IterableDataset, datasets.DatasetDict, str)):
        sources = [sources]
    sources = [source if isinstance(source, DataSource) else _as_source(source) for source in sources]
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
    return _prepared(_open(source, cache_dir), source)


def as_rows(dataset: Dataset | IterableDataset, **fields: Any) -> Dataset | IterableDataset:
    """Brings any data set of speech to the shared columns: what [`load_source`] does after loading.

    Args:
        dataset: Rows with audio, as an `Audio` column (torchcodec is not needed), paths, bytes, or arrays with their
            sampling rate (`{"array": ..., "sampling_rate": ...}`, or lists beside a column `sampling_rate`), in the
            column `audio`; and with text. Durations are measured where there is no column `duration`.
        **fields: Fields of [`DataSource`] that are no matter of loading: `language` for data without such a column,
            `text_column`, `bad_rows`, `name`, bounds, `extra_columns`.

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
    ready = is_shared(rows.features) and (text_column == "text" or text_column not in rows.features)
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
    rows = shared_columns(rows, source.path, source.text_column, source.language, name, source.extra_columns)
    if isinstance(rows, IterableDataset):
        return _filter_stream(_checked_stream(_with_durations(rows, source), source), source)
    rows = checked_rows(_with_durations(rows, source), source.path, source.bad_rows)
    durations = np.asarray(rows.with_format("arrow")["duration"][:])
    keep = (durations >= source.min_duration) & (durations <= (source.max_duration or np.inf))
    rows = rows.select(np.flatnonzero(keep)[: source.max_rows])
    if not len(rows):
        raise ValueError(
            f"{source.path}: no row of split '{source.split}' has a duration within [{source.min_duration}, "
            f"{source.max_duration}] s."
        )
    return rows


def decode_ahead(
    dataset: Dataset, cache_dir: str | os.PathLike, num_proc: int = 1, bad_rows: str | None = None
) -> Dataset:
    """Decodes audio once to memory-mapped 16 kHz mono int16 samples, so that no epoch decodes again.

    Rows whose audio cannot be decoded are left out, each with one warning that names the file and the reason, now and
    whenever the cached result is read. `duration` becomes the decoded one. A second call with the same rows reads the
    cache.

    Args:
        dataset: Rows with an `audio` column; rows with `samples` are returned as they are.
        cache_dir: Folder of the Arrow files (32 kB a second of audio).
        num_proc: Number of processes.
        bad_rows: As of [`DataSource`]; None leaves rows out whose audio cannot be decoded.

    Returns:
        Rows with `samples` in place of `audio`.

    Raises:
        ValueError: No row could be decoded, or one could not with `bad_rows="refuse"`.
    """
    if "samples" in dataset.column_names:
        return dataset
    fingerprint = Hasher.hash((dataset._fingerprint, _DECODER_VERSION))
    os.makedirs(cache_dir, exist_ok=True)
    features = datasets.Features({name: dataset.features[name] for name in dataset.column_names if name != "audio"})
    decoded = dataset.map(
        _decode_batch,
        batched=True,
        batch_size=32,
        # Small record batches: a row is found by a bisection over them and read without copying.
        writer_batch_size=64,
        remove_columns=["audio"],
        features=datasets.Features({**features, "samples": List(Value("int16")), "error": Value("string")}),
        cache_file_name=os.path.join(cache_dir, f"decoded-{fingerprint}.arrow"),
        new_fingerprint=fingerprint,
        num_proc=num_proc if num_proc > 1 else None,
        desc="Decoding audio",
    )
    return _without_errors(decoded, bad_rows)


def read_samples(row: dict[str, Any]) -> np.ndarray:
    """Waveform of a row with either audio column.

    Args:
        row: A row with `samples` (int16) or `audio` (bytes, path).

    Returns:
        float32 waveform in [-1, 1] at 16 kHz, of shape `(num_samples,)`.

    Raises:
        AudioError: The audio cannot be decoded; the message names the file.
    """
    if "samples" in row:
        return np.asarray(row["samples"], dtype=np.int16).astype(np.float32) / 32768.0
    return load_audio(row["audio"], target_sampling_rate=SAMPLING_RATE)


class SpeechDataset(torch.utils.data.Dataset):
    """Map-style view of rows for a `DataLoader` with [`~batching.DurationBatchSampler`].

    Indexed by `index` or `(index, draw)`. A row is a dictionary with `samples` as float32 waveform of shape
    `(num_samples,)`, the other columns, `index`, and `draw` (0 where none was given). Reads the Arrow memory directly:
    `dataset[index]` would build a Python list of every sample.

    Args:
        rows: Rows of [`load_source`], [`load_sources`] or [`decode_ahead`].
        replace_unreadable: In the place of a row whose audio cannot be decoded give the next one that can be and is no
            longer, with a warning: the damaged file of a large corpus must not end a run. False: raise.

    Raises:
        AudioError: when indexed, where the audio cannot be decoded and is not to be replaced.
    """

    def __init__(self, rows: Dataset, replace_unreadable: bool = False):
        self.rows = rows
        self.replace_unreadable = replace_unreadable
        self._table = rows.with_format("arrow")
        self._samples = self._table.select_columns("samples") if "samples" in rows.column_names else None
        self._other_columns = [name for name in rows.column_names if name != "samples"]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        index, draw = key if isinstance(key, tuple) else (key, 0)
        try:
            return self._row(index, draw)
        except AudioError as error:
            if not self.replace_unreadable:
                raise
            logger.warning(f"Row {index} is replaced by another one: {error}")
            return self._row_in_place_of(index, draw, error)

    def _row_in_place_of(self, index: int, draw: int, error: AudioError) -> dict[str, Any]:
        """The next row, in the order of indices, that is readable and no longer: the batch keeps its bounds."""
        longest = self._duration(index)
        for step in range(1, min(len(self), MAX_REPLACEMENTS)):
            other = (index + step) % len(self)
            if self._duration(other) > longest:
                continue
            try:
                return self._row(other, draw)
            except AudioError:
                continue
        raise error

    def _duration(self, index: int) -> float:
        return self._table.select_columns("duration")[index].column(0)[0].as_py()

    def _row(self, index: int, draw: int) -> dict[str, Any]:
        table: pa.Table = self._table[index]
        row = {name: table.column(name)[0].as_py() for name in self._other_columns}
        samples = read_samples(row) if self._samples is None else read_samples({"samples": _row_samples(table)})
        row.pop("audio", None)
        return {**row, "samples": samples, "index": index, "draw": draw}

    def integer_samples(self, index: int) -> np.ndarray:
        """Stored samples of a decoded row: int16, of shape `(num_samples,)`, a read-only view of the file."""
        return _row_samples(self._samples[index])


def _row_samples(table: pa.Table) -> np.ndarray:
    return table.column("samples")[0].values.to_numpy()


def _as_source(fields: Any) -> DataSource | Dataset | IterableDataset:
    if isinstance(fields, str):
        return DataSource(fields)
    if not isinstance(fields, dict) or isinstance(fields, (datasets.DatasetDict, datasets.IterableDatasetDict)):
        return fields  # `as_rows` says what may be given
    unknown = sorted(set(fields) - set(DataSource.__dataclass_fields__))
    if unknown or "path" not in fields:
        problem = f"unknown fields {unknown}" if unknown else "no 'path'"
        raise ValueError(f"Data source {fields}: {problem}; fields are {list(DataSource.__dataclass_fields__)}.")
    return DataSource(**fields)


def _open(source: DataSource, cache_dir: str | os.PathLike | None) -> Dataset | IterableDataset:
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
        builder.BASE_FEATURE = _AudioPath
        if source.streaming:
            raise ValueError(f"{source.path}: only parquet can be streamed, not single audio files.")
    if source.streaming:
        return builder.as_streaming_dataset(source.split)
    try:
        builder.download_and_prepare()
    except (datasets.exceptions.DatasetGenerationError, pa.ArrowInvalid) as error:
        raise ValueError(f"{source.path}: its files cannot be read: {error.__cause__ or error}") from error
    return builder.as_dataset(source.split)


def _open_saved(source: DataSource, path: Path) -> Dataset:
    if source.streaming:
        raise ValueError(f"{source.path}: a saved data set is read from disk as it is; leave `streaming` out.")
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


def _with_durations(rows: Dataset | IterableDataset, source: DataSource) -> Dataset | IterableDataset:
    """Rows with the column `duration`; where it is measured, those whose audio cannot be read are bad rows."""
    if "duration" in rows.column_names:
        return rows
    order = list(rows.column_names)
    order.insert(order.index("source"), "duration")
    features = datasets.Features({**rows.features, "duration": Value("float64"), "error": Value("string")})
    if isinstance(rows, IterableDataset):
        rows = rows.map(_measure_row, features=features)
        return rows.filter(_no_error(source)).select_columns(order)
    rows = rows.map(_measure_row, features=features, desc="Measuring durations")
    return _without_errors(rows, source.bad_rows, source.path).select_columns(order)


def _measure_row(row: dict[str, Any]) -> dict[str, Any]:
    if all(is_nothing(row.get(name)) for name in ("samples", "audio")):
        return {"duration": None, "error": None}  # told by `row_problem`
    if "samples" in row:
        return {"duration": len(row["samples"]) / SAMPLING_RATE, "error": None}
    audio = row["audio"]
    try:
        # By the header where it can be trusted, else by decoding.
        return {"duration": measure_duration(audio), "error": None}
    except AudioError as error:
        return {"duration": 0.0, "error": _named(error, audio["path"])}


def _decode_batch(batch: dict[str, list]) -> dict[str, list]:
    samples, errors = [], []
    for audio in batch["audio"]:
        try:
            samples.append(to_int16(read_samples({"audio": audio})))
            errors.append(None)
        except AudioError as error:
            samples.append(np.zeros(0, dtype=np.int16))
            errors.append(_named(error, audio["path"]))
    return {"samples": samples, "duration": [len(x) / SAMPLING_RATE for x in samples], "error": errors}


def _named(error: AudioError, path: str | None) -> str:
    message = str(error)
    return message if path is None or path in message else f"{path}: {message}"


def _without_errors(rows: Dataset, bad_rows: str | None, name: str | None = None) -> Dataset:
    """Drops the rows that have an `error`, with one warning each, and the column; `name` is where they come from."""
    errors = rows.with_format("arrow")["error"][:].to_pylist()
    bad = [(index, error) for index, error in enumerate(errors) if error is not None]
    rows = rows.remove_columns("error")
    if bad and bad_rows == REFUSE:
        return without_bad_rows(rows, errors, name or "audio", bad_rows)
    for index, error in bad:
        logger.warning(f"{name}: row {index} is left out: {error}" if name else f"Row {index} is left out: {error}")
    if not bad:
        return rows
    if len(bad) == len(rows):
        told = f"None of the {len(bad)} rows has readable audio; the first: {bad[0][1]}"
        raise ValueError(f"{name}: {told}" if name else told)
    return rows.select(np.flatnonzero([error is None for error in errors]))


def _no_error(source: DataSource):
    def is_good(row: dict[str, Any]) -> bool:
        if row["error"] is not None and source.bad_rows == REFUSE:
            raise ValueError(f"{source.path}: a streamed row cannot be used: {row['error']}.")
        if row["error"] is not None:
            logger.warning(f"{source.path}: a streamed row is left out: {row['error']}")
        return row["error"] is None

    return is_good


def _checked_stream(rows: IterableDataset, source: DataSource) -> IterableDataset:
    """Streamed rows with text composed and languages as codes; bad ones are refused here or left out when read."""

    def check(row: dict[str, Any]) -> dict[str, Any]:
        text, language = understood(row["text"], row["language"])
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
        # What is no duration is no short or long one: it is told where the row is read.
        return duration is None or duration < 0 or not (duration < shortest or duration > longest)

    return rows.filter(is_within, input_columns="duration")
