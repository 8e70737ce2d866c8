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
from kept_seeds import CLAIMS, write_seed, wrong_shares

from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.experiments import seeds
from entropy_asr.trainers.experiments.run import read_run
from entropy_asr.trainers.runs.errors import SettingsError, StageFailed


SCRIPT = Path(__file__).parents[1] / "experiment_script.py"


def test_run_ends_when_the_time_is_up(tmp_path):
    marker, log, looks = tmp_path / "ended", tmp_path / "log.txt", []
    code = f"import time; open({str(marker)!r}, 'w'); print('began', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, "recipe"]
    assert not seeds.run_until(time.monotonic() - 1, command, log, lambda: None, 1)
    assert not marker.exists()
    until = time.monotonic() + 3
    assert not seeds.run_until(until, command, log, lambda: looks.append(1), 0.5)
    assert len(looks) >= 3 and log.read_text() == "began\n"


def test_what_fails_says_how_its_log_ends(tmp_path):
    log = tmp_path / "log.txt"
    code = "print('long ago\\n' * 20 + 'no such file', flush=True); raise SystemExit(3)"
    with pytest.raises(
        StageFailed, match=r"entropy-asr recipe ended with exit status 3; .*(\nlong ago){14}\nno such file$"
    ):
        seeds.run_until(time.monotonic() + 30, [sys.executable, "-c", code, "recipe"], log, lambda: None, 1)


def test_a_report_is_made_again_when_something_else_is_wanted_or_a_model_is_newer(tmp_path):
    for place in ("a/stage.json", "allocation/done"):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).write_text('["report"]')
    assert seeds.is_reported(tmp_path, ["a"], ["report"])
    assert not seeds.is_reported(tmp_path, ["a"], ["report", "--max_rows"])
    newer = (tmp_path / "allocation" / "done").stat().st_mtime + 1
    os.utime(tmp_path / "a" / "stage.json", (newer, newer))
    assert not seeds.is_reported(tmp_path, ["a"], ["report"])


def test_results_of_other_settings_are_not_added_to(tmp_path):
    write_seed(tmp_path, 1, wrong_shares())
    overrides = ["--data_dir", str(tmp_path), "--encoder_steps", "5", "--allocation.embedder", "null"]
    run = read_run(CLAIMS.path, str(tmp_path / "runs"), str(tmp_path / "kept"), [*overrides, "--test_rows", "9"])
    with pytest.raises(
        SettingsError, match="1/proposed.json was made with other settings: test_rows 240, not 9. Choose"
    ):
        seeds.run_seeds(run, [2], 1.0)
    assert not (tmp_path / "runs").exists()


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
