# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Indexes of words that are named by their phonemes, and what they find."""

from entropy_asr.modeling.hotwords_entropy_asr import HotwordIndex


SYMBOLS = ["k", "ɡ", "æ", "ɛ", "t", "an1", "an4", "m"]


def index_of(*phrases: str) -> HotwordIndex:
    """Index of words that are named by their phonemes."""
    return HotwordIndex({phrase: phrase.split() for phrase in phrases})


def found(index: HotwordIndex, heard: str, tolerance: float = 0.0) -> list[str]:
    """The words that are in a hypothesis, in order."""
    return [match.word for match in index.search(heard.split(), tolerance)]
