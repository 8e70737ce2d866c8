# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sentences over a closed vocabulary."""

import pytest

from entropy_asr.modeling.languages_entropy_asr import LANGUAGES, Language
from entropy_asr.trainers.data.synthetic_sentences import synthetic_sentences


@pytest.mark.parametrize("language", ["en", "zh"])
def test_sentences(language: str) -> None:
    train = synthetic_sentences(language, 1000)
    assert train == synthetic_sentences(language, 1000)
    assert train != synthetic_sentences(language, 1000, seed=1)
    assert len(set(train)) == 1000
    test = synthetic_sentences(language, 100, split="test", seed=7)
    assert set(train).isdisjoint(test)
    words = {word for text in train for word in (text.split() if language == "en" else text)}
    assert 40 <= len(words) <= 80
    assert words >= {word for text in test for word in (text.split() if language == "en" else text)}
    with pytest.raises(ValueError, match="no 5000 sentences"):
        synthetic_sentences(language, 5000)


def test_a_language_without_sentences_is_refused_by_name(monkeypatch) -> None:
    monkeypatch.setitem(LANGUAGES, "qtx", Language("qtx", "Toyish"))
    with pytest.raises(ValueError, match="no built-in sentences of Toyish, only of English, Mandarin"):
        synthetic_sentences("Toyish", 3)
