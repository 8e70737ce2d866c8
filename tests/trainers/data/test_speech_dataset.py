# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rows as loaders index them."""

from audio_rows import write_parquet
from datasets import concatenate_datasets
from torch.utils.data import DataLoader

from entropy_asr.trainers.data.batching import DurationBatchSampler
from entropy_asr.trainers.data.decoding import decode_ahead
from entropy_asr.trainers.data.speech_dataset import SpeechDataset


def test_selected_and_joined_rows_keep_their_own_audio(tmp_path, load):
    decoded = decode_ahead(load(write_parquet(tmp_path, seconds=[0.1, 0.2, 0.3, 0.4])), tmp_path / "decoded")
    rows = SpeechDataset(concatenate_datasets([decoded.select([3, 1]), decoded.select([0])]))
    assert [(row["text"], len(row["samples"])) for row in (rows[0], rows[1], rows[2])] == [
        ("text 3", 6400),
        ("text 1", 3200),
        ("text 0", 1600),
    ]


def test_a_loader_gives_rows_with_their_draws(tmp_path, load):
    decoded = decode_ahead(load(write_parquet(tmp_path)), tmp_path / "decoded")
    sampler = DurationBatchSampler(decoded["duration"][:], 4.0)
    for num_workers in (0, 2):
        loader = DataLoader(SpeechDataset(decoded), batch_sampler=sampler, collate_fn=list, num_workers=num_workers)
        got = [(row["index"], row["draw"], row["text"]) for batch in loader for row in batch]
        assert got == [(index, draw, f"text {index}") for batch in sampler for index, draw in batch]
