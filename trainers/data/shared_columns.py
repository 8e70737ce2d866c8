# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Columns of any data set of speech, brought to those that all stages share (see [`~sources`])."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import datasets
import numpy as np
from datasets import Audio, ClassLabel, Dataset, IterableDataset, List, Value

from entropy_asr.modeling.audio import AudioError, load_audio


logger = logging.getLogger(__name__)

SAMPLING_RATE = 16000
ENCODED_AUDIO = {"bytes": Value("binary"), "path": Value("string")}
SAMPLES = List(Value("int16"))
TEXT_TYPES = ("string", "large_string", "null")
NUMBER_TYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "null")
BYTES_TYPES = ("binary", "large_binary")
Rows = Dataset | IterableDataset


def to_shared_columns(
    rows: Rows,
    name: str,
    text_column: str | None,
    language: str | None,
    source: str | None,
    extra_columns: Sequence[str] = (),
) -> Rows:
    """Selects, names and types the shared columns; `duration` only where the rows have it.

    Args:
        rows: Any rows with audio and text.
        name: What messages call them.
        text_column: Column with the transcript. None: the text is empty.
        language: Language of all rows. None: the column `language`.
        source: Value of the column `source`. None: the column itself.
        extra_columns: Further columns that are kept where there are such.

    Raises:
        ValueError: A column is missing or holds something else; names it.
    """
    rows = _plain(rows, name)
    audio = "samples" if "samples" in rows.column_names else "audio"
    transcript = [] if text_column is None else [text_column]
    constants = {"language": language, "source": source}
    needed = [audio, *transcript, *(column for column, value in constants.items() if value is None)]
    missing = [column for column in needed if column not in rows.column_names]
    if missing:
        raise ValueError(
            f"{name}: no column {', '.join(map(repr, missing))}; it has {', '.join(rows.column_names)}."
            + _hint(missing, text_column)
        )
    apart = {*needed, "text", "language", "duration", "source", "sampling_rate"}
    extra = [column for column in extra_columns if column in rows.column_names and column not in apart]
    kept = needed + [column for column in ("duration", "sampling_rate") if column in rows.column_names] + extra
    rows = rows.select_columns(kept)
    if text_column not in (None, "text"):
        rows = rows.rename_column(text_column, "text")
    rows, audio = _with_audio(rows, audio, name)
    constants |= {"text": ""} if text_column is None else {}
    for column, value in constants.items():
        rows = rows if value is None else _add_constant(rows, column, value)
    rows = _texts(rows, name)
    order = [audio, "text", "language", *(["duration"] if "duration" in kept else []), "source", *extra]
    return rows.select_columns(order)


def has_shared_columns(features: datasets.Features) -> bool:
    """Whether columns are the shared ones already."""
    audio = features.get("samples") == SAMPLES or features.get("audio") == ENCODED_AUDIO
    texts = all(features.get(column) == Value("string") for column in ("text", "language", "source"))
    return audio and texts and features.get("duration") == Value("float64")


def _hint(missing: list[str], text_column: str | None) -> str:
    hints = {
        "language": " Set language=... for data of one language (in trainers, in their arguments).",
        text_column: " Say which holds the transcripts with text_column=... (dataset_text_field=... of a trainer, "
        "--text_column of a command).",
    }
    return hints.get(missing[0], "") if len(missing) == 1 else ""


def _plain(rows: Rows, name: str) -> Rows:
    """Rows as Python values, with known columns; a transform of theirs cannot be kept."""
    if isinstance(rows, IterableDataset):
        rows = rows._resolve_features() if rows.column_names is None else rows
        return rows.with_format(None)
    if rows.format["type"] == "custom":
        raise ValueError(f"{name}: its transform (set_transform) would be lost here: apply it with `map`.")
    return rows if rows.format["type"] is None else rows.with_format(None)


def _with_audio(rows: Rows, column: str, name: str) -> tuple[Rows, str]:
    """Rows with their audio as one of the two shared columns, and its name."""
    feature = rows.features[column]
    if column == "samples":
        if not _is_list(feature) or feature.feature.dtype not in ("int16", "null"):
            raise ValueError(
                f"{name}: column 'samples' holds {_type_name(feature)}, not int16 at 16 kHz; call it 'audio' "
                "and give a column 'sampling_rate'."
            )
        rows = _cast(rows, column, SAMPLES)
        if "sampling_rate" in rows.column_names:
            rows = _map(rows, column, column, SAMPLES, partial(_samples_beside_rate, column=column, name=name))
        return rows, column
    if isinstance(feature, Audio) or (isinstance(feature, dict) and set(feature) == set(ENCODED_AUDIO)):
        return _cast(rows, column, ENCODED_AUDIO), column
    if isinstance(feature, dict) and {"array", "sampling_rate"} <= set(feature):
        return _map(rows, column, "samples", SAMPLES, partial(_samples_of, column=column, name=name)), "samples"
    if _is_list(feature) and "sampling_rate" in rows.column_names:
        convert = partial(_samples_beside_rate, column=column, name=name)
        return _map(rows, column, "samples", SAMPLES, convert), "samples"
    if not _is_encoded(feature):
        reason = ", which need a column 'sampling_rate'" if _is_list(feature) else ""
        raise ValueError(
            f"{name}: column 'audio' holds {_type_name(feature)}{reason}; audio is an Audio column, paths, bytes, or "
            "arrays with their sampling rate."
        )
    return _map(rows, column, column, ENCODED_AUDIO, partial(_encoded_of, column=column)), column


def _is_encoded(feature: Any) -> bool:
    """Whether a column of this type holds paths, bytes, or either of them in a mapping."""
    if isinstance(feature, dict):
        return not set(feature).isdisjoint(ENCODED_AUDIO)
    return getattr(feature, "dtype", None) in (*TEXT_TYPES[:2], *BYTES_TYPES)


def _encoded(audio: Any) -> dict[str, Any] | None:
    if audio is None:
        return None
    if isinstance(audio, dict):
        return {part: audio.get(part) for part in ENCODED_AUDIO}
    return {"bytes": None, "path": audio} if isinstance(audio, str) else {"bytes": audio, "path": None}


def _encoded_of(row: dict[str, Any], column: str) -> dict[str, Any] | None:
    return _encoded(row[column])


def _samples_of(row: dict[str, Any], column: str, name: str) -> np.ndarray | None:
    return _samples(row[column], name)


def _samples_beside_rate(row: dict[str, Any], column: str, name: str) -> np.ndarray | None:
    """As of [`_samples`]; int16 as it is where the rate is that of all rows."""
    samples, rate = row[column], row["sampling_rate"]
    if column == "samples" and rate == SAMPLING_RATE:
        return samples
    if column == "samples" and samples is not None:
        samples = np.asarray(samples, dtype=np.float32) / 32768.0
    return _samples({"array": samples, "sampling_rate": rate}, name)


def _samples(audio: dict[str, Any] | None, name: str) -> np.ndarray | None:
    """16-bit samples at 16 kHz, `(num_samples,)`; None, with a warning, where the array cannot be used."""
    if audio is None or audio["array"] is None or audio["sampling_rate"] is None:
        return None
    try:
        array = np.asarray(audio["array"], dtype=np.float32)
        return to_int16(load_audio(array, audio["sampling_rate"], SAMPLING_RATE))
    except (AudioError, ValueError, TypeError) as error:
        logger.warning(f"{name}: an array of samples cannot be used: {error}")
        return None


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """16-bit samples `(num_samples,)` of a waveform in [-1, 1]."""
    return np.clip(np.rint(waveform * 32768.0), -32768, 32767).astype(np.int16)


def _map(rows: Rows, column: str, new: str, feature: Any, convert: Callable[[dict], Any]) -> Rows:
    """Rows with a column computed anew by `convert`, a function of a module (or `partial` of one).

    `datasets` hashes what it maps with, to find its results again: of a lambda it would look at all that this
    module can reach, which takes many seconds, fails, and leaves nothing to be found.
    """
    others = {key: value for key, value in rows.features.items() if key != column}
    return rows.map(
        partial(_converted, new=new, convert=convert),
        remove_columns=[column] if new != column else None,
        features=datasets.Features({**others, new: feature}),
    )


def _converted(row: dict[str, Any], new: str, convert: Callable[[dict], Any]) -> dict[str, Any]:
    return {new: convert(row)}


def _texts(rows: Rows, name: str) -> Rows:
    """Text columns as strings, class labels by their names, and durations as numbers."""
    for column in ("text", "language", "source"):
        feature = rows.features[column]
        if isinstance(feature, ClassLabel):
            rows = _map(rows, column, column, Value("string"), partial(_label, column=column, names=feature.names))
        elif getattr(feature, "dtype", None) not in TEXT_TYPES:
            raise ValueError(f"{name}: column '{column}' holds {_type_name(feature)}, not text.")
        rows = _cast(rows, column, Value("string"))
    if "duration" in rows.column_names:
        feature = rows.features["duration"]
        if getattr(feature, "dtype", None) not in (*NUMBER_TYPES, "float64"):
            raise ValueError(f"{name}: column 'duration' holds {_type_name(feature)}, not seconds.")
        rows = _cast(rows, "duration", Value("float64"))
    return rows


def _label(row: dict[str, Any], column: str, names: list[str]) -> str | None:
    return None if row[column] is None or row[column] < 0 else names[row[column]]


def _is_list(feature: Any) -> bool:
    return isinstance(feature, List) and isinstance(feature.feature, Value)


def _type_name(feature: Any) -> str:
    if _is_list(feature):
        return f"lists of {feature.feature.dtype}"
    return str(getattr(feature, "dtype", None) or type(feature).__name__)


def _cast(rows: Rows, column: str, feature: Any) -> Rows:
    """Rows with a column of another type; of the same type, untouched."""
    if rows.features[column] == feature:
        return rows
    with without_bars():
        return rows.cast_column(column, feature)


@contextmanager
def without_bars() -> Iterator[None]:
    """No progress bars of `datasets` meanwhile: for what is done at once, or would only say "Casting the dataset"."""
    were_shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if were_shown:
            datasets.enable_progress_bars()


def _add_constant(rows: Rows, name: str, value: str) -> Rows:
    if isinstance(rows, IterableDataset):
        features = datasets.Features({**rows.features, name: Value("string")})
        return rows.map(lambda row: {name: value}, features=features)
    return rows.add_column(name, [value] * len(rows))
