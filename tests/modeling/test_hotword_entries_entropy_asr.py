# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which words can be hotwords, in which forms, and how they sound."""

import json
import unicodedata

import pytest

from entropy_asr.modeling import hotword_entries_entropy_asr
from entropy_asr.modeling.hotwords_entropy_asr import HotwordIndex
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("Kaldi", "a list of words, not 'Kaldi'"),
        ({"Kaldi": 1}, "a list of words"),
        (None, "a list of words, not None"),
        (["Kaldi", 3], "strings, not 3"),
        (["Kaldi", "..."], r"'...' has 0 phonemes, 2 are needed"),
        (["啊"], "'啊' has 1 phonemes"),
    ],
)
def test_words_that_cannot_be_found_are_named(phoneme_tokenizer, words, reason):
    with pytest.raises(ValueError, match=reason):
        HotwordIndex.build(words, phoneme_tokenizer)


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("שלום", "'שלום' (Hebrew)"),
        ("Москва", "'Москва' (Cyrillic)"),
        ("カタカナ", "'カタカナ' (Katakana)"),
        ("ภาษาไทย", "'ภาษาไทย' (Thai)"),
        ("한국어", "'한국어' (Hangul)"),
        ("Radio Αθήνα 98", "'Αθήνα' (Greek)"),
    ],
)
def test_words_of_scripts_without_phonemes_are_refused_by_script(phoneme_tokenizer, monkeypatch, word, named):
    with pytest.raises(ValueError) as error:
        HotwordIndex.build(["Kaldi", word], phoneme_tokenizer)
    assert repr(word) in str(error.value) and named in str(error.value)
    assert "phonemes are known for Latin letters, Chinese characters and the digits 0 to 9" in str(error.value)
    warnings = []
    monkeypatch.setattr(hotword_entries_entropy_asr.logger, "warning", warnings.append)
    assert HotwordIndex.build(["Kaldi", word], phoneme_tokenizer, skip_unusable=True).words() == ["Kaldi"]
    assert len(warnings) == 1 and "1 of 2 hotwords" in warnings[0] and named in warnings[0]


def test_forms_of_unicode_are_one_word_shown_as_typed(phoneme_tokenizer):
    composed, decomposed = (unicodedata.normalize(form, "Beyoncé Łódź") for form in ("NFC", "NFD"))
    index = HotwordIndex.build([decomposed, composed, "ＫＦＣ", "KFC", "Kal\u200bdi", "Kaldi"], phoneme_tokenizer)
    assert index.words() == [decomposed, "ＫＦＣ", "Kal\u200bdi"]
    for text in (composed, decomposed):
        assert index.find_hints(phoneme_tokenizer.phonemize(f"with {text} now")) == [decomposed]
    index.update(["Beyoncé Łódź", "kfc"], ["KFC"], phoneme_tokenizer)
    assert index.words() == [decomposed, "Kal\u200bdi", "kfc"]


def test_spellings_in_another_case_are_one_word_where_they_sound_the_same(phoneme_tokenizer):
    index = HotwordIndex.build(["Kaldi", "kaldi", "KALDI toolkit", "Kaldi Toolkit", "US", "us"], phoneme_tokenizer)
    assert index.words() == ["Kaldi", "KALDI toolkit", "US", "us"]
    assert index.find_hints(phoneme_tokenizer.phonemize("here is Kaldi again")) == ["Kaldi"]
    index.update(["kaldi"], phoneme_tokenizer=phoneme_tokenizer)
    assert index.words() == ["Kaldi", "KALDI toolkit", "US", "us"]
    index.update(remove=["us", "kaldi"])  # the second spelling of what was shown as "Kaldi"
    assert index.words() == ["KALDI toolkit", "US"]


def test_a_sound_that_the_vocabulary_lacks_is_named(tmp_path):
    path = tmp_path / "phonemes.json"
    path.write_text(json.dumps({"<pad>": 0, "<unk>": 1, "k": 2, "æ": 3}), encoding="utf-8")
    with pytest.raises(ValueError, match="'cat' has the sound 't', which the vocabulary of phonemes lacks"):
        HotwordIndex.build(["cat"], EntropyASRPhonemeTokenizer(str(path)))


def test_words_that_cannot_be_found_may_be_left_out(phoneme_tokenizer, monkeypatch):
    warnings = []
    monkeypatch.setattr(hotword_entries_entropy_asr.logger, "warning", warnings.append)
    index = HotwordIndex.build(["Kaldi", "...", "啊"], phoneme_tokenizer, skip_unusable=True)
    assert index.words() == ["Kaldi"]
    assert len(warnings) == 1 and "2 of 3 hotwords" in warnings[0] and "'啊'" in warnings[0]


@pytest.mark.parametrize("phonemes", ["k æ t", ["k"], [], ["k", "<unk>"]])
def test_wrong_pronunciations_are_refused(phonemes):
    with pytest.raises(ValueError, match="'Kaldi' has"):
        HotwordIndex({"Kaldi": phonemes})
