# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""However a language is written, it is the same one everywhere; what is none is refused in words."""

import pytest

from entropy_asr.modeling.languages_entropy_asr import language_code


FORMS = {
    "en": [
        *("en", " EN\n", "eng", "English", "ENGLISH", "en-US", "en_GB", "en-419", "en-Latn-US", "English-US"),
        *("English (US)", "British English", "英语"),
    ],
    "zh": [
        *("zh", "zho", "cmn", "zh-CN", "zh_TW", "zh-Hans", "zh-Hant-HK", "zh-cmn-Hans", "cmn-Hans-CN", "Chinese"),
        *("mandarin", "Mandarin  Chinese", "Chinese (Simplified)", "中文", "普通话", "國語"),
    ],
}


@pytest.mark.parametrize(("code", "form"), [(code, form) for code, forms in FORMS.items() for form in forms])
def test_usual_forms_are_understood(code, form):
    assert language_code(form) == code


@pytest.mark.parametrize(
    "value",
    [
        "fr",
        "",
        " ",
        "en-zh",
        "zh-yue",
        "yue",
        "enx",
        "English French",
        "auto",
        "none",
        None,
        ["en"],
        1,
        float("nan"),
        b"en",
    ],
)
def test_anything_else_is_refused_by_name_and_with_what_is_understood(value):
    with pytest.raises(ValueError) as raised:
        language_code(value)
    assert repr(value) in str(raised.value) and "English (en, eng), Chinese (zh, cmn)" in str(raised.value)


def test_the_choice_can_be_left_to_the_model_and_rows_without_speech_have_a_language_of_their_own():
    assert language_code(None, optional=True) is language_code(" Auto ", optional=True) is None
    assert language_code("None", non_speech=True) == "none"
    with pytest.raises(ValueError, match="'none' for audio without speech"):
        language_code("nothing", non_speech=True)
    with pytest.raises(ValueError, match="None or 'auto', with which the model decides"):
        language_code("none", optional=True)
