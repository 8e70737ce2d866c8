# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr transcribe --dataset`: killed anywhere and run again it writes what a run in peace writes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from corpora import KILLED_IN, heard, write_corpus
from fake_pipeline import write_wav
from killed_runs import kill_at_line, run_forked, was_killed

from entropy_asr.trainers.commands import cli


CHECKPOINT = Path(__file__).parents[3] / "spaces" / "demo" / "checkpoint"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "parquet", bad=(4, 13))


def words(folder, output, *options) -> list[str]:
    settings = ("--keep_columns", "id", "--rows_per_part", "3", "--device", "cpu")
    return ["transcribe", "--dataset", str(folder), "--output", str(output), *settings, *options]


def check_rows(output: Path) -> None:
    table = pq.read_table(output)
    assert table["id"].to_pylist() == list(range(23))
    bad = [error is not None for error in table["error"].to_pylist()]
    assert [index for index, is_bad in enumerate(bad) if is_bad] == [4, 13]
    expected = [None if number in (4, 13) else heard(number) for number in range(23)]
    assert table["text"].to_pylist() == expected


def test_a_data_set_becomes_a_file_and_is_left_as_it_is(pipeline, folder, tmp_path, capsys):
    output = tmp_path / "out.parquet"
    assert cli.main(words(folder, output)) == 1  # two rows have errors
    assert capsys.readouterr().out == f"{output}: 23 rows, 2 of them with errors, 0.00 h of audio\n"
    check_rows(output)
    assert list(tmp_path.iterdir()) == [output]
    before, loaded = output.stat().st_mtime_ns, len(pipeline.loaded)
    assert cli.main(words(folder, output)) == 1
    assert (output.stat().st_mtime_ns, len(pipeline.loaded)) == (before, loaded)
    assert capsys.readouterr().out.startswith(f"{output}: 23 rows, 2 of them")


def test_a_folder_holds_the_same_rows(pipeline, folder, tmp_path):
    assert cli.main(words(folder, tmp_path / "out")) == 1
    check_rows(tmp_path / "out")


def test_every_option_reaches_the_model(pipeline, folder, tmp_path):
    options = ["--language", "Chinese", "--batch_size", "2", "--num_beams", "4", "--no_guards", "--max_rows", "2"]
    assert cli.main(words(folder, tmp_path / "out.parquet", *options, "--model", "some/model")) == 0
    assert pipeline.loaded == [("some/model", "cpu", None)]
    passed = {"batch_size": 2, "generate_kwargs": {"num_beams": 4}, "language": "zh", "return_flags": True}
    assert pipeline.calls == [{"count": 2, "progress": False, "guards": False, **passed}]
    assert pq.read_table(tmp_path / "out.parquet")["language"].to_pylist() == ["zh", "zh"]


def test_other_settings_do_not_go_on(pipeline, folder, tmp_path, capsys):
    output = tmp_path / "out.parquet"
    cli.main(words(folder, output))
    assert cli.main(words(folder, output, "--language", "zh", "--text_column", "text")) == 2
    assert "made with other settings (language, text_column)" in capsys.readouterr().err
    assert cli.main(words(folder, output, "--punctuation", "full")) == 2
    assert "made with other settings (punctuation)" in capsys.readouterr().err
    assert cli.main(words(folder, output, "--carry_context")) == 2
    assert "made with other settings (carry_context)" in capsys.readouterr().err
    assert cli.main(words(write_corpus(tmp_path / "other", num_rows=9), output)) == 2
    assert "made with other settings (dataset)" in capsys.readouterr().err
    check_rows(output)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--format", "json"], "--format is of files"),
        (["-o", "texts"], "--output_dir is of files"),
        (["--diarization", "talk.rttm"], "--diarization is of files"),
        (["--keep_columns", "speaker"], "no column 'speaker'"),
        (["--keep_columns", "text"], "'text' cannot be kept"),
        (["--split", "test"], "no split 'test'; it has train"),
        (["--rescoring_weight", "0.5"], "--rescoring_weight needs --num_hypotheses"),
        (["--ray", "--num_machines", "2"], "--num_machines is of accelerate"),
        (["--ray", "--device", "cuda:1"], "--device cuda:1: each worker of --ray takes a GPU of its own"),
        (["talk.wav"], "talk.wav: give files or --dataset, not both"),
    ],
)
def test_what_does_not_go_together_is_refused_at_once(
    pipeline, folder, tmp_path, capsys, monkeypatch, options, reason
):
    monkeypatch.setattr("entropy_asr.trainers.commands.transcribe_corpus.need_extra", lambda *args: None)
    assert cli.main(words(folder, tmp_path / "out.parquet", *options)) == 2
    assert reason in capsys.readouterr().err
    assert pipeline.loaded == [] and list(tmp_path.iterdir()) == []


def test_an_output_in_the_data_set_would_change_it(pipeline, folder, capsys):
    for name in ("out.parquet", "deep/out"):
        assert cli.main(words(folder, folder / name)) == 2
        assert "lies in the data set, which would be another one in the next run" in capsys.readouterr().err
    assert pipeline.loaded == [] and not (folder / "deep").exists()


def test_options_of_data_sets_need_one(pipeline, tmp_path, capsys):
    file = write_wav(tmp_path / "a.wav")
    for option in ("--output", "--split", "--num_processes"):
        assert cli.main(["transcribe", file, option, "2"]) == 2
        assert f"{option} needs --dataset" in capsys.readouterr().err
    assert cli.main(["transcribe"]) == 2
    assert "name files to transcribe, or a data set" in capsys.readouterr().err
    assert cli.main(["transcribe", "--dataset", str(tmp_path)]) == 2
    assert "--dataset needs --output" in capsys.readouterr().err


def run_and_kill(arguments: list[str], line: int) -> bool:
    """Run the command in a process of its own that is killed at that line of it; whether it was."""
    status = run_forked(lambda: cli.main(arguments), lambda: kill_at_line(line, KILLED_IN))
    assert was_killed(status) or os.WEXITSTATUS(status) == 1
    return was_killed(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_killed_anywhere_and_run_again_it_writes_the_same(pipeline, folder, tmp_path, name):
    peaceful = tmp_path / "peaceful" / name
    assert cli.main(words(folder, peaceful)) == 1
    rng = np.random.default_rng(0)
    num_kills = 0
    for attempt in range(4):
        output = tmp_path / str(attempt) / name
        while run_and_kill(words(folder, output), int(rng.integers(1, 1500))):
            num_kills += 1
            assert num_kills < 100, "killed early again and again, it never comes to its end"
        assert contents(output) == contents(peaceful)
    assert num_kills > 8


def contents(output: Path) -> bytes | dict[str, list]:
    """A file byte by byte, beside which nothing may be left; a folder by the rows of each part."""
    if output.suffix:
        assert list(output.parent.iterdir()) == [output]
        return output.read_bytes()
    assert not [path for path in output.iterdir() if path.suffix == ".tmp"]
    return {path.name: pq.read_table(path).to_pylist() for path in output.glob("*.parquet")}


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--ray"]], ids=["accelerate", "ray"])
def test_two_real_processes_write_what_one_writes(folder, tmp_path, options):
    if "--ray" in options:
        pytest.importorskip("ray")
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    assert cli.main(words(folder, one)) == 1
    # What device there is, they find out.
    arguments = [
        word for word in words(folder, two, "--num_processes", "2", *options) if word not in ("--device", "cpu")
    ]
    command = [sys.executable, "-m", "entropy_asr.trainers.commands.cli", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True)
    told = (1, f"{two}: 23 rows, 2 of them with errors, 0.00 h of audio\n")
    assert (ended.returncode, ended.stdout) == told, ended
    assert two.read_bytes() == one.read_bytes()
    # What is finished is told once, and is no fault of a process.
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == told and "Traceback" not in ended.stderr, ended
