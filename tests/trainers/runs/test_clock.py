# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The time that training took, over runs that were killed."""

from entropy_asr.trainers.runs.clock import WallClock


def test_wall_clock_adds_up_over_runs(tmp_path):
    (tmp_path / "clock.json").write_text('{"seconds": 100.0}')
    clock = WallClock(tmp_path / "clock.json")
    assert 100 <= clock.seconds < 160
    clock.write()
    assert WallClock(tmp_path / "clock.json").seconds >= 100
    assert 0 <= clock.processor_seconds <= clock.seconds
    (tmp_path / "clock.json").write_text('{"seconds": 100.0, "processor_seconds": 70.0}')
    assert 70 <= WallClock(tmp_path / "clock.json").processor_seconds < 130
    assert [path.name for path in tmp_path.iterdir()] == ["clock.json"]
