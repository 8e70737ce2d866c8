# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""From frames to phonemes: in one piece, chunk by chunk, and with times."""

import itertools
import math
import random

import pytest
import torch

from entropy_asr.modeling import EntropyASRPhonemeTokenizer
from entropy_asr.modeling.ctc_entropy_asr import ctc_collapse, ctc_log_probs, greedy_spans


def emission_of(path: list[int], vocab_size: int = 6, certainty: float = 0.9) -> torch.Tensor:
    """Log-probabilities `(T, V)` of a head that is `certainty` sure of the symbols of a path."""
    probabilities = torch.full((len(path), vocab_size), (1 - certainty) / (vocab_size - 1))
    probabilities[torch.arange(len(path)), torch.tensor(path)] = certainty
    return probabilities.log()


@pytest.mark.parametrize(
    ("frames", "labels"),
    [
        ([], []),
        ([0, 0], []),
        ([5, 5, 0, 5, 7, 7], [5, 5, 7]),
        ([5, -100, -100], [5]),
        ([-100, -100], []),
        ([0, 3, 0], [3]),
        ([3, 2, 3], [3, 2, 3]),
    ],
)
def test_repeats_are_one_phoneme_and_blanks_and_padding_none(frames, labels):
    assert ctc_collapse(frames) == labels


def test_another_blank():
    assert ctc_collapse([0, 0, 4, 4, 0, 1], blank=4) == [0, 0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_spans_tokenizer_and_chunks_agree_with_the_whole(seed):
    """A path has the same phonemes with times, in a decoded text, and however it arrives in chunks."""
    draw = random.Random(seed)
    path = [draw.choice([0, 0, 1, 2, 3]) for _ in range(60)]
    whole = ctc_collapse(path)
    assert [span.token for span in greedy_spans(emission_of(path))] == whole
    tokenizer = EntropyASRPhonemeTokenizer()
    assert tokenizer.decode(path, group_tokens=True) == tokenizer.decode(whole)
    labels, previous, start = [], None, 0
    while start < len(path):
        chunk = path[start : start + draw.randint(1, 7)]
        labels += ctc_collapse(chunk, previous=previous)
        previous, start = chunk[-1], start + len(chunk)
    assert labels == whole


def test_spans_are_where_the_frames_are():
    spans = greedy_spans(emission_of([0, 3, 3, 0, 3, 2, 0]))
    assert [(span.token, span.start, span.end) for span in spans] == [(3, 1, 3), (3, 4, 5), (2, 5, 6)]
    assert [span.score for span in spans] == pytest.approx([0.9] * 3)
    assert greedy_spans(torch.zeros(0, 6)) == []


def test_probability_of_labels_is_the_sum_over_all_their_paths():
    """Of utterances of different lengths in one call; what has no path has no probability."""
    torch.manual_seed(0)
    frames = [torch.randn(length, 4).log_softmax(-1) for length in (5, 3, 3, 2, 0, 0)]
    labels = [[1, 1, 2], [3], [], [1, 1], [], [1]]
    for row, wanted, found in zip(frames, labels, ctc_log_probs(frames, labels), strict=True):
        paths = (path for path in itertools.product(range(4), repeat=len(row)) if ctc_collapse(path) == wanted)
        total = sum(math.exp(sum(row[time, label].item() for time, label in enumerate(path))) for path in paths)
        assert math.exp(found) == pytest.approx(total, abs=1e-6)
    assert ctc_log_probs([], []) == []
