# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tables of a report in a card: what they say beside the figures."""

from entropy_asr.hub_cards.report_tables import detail_tables, summary_table


PAI = {
    "num_utterances": 40,
    "pca_size": {"u": 7, "P": 6},
    "ridge": 0.001,
    "interval": [1.01, 1.49],
    "chance": {"mean": 0.38, "spread": 0.05},
    "table": [{"pca_size": 3, "ridge": 0.01, "pai": 0.71, "chance": 0.12}],
}
FIGURES = {
    "nse": 0.4321,
    "pai": 1.25,
    "details": {"nse": {"num_utterances": 40}, "pai": PAI},
    "text_cka": {"layers": [0.1, 0.25], "adaptor": 0.4, "chance": {"mean": 0.06, "spread": 0.01}},
    "ledger": {
        "num_utterances": 10,
        "num_tokens": 321,
        "nats_per_token_left": {"uniform": 8.3, "prior": 6.5, "encoder": 3.2, "full": 1.1},
        "is_prior_broken": False,
        "allocation": {"encoder": 3.3, "llm": 2.1, "left": 1.1},
    },
}
RESULT = {
    "data": {"num_utterances": 40, "seconds": 61.7, "languages": ["en"], "left_out": 3},
    "models": {"tinier": FIGURES, "tiny": {**FIGURES, "same_frames_as": "tinier"}},
    "cka": {"names": ["tinier", "tiny"], "num_frames": 1542, "biased": [[1, 1]] * 2, "debiased": [[1, 1]] * 2},
}
ALLOCATION = {"definitions": "As the paper has them.", "command": "entropy-asr report", "datasets": {"digits": RESULT}}


def test_tables_say_that_a_prior_worse_than_uniform_is_broken_and_fit_on_a_phone():
    broken = {**FIGURES["ledger"], "is_prior_broken": True}
    result = {**RESULT, "models": {"tiny": {**FIGURES, "ledger": broken}}}
    text = "\n".join(summary_table(result))
    assert "| tiny | 0.432 | 1.25 (0.38) | - | broken prior |" in text
    assert max(line.count("|") for line in [*text.splitlines(), *detail_tables(result)]) <= 7
