# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How far a seed is, and when it will have ended."""

import io
import json

from entropy_asr.trainers.experiments.progress import Lane, Progress, ProgressLine


def test_progress_says_when_a_seed_will_have_ended(tmp_path):
    moment = [1e9]
    lanes = [Lane(tmp_path, {"long": 3000, "longer": 3000}), Lane(tmp_path, {"short": 1000})]
    progress = Progress(lanes, 600, now=lambda: moment[0])
    progress.write(tmp_path)
    assert json.loads((tmp_path / "progress.json").read_text())["minutes_left"] == 110
    # Half of a stage, which should have taken 25 minutes, took 50.
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "clock.json").write_text(json.dumps({"seconds": 9, "step": 5, "max_steps": 10}))
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "stage.json").write_text("{}")
    moment[0] += 3000
    line = progress.write(tmp_path)
    found = json.loads((tmp_path / "progress.json").read_text())
    assert found["stages_done"] == 1 and found["stages"] == 3 and found["running"] == ["long 50 %"]
    assert found["pace"] == round(3600 / 2100, 2) and found["minutes_left"] == round(85 * 3600 / 2100)
    assert found["estimated_end"] == "2001-09-09 05:02 UTC"
    assert line.startswith("1 of 3 stages done, now long 50 %;") and line.endswith("2001-09-09 05:02 UTC.")


def test_a_stage_that_goes_on_behind_where_it_was_is_no_progress_backwards(tmp_path):
    moment = [0.0]
    (tmp_path / "long").mkdir()
    clock = tmp_path / "long" / "clock.json"
    clock.write_text(json.dumps({"step": 90, "max_steps": 100}))
    progress = Progress([Lane(tmp_path, {"long": 20000})], 0, now=lambda: moment[0])
    clock.write_text(json.dumps({"step": 50, "max_steps": 100}))
    moment[0] += 60
    assert progress.look()["minutes_left"] == round(10000 / 60 * 660 / 600)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_is_rewritten(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    with ProgressLine("seed 1", Terminal()) as line:
        line.show("1 of 3 stages done")
        line.show("all")
    assert line.stream.getvalue() == "\rseed 1: 1 of 3 stag\x1b[K\rseed 1: all\x1b[K\n"


def test_elsewhere_each_look_is_a_line():
    with ProgressLine("seed 1", io.StringIO()) as line:
        line.show("1 of 3")
        line.show("2 of 3")
    assert [said.partition("UTC: ")[2] for said in line.stream.getvalue().splitlines()] == [
        "seed 1: 1 of 3",
        "seed 1: 2 of 3",
    ]
    assert line.seconds == 60
