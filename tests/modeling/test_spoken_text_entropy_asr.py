# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scripts, forms of Unicode and mixtures of languages: what is read, and by which language."""

import unicodedata

import pytest

from entropy_asr.modeling.languages_entropy_asr import LANGUAGES
from entropy_asr.modeling.spoken_text_entropy_asr import (
    reading_parts,
    spoken_characters,
    spoken_text,
    unreadable_characters,
    why_unreadable,
)
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> EntropyASRPhonemeTokenizer:
    return EntropyASRPhonemeTokenizer()


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("Zürich, Łódź, naïve café, Nguyễn; iPhone北京 3.5% 😀→♪", []),
        ("שלום", [("שלום", "Hebrew")]),
        ("مرحبا", [("مرحبا", "Arabic")]),
        ("in Москва", [("Москва", "Cyrillic")]),
        ("カタカナ", [("カタカナ", "Katakana")]),
        ("ﾗｰﾒﾝ屋", [("ラーメン", "Katakana")]),
        ("東京ひらがな", [("ひらがな", "Hiragana")]),
        ("ภาษาไทย", [("ภาษาไทย", "Thai")]),
        (unicodedata.normalize("NFD", "한국어"), [("한국어", "Hangul")]),
        ("हिन्दी", [("हिन्दी", "Devanagari")]),
        ("α and β", [("α", "Greek"), ("β", "Greek")]),
        ("٣ ქართული", [("٣", "Arabic-Indic"), ("ქართული", "Georgian")]),
        ("ə", [("ə", "phonetic symbols")]),
    ],
)
def test_characters_without_phonemes_are_named_with_their_script(tokenizer, text: str, runs: list) -> None:
    assert unreadable_characters(text) == runs
    for language in (None, "en", "zh"):  # never spelled by the English names of their letters
        assert tokenizer.phonemize(text, language).count("<unk>") == len(runs)
    reason = why_unreadable(text)
    assert (reason is None) == (not runs)
    for run, script in runs:
        assert f"{run!r} ({script})" in reason and "Latin letters, Chinese characters and the digits" in reason


@pytest.mark.parametrize(
    ("typed", "same"),
    [
        (unicodedata.normalize("NFD", "résumé Łódź"), "résumé Łódź"),
        ("ＡＢＣ １２３", "ABC 123"),
        ("ze\u200bro soft\u00adhyphen \ufeffone", "zero softhyphen one"),
        ("new\u00a0york", "new york"),
        ("donʼt don´t don`t", "don't don't don't"),
        ("ﬁsh", "fish"),
        ("Nguyễn Đức", "Nguyen Đuc"),
        ("I ❤️ NY → now ♪ § _so_", "I NY now so"),
        ("a\x00b\x07c", "a b c"),
        ("1️⃣ ①", "1 1"),
    ],
)
def test_what_sounds_the_same_is_read_the_same(tokenizer, typed: str, same: str) -> None:
    for language in ("en", "zh"):
        assert tokenizer.phonemize(typed, language) == tokenizer.phonemize(same, language)


def test_characters_of_the_spoken_text_come_from_their_places() -> None:
    text = "e\u0301a\u200b ﬁ\u00adx"
    assert spoken_characters(text) == [("é", 0), ("a", 2), (" ", 4), ("f", 5), ("i", 5), ("x", 7)]
    with pytest.raises(TypeError):
        spoken_text(None)


@pytest.mark.parametrize(
    ("text", "language", "parts"),
    [
        ("用iPhone打15次", "zh", "zh:用 en:iPhone zh:打15次"),
        ("covid-19", "zh", "en:covid zh: 19"),
        ("ma1 mp3", "zh", "zh:ma1  en:mp zh:3"),
        ("see 2个 now 3", "en", "en:see  zh:2个 en: now 3"),
        ("iPhone5北京", "en", "en:iPhone5 zh:北京"),
        ("don't 说don't", "zh", "en:don't zh: 说 en:don't"),
        ("и北", "en", "None:и zh:北"),
    ],
)
def test_each_part_is_read_by_the_language_of_its_letters(text, language, parts):
    found = reading_parts(text, LANGUAGES[language])
    assert " ".join(f"{reader and reader.code}:{part}" for reader, part in found) == parts
