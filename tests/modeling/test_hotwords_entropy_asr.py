# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
# ruff: noqa: SIM905 (phonemes read best as one string)
"""Hotword index: what is found, what is not, and that it survives saving and changing."""

import json
import random
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_asr.modeling import hotword_entries_entropy_asr, hotwords_entropy_asr
from entropy_asr.modeling.hotwords_entropy_asr import HotwordIndex, HotwordMatch
from entropy_asr.modeling.hotwords_tolerant_entropy_asr import TolerantMatcher
from entropy_asr.modeling.phonetics_entropy_asr import best_window
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


SYMBOLS = ["k", "ɡ", "æ", "ɛ", "t", "an1", "an4", "m"]
SEQUENCE = st.lists(st.sampled_from(SYMBOLS), min_size=2, max_size=5)


def index_of(*phrases: str) -> HotwordIndex:
    """Index of words that are named by their phonemes."""
    return HotwordIndex({phrase: phrase.split() for phrase in phrases})


def found(index: HotwordIndex, heard: str, tolerance: float = 0.0) -> list[str]:
    return [match.word for match in index.search(heard.split(), tolerance)]


# Exact


def test_match_says_where_it_is():
    index = index_of("k æ t", "m æ t")
    assert index.search("ð ə k æ t".split()) == [HotwordMatch("k æ t", 2, 5, 0.0)]


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("k æ t m æ t", ["k æ t m æ t"]),  # what lies inside is dropped, at its start, middle and end
        ("k æ t m æ", ["k æ t", "t m"]),  # overlapping in part: both
        ("s k æ t s", ["k æ t"]),
        ("k æ", []),
        ("k ɛ t", []),
        ("", []),
        ("never heard of", []),
        ("k æ t k æ t", ["k æ t", "k æ t"]),
    ],
)
def test_longest_match_wins(heard, expected):
    assert found(index_of("k æ t", "m æ t", "t m", "k æ t m æ t"), heard) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(SEQUENCE, min_size=1, max_size=8), st.lists(st.sampled_from(SYMBOLS), max_size=12))
def test_search_finds_all_that_is_not_inside_another(words, heard):
    index = HotwordIndex({" ".join(word): word for word in words})
    spans = {
        (start, start + len(word))
        for word in words
        for start in range(len(heard) - len(word) + 1)
        if heard[start : start + len(word)] == word
    }
    inside = {one for one in spans for other in spans if other[0] <= one[0] and one[1] <= other[1] and one != other}
    matches = index.search(heard)
    assert {(match.start, match.end) for match in matches} == spans - inside
    assert all(match.word == " ".join(heard[match.start : match.end]) for match in matches)


def test_words_that_sound_the_same_are_all_given():
    index = HotwordIndex([("Meier", ["m", "aɪ", "ɚ"]), ("Mayer", ["m", "aɪ", "ɚ"]), ("Mayer", ["m", "eɪ", "ɚ"])])
    assert len(index) == 3
    assert index.find_hints(["m", "aɪ", "ɚ"]) == ["Meier", "Mayer"]
    assert index.find_hints(["m", "eɪ", "ɚ", "m", "aɪ", "ɚ"]) == ["Mayer", "Meier"]


def test_hints_are_the_longest_words_in_spoken_order():
    index = index_of("k æ", "t m æ", "ɡ ɛ t m")
    heard = "k æ s t m æ s ɡ ɛ t m s k æ".split()
    assert index.find_hints(heard) == ["k æ", "t m æ", "ɡ ɛ t m"]
    assert index.find_hints(heard, max_hints=2) == ["t m æ", "ɡ ɛ t m"]
    assert index.find_hints(heard, max_hints=0) == []
    for wrong in (-1, 1.5, True):
        with pytest.raises(ValueError, match="`max_hints` must be None or a whole number"):
            index.find_hints(heard, max_hints=wrong)


# Tolerant


@pytest.mark.parametrize(
    ("heard", "tolerance", "expected"),
    [
        ("s k ɑː l d i s", 0.0, []),
        ("s k ɑː l d i s", 0.1, ["k ɔː l d i"]),  # near vowel: 0.5 of 5 phonemes
        ("s k uː l d i s", 0.1, []),
        ("s k uː l d i s", 0.2, ["k ɔː l d i"]),  # another vowel: 1
        ("s k ɔː d i s", 0.2, ["k ɔː l d i"]),  # missing
        ("s k ɔː m l d i s", 0.2, ["k ɔː l d i"]),  # too many
        ("k ɔː l d", 0.2, ["k ɔː l d i"]),  # cut off at the end of the audio
        ("ɔː l d i", 0.2, ["k ɔː l d i"]),
        ("s k t l d i s", 0.2, []),  # a consonant for a vowel: 2
        ("", 0.2, []),
    ],
)
def test_tolerance_bounds_the_phonetic_distance(heard, tolerance, expected):
    assert found(index_of("k ɔː l d i"), heard, tolerance) == expected


def test_short_words_have_to_be_heard_exactly():
    index = index_of("x i1 an1", "x i1 an1 sh i4")
    assert found(index, "x i4 an1", 0.3) == []
    assert found(index, "x i1 an1", 0.3) == ["x i1 an1"]
    assert found(index, "x i4 an1 sh i4", 0.1) == ["x i1 an1 sh i4"]


def test_two_words_about_as_near_are_both_left_out():
    index = index_of("k æ n t ɛ n", "k æ m t ɛ n")
    assert found(index, "k æ l t ɛ n", 0.2) == []
    assert found(index, "k æ n t ɛ n", 0.2) == ["k æ n t ɛ n"]
    assert found(index_of("k æ n t ɛ n"), "k æ l t ɛ n", 0.2) == ["k æ n t ɛ n"]


def test_exact_match_is_better_than_a_longer_one_that_is_not():
    index = index_of("n uː j ɔːɹ k", "n uː j ɔːɹ k s t ɚ")
    assert found(index, "n uː j ɔːɹ k s", 0.3) == ["n uː j ɔːɹ k"]


def test_inexact_matches_tell_their_distance():
    (match,) = index_of("k ɔː l d i").search("k ɑː l t i".split(), 0.2)
    assert match == HotwordMatch("k ɔː l d i", 0, 5, 1.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(SYMBOLS), min_size=3, max_size=9), min_size=1, max_size=6),
    st.lists(st.sampled_from([*SYMBOLS, "s"]), min_size=1, max_size=14),
    st.sampled_from([0.1, 0.2, 0.3]),
)
def test_no_pattern_within_its_bound_escapes_the_seeds(words, heard, tolerance):
    index = HotwordIndex([(str(number), word) for number, word in enumerate(words)])
    entries = index._base.entries
    matcher = TolerantMatcher(entries.codes, entries.code_offsets, index._phonemes, tolerance)
    codes = np.array([index._codes[phoneme] for phoneme in heard], np.uint16)
    near = {entry for entry, *_ in matcher.search(codes, np.ones(len(entries), bool))}
    distances = {
        int(word): best_window(phonemes, heard)[0] for word, phonemes in zip(index.words(), words, strict=False)
    }
    bounds = [tolerance * len(word) + 1e-3 if len(word) >= 5 else -1 for word in words]
    assert near == {entry for entry, distance in distances.items() if distance <= bounds[entry]}


def test_tolerance_raises_recall_and_exactness_precision():
    """Phrases of a large list in hypotheses with one error in twelve phonemes."""
    rng = random.Random(0)
    index = HotwordIndex(
        {f"word{number}": rng.choices([*SYMBOLS, "s", "iː", "uː", "l"], k=10) for number in range(2000)}
    )
    spoken = {word: [index._phonemes[code] for code in codes] for word, codes in index._live_pairs()}
    exact = tolerant = wrong = 0
    for word in rng.sample(sorted(spoken), 60):
        heard = list(spoken[word])
        heard[rng.randrange(10)] = rng.choice(SYMBOLS)
        heard = ["b", "b", *heard, "b", "b"]
        exact += word in index.find_hints(heard)
        hints = index.find_hints(heard, tolerance=0.2)
        tolerant += word in hints
        wrong += len(set(hints) - {word})
    assert exact < 20 and tolerant > 50 and wrong <= 3


@pytest.mark.parametrize("tolerance", [-0.1, 0.31, "0.1", True, float("nan")])
def test_tolerance_outside_its_range_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        index_of("k æ t").search(["k", "æ", "t"], tolerance)


# Build


def test_words_are_found_as_they_are_said(phoneme_tokenizer):
    words = ["Kaldi", "Kaldi toolkit", "北京", "3M", "  北京 ", "", "Zhongguancun 中关村"]
    index = HotwordIndex.build(words, phoneme_tokenizer)
    assert len(index) == 5
    heard = phoneme_tokenizer.phonemize("we use the Kaldi toolkit in 北京")
    assert index.find_hints(heard) == ["Kaldi toolkit", "北京"]


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


def test_one_index_serves_heads_with_and_without_the_finer_vowels(phoneme_tokenizer, tmp_path):
    """Indexes are built apart from models: heads of older vocabularies hear one i in 知识 and 鸡, newer ones two."""
    path = tmp_path / "phonemes.json"
    older = [phoneme for phoneme in phoneme_tokenizer.get_vocab() if phoneme[0] not in "ɿʅ"]
    path.write_text(json.dumps({phoneme: number for number, phoneme in enumerate(older)}), encoding="utf-8")
    former = EntropyASRPhonemeTokenizer(str(path))
    for builder in (former, phoneme_tokenizer):
        index = HotwordIndex.build(["知识", "四字"], builder)
        index.save(tmp_path / "index.npz")
        for found in (index, HotwordIndex.load(tmp_path / "index.npz")):
            for tokenizer in (former, phoneme_tokenizer):
                heard = tokenizer.phonemize("学知识，四字好")
                assert found.find_hints(heard) == ["知识", "四字"]


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


def test_hypothesis_of_ids_or_one_string_is_refused():
    with pytest.raises(ValueError, match="string"):
        index_of("k æ t").search("k æ t")
    with pytest.raises(ValueError, match="symbols, not of such as 5"):
        index_of("k æ t").search([5, 7, 9])


def test_missing_packages_name_their_extra(monkeypatch, phoneme_tokenizer):
    monkeypatch.setitem(sys.modules, "daachorse", None)
    with pytest.raises(ImportError, match=r"daachorse.*entropy-asr\[hotwords\]"):
        index_of("k æ t")


# Update, save, load


def random_words(rng: random.Random, count: int) -> dict[str, list[str]]:
    return {" ".join(word): word for word in (rng.choices(SYMBOLS, k=rng.randint(2, 5)) for _ in range(count))}


@pytest.mark.parametrize("most_recent", [0, 3, 1000])
def test_changed_index_finds_what_a_new_one_finds(monkeypatch, most_recent, tmp_path):
    monkeypatch.setattr(hotwords_entropy_asr, "_MAX_RECENT", most_recent)
    rng = random.Random(1)
    index, words = HotwordIndex(random_words(rng, 20)), None
    words = {word: word.split() for word in index.words()}
    for _ in range(8):
        added = random_words(rng, 4)
        removed = rng.sample(sorted(words), 3)
        index.update(add=added, remove=removed)
        words = {word: phonemes for word, phonemes in words.items() if word not in removed} | added
        fresh = HotwordIndex(words)
        assert sorted(index.words()) == sorted(words) and len(index) == len(words)
        index.save(tmp_path / "words.npz")
        loaded = HotwordIndex.load(tmp_path / "words.npz")
        for _ in range(10):
            heard = rng.choices(SYMBOLS, k=12)
            for tolerance in (0.0, 0.3):
                expected = sorted(map(str, fresh.search(heard, tolerance)))
                assert sorted(map(str, index.search(heard, tolerance))) == expected
                assert sorted(map(str, loaded.search(heard, tolerance))) == expected


def test_update_phonemizes_words(phoneme_tokenizer):
    index = HotwordIndex()
    index.update(add=["Kaldi"], phoneme_tokenizer=phoneme_tokenizer)
    assert index.find_hints(phoneme_tokenizer.phonemize("Kaldi")) == ["Kaldi"]
    with pytest.raises(ValueError, match="phoneme_tokenizer"):
        index.update(add=["Whisper"])


@pytest.mark.parametrize(
    "arguments", [{"remove": ["gone"]}, {"remove": ["k æ t"], "add": {"x": ["x"]}}, {"remove": "k æ t"}]
)
def test_failed_update_changes_nothing(arguments):
    index = index_of("k æ t", "m æ t")
    with pytest.raises((KeyError, ValueError)):
        index.update(**arguments)
    assert index.words() == ["k æ t", "m æ t"]


def test_index_of_another_daachorse_is_built_again(tmp_path, monkeypatch):
    index_of("k æ t").save(tmp_path / "words.npz")
    monkeypatch.setattr(hotwords_entropy_asr, "_daachorse_version", lambda: "99")
    assert found(HotwordIndex.load(tmp_path / "words.npz"), "k æ t") == ["k æ t"]


def test_files_that_hold_no_index_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"words.txt.*\.npz"):
        index_of("k æ t").save(tmp_path / "words.txt")
    with pytest.raises(FileNotFoundError):
        HotwordIndex.load(tmp_path / "gone.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "text.npz").write_text("no index")
    np.save(tmp_path / "array.npy", np.zeros(3))
    index_of("k æ t").save(tmp_path / "whole.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-300])
    for name in ("other.npz", "text.npz", "cut.npz", "array.npy"):
        with pytest.raises(ValueError, match=f"{name}: not a hotword index"):
            HotwordIndex.load(tmp_path / name)
