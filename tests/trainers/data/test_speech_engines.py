# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The choice of an engine and of its voices."""

import pytest
from kokoro_folder import make_kokoro_folder

from entropy_asr.trainers.data.speech_engines import named_voices, speech_engine
from entropy_asr.trainers.data.synthesis import default_voices


def test_engines_are_made_by_their_names(tmp_path):
    assert speech_engine("espeak-ng").voices == default_voices()
    assert speech_engine("kokoro", str(make_kokoro_folder(tmp_path / "kokoro"))).name == "kokoro"


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("flite", None, "engine is one of espeak-ng, kokoro, not 'flite'"),
        ("kokoro", None, "engine kokoro needs `weights`: a folder, or an id on the Hub such as onnx-community/"),
        ("espeak-ng", "a/b", "engine espeak-ng has no weights; leave `weights` out, got 'a/b'"),
    ],
)
def test_engines_that_cannot_be_meant_are_refused(name, weights, message):
    with pytest.raises(ValueError, match=message):
        speech_engine(name, weights)


def test_voices_are_those_of_the_language_and_can_be_named(tmp_path):
    kokoro = speech_engine("kokoro", str(make_kokoro_folder(tmp_path / "kokoro")))
    assert [voice.name for voice in named_voices(kokoro, "en")] == ["af_heart", "am_adam", "bf_emma"]
    assert [voice.name for voice in named_voices(kokoro, "zh", ["zf_xiaoni"])] == ["zf_xiaoni"]
    espeak = speech_engine("espeak-ng")
    first = next(voice for voice in default_voices() if voice.language == "zh")
    assert named_voices(espeak, "zh", [first.name]) == (first,)


def test_an_unknown_voice_is_told_with_those_that_there_are(tmp_path):
    kokoro = speech_engine("kokoro", str(make_kokoro_folder(tmp_path / "kokoro")))
    with pytest.raises(ValueError, match="no voice af_hart of language 'en'; its voices are af_heart, am_adam, bf_em"):
        named_voices(kokoro, "en", ["af_heart", "af_hart"])
    with pytest.raises(ValueError, match="no voice af_heart of language 'zh'; its voices are zf_xiaoni, zm_yunxi"):
        named_voices(kokoro, "zh", ["af_heart"])
    assert named_voices(kokoro, "fr") == ()
