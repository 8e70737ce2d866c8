# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Cards of synthetic data sets."""

import pytest
from huggingface_hub import DatasetCard

from entropy_asr.trainers.commands import cli


def test_card_of_synthetic_speech_counts_its_rows(tmp_path):
    pytest.importorskip("espeakng_loader")
    from entropy_asr.trainers.data.synthetic_dataset import build_synthetic_dataset

    rows = build_synthetic_dataset(["red dog", "we go", "红狗"], ["en", "en", "zh"], tmp_path / "speech")
    assert cli.main(["card", str(tmp_path / "speech")]) == 0
    card = DatasetCard.load(tmp_path / "speech" / "README.md")
    hours = sum(row["duration"] for row in rows if row["language"] == "en") / 3600
    assert f"| en | 2 | {hours:.3f} | 2 |" in card.text and "| zh | 1 |" in card.text
    assert card.data.language == ["en", "zh"]
