# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
# ruff: noqa: SIM905 (phonemes read best as one string)
"""Hotwords that were nearly heard."""

import random

import numpy as np
import pytest
from hotword_index import SYMBOLS, found, index_of
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_asr.modeling.hotwords_entropy_asr import HotwordIndex, HotwordMatch
from entropy_asr.modeling.hotwords_tolerant_entropy_asr import TolerantMatcher
from entropy_asr.modeling.phonetics_entropy_asr import best_window


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
