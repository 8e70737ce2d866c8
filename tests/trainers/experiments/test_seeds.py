# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Seeds are run, ended, killed and gone on with."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from experiment_script import SIZES, run_here, write_data
from kept_seeds import CLAIMS, data_dir, write_seed, wrong_shares

from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.experiments import seeds
from entropy_asr.trainers.experiments.results import check_kept
from entropy_asr.trainers.experiments.run import read_run
from entropy_asr.trainers.runs.errors import SettingsError, StageFailed
from entropy_asr.trainers.runs.launch import LaunchSettings
from entropy_asr.trainers.runs.records import write_record


SCRIPT = Path(__file__).parents[1] / "experiment_script.py"


def python(start: LaunchSettings, arguments: list[str]) -> list[str]:
    """Takes the place of the command: what follows its name is run as it stands."""
    return [sys.executable, "-c", *arguments[1:]]


def test_run_ends_when_the_time_is_up(tmp_path, monkeypatch):
    marker, log, looks = tmp_path / "ended", tmp_path / "log.txt", []
    code = f"import os, time; open({str(marker)!r}, 'w'); print(os.getpid(), flush=True); time.sleep(60)"
    monkeypatch.setattr(LaunchSettings, "command", python)
    assert not seeds.run_until(time.monotonic() - 1, ["recipe", code], log, lambda: None, 1)
    assert not marker.exists()
    until = time.monotonic() + 3
    assert not seeds.run_until(until, ["recipe", code], log, lambda: looks.append(1), 0.5)
    assert len(looks) >= 3 and marker.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)


def test_what_ends_by_itself_has_known_the_command_that_was_typed(tmp_path, monkeypatch):
    log, looks = tmp_path / "log.txt", []
    monkeypatch.setattr(LaunchSettings, "command", python)
    monkeypatch.setattr(sys, "argv", ["entropy-asr", "experiment", "claims", "--seeds", "1", "-o", "runs"])
    code = "import os; print(os.environ['ENTROPY_ASR_LAUNCHED'])"
    assert seeds.run_until(time.monotonic() + 60, ["recipe", code], log, lambda: looks.append(1), 30)
    assert looks and log.read_text() == "entropy-asr experiment claims --seeds 1\n"


def test_nothing_is_begun_when_there_is_no_time(tmp_path, capsys):
    run = read_run(CLAIMS.path, str(tmp_path / "runs"), None, own_options(tmp_path))
    assert seeds.run_seeds(run, [1], 1e-9) == 75
    assert capsys.readouterr().out == "The time is up; run the same command again to go on.\n"
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]


def test_a_stage_that_was_finished_with_other_settings_is_refused_before_anything_is_written(tmp_path):
    """Its counts would be kept as those of these settings."""
    run = read_run(CLAIMS.path, str(tmp_path / "runs"), str(tmp_path / "first"), own_options(tmp_path))
    [plan] = [plan for plan in run.check(1) if plan.name == "proposed_results"]
    plan.output_dir.mkdir(parents=True)
    write_record(plan.output_dir, plan.stage, plan.section, {"seed": plan.seed})
    assert run.check(1)
    options = [*own_options(tmp_path), "--test_rows", "50"]
    other = read_run(CLAIMS.path, str(tmp_path / "runs"), str(tmp_path / "other"), options)
    with pytest.raises(SettingsError, match=r"finished with other settings .*another --output_dir and --r") as error:
        seeds.run_seeds(other, [1], 1.0)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "other").exists() and not (tmp_path / "runs" / "1" / "progress.json").exists()


def test_what_fails_says_how_its_log_ends(tmp_path, monkeypatch):
    log = tmp_path / "log.txt"
    monkeypatch.setattr(LaunchSettings, "command", python)
    code = "print('long ago\\n' * 20 + 'no such file', flush=True); raise SystemExit(3)"
    with pytest.raises(
        StageFailed, match=r"entropy-asr recipe ended with exit status 3; .*(\nlong ago){14}\nno such file$"
    ):
        seeds.run_until(time.monotonic() + 30, ["recipe", code], log, lambda: None, 1)


def test_a_report_is_made_again_when_something_else_is_wanted_or_a_model_is_newer(tmp_path):
    for place in ("a/stage.json", "allocation/done"):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).write_text('["report"]')
    assert seeds.is_reported(tmp_path, ["a"], ["report"])
    assert not seeds.is_reported(tmp_path, ["a"], ["report", "--max_rows"])
    newer = (tmp_path / "allocation" / "done").stat().st_mtime + 1
    os.utime(tmp_path / "a" / "stage.json", (newer, newer))
    assert not seeds.is_reported(tmp_path, ["a"], ["report"])


def own_options(folder: Path) -> list[str]:
    """Data in a folder that is there, and no embedder, which may not be installed."""
    return ["--data_dir", data_dir(folder / "data"), "--allocation.embedder", "null"]


def test_results_of_other_settings_are_not_added_to(tmp_path):
    write_seed(tmp_path, 1, wrong_shares())
    overrides = ["--data_dir", data_dir(tmp_path / "data"), "--encoder_steps", "5", "--allocation.embedder", "null"]
    run = read_run(CLAIMS.path, str(tmp_path / "runs"), str(tmp_path / "kept"), [*overrides, "--test_rows", "9"])
    with pytest.raises(
        SettingsError, match="1/proposed.json and what .* have different settings: test_rows 240 and 9. Choose"
    ):
        seeds.run_seeds(run, [2], 1.0)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (["--allocation.rows", "30"], "max_rows 24 and 30"),
        (["--allocation.ledger_rows", "2"], "ledger_rows 1 and 2"),
        (["--allocation.embedder", "some-embedder"], "embedder None and 'some-embedder'"),
        (["--allocation.sets", "[{path: my/own}]"], r"sets \['speechocean762'\] and \['own'\]"),
        (["--allocation.sets", "[{path: my/speechocean762, language: English}]"], "language None and 'en'"),
    ],
)
def test_figures_of_other_data_are_not_added_to(tmp_path, option, reason):
    kept = {"split": "test", "text_column": "text", "language": None, "max_rows": 24, "ledger_rows": 1}
    (tmp_path / "kept" / "1").mkdir(parents=True)
    report = {"options": {**kept, "embedder": None, "ridge": 0.001}, "datasets": {"speechocean762": {}}}
    (tmp_path / "kept" / "1" / "allocation.json").write_text(json.dumps(report))
    same = [*own_options(tmp_path), "--allocation.rows", "24", "--allocation.ledger_rows", "1"]
    check_kept(read_run(CLAIMS.path, str(tmp_path / "runs"), str(tmp_path / "kept"), same), 2)
    run = read_run(CLAIMS.path, str(tmp_path / "runs"), str(tmp_path / "kept"), [*same, *option])
    with pytest.raises(SettingsError, match=f"1/allocation.json and .* entropy allocation options: {reason}. Choose"):
        check_kept(run, 2)


def without_times(folder: Path) -> dict[str, object]:
    """All that was kept of a seed, but for how long things took."""

    def cleaned(value):
        if isinstance(value, dict):
            return {key: cleaned(item) for key, item in value.items() if not key.endswith("seconds")}
        return [cleaned(item) for item in value] if isinstance(value, list) else value

    return {path.name: cleaned(json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))}


def toy_arguments(folder: Path, name: str) -> list[str]:
    """The command line of a toy's run, of seed 1."""
    data = ["--data_dir", str(folder / "data"), "--encoder", str(folder / "data" / "whisper")]
    places = ["--output_dir", str(folder / name), "--results_dir", str(folder / f"{name}-kept")]
    report = ["--allocation.embedder", "null", "--allocation.rows", "24", "--allocation.ledger_rows", "1"]
    sizes = [part for name, value in SIZES.items() for part in (f"--{name}", str(value))]
    return ["experiment", "claims", *places, "--seeds", "1", *data, *report, *sizes]


@pytest.mark.slow
def test_all_arms_run_to_the_page_and_give_the_same_figures_again(tmp_path, monkeypatch):
    """With a public encoder of a few thousand parameters."""
    pytest.importorskip("matplotlib")
    write_data(tmp_path / "data")
    monkeypatch.setattr(seeds, "run_until", run_here)
    assert cli.main(toy_arguments(tmp_path, "runs")) == 0
    whole = without_times(tmp_path / "runs-kept" / "1")
    assert set(whole) == {"allocation.json", *(f"{arm}.json" for arm in CLAIMS.arms)}
    assert not list((tmp_path / "runs").glob("*/*/checkpoints/checkpoint-*"))

    # Nothing is left to do.
    with monkeypatch.context() as patch:
        patch.setattr("entropy_asr.trainers.training.stage_run.run_trainer", lambda *_: pytest.fail("trained again"))
        assert cli.main(toy_arguments(tmp_path, "runs")) == 0

    # One arm again.
    for folder in (tmp_path / "runs" / "1").glob("half_*"):
        if folder.name != "half_language_model":
            shutil.rmtree(folder)
    assert cli.main(toy_arguments(tmp_path, "runs")) == 0
    assert without_times(tmp_path / "runs-kept" / "1") == whole

    # All again, and killed: in pretraining, between two swaps, while transcripts are written.
    run = tmp_path / "killed" / "1"
    places = [
        run / "phonemes" / "checkpoints" / "checkpoint-2" / "trainer_state.json",
        run / "proposed_ia_sft" / "checkpoints" / "checkpoint-1" / "trainer_state.json",
        run / "no_ia_sft_results" / "transcripts.jsonl",
    ]
    command = [sys.executable, str(SCRIPT), *toy_arguments(tmp_path, "killed"), "--", *map(str, places)]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=True)
    assert without_times(tmp_path / "killed-kept" / "1") == whole

    content = json.loads((tmp_path / "killed-kept" / "claims.json").read_text())
    assert content["seeds"] == ["1"] and len(list((tmp_path / "killed-kept").glob("*.png"))) == 4
    measured = [claim for claim in content["claims"] if claim.get("metric") != "csai"]
    assert {claim["verdict"] for claim in measured} == {"not decided here"}
