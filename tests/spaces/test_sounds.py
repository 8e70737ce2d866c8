# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What sounds alike: homophones and misheard words, in English and Chinese."""

import pytest

from entropy_asr.spaces.hallucination_rate.sounds import contained_share, likeness, number_of_sounds


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("knight", "night"),
        ("there", "their"),
        ("phone", "fone"),
        ("cheque", "check"),
        ("sea shells", "seashells"),
        ("ice cream", "i scream"),
        ("write", "right"),
        ("flower", "flour"),
        ("Catherine", "Kathryn"),
    ],
)
def test_english_homophones_sound_alike(one, other):
    assert likeness(one.lower().split(), other.lower().split()) > 0.74


@pytest.mark.parametrize(("one", "other"), [("北京", "背景"), ("权利", "全力"), ("人工智能", "仁公只能"), ("是", "4")])
def test_chinese_homophones_sound_alike(one, other):
    pytest.importorskip("pypinyin")
    assert likeness(list(one), list(other)) > 0.7


@pytest.mark.parametrize(
    ("one", "other"),
    [("budget for next year", "murder of my wife"), ("turn left", "please subscribe to my channel")],
)
def test_unrelated_words_do_not(one, other):
    assert likeness(one.split(), other.split()) < 0.3


def test_unrelated_characters_do_not():
    assert likeness(list("明年的预算"), list("我妻子的死")) < 0.3


def test_a_part_of_what_was_said_is_heard_in_it():
    assert contained_share(["seashells"], ["she", "sells", "sea", "shells", "on", "the", "shore"]) == 1
    assert contained_share(["my", "wife"], []) == 0
    assert contained_share(["i"], ["you"]) == 1 and number_of_sounds(["i"]) == 0  # no sound that could be missing
