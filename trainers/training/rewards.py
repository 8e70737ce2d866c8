# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rewards of the reinforcement stage, as plain functions (paper, "Stages": exp(-2 CER) + 0.5 R_hallu + 0.5 R_context).

Each takes hypotheses and the columns of their rows as lists of the same length, as TRL's `GRPOTrainer` passes them,
and gives one number (or None: no opinion) for each hypothesis. `REWARDS` has them with their weights.

How this differs from the measured error rates: texts are compared without [`~error_rates.normalize_text`], because the
English normaliser drops fillers and whatever stands in brackets. A policy would learn to put its errors there.
"""

import math

from rapidfuzz.distance import Levenshtein

from ..data.text import comparable, contains, units


def accuracy_reward(completions: list[str], text: list[str], language: list[str], **kwargs) -> list[float]:
    """exp(-2 CER), in (0, 1]; characters of every language, English blanks among them.

    For audio without speech the reference is empty: 1 for an empty hypothesis, exp(-2) a character otherwise.

    Args:
        completions: Hypotheses.
        text: References.
        language: Language of each reference.
        **kwargs: Further columns, not used.

    Example:
        >>> accuracy_reward(["turn it on", "打开门"], ["turn it on", "打开窗"], ["en", "zh"])
        [1.0, 0.513417119032592]
    """
    return [
        math.exp(-2 * edit_rate(comparable(reference, code), comparable(hypothesis, code)))
        for hypothesis, reference, code in zip(completions, text, language, strict=True)
    ]


def hallucination_reward(completions: list[str], text: list[str], language: list[str], **kwargs) -> list[float]:
    """R_hallu: -1 for a hypothesis of more than twice or less than half the reference's length, else 0.

    Lengths are characters of Chinese and words of other languages (paper).

    Args:
        completions: Hypotheses.
        text: References.
        language: Language of each reference.
        **kwargs: Further columns, not used.

    Example:
        >>> hallucination_reward(["on on on", "turn on", "on"], ["turn on"] * 3, ["en"] * 3)
        [0.0, 0.0, 0.0]
        >>> hallucination_reward(["on on on on on", "thank you"], ["turn on", ""], ["en", "none"])
        [-1.0, -1.0]
    """
    lengths = [
        (len(units(hypothesis, code)), len(units(reference, code)))
        for hypothesis, reference, code in zip(completions, text, language, strict=True)
    ]
    return [-1.0 if length > 2 * wanted or 2 * length < wanted else 0.0 for length, wanted in lengths]


def context_reward(
    completions: list[str], keywords: list[list[str]], language: list[str], **kwargs
) -> list[float | None]:
    """R_context: mean over an utterance's keywords of +0.5 for each one in the hypothesis, -0.5 for each missing.

    Args:
        completions: Hypotheses.
        keywords: What to listen for in each utterance: keywords that are spoken in it and were prompted, and the
            important ones that are spoken in it, prompted or not. Distractors are no keywords: to miss one is right.
        language: Language of each utterance.
        **kwargs: Further columns, not used.

    Returns:
        Rewards in [-0.5, 0.5]; None for an utterance without keywords, which TRL counts as nothing.

    Example:
        >>> context_reward(["call anna marsh", "今天去北京"], [["Anna Marsh", "Boston"], []], ["en", "zh"])
        [0.0, None]
    """
    rewards: list[float | None] = []
    for hypothesis, wanted, code in zip(completions, keywords, language, strict=True):
        hits = [contains(hypothesis, keyword, code) for keyword in wanted]
        rewards.append(sum(0.5 if hit else -0.5 for hit in hits) / len(hits) if hits else None)
    return rewards


# Reward functions and their weights (paper).
REWARDS = ((accuracy_reward, 1.0), (hallucination_reward, 0.5), (context_reward, 0.5))


def edit_rate(reference: str, hypothesis: str) -> float:
    """Edit distance over the reference's length, or over 1 where the reference is empty."""
    return Levenshtein.distance(reference, hypothesis) / max(1, len(reference))
