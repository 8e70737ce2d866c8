# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tables of a report in a card: what they say beside the figures."""

from entropy_asr.hub_cards.report_tables import dataset_tables


PROBE = {"information": 1.25, "standard_error": 0.02, "entropy": 2.5, "shuffled_control": -0.05}
FIGURES = {
    "details": {
        "nse": {"num_frames": 1542, "dimension": 192},
        "pai": {"num_frames": 900, "linear": PROBE},
        "csai": {"left_out": "too few words"},
    },
    "frames_per_second": 25.0,
    "nse": 0.4321,
    "pai": 1.25,
    "csai": None,
    "ledger": {
        "num_utterances": 10,
        "num_tokens": 321,
        "nats_per_token_left": {"uniform": 8.3, "prior": 6.5, "encoder": 3.2, "full": 1.1},
        "is_prior_broken": False,
        "allocation": {"encoder": 3.3, "llm": 2.1, "left": 1.1},
    },
}
ALLOCATION = {
    "definitions": "Definitions of this project.",
    "command": "entropy-asr report --models tiny",
    "aligner": "tinier",
    "datasets": {
        "digits": {
            "data": {
                "num_utterances": 40,
                "seconds": 61.7,
                "num_speakers": 5,
                "languages": ["en"],
                "left_out": 0,
                "rows_split_by": "speaker",
                "mean_alignment_score": 0.2,
            },
            "models": {"tinier": FIGURES, "tiny": {**FIGURES, "same_frames_as": "tinier"}},
            "cka": {"names": ["tinier", "tiny"], "num_frames": 1542, "biased": [[1, 1]] * 2, "debiased": [[1, 1]] * 2},
        }
    },
}


def test_tables_show_the_ceiling_of_csai_and_why_rows_were_split_otherwise():
    csai = {**PROBE, "information": 0.0, "standard_error": None, "entropy": 0.027, "splits_without_frames": 3}
    csai |= {"split_by": "utterance", "split_reason": "5 speakers: 8 are needed to split by speaker."}
    details = {**FIGURES["details"], "pai": {"num_frames": 900, "linear": {**PROBE, "split_by": "speaker"}}}
    result = ALLOCATION["datasets"]["digits"]
    data = {**result["data"], "num_speakers": None}
    now = {**FIGURES, "details": {**details, "csai": {"num_words": 24, "linear": csai}}}
    text = "\n".join(dataset_tables({**result, "data": data, "models": {"tiny": now}}))
    assert "| 1.250 ± 0.020 | 0.50 | -0.050 |" in text and "unknown speakers" in text
    assert "| tiny | linear | 24 | 0.000 of 0.027 |" in text
    assert "CSAI: rows were split by utterance. 5 speakers: 8 are needed" in text and "corrected for" in text
    # Reports of before, whose errors were not corrected.
    assert "corrected for" not in "\n".join(dataset_tables(result))


def test_tables_say_that_a_prior_worse_than_uniform_is_broken_and_fit_on_a_phone():
    result = ALLOCATION["datasets"]["digits"]
    ledger = dict(next(figures["ledger"] for figures in result["models"].values() if "ledger" in figures))
    ledger["nats_per_token_left"] = {**ledger["nats_per_token_left"], "prior": 9.15}
    ledger["is_prior_broken"] = True
    text = "\n".join(dataset_tables({**result, "models": {"tiny": {**FIGURES, "ledger": ledger}}}))
    assert "| tiny | 8.30 | 9.15, broken prior | - | - | 1.10 |" in text
    assert max(line.count("|") for line in text.splitlines()) <= 7
