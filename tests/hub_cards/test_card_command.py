# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr card`: cards of checkpoints with a report, and of synthetic data sets."""

import json
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard
from test_model_card import REPORT, write_report

from entropy_asr.trainers import cli


ALLOCATION = {
    "definitions": "Definitions of this project.",
    "command": "entropy-asr report --models tiny",
    "datasets": {
        "digits": {
            "data": {"num_utterances": 40, "seconds": 61.7},
            "models": {
                "tiny": {
                    "same_frames_as": "tinier",
                    "details": {"nse": {"num_frames": 1542}, "pai": {"num_frames": 900}, "csai": {"left_out": "few"}},
                    "nse": 0.4321,
                    "pai": 1.25,
                    "csai": None,
                    "ledger": {
                        "nats_per_token_left": {"uniform": 8.3, "llm_alone": 6.5, "encoder_alone": 3.2, "full": 1.1}
                    },
                }
            },
        }
    },
}


def write_allocation(directory: Path) -> None:
    directory.mkdir()
    (directory / "report.json").write_text(json.dumps(ALLOCATION), encoding="utf-8")
    (directory / "digits-allocation.png").write_bytes(b"\x89PNG")


def test_report_goes_into_the_card_with_its_plot(tmp_path):
    write_allocation(tmp_path / "report-elsewhere")
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    write_report(checkpoint)
    assert cli.main(["card", str(checkpoint), "--report", str(tmp_path / "report-elsewhere")]) == 0
    text = ModelCard.load(checkpoint / "README.md").text
    assert "40 utterances, 62 s." in text
    assert "| tiny (frames of tinier) | 1542 / 900 / - | 0.432 | 1.250 | - |" in text
    assert "| tiny | 8.30 | 6.50 | 3.20 | 1.10 |" in text
    assert "(report/digits-allocation.png)" in text
    assert (checkpoint / "report" / "digits-allocation.png").is_file()


def test_own_data_is_described_beside_the_checkpoint(tmp_path, capsys):
    write_report(tmp_path, data=["my_corpus"])
    assert cli.main(["card", str(tmp_path)]) == 2
    assert "my_corpus" in capsys.readouterr().err
    own = "my_corpus: {title: My corpus, licence: CC BY 4.0, attribution: me}\n"
    (tmp_path / "data_sources.yaml").write_text(own, encoding="utf-8")
    assert cli.main(["card", str(tmp_path)]) == 0
    card = ModelCard.load(tmp_path / "README.md")
    assert "| My corpus | CC BY 4.0 | me |" in card.text and card.data.license == "cc-by-4.0"


def test_share_alike_data_makes_a_share_alike_checkpoint(tmp_path):
    write_report(tmp_path)
    assert "fsdd_digits" in REPORT["data"]
    assert cli.main(["card", str(tmp_path)]) == 0
    assert ModelCard.load(tmp_path / "README.md").data.license == "cc-by-sa-4.0"


def test_a_folder_without_results_is_refused(tmp_path, capsys):
    assert cli.main(["card", str(tmp_path)]) == 2
    assert "results.json" in capsys.readouterr().err


def test_card_of_synthetic_speech_counts_its_rows(tmp_path):
    pytest.importorskip("espeakng_loader")
    from entropy_asr.trainers.synthesis import build_synthetic_dataset

    rows = build_synthetic_dataset(["red dog", "we go", "红狗"], ["en", "en", "zh"], tmp_path / "speech")
    assert cli.main(["card", str(tmp_path / "speech")]) == 0
    card = DatasetCard.load(tmp_path / "speech" / "README.md")
    hours = sum(row["duration"] for row in rows if row["language"] == "en") / 3600
    assert f"| en | 2 | {hours:.3f} | 2 |" in card.text and "| zh | 1 |" in card.text
    assert card.data.language == ["en", "zh"]
