# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Results in OpenAI's formats, where the endpoint's own tests have no recording for it."""

import json

import pytest

from entropy_asr.spaces.server.openai_answers import make_answer, pipeline_options, spoken_language
from entropy_asr.spaces.server.openai_request import TranscriptionRequest


HEARD = {"language": "zh", "language_probability": 0.87654}
SILENCE = {"language": None, "language_probability": None}


@pytest.mark.parametrize(
    ("asked", "heard", "told"),
    [
        (None, HEARD, {"language": "chinese", "language_probability": 0.8765}),
        (None, SILENCE, {"language": "none"}),
        ("zh", {}, {"language": "chinese"}),
    ],
)
def test_language_is_the_one_asked_for_or_the_one_that_was_heard(asked, heard, told):
    assert spoken_language(TranscriptionRequest(language=asked), heard) == told
    options = pipeline_options(TranscriptionRequest(language=asked, response_format="verbose_json"), True)
    assert options["return_language"] is (asked is None)


def test_words_without_room_in_the_audio_have_times_too():
    """OpenAI's fields are numbers."""
    request = TranscriptionRequest(response_format="verbose_json", granularities=("word",), language="en")
    times = [("a", (0.0, 0.5)), (" b", (None, None)), (" c", (0.9, 1.02))]
    result = {"text": "a b c", "chunks": [{"text": text, "timestamp": time} for text, time in times]}
    words = json.loads(make_answer(request, result, 1.0).body)["words"]
    assert [tuple(word.values()) for word in words] == [("a", 0.0, 0.5), ("b", 0.5, 0.5), ("c", 0.9, 1.0)]


def test_segments_of_a_recording_in_which_nobody_speaks():
    request = TranscriptionRequest(response_format="verbose_json", language="en")
    answer = json.loads(make_answer(request, {"text": "", "segments": []}, 2.25).body)
    assert (answer["segments"], answer["duration"], answer["usage"]) == ([], 2.25, {"type": "duration", "seconds": 3})


def test_subtitles_have_the_times_of_segments_where_words_have_none():
    request = TranscriptionRequest(response_format="srt")
    assert pipeline_options(request, True)["return_timestamps"] == "word"
    assert pipeline_options(request, False)["return_timestamps"] is True


def test_only_a_temperature_draws():
    assert pipeline_options(TranscriptionRequest(), True) == {"language": "auto"}
    drawn = pipeline_options(TranscriptionRequest(temperature=0.5), True)["generate_kwargs"]
    assert drawn["do_sample"] and drawn["temperature"] == 0.5
