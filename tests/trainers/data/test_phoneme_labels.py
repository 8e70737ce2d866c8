# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Phonemes of rows, and how features are normalised."""

import re

import pytest
import torch
from datasets import Dataset
from training_helpers import labelled_rows

from entropy_asr.modeling import (
    EntropyASRFeatureExtractor,
    EntropyASRPhonemeTokenizer,
)
from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids, measure_cmvn
from entropy_asr.trainers.data.row_checks import row_problem
from entropy_asr.trainers.data.speech_dataset import SpeechDataset


@pytest.fixture(scope="module")
def tokenizer() -> EntropyASRPhonemeTokenizer:
    return EntropyASRPhonemeTokenizer()


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return labelled_rows()


def test_labels_are_phonemes_and_none_for_rows_without_speech(rows, tokenizer):
    for row in rows.select_columns(["text", "language", "phoneme_ids"]):
        language = None if row["language"] == "none" else row["language"]
        assert row["phoneme_ids"] == tokenizer.convert_tokens_to_ids(tokenizer.phonemize(row["text"], language))
        assert bool(row["phoneme_ids"]) == (row["language"] != "none")
    in_two_processes = add_phoneme_ids(rows.remove_columns("phoneme_ids"), tokenizer, num_proc=2)
    assert in_two_processes["phoneme_ids"][:] == rows["phoneme_ids"][:]


def test_text_without_phonemes_is_refused_by_row_and_script(rows, tokenizer, caplog):
    rows = rows.remove_columns("phoneme_ids").select([0, 1])
    rows = rows.map(lambda _, number: {"text": ["hello", "в Москве"][number]}, with_indices=True)
    named = "1 of 2 rows cannot be used: row 1: 'в' (Cyrillic), 'Москве' (Cyrillic) cannot be read"
    with pytest.raises(ValueError, match=re.escape(named)):
        add_phoneme_ids(rows, tokenizer)
    assert add_phoneme_ids(rows, tokenizer, bad_rows="skip")["text"][:] == ["hello"] and named in caplog.text
    streamed = list(add_phoneme_ids(rows.to_iterable_dataset(), tokenizer))
    assert streamed[0]["phoneme_ids"] and row_problem(streamed[0]) is None
    assert streamed[1]["phoneme_ids"] is None and "(Cyrillic) cannot be read" in row_problem(streamed[1])


def test_cmvn_of_the_rows_gives_features_of_zero_mean_and_unit_variance(rows):
    extractor = measure_cmvn(EntropyASRFeatureExtractor(), rows)
    features = [
        extractor(SpeechDataset(rows)[index]["samples"], sampling_rate=16000, return_tensors="pt")["input_features"][0]
        for index in range(len(rows))
    ]
    frames = torch.cat(features)
    torch.testing.assert_close(frames.mean(0), torch.zeros(80), atol=1e-3, rtol=0)
    torch.testing.assert_close(frames.std(0), torch.ones(80), atol=1e-2, rtol=0)
