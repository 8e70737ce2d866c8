# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is wrong with rows: all of them are looked at when they are loaded, streamed ones when they are read.

A bad row that nobody looks at ends a run hours after its start, or teaches something wrong. What can be
normalised is: a language in any usual form becomes its code, text in decomposed Unicode is composed.
"""

import logging
import math
import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from datasets import Dataset

from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH, language_code
from entropy_asr.modeling.spoken_text_entropy_asr import why_unreadable

from .columns_beside_audio import lacks_audio, replace_columns


logger = logging.getLogger(__name__)

REFUSE, SKIP = "refuse", "skip"
# Bad rows that a message names.
MAX_NAMED = 5


def normalized_labels(text: Any, language: Any) -> tuple[Any, Any]:
    """Text composed (NFC) and the language's code; what is neither text nor a language is given back as it is."""
    with suppress(ValueError):  # named by `row_problem`
        language = language_code(language, non_speech=True)
    return unicodedata.normalize("NFC", text) if isinstance(text, str) else text, language


def row_problem(row: dict[str, Any]) -> str | None:
    """Why a row with `text`, `language` and `duration` cannot be trained on; None where it can be."""
    missing = [name for name in ("text", "language", "audio", "samples") if name in row and is_missing(row[name])]
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
        return why_unreadable(text) or "it has no phoneme_ids"
    return None


def _is_visible(text: str) -> bool:
    """Whether a text holds anything but blanks, control characters and marks without width."""
    return any(unicodedata.category(character)[0] not in "CZ" for character in text)


def is_missing(value: Any) -> bool:
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
    pairs = [normalized_labels(*pair) for pair in zip(columns["text"], columns["language"], strict=True)]
    problems = [
        row_problem({"text": text, "language": language, "duration": duration})
        for (text, language), duration in zip(pairs, columns["duration"], strict=True)
    ]
    for index in np.flatnonzero(lacks_audio(rows)):
        problems[index] = "it has no audio"
    if bad_rows != SKIP:
        _refuse_mixed_tags(columns["language"], [language for _, language in pairs], name)
    rows = replace_columns(rows, text=[text for text, _ in pairs], language=[language for _, language in pairs])
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
    summary = f"{len(bad)} of {len(rows)} rows cannot be used: {'; '.join(named)}"
    if bad_rows != SKIP:
        raise ValueError(f"{name}: {summary}. Mend them, or leave them out with bad_rows='{SKIP}'.")
    if len(bad) == len(rows):
        raise ValueError(f"{name}: {summary}. None is left.")
    logger.warning(f"{name}: {summary}. They are left out.")
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
