# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Several hypotheses of one utterance: what is known of each. `rescoring_entropy_asr.py` scores and ranks them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


# Share of the phoneme head in the joint score, from the middle of where error rates hardly move on development rows
# (`python tests/benchmarks/benchmark_rescoring.py --data_dir D` repeats it).
RESCORING_WEIGHT = 0.3


@dataclass(frozen=True)
class Hypothesis:
    """A text that may have been said; scores are natural logarithms, and `None` until they are rescored.

    Args:
        text: the text, without surrounding white space.
        token_ids: the language model's tokens, the one that ends the text included.
        flags: of a transcript with this text.
        token_log_probs: log-probability of each token under the language model, no logits processor applied.
        external_score: what logits processors of the caller's, such as an external language model, add to their sum;
            `None` without any.
        ctc_log_prob: log-probability of the text's phonemes under the phoneme head; minus infinity where the audio is
            too short for them, `None` where the weight is 0.
        score: the joint score.
        confidence: the joint confidence, in [0, 1]; without what logits processors add.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    flags: tuple[str, ...] = ()
    token_log_probs: tuple[float, ...] | None = None
    external_score: float | None = None
    ctc_log_prob: float | None = None
    score: float | None = None
    confidence: float | None = None


def check_weight(weight: Any) -> float:
    """The weight of the phoneme head.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= 1:
        raise ValueError(f"`rescoring_weight` must be between 0 and 1, not {weight!r}.")
    return float(weight)


def distinct(hypotheses: Iterable[Hypothesis]) -> tuple[Hypothesis, ...]:
    """The hypotheses without those whose text an earlier one has in other tokens."""
    found: dict[str, Hypothesis] = {}
    for hypothesis in hypotheses:
        found.setdefault(hypothesis.text, hypothesis)
    return tuple(found.values())


__all__ = ["RESCORING_WEIGHT", "Hypothesis", "check_weight", "distinct"]
