# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a visitor sees of a transcript."""

import numpy as np
import pytest
import soundfile
from demo_streams import result_of

from entropy_asr.spaces.demo.transcript_view import transcript_html


def test_transcript_words_make_the_text(recognizer, recording):
    result = recognizer.transcribe(recording, "en")
    assert result["text"] and "".join(chunk["text"] for chunk in result["chunks"]).strip() == result["text"]
    shown = transcript_html(result, recording)
    assert shown.count("data-start") == len(result["chunks"])
    assert f'data-recording="{recording}"' in shown and f"{100 * result['confidence']:.0f} %" in shown


def test_flags_are_visible(recognizer, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(32000), 16000)
    result = recognizer.transcribe(str(tmp_path / "silence.wav"))
    assert result["text"] == "" and "No speech was heard" in transcript_html(result, "silence.wav")


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"hotwords": ["a", "b", "c"]}, "none of your 3 was heard"),
        ({"hotwords": ["Kaldi"], "hotwords_found": ["Kaldi"]}, "Hotwords found: <b>Kaldi</b> (1 of 1)</li>"),
        (
            {"hotwords": ["Kaldi", "k2", "<b>"], "hotwords_found": ["Kaldi", "<b>"]},
            "<b>Kaldi</b>, <b>&lt;b&gt;</b> (2 of 3), heard but not written: <i>&lt;b&gt;</i>",
        ),
        ({}, "Language: <b>English</b>, as you asked"),
        ({"language": "auto"}, "Language: <b>English</b>, as the model decided"),
        ({"language": "auto", "written_languages": ["en", "zh"]}, "<b>English and Mandarin</b>, as the model decided"),
    ],
)
def test_hotwords_and_language_that_were_heard_are_shown(facts, shown):
    page = transcript_html(result_of(**facts), "a.wav")
    assert shown in page and ("Hotwords" in page) == bool(facts.get("hotwords"))
