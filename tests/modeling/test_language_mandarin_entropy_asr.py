# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Mandarin read aloud: tones as they are spoken, numbers as people say them, three vowels that pinyin writes i."""

import pytest

from entropy_asr.modeling.language_mandarin_entropy_asr import MANDARIN
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> EntropyASRPhonemeTokenizer:
    return EntropyASRPhonemeTokenizer()


def test_the_vowels_of_zi_zhi_and_ji_are_three(tokenizer: EntropyASRPhonemeTokenizer) -> None:
    assert tokenizer.phonemize("资瓷思") == ["ts", "ɿ1", "c", "ɿ2", "s", "ɿ1"]
    assert tokenizer.phonemize("知吃师日") == ["zh", "ʅ1", "ch", "ʅ1", "sh", "ʅ1", "r", "ʅ4"]
    assert tokenizer.phonemize("鸡你衣") == ["tɕ", "i1", "n", "i3", "i1"]


def test_words_are_characters_numbers_and_syllables(tokenizer: EntropyASRPhonemeTokenizer) -> None:
    pytest.importorskip("cn2an")
    words = tokenizer.phonemize_words("用iPhone打15次，ma1。", "zh")
    assert [word for word, _ in words] == ["用", "iPhone", "打", "15", "次", "ma1"]
    assert dict(words)["15"] == ["sh", "ʅ2", "u3"]
    assert tokenizer.phonemize("mp3播放", "zh") == ["ɛ", "m", "p", "iː", "s", "an1", "b", "o1", "f", "ang4"]


def test_error_rates_compare_characters_as_they_are_written() -> None:
    assert MANDARIN.normalize("我有 25 块，二十五！") == "我有25块二十五"


def test_words_are_those_of_the_phrase_table() -> None:
    assert MANDARIN.split_words("我们去北京，好") == ["我们", "去", "北京", "好"]
