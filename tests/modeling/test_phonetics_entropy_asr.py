# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Phonetic distance: a metric that orders errors as ears do."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_asr.modeling.languages_entropy_asr import default_phonemes, readers
from entropy_asr.modeling.phonetics_entropy_asr import (
    best_window,
    cost_matrix,
    sound_class,
    substitution_cost,
)


PHONEMES = st.lists(st.sampled_from(["k", "ɡ", "æ", "ɛ", "iː", "an1", "an4", "ang4", "<unk>"]), max_size=6)


def plain_distance(phonemes: list[str], others: list[str]) -> float:
    """The textbook recursion."""

    @cache
    def cost(row: int, column: int) -> float:
        if not row or not column:
            return float(row + column)
        substitution = substitution_cost(phonemes[row - 1], others[column - 1])
        return min(cost(row - 1, column) + 1, cost(row, column - 1) + 1, cost(row - 1, column - 1) + substitution)

    return cost(len(phonemes), len(others))


@settings(max_examples=150, deadline=None)
@given(PHONEMES.filter(len), PHONEMES)
def test_best_window_is_the_nearest_part(pattern, text):
    distance, start, end = best_window(pattern, text)
    assert distance == pytest.approx(plain_distance(pattern, text[start:end]), abs=1e-4)
    windows = [text[i:j] for i in range(len(text) + 1) for j in range(i, len(text) + 1)]
    assert distance == pytest.approx(min(plain_distance(pattern, window) for window in windows), abs=1e-4)


def test_costs_of_the_whole_inventory():
    costs = cost_matrix(default_phonemes()[2:])
    assert np.array_equal(costs, costs.T) and not costs.diagonal().any()
    assert np.unique(costs) == pytest.approx([0.0, 0.3, 0.5, 1.0, 2.0])
    # The search by seeds relies on it: what leaves the class costs a full edit.
    classes = np.array([sound_class(phoneme) for phoneme in default_phonemes()[2:]])
    assert costs[classes[:, None] != classes].min() == 1.0
    assert costs[classes[:, None] == classes].max() == 0.5


def test_every_sound_of_the_classes_is_in_the_inventory():
    sounds = {sound for language in readers() for group in language.g2p.sound_classes for sound in group.split()}
    toneless = {phoneme: sound for language in readers() for phoneme, sound in language.g2p.toneless.items()}
    assert sounds <= {toneless.get(phoneme, phoneme) for phoneme in default_phonemes()}


@pytest.mark.parametrize(
    ("heard", "near", "far"),
    [
        ("m a1", "m a4", "m i1"),  # a tone is less than a vowel
        ("p æ t", "b æ t", "k æ t"),  # voicing is less than place
        ("sh an1", "s an1", "m an1"),  # retroflexion is less than another consonant
        ("l v4", "l v3", "l f"),  # a vowel written v is no consonant
        ("ts ɿ4", "zh ʅ4", "tɕ i4"),  # 字 is nearer to 至 than to 记
        ("b ɪ t", "b iː t", "b aʊ t"),
    ],
)
def test_near_sounds_are_nearer(heard, near, far):
    heard, near, far = heard.split(), near.split(), far.split()
    assert 0 < best_window(heard, near)[0] < best_window(heard, far)[0]


def test_silence_and_unknown_sounds_match_nothing():
    assert best_window(["k", "æ"], [])[0] == 2.0
    assert best_window(["<unk>"], ["<unk>"])[0] == 1.0
