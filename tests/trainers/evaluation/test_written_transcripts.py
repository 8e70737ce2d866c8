# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What was transcribed in parts is scored as what is transcribed at once."""

import pyarrow as pa
import pytest

from entropy_asr.trainers.evaluation.written_transcripts import evaluate_transcripts
from entropy_asr.trainers.transcription.parts import Parts, Totals
from entropy_asr.trainers.transcription.transcripts import output_schema


ROWS = [
    {"text": "turn on", "reference": "turn it on", "reference_language": "en", "duration": 2.0, "file": "a.wav"},
    {"text": "打开", "reference": "打开", "reference_language": "zh", "duration": 1.0},
    {"text": None, "reference": "lost", "reference_language": "en", "error": "b.wav: it is none"},
    {"text": "", "reference": "", "reference_language": "none", "duration": 3.0},
]


def write(output, rows=ROWS, text_column="text", is_finished=True):
    parts = Parts(output, {"text_column": text_column, "no_guards": False}, {"dataset": "d", "model": "m"})
    parts.prepare(1)
    table = pa.Table.from_pylist(rows, schema=output_schema({}, pa.schema({}), text_column is not None))
    parts.write(0, 0, True, table, {"state": None, "totals": vars(Totals(len(rows)))})
    if is_finished:
        parts.finish(1)
    return output


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_rates_transcripts_and_errors(tmp_path, name):
    score, result = evaluate_transcripts(write(tmp_path / name))
    assert (score.wer, score.cer) == (pytest.approx(1 / 3), 0.0)
    assert (result["wer"], result["utterances"], result["audio_seconds"]) == (pytest.approx(1 / 3), 3, 6.0)
    assert result["unreadable"] == ["row 2: b.wav: it is none"]
    assert score.transcripts[0] == {
        "file": "a.wav",
        "language": "en",
        "reference": "turn it on",
        "hypothesis": "turn on",
    }
    assert result["hallucination"]["hallucination_rate"] == 0 and result["guards"] is True
    assert result["about"] == {"dataset": "d", "model": "m"}


def test_marks_and_capitals_are_counted_where_references_have_them(tmp_path):
    assert "written" not in evaluate_transcripts(write(tmp_path / "bare.parquet"))[1]
    rows = [{**ROWS[0], "reference": "Turn it on.", "text": "Turn on."}]
    _, result = evaluate_transcripts(write(tmp_path / "marked.parquet", rows))
    assert result["written"]["marks"]["f1"] == result["written"]["capitals"]["f1"] == 1


def test_what_cannot_be_scored_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not there or not finished"):
        evaluate_transcripts(tmp_path / "nowhere.parquet")
    with pytest.raises(ValueError, match="not there or not finished"):
        evaluate_transcripts(write(tmp_path / "half", is_finished=False))
    with pytest.raises(ValueError, match="has no references"):
        evaluate_transcripts(write(tmp_path / "bare.parquet", text_column=None))
    silent = write(tmp_path / "unknown.parquet", [{**ROWS[0], "reference_language": None}])
    with pytest.raises(ValueError, match="give it with --language"):
        evaluate_transcripts(silent)
    assert evaluate_transcripts(silent, "en")[0].wer == pytest.approx(1 / 3)
