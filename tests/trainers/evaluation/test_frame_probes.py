# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Frame-level companions: times from the data or a neutral aligner, never from a model that is compared."""

import math

import numpy as np
import pytest
from training_helpers import make_rows

from entropy_asr.trainers.evaluation.report import ReportOptions, write_report


pytest.importorskip("phonemizer")
pytest.importorskip("matplotlib")

QUICK = {"split": "train", "ledger_rows": 0, "num_seeds": 1, "frame_probes": ["linear"]}


def aligned_rows(folder, languages: str = "en zh en zh en zh en zh en zh"):
    """Rows that bring phoneme and word times and speakers."""
    rows = make_rows(languages)
    alignments = []
    for duration in rows["duration"]:
        marks = np.linspace(0, duration, 7).tolist()
        units = [{"label": f"p{i % 3}", "start": marks[i], "end": marks[i + 1]} for i in range(6)]
        words = [
            {"label": "one", "start": marks[0], "end": marks[3]},
            {"label": "two", "start": marks[3], "end": marks[6]},
        ]
        alignments.append({"phonemes": units, "words": words})
    rows = rows.add_column("alignment", alignments)
    rows = rows.add_column("speaker_id", [f"speaker {index // 2}" for index in range(len(rows))])
    rows.save_to_disk(folder)
    return str(folder)


def test_times_of_the_data_set_are_taken(components, tmp_path):
    data = aligned_rows(tmp_path / "aligned")
    report = write_report([str(components / "encoder")], [data], tmp_path / "out", ReportOptions(**QUICK))
    found = report["datasets"]["aligned"]["models"]["encoder"]["frame_probes"]
    assert found["data"]["num_speakers"] == 5
    assert found["details"]["frame_pai"]["num_classes"] == 3
    assert math.isfinite(found["frame_nse"] + found["frame_pai"])
    with pytest.raises(ValueError, match="`aligner` has nothing to time: all data sets have a column `alignment`"):
        write_report(["m"], [data], tmp_path / "other", ReportOptions(**QUICK, aligner="a"))
    assert "Frame-level companions" in (tmp_path / "out" / "report.md").read_text()


def test_a_neutral_aligner_is_asked_for(components, tmp_path):
    models, data = [str(components / "full")], [str(components / "rows")]
    with pytest.raises(ValueError, match="give `aligner`"):
        write_report(models, data, tmp_path, ReportOptions(**QUICK))
    with pytest.raises(ValueError, match="is compared, so it must not time the phonemes"):
        write_report(models, data, tmp_path, ReportOptions(**QUICK, aligner=models[0]))
    report = write_report(models, data, tmp_path, ReportOptions(**QUICK, aligner=str(components / "encoder")))
    found = report["datasets"]["rows"]["models"]["full"]["frame_probes"]
    assert 0 < found["data"]["mean_alignment_score"] < 1
