# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What checks of likely causes found is told of claims that do not hold, and of these alone."""

import json

import pytest
from kept_seeds import page_of, write_seed, wrong_shares


def test_page_says_what_checks_of_causes_found(tmp_path):
    """Of claims whose value is on the wrong side: those of the results always, others where they were made."""
    pytest.importorskip("matplotlib")
    cka, figures = {"layers": [0.1, 0.3], "adaptor": 0.2}, ("proposed_joint_sft", "conventional_joint_sft")
    for seed in (1, 2):
        write_seed(tmp_path, seed, wrong_shares(proposed=0.9))
        path = tmp_path / "kept" / str(seed) / "allocation.json"
        report = json.loads(path.read_text())
        models = report["datasets"]["words"]["models"]
        for name in figures:
            models[name]["text_cka"] = cka
        models["phonemes"]["pai"] += 1
        for row in models["phonemes"]["details"]["pai"]["table"]:
            row["pai"] += 1
        path.write_text(json.dumps(report))
    page_of(tmp_path)
    page = (tmp_path / "kept" / "claims.md").read_text()
    assert "| phoneme pretraining lowers PAI |" in page and "above 0 at 4 of 4 sizes, ridges and seeds" in page
    assert "joint SFT trains the encoder too" not in page
    arm = json.loads((tmp_path / "kept" / "2" / "no_ia_sft.json").read_text())
    again = {"changed": {}, "training": {"steps": 3}, "results": arm["results"]["no_ia_sft_results"]}
    values = {"values": [0.1, 0.2, 0.25], "chance": {"mean": 0.01}}
    checks = {"equal_time": again, "embedder": dict.fromkeys(figures, values)}
    (tmp_path / "kept" / "2" / "why.json").write_text(json.dumps(checks))
    page_of(tmp_path)
    page = (tmp_path / "kept" / "claims.md").read_text()
    assert "seed 2: 3 steps, errors 25.0 % (no_ia_sft 25.0 %, proposed 45.0 %); errors in silence" in page
    assert "proposed_joint_sft +0.050 (0.200 to 0.250, chance 0.010; own -0.100)" in page
    assert "silence around it, half a second" not in page
    (tmp_path / "kept" / "1" / "why.json").write_text(json.dumps({"embedder": checks["embedder"]}))
    page_of(tmp_path)
    row = next(line for line in (tmp_path / "kept" / "claims.md").read_text().splitlines() if "own -0.100" in line)
    assert row.count("seed 1: proposed_joint_sft") == row.count("seed 2: proposed_joint_sft") == 1
    # NSE falls by .01 from a stage to the next, and conventional joint training was to lower it.
    assert "attention pretraining has lowered NSE" not in page


def test_causes_are_given_of_what_does_not_hold_alone(tmp_path):
    pytest.importorskip("matplotlib")
    write_seed(tmp_path, 1, wrong_shares(proposed=0.1))
    checks = {"equal_time": {"changed": {}, "training": {"steps": 3}, "results": {}}}
    (tmp_path / "kept" / "1" / "why.json").write_text(json.dumps(checks))
    page_of(tmp_path)
    assert "joint SFT trains the encoder too" not in (tmp_path / "kept" / "claims.md").read_text()
