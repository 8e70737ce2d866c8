# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The card says what was measured, and refuses to be silent about a data source."""

import pytest
from card_report import REPORT, write_report
from huggingface_hub import ModelCard

from entropy_asr.hub_cards.model_card import joint_licence, write_model_card
from entropy_asr.spaces.hallucination_rate.hallucination_rate import hallucination_rate


def test_figures_come_from_the_results(tmp_path):
    write_report(tmp_path)
    write_model_card(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert "| Free Spoken Digit Dataset | 500 | 12.3 | - | 100.0 |" in card.text
    assert "| ESC-10 environmental sounds | 80 | - | - | 10.0 |" in card.text
    assert "Speech recognition of English and Mandarin" in card.text
    assert "| encoder | 10 | 10.0 | 3.250 |" in card.text
    assert "CC BY-SA 4.0" in card.text
    assert [(result.dataset_type, result.metric_value) for result in card.data.eval_results] == [("fsdd_digits", 12.3)]


def test_hallucination_rates_are_shown_for_each_condition(tmp_path):
    write_report(tmp_path)
    write_model_card(tmp_path)
    assert "Hallucinated" not in ModelCard.load(tmp_path / "README.md").text  # results of an earlier version
    figures = hallucination_rate(["turn left", "thanks for watching"], ["turn left", ""])
    score = REPORT["results"]["fsdd_digits"] | {
        "guards": True,
        "hallucination": figures,
        "conditions": {"guards off": {"wer": 1, "cer": None, "nonempty_share": 1, "hallucination": figures}},
    }
    made = {"utterances": 6, "wer": None, "cer": None, "nonempty_share": 1, "hallucination": figures}
    write_report(tmp_path, results={"fsdd_digits": score, "made sounds without speech": made})
    write_model_card(tmp_path)
    text = ModelCard.load(tmp_path / "README.md").text
    assert "| made sounds without speech | guards on | 50.0 |" in text  # no data source: the evaluation made it
    for condition in ("guards on", "guards off"):
        row = f"| Free Spoken Digit Dataset | {condition} | 50.0 | 0.0 to 100.0 | 50.0 | 0.0 | 0.0 | 0.0 | 50.0 |"
        assert row in text


def test_a_card_says_first_where_most_of_the_text_is_wrong(tmp_path):
    for wer, is_warned in ((0.123, False), (0.94, True)):
        score = {**REPORT["results"]["fsdd_digits"], "wer": wer}
        write_report(tmp_path, results={"fsdd_digits": score})
        write_model_card(tmp_path)
        opening = ModelCard.load(tmp_path / "README.md").text.partition("##")[0]
        assert ("comes out wrong on: Free Spoken Digit Dataset" in opening) == is_warned


@pytest.mark.parametrize(
    ("licences", "licence"),
    [
        (["MIT (the works are public domain)", "CC0"], "apache-2.0"),
        (["CC BY 3.0", "MIT"], "cc-by-4.0"),
        (["CC BY 4.0", "CC BY-SA"], "cc-by-sa-4.0"),
        (["CC BY-NC 4.0", "MIT"], "other"),
        (["CC BY-NC-SA 4.0", "CC BY-SA 4.0"], "other"),
        (["GPL-3.0"], "other"),
        (["proprietary, internal only"], "other"),
    ],
)
def test_licence_of_the_card_allows_no_more_than_that_of_the_data(licences, licence):
    assert joint_licence(licences) == licence


def test_a_card_says_what_its_test_sets_are_and_the_metadata_too(tmp_path):
    write_report(tmp_path)
    write_model_card(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert "- Free Spoken Digit Dataset: one speaker, who was not trained on" in card.text
    assert "one speaker" in card.data.eval_results[0].dataset_args["test"]


def test_models_that_training_started_from_are_in_the_metadata_and_bind_the_licence(tmp_path):
    for base, licence in (("Qwen/Qwen3-0.6B", "cc-by-sa-4.0"), ("my-org/my-llm", "other")):
        write_report(tmp_path, base_models=[base])
        write_model_card(tmp_path)
        card = ModelCard.load(tmp_path / "README.md")
        assert card.data.base_model == [base]
        assert card.data.license == licence
        assert f"| {base} |" in card.text


def test_every_checkpoint_that_training_went_on_with_is_named_with_its_command(tmp_path):
    first = {"name": "first", "command": "recipe a", "started_from": None}
    write_report(tmp_path, started_from={"name": "second", "command": "recipe b", "started_from": first})
    write_model_card(tmp_path)
    text = ModelCard.load(tmp_path / "README.md").text
    assert "second, trained by `recipe b` (`earlier/...`). Before it: first, trained by `recipe a`" in text


def test_a_card_tells_how_long_training_took(tmp_path):
    for wall_seconds, words in ((None, ": 10 minutes of training."), (480, ": 8 minutes by the clock;")):
        write_report(tmp_path, wall_seconds=wall_seconds)
        write_model_card(tmp_path)
        assert words in ModelCard.load(tmp_path / "README.md").text


def test_an_undocumented_data_source_is_an_error_that_names_it(tmp_path):
    write_report(tmp_path, data=["fsdd_digits", "my_secret_corpus"])
    with pytest.raises(KeyError, match="my_secret_corpus"):
        write_model_card(tmp_path)
    assert not (tmp_path / "README.md").exists()
