# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stages that run at the same time: order, waiting, failures, locks. Small scripts stand for the stages."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from entropy_asr.trainers.recipes import schedule
from entropy_asr.trainers.recipes.schedule import PlannedStage, Schedule, plan_stages
from entropy_asr.trainers.runs.clock import wall_seconds
from entropy_asr.trainers.runs.errors import SettingsError, StageFailed
from entropy_asr.trainers.runs.launch import LaunchSettings
from entropy_asr.trainers.runs.records import write_record


# Writes down when it began and ended; waits for a file, if told to.
SCRIPT = """
import sys, time
from pathlib import Path
folder, wanted, status = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
(folder / "began").write_text(str(time.time()))
while wanted and not Path(wanted).exists():
    time.sleep(0.02)
if status:
    print("something went wrong")
    sys.exit(status)
(folder / "ended").write_text(str(time.time()))
"""


@pytest.fixture(autouse=True)
def _look_often(monkeypatch):
    monkeypatch.setattr(schedule, "POLL_SECONDS", 0.02)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a recipe of scripts; returns names in the order in which stages finished."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    monkeypatch.setattr(LaunchSettings, "command", lambda self, arguments: [sys.executable, str(script), *arguments])

    def run(stages: dict, here=None) -> list[str]:
        plans = plan_stages({"output_dir": str(tmp_path), "stages": stages})
        finished = []

        def arguments(plan: PlannedStage) -> list[str]:
            wanted = plan.section.get("wants", "")
            return [str(plan.output_dir), wanted and str(tmp_path / wanted), str(plan.section.get("status", 0))]

        def run_here(plan: PlannedStage) -> None:
            plan.output_dir.mkdir(exist_ok=True)
            subprocess.run([sys.executable, str(script), *arguments(plan)], check=True)

        def on_finish(plan: PlannedStage) -> None:
            if not plan.is_finished():
                write_record(plan.output_dir, plan.stage, plan.section, {"seed": plan.seed})
            finished.append(plan.name)

        Schedule(tmp_path, plans, arguments, here or run_here, on_finish).run()
        return finished

    return run


def moment(folder: Path, name: str) -> float:
    return float((folder / name).read_text())


def test_stages_run_one_after_another_in_this_process(run):
    here = []
    assert run({"a": {}, "b": {}}, here=lambda plan: plan.output_dir.mkdir() or here.append(plan.name)) == ["a", "b"]
    assert here == ["a", "b"]


def test_a_stage_has_the_recipes_seed_or_its_own():
    plans = plan_stages({"output_dir": "run", "seed": 3, "stages": {"encoder": {"seed": 5}, "sft": {}}})
    assert [(plan.seed, plan.section) for plan in plans] == [(5, {}), (3, {})]
    for wrong in ("x", True):
        with pytest.raises(SettingsError, match=rf"stages\.sft\.seed: expected a whole number or null, got {wrong!r}"):
            plan_stages({"output_dir": "run", "stages": {"sft": {"seed": wrong}}})


def test_background_stage_runs_beside_the_ones_below_it(run, tmp_path):
    """The one in the background cannot end before the last has: it wants a file of that one."""
    stages = {
        "pretraining": {"background": True, "wants": "sft/stage.json"},
        "alignment": {},
        "sft": {"wants": "pretraining/began"},
    }
    assert run(stages) == ["alignment", "sft", "pretraining"]
    assert moment(tmp_path / "pretraining", "began") < moment(tmp_path / "sft", "ended")
    assert moment(tmp_path / "alignment", "ended") < moment(tmp_path / "sft", "began")
    assert (tmp_path / "pretraining" / "log.txt").is_file()


def test_after_waits_for_a_background_stage(run, tmp_path):
    stages = {
        "pretraining": {"background": True, "wants": "sft/stage.json"},
        "sft": {},
        "joint": {"after": ["pretraining"]},
    }
    assert run(stages) == ["sft", "pretraining", "joint"]
    assert moment(tmp_path / "pretraining", "ended") < moment(tmp_path / "joint", "began")


def test_a_background_stage_that_waits_holds_nobody_up(run, tmp_path):
    """Sounds of words last until the language model has ended, which stands below the encoder that waits for them."""
    stages = {
        "words": {"background": True, "wants": "language_model/stage.json"},
        "encoder": {"background": True, "after": ["words"], "wants": "sft/stage.json"},
        "language_model": {},
        "sft": {"wants": "encoder/began"},
        "joint": {"after": ["encoder"]},
    }
    assert run(stages) == ["language_model", "words", "sft", "encoder", "joint"]
    assert moment(tmp_path / "words", "ended") < moment(tmp_path / "encoder", "began")
    assert moment(tmp_path / "encoder", "ended") < moment(tmp_path / "joint", "began")


def test_the_end_of_a_recipe_waits_for_waiting_stages(run):
    stages = {
        "words": {"background": True, "wants": "sft/stage.json"},
        "encoder": {"background": True, "after": ["words"]},
        "sft": {},
    }
    assert run(stages) == ["sft", "words", "encoder"]


def test_the_time_of_all_runs_is_added_up(run, tmp_path):
    assert wall_seconds(tmp_path) is None
    (tmp_path / "clock.json").write_text('{"seconds": 100.0}')
    with pytest.raises(StageFailed):
        run({"a": {"launch": {"environment": {}}, "status": 3}})
    after_failure = wall_seconds(tmp_path)
    assert 100 < after_failure < 160
    run({"a": {}})
    assert after_failure < wall_seconds(tmp_path) < 220


def test_time_is_on_record_while_a_recipe_runs(run, tmp_path):
    """Whoever kills it leaves that."""
    seen = []
    run({"a": {}}, here=lambda plan: plan.output_dir.mkdir() or time.sleep(0.2) or seen.append(wall_seconds(tmp_path)))
    assert seen[0] is not None


def test_finished_stages_are_skipped(run, tmp_path, caplog):
    stages = {"pretraining": {"background": True}, "sft": {"launch": {"environment": {"A": "1"}}}}
    run(json.loads(json.dumps(stages)))
    (tmp_path / "sft" / "stage.json").unlink()
    began = moment(tmp_path / "pretraining", "began")
    caplog.clear()
    assert sorted(run(stages)) == ["pretraining", "sft"]
    assert moment(tmp_path / "pretraining", "began") == began
    assert "[1/2] pretraining: finished before" in caplog.text
    assert "[2/2] sft: finished after 0:00:" in caplog.text


def test_failing_background_stage_ends_the_others_and_is_quoted(run, tmp_path):
    stages = {"pretraining": {"background": True, "wants": "sft/began", "status": 3}, "sft": {"wants": "never"}}
    with pytest.raises(StageFailed, match=r"stage pretraining ended with exit status 3(.|\n)*something went wrong"):
        run(stages)
    assert not (tmp_path / "sft" / "ended").exists()


def test_failing_stage_ends_the_background(run, tmp_path):
    stages = {"pretraining": {"background": True, "wants": "never"}, "sft": {"status": 4}}
    with pytest.raises(StageFailed, match="stage sft ended with exit status 4"):
        run(stages)
    assert not (tmp_path / "pretraining" / "ended").exists()


def test_killed_stage_is_named_with_its_signal(run, tmp_path):
    def kill():
        while not (tmp_path / "pretraining" / "began").exists():
            time.sleep(0.02)
        [pid] = children(os.getpid())
        os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(StageFailed, match="stage pretraining was ended by signal 9"):
        run({"pretraining": {"background": True, "wants": "never"}})
    thread.join()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_long_waits_say_how_far_stages_are(run, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(schedule, "STATUS_SECONDS", 0.2)
    (tmp_path / "pretraining").mkdir()
    (tmp_path / "pretraining" / "clock.json").write_text('{"seconds": 9.0, "step": 120, "max_steps": 2000}')
    threading.Timer(1.5, lambda: (tmp_path / "go").write_text("")).start()
    run({"pretraining": {"background": True, "wants": "go"}, "sft": {"wants": "go"}})
    assert "Running: pretraining (step 120 of 2000), sft." in caplog.text


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ({"a": {"background": "perhaps"}}, "stages.a.background: expected true or false, got 'perhaps'"),
        ({"a": {}, "b": {"after": ["a"]}}, "stages.b.after: .*unknown a"),
        ({"b": {"after": ["a"]}, "a": {"background": True}}, "stages.b.after: .*unknown a"),
        (
            {"a": {"launch": {"num_proceses": 2}}},
            "stages.a.launch: unknown num_proceses; did you mean.*num_processes",
        ),
        ({"a": {"launch": {"accelerate_config": "nowhere"}}}, "no such file: nowhere"),
        *(({name: {}}, "is a path, and the stage's folder") for name in ("../a", "a/b", "..", ".", "/a", "")),
    ],
)
def test_wrong_plans_are_refused(stages, message):
    with pytest.raises(ValueError, match=message):
        plan_stages({"output_dir": "o", "stages": stages})
