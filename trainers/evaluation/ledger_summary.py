# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Ledgers of many utterances as one."""

from typing import Any

from entropy_asr.modeling.ledger_entropy_asr import UtteranceLedger, is_prior_broken, is_text_unheard, share_out


def summarize_ledgers(ledgers: list[UtteranceLedger]) -> dict[str, Any]:
    """Mean nats a token left by each, over utterances in which the encoder has a path, and how H(Y) is shared out.

    Returns:
        Counts: of utterances, of `num_impossible` ones that are left out, of `num_unheard` ones whose text is not in
        the sound, which are not; `nats_per_token_left`; `is_prior_broken` and `is_text_unheard` of all together;
        `allocation`, see [`share_out`], which is missing where the prior is broken: then there is no H(Y) to share
        out. Without any utterance that has a path, counts alone.
    """
    usable = [ledger for ledger in ledgers if not ledger.is_impossible]
    tokens = sum(len(ledger.tokens) for ledger in usable)
    counts = {
        "num_utterances": len(usable),
        "num_impossible": len(ledgers) - len(usable),
        "num_unheard": sum(ledger.is_text_unheard for ledger in usable),
        "num_tokens": tokens,
    }
    if not usable:
        return counts
    totals = [ledger.totals() for ledger in usable]
    left = {name: sum(total[name] for total in totals) / tokens for name in totals[0]}
    broken = is_prior_broken(left)
    return {
        **counts,
        "num_phonemes": sum(ledger.num_phonemes for ledger in usable),
        "nats_per_token_left": left,
        "spelling_nats_per_token": sum(sum(ledger.spelling) for ledger in usable) / tokens,
        "is_prior_broken": broken,
        "is_text_unheard": is_text_unheard(left),
        **({} if broken else {"allocation": share_out(left)}),
    }
