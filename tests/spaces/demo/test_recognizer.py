# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is asked of the demo's model, and its errors in words."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from entropy_asr.spaces.demo.recognizer import (
    DemoError,
    Recognizer,
    script_flags,
    written_languages,
)
from entropy_asr.spaces.demo.settings import DemoSettings
from entropy_asr.spaces.demo.transcript_view import flags_html


@pytest.mark.parametrize(
    ("text", "asked", "written", "flagged"),
    [
        ("hello there", "zh", ["en"], True),
        ("hello there", "en", ["en"], False),
        ("你好", "en", ["zh"], True),
        ("hello 你好", "en", ["en", "zh"], True),
        ("卡拉OK", "zh", ["en", "zh"], False),
        ("hello", None, ["en"], False),
        ("42", "zh", [], False),
        ("", "zh", [], False),
    ],
)
def test_a_text_in_another_script_than_asked_for_is_told(text, asked, written, flagged):
    assert written_languages(text) == written
    flags = script_flags(text, asked)
    assert flags == (["other_script"] if flagged else [])
    if flagged:
        shown = flags_html(flags, asked, written)
        assert ("asked for Mandarin" in shown) == (asked == "zh")
        assert ("Latin letters" in shown) == ("en" in written) and ("Chinese characters" in shown) == ("zh" in written)


def test_hotwords_of_box_and_file_are_heard(recognizer, recording, tmp_path):
    (tmp_path / "words.txt").write_text("three\nfour\n", encoding="utf-8")
    result = recognizer.transcribe(recording, "en", "one, two;three", str(tmp_path / "words.txt"))
    assert result["hotwords"] == ["one", "two", "three", "four"]
    assert result["hotwords_found"] and set(result["hotwords_found"]) <= set(result["hotwords"])
    assert (result["language"], result["written_languages"]) == ("en", ["en"])


def test_hotwords_that_would_keep_all_others_waiting_are_refused(recognizer):
    assert len(recognizer.read_hotwords(5 * ("word " * 1999 + ","))) == 1
    with pytest.raises(DemoError, match="too long: this demo takes 50,000 characters"):
        recognizer.read_hotwords("a" * 50_001)


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def test_errors_are_words_that_name_the_file_only(recognizer, recording, tmp_path):
    soundfile.write(tmp_path / "two hours.flac", np.zeros(2 * 3600 * 8000, dtype=np.int16), 8000)
    cases = [
        ((None,), "no recording yet"),
        ((write(tmp_path / "empty.wav", b""),), r"^empty\.wav is empty"),
        (
            (write(tmp_path / "paper.pdf", b"%PDF-1.7 " * 99),),
            r"^paper\.pdf: cannot be decoded.*\. This page reads WAV, FLAC, MP3,",
        ),
        ((str(tmp_path / "two hours.flac"),), r"^two hours\.flac lasts 2 h, and this page takes up to 1 min"),
        ((str(tmp_path / "gone.wav"),), r"^gone\.wav is not there"),
        ((recording, "fr"), "language"),
        ((recording, "en", "a,b,c,d,e,f"), "6 hotwords are too many: this demo takes 5"),
        ((recording, "en", "", write(tmp_path / "words.txt", b"\xff\xfe\x00")), r"words\.txt is not a text file"),
        ((recording, "en", "???"), r"\?\?\?"),
    ]
    for arguments, reason in cases:
        with pytest.raises(DemoError, match=reason) as error:
            recognizer.transcribe(*arguments)
        assert str(tmp_path) not in str(error.value)


def test_a_model_that_cannot_be_loaded_is_told(tmp_path, recording):
    with pytest.raises(DemoError, match="could not be loaded"):
        Recognizer(DemoSettings(model=str(tmp_path / "nothing"))).transcribe(recording)


def test_a_model_without_a_trained_phoneme_head_has_nothing_to_explain_by(recognizer, recording, monkeypatch):
    monkeypatch.setattr(recognizer.pipeline.model.config, "phoneme_head_trained", False)
    with pytest.raises(DemoError, match=r"The ledger needs the phoneme head, .* never trained"):
        recognizer.explain(recording, "en", "one two three")


def test_silence_has_nothing_to_explain(recognizer, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(32000), 16000)
    with pytest.raises(DemoError, match="no speech"):
        recognizer.explain(str(tmp_path / "silence.wav"))
