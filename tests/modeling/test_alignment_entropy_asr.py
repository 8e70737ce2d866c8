# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Forced alignment: phoneme times, then word times."""

import itertools

import pytest
import torch

from entropy_asr.modeling.alignment_entropy_asr import align_phonemes, frames_needed


def emission_of(path: list[int], vocab_size: int = 6, certainty: float = 0.9) -> torch.Tensor:
    """Log-probabilities `(T, V)` of a head that is `certainty` sure of the symbols of a path."""
    probabilities = torch.full((len(path), vocab_size), (1 - certainty) / (vocab_size - 1))
    probabilities[torch.arange(len(path)), torch.tensor(path)] = certainty
    return probabilities.log()


# Phonemes


def test_spans_are_where_the_head_heard_the_phonemes():
    spans = align_phonemes(emission_of([0, 0, 3, 3, 0, 2, 0, 0]), [3, 2])
    assert [(span.token, span.start, span.end) for span in spans] == [(3, 2, 4), (2, 5, 6)]
    assert [span.score for span in spans] == pytest.approx([0.9, 0.9])


def test_a_phoneme_that_was_not_heard_has_a_low_score():
    spans = align_phonemes(emission_of([0, 3, 0, 2, 0]), [3, 4, 2])
    assert [span.token for span in spans] == [3, 4, 2]
    assert spans[1].score == pytest.approx(0.02)


def test_equal_neighbours_are_told_apart():
    spans = align_phonemes(emission_of([3, 3, 0, 3]), [3, 3])
    assert [(span.start, span.end) for span in spans] == [(0, 2), (3, 4)]


def test_the_alignment_is_the_best_of_all_paths():
    log_probs = torch.randn(6, 4, dtype=torch.float64).log_softmax(-1)
    labels = [2, 1, 1]
    paths = [path for path in itertools.product(range(4), repeat=6) if collapse(path) == labels]
    best = max(sum(log_probs[t, symbol].item() for t, symbol in enumerate(path)) for path in paths)
    spans = align_phonemes(log_probs, labels)
    chosen = [0] * 6
    for span in spans:
        chosen[span.start : span.end] = [span.token] * (span.end - span.start)
    assert sum(log_probs[t, symbol].item() for t, symbol in enumerate(chosen)) == pytest.approx(best)


def collapse(path: tuple[int, ...]) -> list[int]:
    return [symbol for symbol, _ in itertools.groupby(path) if symbol]


def test_another_blank_and_half_precision():
    log_probs = emission_of([5, 0, 5, 1, 5]).to(torch.bfloat16)
    assert [(span.token, span.start) for span in align_phonemes(log_probs, [0, 1], blank=5)] == [(0, 1), (1, 3)]


def test_no_phonemes_have_no_spans():
    assert align_phonemes(emission_of([0, 0]), []) == []
    assert align_phonemes(torch.zeros(0, 6), []) == []


@pytest.mark.parametrize(("phonemes", "needed"), [([1], 1), ([1, 2, 3], 3), ([1, 1], 3), ([2, 2, 2, 1], 6), ([], 0)])
def test_too_few_frames_are_told_with_both_numbers(phonemes, needed):
    assert frames_needed(phonemes) == needed
    assert len(align_phonemes(torch.zeros(needed, 6).log_softmax(-1), phonemes)) == len(phonemes)
    if needed:
        with pytest.raises(ValueError, match=f"{needed - 1} frames are too few.* at least {needed}"):
            align_phonemes(torch.zeros(needed - 1, 6).log_softmax(-1), phonemes)


@pytest.mark.parametrize(
    ("log_probs", "phonemes", "reason"),
    [
        (torch.zeros(5, 4), [0, 1], "not the blank 0"),
        (torch.zeros(5, 4), [4], r"0 to 3 .* found \[4\]"),
        (torch.zeros(5, 4), [-1], r"found \[-1\]"),
        (torch.zeros(1, 5, 4), [1], r"\(1, 5, 4\)"),
        (torch.zeros(5, 4, dtype=torch.long), [1], "int64"),
        (torch.full((5, 4), torch.nan), [1], "NaN"),
        (torch.tensor([[0.0, -torch.inf]] * 5), [1], "probability above zero"),
    ],
)
def test_wrong_input_is_refused(log_probs, phonemes, reason):
    with pytest.raises(ValueError, match=reason):
        align_phonemes(log_probs, phonemes)
