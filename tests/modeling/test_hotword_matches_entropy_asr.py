# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
# ruff: noqa: SIM905 (phonemes read best as one string)
"""Which matches of several count, and in which order they are hints."""

import pytest
from hotword_index import SYMBOLS, found, index_of
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_asr.modeling.hotwords_entropy_asr import HotwordIndex, HotwordMatch


SEQUENCE = st.lists(st.sampled_from(SYMBOLS), min_size=2, max_size=5)


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
