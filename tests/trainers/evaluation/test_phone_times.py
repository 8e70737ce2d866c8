# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Times of phonemes and words, and the frames that they label."""

import pytest

from entropy_asr.trainers.evaluation import phone_times
from entropy_asr.trainers.evaluation.phone_times import SpokenUnit, frame_labels, times_from_columns, word_spans


def test_labels_of_frames_and_words():
    units = [SpokenUnit("a", 0.1, 0.3), SpokenUnit("b", 0.3, 0.5)]
    numbers = {}
    assert frame_labels(units, numbers, 10, 1.0).tolist() == [-100, 0, 0, 1, 1, *[-100] * 5]
    assert numbers == {"a": 0, "b": 1}
    words = {}
    spans = word_spans([SpokenUnit("ab", 0.1, 0.5), SpokenUnit("c", 0.5, 0.51)], words, 10, 1.0)
    assert spans.tolist() == [[1, 5, 0]]  # no frame's middle lies in "c"
    assert word_spans([], words, 10, 1.0).shape == (0, 3)
    assert times_from_columns({"phonemes": [{"label": "a", "start": 0, "end": 1}], "words": None}).words == []


def test_gaps_between_phonemes_are_shared():
    spans = [SpokenUnit("a", 1.0, 1.04), SpokenUnit("b", 1.10, 1.14), SpokenUnit("c", 2.0, 2.04)]
    widened = phone_times.widened(spans)
    assert [unit.start for unit in widened] == pytest.approx([0.9, 1.07, 1.9])
    assert [unit.end for unit in widened] == pytest.approx([1.07, 1.24, 2.14])
