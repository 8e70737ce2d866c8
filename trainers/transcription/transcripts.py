# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Transcripts as rows: one for each row of the corpus, in columns whose names and types are those of all parts.

`text`, `language`, `duration` and `source` are named as in training data ([`~data.sources`]): with `audio` kept, the
output is training data. A row that could not be transcribed has no text and says why in `error`.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa

from entropy_asr.modeling.audio import AudioError, measure_duration
from entropy_asr.modeling.languages_entropy_asr import language_code

from ..data.row_checks import is_missing
from ..data.shared_columns import SAMPLING_RATE
from .corpus import UNKNOWN
from .parts import Totals


# Of every output.
COLUMNS = {
    "file": pa.string(),
    "text": pa.string(),
    "language": pa.string(),
    "duration": pa.float64(),
    "source": pa.string(),
    "error": pa.string(),
    "flags": pa.list_(pa.string()),
}
HYPOTHESIS = pa.struct(
    {
        "text": pa.string(),
        "score": pa.float64(),
        "llm_log_prob": pa.float64(),
        "token_log_probs": pa.list_(pa.float64()),
        "ctc_log_prob": pa.float64(),
        "confidence": pa.float64(),
    }
)
# By the pipeline's option that asks for them: of a row, and of each of its segments.
WITHIN = {
    "return_confidence": {"confidence": pa.float64()},
    "return_language": {"language": pa.string(), "language_probability": pa.float64()},
    "num_return_sequences": {"hypotheses": pa.list_(HYPOTHESIS)},
}
# What the corpus says: `language` may be given or detected.
REFERENCE = {"reference": pa.string(), "reference_language": pa.string()}
# A list of items, and their results in order: `{"text": ...}` or `{"error": ...}`, as the pipeline gives them.
Recognizer = Callable[[list[Any]], Sequence[dict[str, Any]]]


def output_schema(options: dict[str, Any], kept: pa.Schema, has_reference: bool) -> pa.Schema:
    """Columns of the output.

    Args:
        options: Of the pipeline.
        kept: Columns that come from the corpus.
        has_reference: Whether there are transcripts to compare with.

    Raises:
        ValueError: two columns of one name.
    """
    fields = dict(COLUMNS) | (REFERENCE if has_reference else {})
    asked = {name: type for option, more in WITHIN.items() if options.get(option) for name, type in more.items()}
    fields |= asked
    if times := options.get("return_timestamps"):
        within = {"text": pa.string(), "timestamp": pa.list_(pa.float64())}
        if times is True:
            within |= {"flags": pa.list_(pa.string()), **asked}
        elif options.get("return_confidence"):
            within |= WITHIN["return_confidence"]
        fields["chunks"] = pa.list_(pa.struct(within))
    if options.get("return_hotwords"):
        fields["hotwords_found"] = pa.list_(pa.string())
    if taken := [name for name in kept.names if name in fields]:
        hint = f" As `reference` it is kept by --text_column {taken[0]}." if taken[0] == "text" else ""
        raise ValueError(f"Column {taken[0]!r} cannot be kept: the output has one of that name.{hint}")
    return pa.schema([*fields.items(), *kept])


def transcribed(
    rows: list[dict[str, Any]], recognize: Recognizer, language: str | None, schema: pa.Schema
) -> tuple[pa.Table, Totals]:
    """Transcripts of consecutive rows of a corpus, in their order.

    Args:
        rows: With the shared columns.
        recognize: Called once, with the audio of those that have some, from long to short, so that batches hold
            little padding.
        language: What the pipeline was told; None: it decided.
        schema: Of [`output_schema`].
    """
    durations = [_duration(row) for row in rows]
    readable = [index for index, row in enumerate(rows) if not is_missing(_audio(row))]
    readable.sort(key=lambda index: -(durations[index] or 0.0))
    results: list[dict[str, Any]] = [{"error": "it has no audio"}] * len(rows)
    found = recognize([_audio(rows[index]) for index in readable]) if readable else ()
    for index, result in zip(readable, found, strict=True):
        results[index] = result
    made = [
        _made(row, result, duration, language) for row, result, duration in zip(rows, results, durations, strict=True)
    ]
    good = [row["duration"] or 0.0 for row in made if row["error"] is None]
    totals = Totals(len(rows), len(rows) - len(good), round(sum(good), 3))
    return pa.Table.from_pylist(made, schema=schema), totals


def _made(row: dict[str, Any], result: dict[str, Any], duration: float | None, language: str | None) -> dict[str, Any]:
    """The output's row of a row of the corpus, with what is not wanted of it too."""
    error = result.get("error")
    # The pipeline names the item by its place among those that it was given.
    error = error and re.sub(r"^item \d+: ", "", error)
    given = row["language"]
    with suppress(ValueError):
        given = language_code(given, non_speech=True)
    given = None if given == UNKNOWN else given
    # Where the corpus is asked for references of its own, columns of these names are kept of it.
    references = {"reference": row["text"], "reference_language": given}
    labels = {
        "file": (row.get("audio") or {}).get("path"),
        "language": language or given,
        "duration": duration,
        "error": error,
    }
    return {**references, **row, **labels, **result, "text": None if error else result["text"], "error": error}


def _audio(row: dict[str, Any]) -> dict[str, Any] | None:
    """What the pipeline reads; None, or parts of None, where there is nothing."""
    if "samples" not in row:
        return row["audio"]
    if row["samples"] is None:
        return None
    return {"array": row["samples"] / np.float32(32768.0), "sampling_rate": SAMPLING_RATE}


def _duration(row: dict[str, Any]) -> float | None:
    """Seconds of audio, as the corpus says or as measured; None of what cannot be read."""
    if row.get("duration") is not None or is_missing(_audio(row)):
        return row.get("duration")
    if "samples" in row:
        return len(row["samples"]) / SAMPLING_RATE
    try:
        return measure_duration(row["audio"])
    except AudioError:  # the pipeline says what is wrong with it
        return None
