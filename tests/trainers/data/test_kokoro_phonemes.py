# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How Kokoro is told what to say: each script as its own language, and nothing left out silently."""

import sys

import pytest

from entropy_asr.trainers.data.kokoro_phonemes import kokoro_phonemes


def test_sentences_of_two_scripts_are_cut_where_the_script_changes(kokoro_readers):
    spoken = kokoro_phonemes("打开", "zh")
    assert spoken == " ".join(kokoro_phonemes(character, "zh") for character in "打开")
    assert kokoro_phonemes("打开Word 2007吧", "zh") == f"{spoken} word {kokoro_phonemes('吧', 'zh')}"
    assert kokoro_phonemes("say 打开 to her", "en") == f"say {spoken} to her"
    assert kokoro_phonemes("we're all here", "en", british=True) == "wee all hee"


def test_full_width_letters_are_letters_and_the_round_zero_is_one(kokoro_readers):
    assert kokoro_phonemes("ＯＫ", "zh") == "ok"
    assert kokoro_phonemes("二〇", "zh") == kokoro_phonemes("二零", "zh")


@pytest.mark.parametrize(
    ("text", "language", "named"),
    [("привет", "en", "'п'"), ("你好こんにちは", "zh", "'こ'"), ("γ rays", "en", "'γ'")],
)
def test_letters_that_would_be_left_out_are_refused(kokoro_readers, text, language, named):
    with pytest.raises(ValueError, match=f"{named} in '{text}'.*Latin letters and Chinese characters"):
        kokoro_phonemes(text, language)


def test_other_languages_are_refused_by_name(kokoro_readers):
    with pytest.raises(ValueError, match="speaks English and Mandarin here, not fr: 'bonjour'"):
        kokoro_phonemes("bonjour", "fr")


@pytest.mark.parametrize(("module", "text", "language"), [("hibari.g2p", "hello", "en"), ("misaki.zh", "你好", "zh")])
def test_a_missing_package_is_told_with_what_installs_it(kokoro_readers, monkeypatch, module, text, language):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'`{module[:6]}.*pip install "entropy-asr\[kokoro\]"'):
        kokoro_phonemes(text, language)


def test_the_packages_read_english_and_mandarin():
    pytest.importorskip("hibari")
    assert kokoro_phonemes("hello there", "en") == "həlˈO ðˈɛɹ"
    assert kokoro_phonemes("i can't dance", "en", british=True) == "ˈI kˈɑːnt dˈɑːns"
    pytest.importorskip("misaki.zh")
    assert kokoro_phonemes("打开windows", "zh") == "ta↓kʰai→ wˈɪndOz"
    assert kokoro_phonemes("去 北京", "zh").replace(" ", "") == "ʨʰy↘pei↓ʨi→ŋ"
