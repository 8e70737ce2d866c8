# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rows of the output: one for each row of a corpus, in its order, errors among them; columns of every option."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from audio_rows import encode, tone
from corpora import corpus_row, heard, load_recognizer

from entropy_asr.trainers.transcription.transcripts import output_schema, transcribed


CHECKPOINT = Path(__file__).parents[3] / "spaces" / "demo" / "checkpoint"
NOTHING = pa.schema({})


def shared(number: int, **changes) -> dict:
    row = corpus_row(number)
    return {"audio": row["audio"], "text": row["text"], "language": "en", "source": "corpus", **changes}


def test_rows_keep_their_order_and_bad_ones_say_why():
    rows = [shared(number) for number in range(6)]
    rows[1]["audio"] = {"bytes": b"no recording", "path": "1.wav"}
    rows[2]["audio"] = None
    rows[3]["audio"] = {"bytes": encode(tone(0.01), container="WAV", subtype="PCM_16"), "path": "3.wav"}
    table, totals = transcribed(rows, load_recognizer(), None, output_schema({}, NOTHING, False))
    assert table["file"].to_pylist() == ["0.wav", "1.wav", None, "3.wav", "4.wav", "5.wav"]
    assert table["text"].to_pylist() == [heard(0), None, None, None, heard(4), heard(5)]
    errors = table["error"].to_pylist()
    assert [error is None for error in errors] == [True, False, False, False, True, True]
    assert errors[1].startswith("1.wav: ") and errors[2] == "it has no audio"
    assert errors[3] == "the recording is shorter than one frame"
    assert (totals.rows, totals.errors) == (6, 3)
    durations = table["duration"].to_pylist()
    assert durations[0] == 0.1 and durations[1] is None
    assert totals.seconds == pytest.approx(sum(durations[index] for index in (0, 4, 5)))


def test_nothing_at_all_is_a_table_too():
    table, totals = transcribed([], load_recognizer(), None, output_schema({}, NOTHING, False))
    assert len(table) == 0 and totals.rows == 0


def test_long_recordings_come_first_to_the_model():
    given = []

    def recognize(items):
        given.extend(int(item["path"].partition(".")[0]) for item in items)
        return [{"text": ""}] * len(items)

    rows = [shared(number, duration=seconds) for number, seconds in enumerate([1.0, 5.0, None, 3.0])]
    transcribed(rows, recognize, None, output_schema({}, NOTHING, False))
    assert given == [1, 3, 0, 2]


def test_samples_are_heard_as_recordings_are():
    rows = [{"samples": np.full(1600 * number, 99, np.int16), "text": "", "language": ""} for number in (2, 1)]
    rows.insert(1, {**rows[0], "samples": None})
    schema = output_schema({}, NOTHING, False)
    table, _ = transcribed([{**row, "source": "corpus"} for row in rows], load_recognizer(), None, schema)
    assert table["text"].to_pylist() == ["length 20", None, "length 10"]
    assert table["duration"].to_pylist() == [0.2, None, 0.1]


@pytest.mark.parametrize(
    ("told", "given", "expected"),
    [
        (None, "English", "en"),
        ("zh", "en", "zh"),
        (None, "none", "none"),
        (None, "", None),
        (None, "Klingon", "Klingon"),
    ],
)
def test_the_language_is_what_was_told_or_given(told, given, expected):
    table, _ = transcribed([shared(0, language=given)], load_recognizer(), told, output_schema({}, NOTHING, False))
    assert table["language"].to_pylist() == [expected]


def test_columns_of_a_corpus_that_are_called_as_references_are_kept_as_they_are():
    kept = pa.schema({"reference": pa.string(), "reference_language": pa.string()})
    rows = [shared(0, text="", reference="said before", reference_language="zh")]
    table, _ = transcribed(rows, load_recognizer(), None, output_schema({}, kept, False))
    assert table["reference"].to_pylist() == ["said before"] and table["reference_language"].to_pylist() == ["zh"]


def test_references_and_columns_are_kept():
    kept = pa.schema({"audio": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "id": pa.int64()})
    rows = [shared(number, id=number) for number in range(3)]
    table, _ = transcribed(rows, load_recognizer(), "zh", output_schema({}, kept, True))
    assert table["reference"].to_pylist() == ["said 0", "said 1", "said 2"]
    assert table["reference_language"].to_pylist() == ["en"] * 3
    assert table["id"].to_pylist() == [0, 1, 2]
    assert table["audio"].to_pylist() == [row["audio"] for row in rows]
    with pytest.raises(ValueError, match="'text' cannot be kept.*--text_column text"):
        output_schema({}, pa.schema({"text": pa.string()}), True)


@pytest.mark.parametrize(
    "options",
    [
        {"return_timestamps": "word", "return_confidence": True, "num_return_sequences": 2},
        {"return_timestamps": True, "return_language": True, "return_confidence": True, "num_return_sequences": 2},
        {"return_timestamps": "phoneme"},
    ],
)
def test_nothing_that_the_model_says_is_lost(options):
    pytest.importorskip("espeakng_loader")
    from entropy_asr.modeling import load_pipeline

    options = {"return_flags": True, **options}
    pipeline = load_pipeline(CHECKPOINT, device="cpu")
    recording = CHECKPOINT.parent / "examples" / "english.flac"
    row = shared(0, audio={"bytes": recording.read_bytes(), "path": "english.flac"})
    table, _ = transcribed(
        [row], partial(pipeline, batch_size=1, **options), None, output_schema(options, NOTHING, False)
    )
    expected = pipeline([row["audio"]], batch_size=1, **options)[0]
    written = table.to_pylist()[0]
    assert {name: written[name] for name in expected} == as_lists(expected)


def as_lists(value):
    if isinstance(value, dict):
        return {name: as_lists(part) for name, part in value.items()}
    return [as_lists(part) for part in value] if isinstance(value, (list, tuple)) else value
