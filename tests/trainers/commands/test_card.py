# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr card`: cards of checkpoints with a report, and of synthetic data sets."""

import json
from pathlib import Path

import pytest
from card_report import ALLOCATION, REPORT, write_report
from huggingface_hub import ModelCard

from entropy_asr.trainers.commands import cli


def write_allocation(directory: Path) -> None:
    directory.mkdir()
    (directory / "report.json").write_text(json.dumps(ALLOCATION), encoding="utf-8")
    (directory / "report.md").write_text("# Report\n", encoding="utf-8")
    (directory / "digits-trajectory.png").write_bytes(b"\x89PNG")


def test_report_goes_into_the_card_with_its_plot(tmp_path):
    write_allocation(tmp_path / "report-elsewhere")
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    write_report(checkpoint)
    assert cli.main(["card", str(checkpoint), "--report", str(tmp_path / "report-elsewhere")]) == 0
    text = ModelCard.load(checkpoint / "README.md").text
    assert "40 utterances, 62 s, en; 3 rows without usable speech left out" in text
    assert "| tinier | 0.432 | 1.25 (0.38) | - | encoder 51 %, LLM 32 %, left 17 % |" in text
    assert "`tiny` has the frames of `tinier`" in text
    assert "| tinier | PAI | 1.25 (1.01 to 1.49) | 0.38 ± 0.05 | 40, 7 and 6, 0.001 |" in text
    assert "| model | figure, ridge | k = 3 |\n| --- | --- | --- |\n| tinier | PAI, 0.01 | 0.71 (0.12) |" in text
    assert "| tinier | 0.100, 0.250 | 0.400 | 0.060 |" in text
    assert "| tiny | 8.30 | 6.50 | 3.20 | 1.10 | 10, 321 |" in text
    assert "(report/digits-trajectory.png)" in text
    assert all((checkpoint / "report" / name).is_file() for name in ("digits-trajectory.png", "report.md"))


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


def test_a_licence_that_was_named_stays_and_the_one_of_the_data_is_told(tmp_path, capsys):
    write_report(tmp_path)
    for options in (["--license", "cc-by-nc-4.0"], []):
        assert cli.main(["card", str(tmp_path), *options]) == 0
        assert ModelCard.load(tmp_path / "README.md").data.license == "cc-by-nc-4.0"
    assert "licence cc-by-nc-4.0, as its card says; by its data: cc-by-sa-4.0" in capsys.readouterr().err
    assert cli.main(["card", str(tmp_path), "--license", "cc-by-sa-4.0"]) == 0
    assert cli.main(["card", str(tmp_path)]) == 0 and not capsys.readouterr().err
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
