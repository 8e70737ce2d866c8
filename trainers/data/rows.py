# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is wrong with rows: all of them are looked at when they are loaded, streamed ones when they are read.

A bad row that nobody looks at ends a run hours after its start, or teaches something wrong. What can be understood is
understood: a language in any usual form becomes its code, text in decomposed Unicode is composed.
"""

import logging
import math
import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Value

from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH, language_code
from entropy_asr.modeling.spoken_text_entropy_asr import explain_unreadable


logger = logging.getLogger(__name__)

REFUSE, SKIP = "refuse", "skip"
# Bad rows that a message names.
MAX_NAMED = 5


def understood(text: Any, language: Any) -> tuple[Any, Any]:
    """Text composed (NFC) and the language's code; what is not understood is given back as it is."""
    with suppress(ValueError):  # named by `row_problem`
        language = language_code(language, non_speech=True)
    return unicodedata.normalize("NFC", text) if isinstance(text, str) else text, language


def row_problem(row: dict[str, Any]) -> str | None:
    """Why a row with `text`, `language` and `duration` cannot be trained on; None where it can be."""
    missing = [name for name in ("text", "language", "audio", "samples") if name in row and is_nothing(row[name])]
    if missing:
        return f"it has no {', '.join(missing)}"
    try:
        language = language_code(row["language"], non_speech=True)
    except ValueError as error:
        return str(error).removesuffix(".")
    text, duration = row["text"], row["duration"]
    if not isinstance(text, str):
        return f"its text is {text!r}"
    if language == NON_SPEECH and text:
        return f"language '{NON_SPEECH}' says that it holds no speech, but it has the text {text!r}"
    if language != NON_SPEECH and not _is_visible(text):
        return f"its text is empty; language '{NON_SPEECH}' would say that it holds no speech"
    if not isinstance(duration, (int, float)) or not 0 < duration < math.inf:
        return f"its duration is {duration}"
    if "phoneme_ids" in row and row["phoneme_ids"] is None:
        return explain_unreadable(text) or "it has no phoneme_ids"
    return None


def _is_visible(text: str) -> bool:
    """Whether a text holds anything but blanks, control characters and marks without width."""
    return any(unicodedata.category(character)[0] not in "CZ" for character in text)


def is_nothing(value: Any) -> bool:
    """Whether a value is missing; encoded audio is, without bytes and path."""
    return value is None or (isinstance(value, dict) and all(part is None for part in value.values()))


def row_name(row: dict[str, Any]) -> str:
    """What warnings call a streamed row: its source, and its file or its text."""
    path = (row.get("audio") or {}).get("path")
    return f"{row['source']}, {path or repr(row['text'])}"


def checked_rows(rows: Dataset, name: str, bad_rows: str | None) -> Dataset:
    """Rows that can be trained on, with text composed and languages as codes; audio stays where it is.

    Args:
        rows: Rows with the columns `text`, `language` and `duration`.
        name: What messages call where they come from.
        bad_rows: "skip" leaves bad rows out, with one warning; "refuse" or None raises.

    Raises:
        ValueError: There are bad rows, the first of which are named, or nothing but bad rows.
    """
    columns = {key: rows.with_format("arrow")[key][:].to_pylist() for key in ("text", "language", "duration")}
    pairs = [understood(*pair) for pair in zip(columns["text"], columns["language"], strict=True)]
    problems = [
        row_problem({"text": text, "language": language, "duration": duration})
        for (text, language), duration in zip(pairs, columns["duration"], strict=True)
    ]
    for index in np.flatnonzero(without_audio(rows)):
        problems[index] = "it has no audio"
    if bad_rows != SKIP:
        _refuse_mixed_tags(columns["language"], [language for _, language in pairs], name)
    rows = with_columns(rows, text=[text for text, _ in pairs], language=[language for _, language in pairs])
    return without_bad_rows(rows, problems, name, bad_rows)


def without_bad_rows(rows: Dataset, problems: Sequence[str | None], name: str, bad_rows: str | None) -> Dataset:
    """Rows that have no problem.

    Args:
        rows: The rows.
        problems: Why each of them cannot be used; None where it can be.
        name: What messages call where they come from.
        bad_rows: "skip" leaves bad rows out, with one warning; "refuse" or None raises.

    Raises:
        ValueError: There are bad rows, the first of which are named, or nothing but bad rows.
    """
    bad = [index for index, problem in enumerate(problems) if problem is not None]
    if not bad:
        return rows
    named = [f"row {index}{_file_of(rows, index)}: {problems[index]}" for index in bad[:MAX_NAMED]]
    named += [f"and {len(bad) - MAX_NAMED} more"] * (len(bad) > MAX_NAMED)
    told = f"{len(bad)} of {len(rows)} rows cannot be used: {'; '.join(named)}"
    if bad_rows != SKIP:
        raise ValueError(f"{name}: {told}. Mend them, or leave them out with bad_rows='{SKIP}'.")
    if len(bad) == len(rows):
        raise ValueError(f"{name}: {told}. None is left.")
    logger.warning(f"{name}: {told}. They are left out.")
    return rows.select(np.flatnonzero([problem is None for problem in problems]))


def _file_of(rows: Dataset, index: int) -> str:
    """ " (name.wav)" where the row's audio has a path; its bytes are not read into Python."""
    if "audio" not in rows.column_names:
        return ""
    audio = rows.select_columns("audio").with_format("arrow")[index].column("audio").combine_chunks()
    path = audio.field("path")[0].as_py() if audio[0].is_valid else None
    return f" ({path})" if path else ""


def _refuse_mixed_tags(written: list[Any], codes: list[Any], name: str) -> None:
    """A column where some rows say "en" and others "en-US" was joined of several: somebody should look at it."""
    first: dict[tuple[str, bool], int] = {}
    for row, (tag, code) in enumerate(zip(written, codes, strict=True)):
        if isinstance(tag, str):
            first.setdefault((code, re.search("[-_]", tag.strip()) is not None), row)
    for code, has_region in first:
        if has_region and (code, False) in first:
            row, other = first[code, True], first[code, False]
            raise ValueError(
                f"{name}: row {row} calls its language {written[row]!r}, row {other} {written[other]!r}: if they are "
                f"one, write one, give language='{code}' for all rows, or take them for one with bad_rows='{SKIP}'."
            )


def without_audio(rows: Dataset) -> np.ndarray:
    """Which rows have neither samples nor encoded audio, by the columns' validity alone: audio is not read."""
    name = next((name for name in ("samples", "audio") if name in rows.column_names), None)
    if name is None:
        return np.zeros(len(rows), dtype=bool)
    missing = []
    for chunk in rows.data.column(name).chunks:
        null = pc.is_null(chunk)
        if pa.types.is_struct(chunk.type):
            null = pc.or_(null, pc.and_(pc.is_null(chunk.field("bytes")), pc.is_null(chunk.field("path"))))
        missing.append(null.to_numpy(zero_copy_only=False))
    missing = np.concatenate(missing) if missing else np.zeros(0, dtype=bool)
    return missing if rows._indices is None else missing[rows._indices.column(0).to_numpy()]


def with_columns(rows: Dataset, **columns: list) -> Dataset:
    """Rows with other values in columns of text; those that stay as they are are not touched, nor is the audio."""
    table = rows.with_format("arrow")
    changed = {name: values for name, values in columns.items() if table[name][:].to_pylist() != values}
    if not changed:
        return rows
    order = rows.column_names
    features = datasets.Features({name: Value("string") for name in changed})
    rest = rows.remove_columns(list(changed))
    return add_beside(rest, Dataset.from_dict(changed, features=features)).select_columns(order)


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
