# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Audio of rows: read, measured, and decoded ahead once so that no epoch decodes again."""

import logging
import os
from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
from datasets import Dataset, IterableDataset, List, Value
from datasets.fingerprint import Hasher

from entropy_asr.modeling.audio import AudioError, load_audio, measure_duration

from .data_source import DataSource
from .row_checks import REFUSE, is_missing, without_bad_rows
from .shared_columns import SAMPLING_RATE, to_int16


logger = logging.getLogger(__name__)

# Part of the cache key of decoded audio: raise it when decoding changes.
_DECODER_VERSION = 2


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


def with_durations(rows: Dataset | IterableDataset, source: DataSource) -> Dataset | IterableDataset:
    """Rows with the column `duration`; where it is measured, those whose audio cannot be read are bad rows."""
    if "duration" in rows.column_names:
        return rows
    order = list(rows.column_names)
    order.insert(order.index("source"), "duration")
    features = datasets.Features({**rows.features, "duration": Value("float64"), "error": Value("string")})
    if isinstance(rows, IterableDataset):
        rows = rows.map(_measure_row, features=features)
        return rows.filter(_has_no_error(source)).select_columns(order)
    rows = rows.map(_measure_row, features=features, desc="Measuring durations")
    return _without_errors(rows, source.bad_rows, source.path).select_columns(order)


def _measure_row(row: dict[str, Any]) -> dict[str, Any]:
    if all(is_missing(row.get(name)) for name in ("samples", "audio")):
        return {"duration": None, "error": None}  # named by `row_problem`
    if "samples" in row:
        return {"duration": len(row["samples"]) / SAMPLING_RATE, "error": None}
    audio = row["audio"]
    try:
        # By the header where it can be trusted, else by decoding.
        return {"duration": measure_duration(audio), "error": None}
    except AudioError as error:
        return {"duration": 0.0, "error": _with_path(error, audio["path"])}


def _decode_batch(batch: dict[str, list]) -> dict[str, list]:
    samples, errors = [], []
    for audio in batch["audio"]:
        try:
            samples.append(to_int16(read_samples({"audio": audio})))
            errors.append(None)
        except AudioError as error:
            samples.append(np.zeros(0, dtype=np.int16))
            errors.append(_with_path(error, audio["path"]))
    return {"samples": samples, "duration": [len(x) / SAMPLING_RATE for x in samples], "error": errors}


def _with_path(error: AudioError, path: str | None) -> str:
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
        reason = f"None of the {len(bad)} rows has readable audio; the first: {bad[0][1]}"
        raise ValueError(f"{name}: {reason}" if name else reason)
    return rows.select(np.flatnonzero([error is None for error in errors]))


def _has_no_error(source: DataSource) -> Callable[[dict[str, Any]], bool]:
    def is_good(row: dict[str, Any]) -> bool:
        if row["error"] is not None and source.bad_rows == REFUSE:
            raise ValueError(f"{source.path}: a streamed row cannot be used: {row['error']}.")
        if row["error"] is not None:
            logger.warning(f"{source.path}: a streamed row is left out: {row['error']}")
        return row["error"] is None

    return is_good
