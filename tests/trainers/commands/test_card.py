# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr card`: cards of checkpoints with a report, and of synthetic data sets."""

import json
from pathlib import Path

import pytest
from card_report import REPORT, write_report
from huggingface_hub import ModelCard

from entropy_asr.trainers.commands import cli


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


def write_allocation(directory: Path) -> None:
    directory.mkdir()
    (directory / "report.json").write_text(json.dumps(ALLOCATION), encoding="utf-8")
    (directory / "report.md").write_text("# Report\n", encoding="utf-8")
    (directory / "digits-allocation.png").write_bytes(b"\x89PNG")


def test_report_goes_into_the_card_with_its_plot(tmp_path):
    write_allocation(tmp_path / "report-elsewhere")
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    write_report(checkpoint)
    assert cli.main(["card", str(checkpoint), "--report", str(tmp_path / "report-elsewhere")]) == 0
    text = ModelCard.load(checkpoint / "README.md").text
    assert "40 utterances, 62 s, 5 speakers" in text and "phoneme head of `tinier`" in text
    assert "| tinier | 1542 | 192 | 25.0 | 0.432 |" in text and "CSAI (nats) |" not in text
    assert "| tinier | linear | 900 | 1.250 ± 0.020 | 0.50 | -0.050 |" in text
    assert "`tiny` has the frames of `tinier`" in text and "CSAI was left out: too few words" in text
    assert "| tiny | 8.30 | 6.50 | 3.30 | 2.10 | 1.10 |" in text
    assert "Ledger (10 utterances, 321 tokens)" in text
    assert "The alignment is poor" in text
    assert "(report/digits-allocation.png)" in text
    assert all((checkpoint / "report" / name).is_file() for name in ("digits-allocation.png", "report.md"))


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


@pytest.mark.parametrize(
    ("name", "reason"), [("", "(in it are: {}/encoder)"), ("encoder", "holds a model of type 'entropy_asr_ctc'")]
)
def test_a_folder_of_stages_and_a_part_of_a_model_are_told_apart_from_models(tmp_path, capsys, name, reason):
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text('{"model_type": "entropy_asr_ctc"}', encoding="utf-8")
    assert cli.main(["card", str(tmp_path / name)]) == 2
    assert reason.format(tmp_path) in capsys.readouterr().err
    assert not (tmp_path / name / "README.md").exists()
