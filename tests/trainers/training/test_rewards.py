# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rewards: the paper's formula by hand, both languages, and what a policy could try to get round them."""

import doctest
import math

import pytest

from entropy_asr.trainers.data.text import contains
from entropy_asr.trainers.training import rewards
from entropy_asr.trainers.training.rewards import REWARDS, accuracy_reward, context_reward, hallucination_reward


def test_examples_of_the_docstrings_run():
    results = doctest.testmod(rewards)
    assert results.attempted >= 4
    assert results.failed == 0


def test_weights_are_the_paper_s():
    assert [(function.__name__, weight) for function, weight in REWARDS] == [
        ("accuracy_reward", 1.0),
        ("hallucination_reward", 0.5),
        ("context_reward", 0.5),
    ]


@pytest.mark.parametrize(
    ("hypothesis", "reference", "language", "rate"),
    [
        ("the cat sat", "the cat sat", "en", 0.0),
        ("The cat, sat.", "the cat sat", "en", 0.0),  # punctuation and case are not what is trained here
        ("the bat sat", "the cat sat", "en", 1 / 11),  # characters, the two blanks among them
        ("thecat sat", "the cat sat", "en", 1 / 11),
        ("今天去北京", "今天去南京", "zh", 1 / 5),
        ("今天 去 南京", "今天去南京", "zh", 0.0),
        ("", "今天", "zh", 1.0),
        ("", "", "none", 0.0),
        ("thank you", "", "none", 9.0),
    ],
)
def test_accuracy_is_exp_of_minus_twice_the_character_error_rate(hypothesis, reference, language, rate):
    [reward] = accuracy_reward([hypothesis], [reference], [language])
    assert reward == pytest.approx(math.exp(-2 * rate))


def test_words_in_brackets_and_fillers_are_errors():
    """The Whisper normaliser, which the error rates use, drops them."""
    plain, bracketed, filled = accuracy_reward(
        ["we go", "we go (to the house)", "uh we go"], ["we go"] * 3, ["en"] * 3
    )
    assert plain == 1.0
    assert bracketed < 0.1 and filled < 0.5


@pytest.mark.parametrize(
    ("length", "wanted", "reward"), [(4, 2, 0), (5, 2, -1), (2, 4, 0), (1, 4, -1), (1, 3, -1), (0, 1, -1), (0, 0, 0)]
)
def test_hallucination_bounds_count_words_of_english_and_characters_of_chinese(length, wanted, reward):
    english = hallucination_reward([" ".join(["longword"] * length)], [" ".join(["a"] * wanted)], ["en"])
    chinese = hallucination_reward(["字" * length], ["词" * wanted], ["zh"])
    assert english == chinese == [reward]


def test_context_is_the_mean_over_keywords_and_no_opinion_without_any():
    keywords = [["anna", "boston"], ["anna", "boston"], ["anna", "boston", "marsh"], []]
    hypotheses = ["anna in boston", "hannah", "anna flew", "anna"]
    assert context_reward(hypotheses, keywords, ["en"] * 4) == [0.5, -0.5, pytest.approx(-0.5 / 3), None]


def test_keyword_inside_a_longer_word_is_a_miss_and_inside_chinese_a_hit():
    assert not contains("the category", "cat", "en")
    assert contains("the cat's", "cat", "en")
    assert contains("我们去北京大学", "北京", "zh")
    assert not contains("anything", "...", "en"), "a keyword without letters is never heard"


def test_columns_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        accuracy_reward(["a"], ["a", "b"], ["en", "en"])
