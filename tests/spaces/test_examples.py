# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo's clips are what the script beside them synthesises, and what the bundled checkpoint understands."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import soundfile


FOLDER = Path(__file__).parents[2] / "spaces" / "demo" / "examples"
SCRIPT = Path(__file__).parents[1] / "benchmarks" / "make_demo_examples.py"
SCRIPTS = {"en": r"[a-z' ]+", "zh": "[\u4e00-\u9fff]+"}


@pytest.fixture(scope="module")
def recognizer():
    pytest.importorskip("gradio")
    pytest.importorskip("espeakng_loader")
    from entropy_asr.spaces.demo.recognizer import Recognizer
    from entropy_asr.spaces.demo.settings import DemoSettings

    return Recognizer(DemoSettings())


@pytest.mark.parametrize("name", ["english", "mandarin", "hotword"])
def test_clips_are_synthesised(name):
    script = runpy.run_path(str(SCRIPT))
    samples, sampling_rate = soundfile.read(FOLDER / f"{name}.flac", dtype="int16")
    assert sampling_rate == script["SAMPLING_RATE"]
    np.testing.assert_array_equal(samples, script["clip"](name))


@pytest.mark.parametrize("name", ["English", "Mandarin", "English with a hotword"])
def test_clips_are_understood(recognizer, name):
    from entropy_asr.spaces.demo.page import EXAMPLES

    path, language, hotwords = EXAMPLES[name]
    text = runpy.run_path(str(SCRIPT))["CLIPS"][Path(path).stem][0]
    assert re.fullmatch(SCRIPTS[language], text)
    for asked in (language, "auto"):
        result = recognizer.transcribe(path, asked, hotwords)
        assert (result["text"], result["flags"]) == (text, [])
        assert result["written_languages"] == [language]
        assert result["hotwords_found"] == (["robert"] if hotwords else [])
        plain = recognizer.transcribe(path, asked)
        assert (plain["text"] == text) == (not hotwords), "the hotword is what makes the difference"


def test_every_clip_is_an_example_of_the_page():
    pytest.importorskip("gradio")
    from entropy_asr.spaces.demo.page import EXAMPLES

    assert {Path(path) for path, *_ in EXAMPLES.values()} == set(FOLDER.glob("*.flac"))
