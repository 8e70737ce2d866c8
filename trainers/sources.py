# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speech data from the Hub, folders and parquet files, as `datasets` rows that all stages share.

A row has the columns `audio` (struct of bytes and path, not decoded) or, after [`decode_ahead`], `samples` (int16,
16 kHz, mono); and `text`, `language` ("en", "zh", or "none" for rows without speech), `duration` in seconds, `source`.
`datasets`' own `Audio` feature needs torchcodec and FFmpeg to decode and, even with `decode=False`, to write a row (in
`map`, in a stream, in the audio folder builder); so `audio` is a plain struct here and soundfile reads it.
"""

import io
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import soundfile
import torch
from datasets import Audio, Dataset, IterableDataset, List, Value
from datasets.fingerprint import Hasher
from datasets.packaged_modules.audiofolder.audiofolder import AudioFolder

from entropy_asr.modeling.audio import AudioError, load_audio

from .settings import typed


logger = logging.getLogger(__name__)

SAMPLING_RATE = 16000
NON_SPEECH = "none"
ENCODED_AUDIO = {"bytes": Value("binary"), "path": Value("string")}
# Rows that are looked at for one to take an unreadable one's place.
MAX_REPLACEMENTS = 1000
# Part of the cache key of decoded audio: raise it when decoding changes.
_DECODER_VERSION = 1


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
        language: Language of all rows. None: the data set's `language` column.
        repeat: How often each row occurs in an epoch, or in a pass over a stream.
        max_rows: Largest number of rows, the first ones after filtering by duration. None: all. Of a stream that is
            joined with others or split among processes, the first ones of each of its files.
        min_duration: Shortest duration in seconds.
        max_duration: Longest duration in seconds. None: no bound.
        streaming: Read parquet row by row, on the Hub instead of downloading it first: for corpora that exceed the
            disk (see [`~streaming`]).
        extra_columns: Further columns that are kept where the data set has them, such as "speaker_id".
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

    def __post_init__(self):
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
    sources: Sequence[DataSource | dict[str, Any]],
    cache_dir: str | os.PathLike | None = None,
    decode_dir: str | os.PathLike | None = None,
    num_proc: int = 1,
) -> Dataset | IterableDataset:
    """Loads several sources and joins them, each row as often as its source's `repeat` says.

    Args:
        sources: The sources, or dictionaries of their fields.
        cache_dir: Where `datasets` keeps what it prepares. None: its own cache.
        decode_dir: Where each source is decoded ahead, once however often it is repeated (see [`decode_ahead`]).
            None: audio stays encoded.
        num_proc: Number of processes that decode.

    Returns:
        The rows, source after source.

    Raises:
        ValueError: No sources, an unknown field, or streamed and loaded sources mixed.
    """
    sources = [source if isinstance(source, DataSource) else _source_from_dict(source) for source in sources]
    if not sources:
        raise ValueError("No data sources were given.")
    streamed = [source.path for source in sources if source.streaming]
    if streamed and (len(streamed) < len(sources) or decode_dir is not None):
        raise ValueError(f"Streamed sources can neither be mixed with loaded ones nor be decoded ahead: {streamed}.")
    parts = []
    for source in sources:
        rows = load_source(source, cache_dir)
        if decode_dir is not None:
            rows = decode_ahead(rows, decode_dir, num_proc)
        parts.append(rows.repeat(source.repeat) if source.repeat > 1 else rows)
    # A stream that is joined takes `max_rows` from each of its files.
    return parts[0] if streamed and len(parts) == 1 else datasets.concatenate_datasets(parts)


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
    rows = _open(source, cache_dir)
    rows = _shared_columns(rows, source)
    if isinstance(rows, IterableDataset):
        return _filter_stream(rows, source)
    _check_text(rows, source)
    durations = np.asarray(rows.with_format("arrow")["duration"][:])
    keep = (durations >= source.min_duration) & (durations <= (source.max_duration or np.inf))
    rows = rows.select(np.flatnonzero(keep)[: source.max_rows])
    if not len(rows):
        raise ValueError(
            f"{source.path}: no row of split '{source.split}' has a duration within [{source.min_duration}, "
            f"{source.max_duration}] s."
        )
    return rows


def decode_ahead(dataset: Dataset, cache_dir: str | os.PathLike, num_proc: int = 1) -> Dataset:
    """Decodes audio once to memory-mapped 16 kHz mono int16 samples, so that no epoch decodes again.

    Rows whose audio cannot be decoded are left out, each with one warning that names the file and the reason, now and
    whenever the cached result is read. `duration` becomes the decoded one. A second call with the same rows reads the
    cache.

    Args:
        dataset: Rows with an `audio` column; rows with `samples` are returned as they are.
        cache_dir: Folder of the Arrow files (32 kB a second of audio).
        num_proc: Number of processes.

    Returns:
        Rows with `samples` in place of `audio`.

    Raises:
        ValueError: No row could be decoded.
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
    return _without_errors(decoded)


def add_beside(rows: Dataset, columns: Dataset) -> Dataset:
    """Rows with further columns that were computed from them; audio stays where it is.

    Rows that were selected from others are a list of places, and `concatenate_datasets` would first write all of them
    anew, audio and all: hundreds of GB for a thousand hours. So the columns are laid beside everything that was
    selected from, and the same places are selected again.

    Args:
        rows: Any rows.
        columns: As many rows, of small columns.
    """
    places = None if rows._indices is None else rows._indices.column(0).to_numpy()
    # A row that was selected twice may have two values.
    if places is None or len(np.unique(places)) < len(places):
        return datasets.concatenate_datasets([rows, columns], axis=1)
    everything = Dataset(rows.data, info=rows.info.copy(), split=rows.split, fingerprint=rows._fingerprint)
    spread = np.zeros(len(everything), dtype=np.int64)  # what is not selected gets the columns of any row
    spread[places] = np.arange(len(places))
    columns = columns.select(spread).flatten_indices()
    return datasets.concatenate_datasets([everything, columns], axis=1).select(places)


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


def _source_from_dict(fields: dict[str, Any]) -> DataSource:
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
    builder.download_and_prepare()
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


def _shared_columns(rows: Dataset | IterableDataset, source: DataSource) -> Dataset | IterableDataset:
    """Selects, names and types the shared columns, adding `language`, `duration` and `source` where needed."""
    if rows.column_names is None:
        rows = rows._resolve_features()
    audio = "samples" if "samples" in rows.column_names else "audio"
    transcript = [] if source.text_column is None else [source.text_column]
    needed = [audio, *transcript] + (["language"] if source.language is None else [])
    missing = [name for name in needed if name not in rows.column_names]
    if missing:
        hint = " Set language=... for data of one language." if missing == ["language"] else ""
        raise ValueError(
            f"{source.path}: no column {', '.join(map(repr, missing))}; it has {', '.join(rows.column_names)}.{hint}"
        )
    extra = [name for name in source.extra_columns if name in rows.column_names and name not in needed]
    given = needed + (["duration"] if "duration" in rows.column_names else []) + extra
    rows = rows.select_columns(given)
    if source.text_column not in (None, "text"):
        rows = rows.rename_column(source.text_column, "text")
    rows = rows.cast_column(audio, List(Value("int16")) if audio == "samples" else ENCODED_AUDIO)
    constants = {"source": source.name} | ({} if source.language is None else {"language": source.language})
    constants |= {"text": ""} if source.text_column is None else {}
    for name, value in constants.items():
        rows = _add_constant(rows, name, value)
    if "duration" not in given:
        rows = _add_durations(rows)
    for name, kind in {"text": "string", "language": "string", "duration": "float64", "source": "string"}.items():
        rows = rows.cast_column(name, Value(kind))
    return rows.select_columns([audio, "text", "language", "duration", "source", *extra])


def _add_constant(rows: Dataset | IterableDataset, name: str, value: str) -> Dataset | IterableDataset:
    if isinstance(rows, IterableDataset):
        features = datasets.Features({**rows.features, name: Value("string")})
        return rows.map(lambda row: {name: value}, features=features)
    return rows.add_column(name, [value] * len(rows))


def _add_durations(rows: Dataset | IterableDataset) -> Dataset | IterableDataset:
    """Adds `duration` read from the audio's header, leaving out rows whose header cannot be read."""
    features = datasets.Features({**rows.features, "duration": Value("float64"), "error": Value("string")})
    rows = rows.map(_measure_row, features=features)
    if isinstance(rows, IterableDataset):
        return rows.filter(_warn_if_error).remove_columns("error")
    return _without_errors(rows)


def _measure_row(row: dict[str, Any]) -> dict[str, Any]:
    if "samples" in row:
        return {"duration": len(row["samples"]) / SAMPLING_RATE, "error": None}
    audio = row["audio"]
    try:
        source = audio["path"] if audio["bytes"] is None else io.BytesIO(audio["bytes"])
        return {"duration": soundfile.info(source).duration, "error": None}
    except (soundfile.SoundFileError, TypeError) as error:
        return {"duration": 0.0, "error": f"{audio['path']}: {error}"}


def _decode_batch(batch: dict[str, list]) -> dict[str, list]:
    samples, errors = [], []
    for audio in batch["audio"]:
        try:
            samples.append(_to_int16(read_samples({"audio": audio})))
            errors.append(None)
        except AudioError as error:
            samples.append(np.zeros(0, dtype=np.int16))
            errors.append(_named(error, audio["path"]))
    return {"samples": samples, "duration": [len(x) / SAMPLING_RATE for x in samples], "error": errors}


def _to_int16(waveform: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(waveform * 32768.0), -32768, 32767).astype(np.int16)


def _named(error: AudioError, path: str | None) -> str:
    message = str(error)
    return message if path is None or path in message else f"{path}: {message}"


def _without_errors(rows: Dataset) -> Dataset:
    """Drops the rows that have an `error`, with one warning each, and the column."""
    errors = rows.with_format("arrow")["error"][:].to_pylist()
    bad = [(index, error) for index, error in enumerate(errors) if error is not None]
    for index, error in bad:
        logger.warning(f"Row {index} is left out: {error}")
    rows = rows.remove_columns("error")
    if not bad:
        return rows
    if len(bad) == len(rows):
        raise ValueError(f"None of the {len(bad)} rows has readable audio; the first: {bad[0][1]}")
    return rows.select(np.flatnonzero([error is None for error in errors]))


def _warn_if_error(row: dict[str, Any]) -> bool:
    if row["error"] is not None:
        logger.warning(f"A streamed row is left out: {row['error']}")
    return row["error"] is None


def _filter_stream(rows: IterableDataset, source: DataSource) -> IterableDataset:
    rows = within_durations(rows, source.min_duration, source.max_duration or float("inf"))
    return rows if source.max_rows is None else rows.take(source.max_rows)


def within_durations(rows: IterableDataset, shortest: float, longest: float) -> IterableDataset:
    """Streamed rows whose `duration` is within these bounds, in seconds, or missing."""
    return rows.filter(lambda duration: duration is None or shortest <= duration <= longest, input_columns="duration")


def row_problem(row: dict[str, Any]) -> str | None:
    """Why a streamed row cannot be trained on, None where it can be; of loaded rows all are checked at once."""
    if row["duration"] is None or not 0 < row["duration"] < float("inf"):
        return f"its duration is {row['duration']}"
    missing = [name for name in ("text", "language", "phoneme_ids") if name in row and row[name] is None]
    if missing:
        return f"it has no {', '.join(missing)}"
    if row["language"] == NON_SPEECH and row["text"]:
        return f"language '{NON_SPEECH}' says that it holds no speech, but it has the text {row['text']!r}"
    return None


def row_name(row: dict[str, Any]) -> str:
    """What warnings call a streamed row: its source, and its file or its text."""
    path = (row.get("audio") or {}).get("path")
    return f"{row['source']}, {path or repr(row['text'])}"


def _check_text(rows: Dataset, source: DataSource) -> None:
    """Refuses rows without a transcript or language, and non-speech rows that have a transcript."""
    table = rows.select_columns(["text", "language"]).with_format("arrow")[:]
    for name in ("text", "language"):
        if num_null := table.column(name).null_count:
            raise ValueError(f"{source.path}: {num_null} of {len(rows)} rows have no {name}.")
    texts, languages = table.column("text").to_pylist(), table.column("language").to_pylist()
    wrong = [text for text, language in zip(texts, languages, strict=True) if language == NON_SPEECH and text]
    if wrong:
        raise ValueError(
            f"{source.path}: rows of language '{NON_SPEECH}' hold no speech and must have an empty text, but "
            f"{len(wrong)} have one, the first {wrong[0]!r}."
        )
