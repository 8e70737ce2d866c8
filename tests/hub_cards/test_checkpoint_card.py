# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The short card beside a trainer's checkpoints."""

from huggingface_hub import ModelCard

from entropy_asr.hub_cards.checkpoint_card import checkpoint_card


RECORD = {
    "trainer": "JointSFTTrainer",
    "tags": ["entropy-asr", "joint-sft"],
    "steps": 40,
    "base_model": "someone/model",
    "license": "mit",
    "data": ["corpus", "more"],
    "languages": ["en", "zh"],
    "development": {"wer": 0.12345},
}


def test_card_says_what_the_record_says():
    card = ModelCard(checkpoint_card(RECORD, "my-model", evaluated_at=30))
    assert (card.data.license, card.data.base_model, card.data.language) == ("mit", "someone/model", ["en", "zh"])
    for part in ("# my-model", "`JointSFTTrainer`", "of step 40", "corpus, more", "At step 30", "| wer | 0.1235 |"):
        assert part in card.text


def test_without_evaluation_there_is_no_table_and_a_folder_is_nobodys_base():
    record = {**RECORD, "development": {}, "base_model": "run", "languages": [], "license": None}
    card = ModelCard(checkpoint_card(record, "my-model", licence="apache-2.0"))
    assert "metric" not in card.text and card.data.base_model is None
    assert card.data.license == "apache-2.0"
