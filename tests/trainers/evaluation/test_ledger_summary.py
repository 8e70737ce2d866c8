# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Ledgers of several utterances, written down by hand, as one."""

from entropy_asr.modeling.ledger_entropy_asr import UtteranceLedger
from entropy_asr.trainers.evaluation.ledger_summary import summarize_ledgers


def test_a_prior_worse_than_uniform_is_broken_and_nothing_is_shared_out():
    tokens = {"tokens": ["a", "b"], "uniform": 8.0, "encoder": [4.0, 4.0], "full": [0.5, 0.5], "num_phonemes": 2}
    broken = UtteranceLedger(prior=[9.0, 9.0], spelling=[0.0, 0.0], **tokens)
    summary = summarize_ledgers([broken])
    assert broken.is_prior_broken and summary["is_prior_broken"] and "allocation" not in summary
    whole = UtteranceLedger(prior=[7.0, 8.0], spelling=[0.0, 0.0], **tokens)
    assert not whole.is_prior_broken
    assert summarize_ledgers([whole])["allocation"] == {"encoder": 3.5, "llm": 3.5, "left": 0.5}


def test_longer_utterances_count_for_more():
    """A mean over tokens, not over utterances."""
    short = UtteranceLedger(["a"], 8.0, [4.0], [2.0], [1.0], [0.0], 1)
    long = UtteranceLedger(["a"] * 3, 8.0, [8.0] * 3, [2.0] * 3, [1.0] * 3, [0.0] * 3, 3)
    summary = summarize_ledgers([short, long])
    assert (summary["num_utterances"], summary["num_tokens"], summary["num_phonemes"]) == (2, 4, 4)
    assert summary["nats_per_token_left"]["prior"] == 7.0
