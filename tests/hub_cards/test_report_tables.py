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


def test_tables_mark_texts_that_are_not_in_the_sound_and_count_those_without_a_path():
    left = {**FIGURES["ledger"]["nats_per_token_left"], "encoder": 7.15}
    shares = {"encoder": -0.65, "llm": 6.05, "left": 1.1}
    unheard = {**FIGURES["ledger"], "nats_per_token_left": left, "allocation": shares}
    unheard |= {"num_unheard": 9, "num_impossible": 2}
    result = {**RESULT, "models": {"tiny": {**FIGURES, "ledger": unheard}, "tinier": FIGURES}}
    assert "text not in the sound: encoder -10 %, LLM 93 %, left 17 % |" in "\n".join(summary_table(result))
    details = "\n".join(detail_tables(result))
    assert "`tiny`: left out, 2 utterances with fewer frames than phonemes" in details
    assert "`tiny`: text not in the sound, 9 of 10 utterances" in details and "`tinier`:" not in details
    random = {"left_out": "no trained phoneme head"}
    result = {**RESULT, "models": {"tiny": {**FIGURES, "ledger": random}}}
    assert "| no trained phoneme head |" in "\n".join(summary_table(result))
    assert "Nats a token left" not in "\n".join(detail_tables(result))
    none = {"num_utterances": 0, "num_impossible": 3, "num_unheard": 0, "num_tokens": 0}
    result = {**RESULT, "models": {"tiny": {**FIGURES, "ledger": none}}}
    assert "| impossible: 3 utterances with fewer frames than phonemes |" in "\n".join(summary_table(result))


def test_figures_over_k_and_ridge_stand_once_with_a_column_for_each_k():
    def entries(*values):
        sizes = [(2, 0.001), (2, 0.01), (5, 0.001)]
        return [{"pca_size": k, "ridge": r, "pai": v, "chance": 0.1} for (k, r), v in zip(sizes, values, strict=True)]

    def figures(*values):
        return {**FIGURES, "details": {"pai": {**FIGURES["details"]["pai"], "table": entries(*values)}}}

    models = {"tiny": figures(1.0, 0.9, 3.0), "frozen": figures(1.0, 0.9, 3.0) | {"same_frames_as": "tiny"}}
    lines = detail_tables({**RESULT, "models": models | {"large": figures(2.0, 1.9, 4.0)}})
    start = lines.index("| model | figure, ridge | k = 2 | k = 5 |")
    assert lines[start + 2 : lines.index("", start)] == [
        "| tiny | PAI, 0.001 | 1.00 (0.10) | 3.00 (0.10) |",
        "| tiny | PAI, 0.01 | 0.90 (0.10) | - |",
        "| large | PAI, 0.001 | 2.00 (0.10) | 4.00 (0.10) |",
        "| large | PAI, 0.01 | 1.90 (0.10) | - |",
    ]
