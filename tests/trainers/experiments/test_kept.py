# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is kept of an arm is all of it, whenever its stages end."""

import json
import os
from pathlib import Path

from kept_seeds import CLAIMS, write_further

from entropy_asr.trainers.experiments.kept import evaluations, keep_arm


def test_a_stage_that_ends_while_the_file_is_written_is_not_forgotten(tmp_path):
    run, kept = tmp_path / "run", tmp_path / "kept"
    for name in CLAIMS.arms["half"]:
        (run / name).mkdir(parents=True)
        (run / name / "stage.json").write_text('{"steps": 5, "seconds": 8, "processor_seconds": 7}')
    for name in evaluations("half"):
        write_further(run / name, {"words": 0.5})
    file = kept / "half.json"

    def keep() -> set[str]:
        assert keep_arm(run, kept, CLAIMS, "half", {"seed": 1})
        return set(json.loads(file.read_text())["results"])

    assert keep() == set(evaluations("half"))
    # Its record is older than the file, which does not have it.
    write_further(run / "half_further", {"books": 0.5})
    make_older(run / "half_further" / "stage.json", file)
    assert keep() == {*evaluations("half"), "half_further"}
    written = file.stat().st_mtime_ns
    assert keep() and file.stat().st_mtime_ns == written  # and is not written again and again


def make_older(one: Path, other: Path) -> None:
    time = other.stat().st_mtime_ns - 300_000_000
    os.utime(one, ns=(time, time))
    for record in one.parents[1].glob("*/stage.json"):
        os.utime(record, ns=(time, time))
