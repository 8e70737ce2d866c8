# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tables of a report in a card: what they say beside the figures."""

from card_report import FIGURES, RESULT

from entropy_asr.hub_cards.report_tables import detail_tables, summary_table


def test_tables_say_that_a_prior_worse_than_uniform_is_broken_and_fit_on_a_phone():
    broken = {**FIGURES["ledger"], "is_prior_broken": True}
    result = {**RESULT, "models": {"tiny": {**FIGURES, "ledger": broken}}}
    text = "\n".join(summary_table(result))
    assert "| tiny | 0.432 | 1.25 (0.38) | - | broken prior |" in text
    assert max(line.count("|") for line in [*text.splitlines(), *detail_tables(result)]) <= 7
