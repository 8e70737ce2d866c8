# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Cards of synthetic data sets."""

import pytest
from huggingface_hub import DatasetCard
from kokoro_folder import forget_readers, install_readers, make_kokoro_folder

from entropy_asr.hub_cards.dataset_card import write_dataset_card
from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.data.kokoro import KokoroEngine
from entropy_asr.trainers.data.synthetic_dataset import build_synthetic_dataset


def test_card_of_synthetic_speech_counts_its_rows(tmp_path):
    pytest.importorskip("espeakng_loader")
    rows = build_synthetic_dataset(["red dog", "we go", "红狗"], ["en", "en", "zh"], tmp_path / "speech")
    assert cli.main(["card", str(tmp_path / "speech")]) == 0
    card = DatasetCard.load(tmp_path / "speech" / "README.md")
    hours = sum(row["duration"] for row in rows if row["language"] == "en") / 3600
    assert f"| en | 2 | {hours:.3f} | 2 |" in card.text and "| zh | 1 |" in card.text
    assert card.data.language == ["en", "zh"]
    assert "Speech that espeak-ng synthesised" in card.text and "GPL-3" in card.text


def test_the_card_names_the_engine_and_its_licence(tmp_path, monkeypatch):
    install_readers(monkeypatch)
    engine = KokoroEngine(str(make_kokoro_folder(tmp_path / "kokoro")))
    build_synthetic_dataset(["red dog"], "en", tmp_path / "speech", engine=engine)
    forget_readers()
    text = write_dataset_card(tmp_path / "speech").read_text(encoding="utf-8")
    assert "Speech that kokoro synthesised" in text and '"kokoro"' in text
    assert "Apache-2.0" in text and "espeak" not in text
