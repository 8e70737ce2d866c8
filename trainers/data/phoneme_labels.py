# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Phonemes of transcripts as labels, and statistics of the features that go with them."""

from collections.abc import Iterator

import numpy as np
import torch
from datasets import Dataset, Features, IterableDataset, List, Value

from entropy_asr.modeling.feature_extraction_entropy_asr import EntropyASRFeatureExtractor
from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH
from entropy_asr.modeling.spoken_text_entropy_asr import why_unreadable
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer

from .columns_beside_audio import add_columns
from .row_checks import without_bad_rows
from .speech_dataset import SpeechDataset
from .streamed_rows import first_rows, is_stream


def add_phoneme_ids(
    rows: Dataset | IterableDataset,
    tokenizer: EntropyASRPhonemeTokenizer,
    num_proc: int = 1,
    bad_rows: str | None = None,
) -> Dataset | IterableDataset:
    """Adds the CTC labels `phoneme_ids` of each row's text, found in `num_proc` processes; streams lazily.

    Args:
        rows: Rows with `text` and `language`.
        tokenizer: Gives the phonemes.
        num_proc: Number of processes.
        bad_rows: "skip" leaves rows out whose text is in a script without phonemes, with one warning; "refuse" or None
            raises. Of a stream they get no labels (`None`), and are left out by name where rows are read.

    Raises:
        ValueError: There are such rows; the message names row, file, characters and script.
    """

    def phonemize(batch):
        languages = [None if language == NON_SPEECH else language for language in batch["language"]]
        phonemes = tokenizer.phonemize_batch(batch["text"], languages)
        return {"phoneme_ids": [tokenizer.convert_tokens_to_ids(row) for row in phonemes]}

    def phonemize_row(row):
        try:
            if why_unreadable(row["text"]):
                return {"phoneme_ids": None}
            return {"phoneme_ids": phonemize({name: [row[name]] for name in ("text", "language")})["phoneme_ids"][0]}
        except (TypeError, ValueError):
            return {"phoneme_ids": None}  # the row will be left out by name: a stream must not end with it

    if is_stream(rows):
        features = Features({**rows.features, "phoneme_ids": List(Value("int64"))})
        return rows.map(phonemize_row, features=features)
    rows = without_bad_rows(rows, [why_unreadable(text) for text in rows["text"][:]], "phonemes", bad_rows)
    texts = rows.select_columns(["text", "language"])
    labels = texts.map(
        phonemize,
        batched=True,
        batch_size=1000,
        remove_columns=texts.column_names,
        num_proc=num_proc if num_proc > 1 else None,
        desc="Phonemes",
    )
    return add_columns(rows, labels)


def some_waveforms(rows: Dataset | IterableDataset, max_rows: int) -> Iterator[np.ndarray]:
    """Float32 samples `(num_samples,)` of evenly spaced rows, of a stream's first ones."""
    rows = first_rows(rows, max_rows) if is_stream(rows) else rows
    dataset = SpeechDataset(rows, replace_unreadable=True)
    for index in np.linspace(0, len(dataset) - 1, min(max_rows, len(dataset))).astype(int):
        yield dataset[int(index)]["samples"]


def measure_cmvn(extractor: EntropyASRFeatureExtractor, rows: Dataset | IterableDataset, max_rows: int = 3000):
    """Feature extractor with the global mean and variance of [`some_waveforms`]."""
    count, total, squares = 0, torch.zeros(extractor.feature_size, dtype=torch.float64), 0.0
    for waveform in some_waveforms(rows, max_rows):
        frames = extractor.filterbank(torch.from_numpy(waveform)).double()
        count, total, squares = count + len(frames), total + frames.sum(0), squares + frames.square().sum(0)
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=1e-6).sqrt()
    return EntropyASRFeatureExtractor(
        **{**extractor.to_dict(), "cmvn_mean": mean.float().tolist(), "cmvn_std": std.float().tolist()}
    )
