# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Transcripts as shares of phonemes."""

import numpy as np
import pytest
import torch

from entropy_asr.spaces.entropy_allocation.phoneme_bags import count_phonemes, phoneme_bags, phonemes_of_texts


def test_bags_are_shares_of_the_phonemes_of_a_transcript():
    for given in ([["a", "b", "a", "c"], ["c"]], [[7, 2, 7, 5], [5]], [np.array([7, 2, 7, 5]), torch.tensor([5])]):
        bags, symbols = phoneme_bags([count_phonemes(one, number) for number, one in enumerate(given)])
        assert len(symbols) == 3
        assert bags.sum(1).tolist() == [1, 1]
        assert sorted(bags[0].tolist()) == [0.25, 0.25, 0.5] and sorted(bags[1].tolist()) == [0, 0, 1]


def test_what_is_no_phoneme_is_named():
    for given, message in (("abc", "a list of ids or symbols"), (3, "a list"), ([True], "True"), ([None], "None")):
        with pytest.raises(ValueError, match=f"utterance 4.*{message}"):
            count_phonemes(given, 4)


def test_texts_of_every_language_are_read_by_the_package():
    pytest.importorskip("phonemizer")
    english, mandarin = phonemes_of_texts(["good morning", "谢谢你"], ["English", "zh-CN"], 0)
    assert english[:2] == ["ɡ", "ʊ"] and mandarin[-2:] == ["n", "i3"]
    with pytest.raises(ValueError, match="utterance 6.*\\.\\.\\."):
        phonemes_of_texts(["good morning", "..."], [None, None], 5)
