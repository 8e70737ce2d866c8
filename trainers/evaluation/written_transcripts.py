# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores of transcripts in files: what `entropy-asr transcribe --dataset` writes, resumed as often as need be.

So a test set of any size is transcribed by many processes, and is scored without a model.
"""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ..transcription.parts import Parts
from .conditions import hallucination_figures, written_figures
from .error_rates import RecognitionScore, score_transcripts


COLUMNS = ("file", "text", "reference", "reference_language", "duration", "error")


def evaluate_transcripts(path: Path, language: str | None = None) -> tuple[RecognitionScore, dict[str, Any]]:
    """Score a finished output against the references in it.

    Args:
        path: File or folder.
        language: Of all rows. None: what the data set said.

    Returns:
        The score, and everything for `results.json`, as of [`~conditions.evaluate_under`]; with the record of how the
        transcripts were made as `transcribed`.

    Raises:
        ValueError: it is no such output, it is not finished, or it has no references or languages.
    """
    record = Parts(path, {}).record()
    if record is None or "totals" not in record:
        raise ValueError(f"{path}: is not there or not finished: run `transcribe --dataset` to its end")
    if record["settings"]["text_column"] is None:
        raise ValueError(f"{path}: has no references: transcribe with --text_column")
    rows = pq.read_table(path, columns=list(COLUMNS)).to_pylist()
    good = [row for row in rows if row["error"] is None]
    languages = [language or row["reference_language"] for row in good]
    if None in languages:
        raise ValueError(f"{path}: its data set does not say which language is spoken: give it with --language")
    references = [row["reference"] or "" for row in good]
    score = score_transcripts(references, [row["text"] for row in good], languages)
    score.transcripts = [
        {"file": row["file"] or "", "language": spoken, "reference": reference, "hypothesis": row["text"]}
        for row, spoken, reference in zip(good, languages, references, strict=True)
    ]
    score.unreadable = [f"row {index}: {row['error']}" for index, row in enumerate(rows) if row["error"] is not None]
    score.audio_seconds = sum(row["duration"] or 0.0 for row in good)
    result = score.to_dict() | {
        "guards": not record["settings"]["no_guards"],
        "hallucination": hallucination_figures(score),
        "conditions": {},
        "transcribed": record["settings"],
    }
    return score, result | written_figures(score) | {"about": record["about"]}
