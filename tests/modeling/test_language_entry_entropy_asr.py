# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Entries of languages that cannot be used are refused with the reason."""

import pytest

from entropy_asr.modeling import GraphemeToPhoneme, Language, register_language
from entropy_asr.modeling.languages_entropy_asr import (
    LANGUAGES,
)


class Mute(GraphemeToPhoneme):
    """Its author forgot to say which phonemes there are, or wrote them in one string."""

    def __init__(self, phonemes=()):
        self.phonemes = phonemes

    def words(self, text):
        return [(word, list(word)) for word in text.split()]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (lambda: Language("xx", "X", names=("Mandarin",)), "'Mandarin' is Chinese .zh. already"),
        (lambda: Language("en", "English"), "'en' is English .en. already"),
        (lambda: Language("xx", "Auto"), "'Auto' has a meaning of its own"),
        (lambda: Language("EN us", "English"), "two to eight lower-case letters, not 'EN us'"),
        (lambda: Language("xx", " "), "xx: `name` is empty"),
        (lambda: Language("xx", "X", unit="syllable"), "'word' or 'character', not 'syllable'"),
        (lambda: Language("xx", "X", min_confidence=2), "`min_confidence` is 0 to 1, not 2"),
        (lambda: Language("xx", "X", g2p=Mute(("a",))), "`g2p` needs `letters`"),
        (lambda: Language("xx", "X", letters="x", g2p=Mute()), "xx: `g2p` needs `phonemes`, .* not ()"),
        (lambda: Language("xx", "X", letters="x", g2p=Mute("ab")), "xx: `g2p` needs `phonemes`, .* not 'ab'"),
        (lambda: Language("xx", "X", letters="z-a"), "'z-a' is no character class"),
    ],
)
def test_entries_that_cannot_be_used_are_refused_with_the_reason(entry, message):
    known = dict(LANGUAGES)
    with pytest.raises(ValueError, match=message):
        register_language(entry())
    assert known == LANGUAGES
