# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr evaluate`: its table, its files, and data sets that it refuses."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import Audio, Dataset
from fake_pipeline import write_wav

from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.evaluation.error_rates import WITHOUT_GUARDS


def make_dataset(folder, texts: dict[int, str], language: str) -> str:
    """Write a parquet data set with one recording of n hundredths of a second for each n."""
    folder.mkdir()
    rows = []
    for hundredths, text in texts.items():
        path = folder / f"{hundredths}.wav"
        write_wav(path, hundredths)
        audio = {"bytes": path.read_bytes(), "path": path.name}
        rows.append({"audio": audio, "text": text, "language": language, "duration": hundredths / 100})
        path.unlink()
    dataset = Dataset.from_list(rows).cast_column("audio", Audio(decode=False))
    dataset.to_parquet(folder / "test-00000-of-00001.parquet")
    return str(folder)


def change(folder: Path, changed: Callable[[Dataset], Dataset]) -> None:
    """Write the rows of a data set anew."""
    path = next(folder.glob("*.parquet"))
    rows = changed(Dataset.from_parquet(str(path), cache_dir=str(folder.with_name("cache"))))
    path.unlink()
    rows.to_parquet(path)


@pytest.mark.parametrize("between", [[], ["--dataset"]], ids=["several", "repeated"])
def test_evaluate_reports_each_data_set_in_its_own_unit(pipeline, tmp_path, capsys, between):
    english = make_dataset(tmp_path / "spoken", {10: "length 10", 20: "long 20"}, "en")
    noise = make_dataset(tmp_path / "noise", {30: ""}, "none")
    output, transcripts = tmp_path / "out" / "results.json", tmp_path / "out" / "transcripts.jsonl"
    datasets = ["--dataset", english, *between, noise]
    arguments = [*datasets, "--output", str(output), "--save_transcripts", str(transcripts)]
    assert cli.main(["evaluate", "--model", "some/model", *arguments, "--num_beams", "2"]) == 0

    report = json.loads(output.read_text())
    assert report["model"] == "some/model"
    assert report["parameters"] == 1234
    assert report["generate_kwargs"] == {"num_beams": 2}
    assert report["versions"]["transformers"]
    # "10" and "20" are two digits each: one substitution in six words.
    assert report["results"]["spoken"]["wer"] == pytest.approx(1 / 6)
    assert report["results"]["noise"]["wer"] is None
    assert report["results"]["noise"]["nonempty_share"] == 1.0
    assert str(tmp_path) not in output.read_text()

    rows = [json.loads(line) for line in transcripts.read_text().splitlines()]
    assert [(row["dataset"], row["reference"], row["hypothesis"]) for row in rows] == [
        ("spoken", "length 10", "length 10"),
        ("spoken", "long 20", "length 20"),
        ("noise", "", "length 30"),
    ]
    table = capsys.readouterr().out
    assert "WER 16.7" in table
    assert "100.0 %" in table


def test_evaluate_limits_rows(pipeline, tmp_path):
    dataset = make_dataset(tmp_path / "spoken", {10: "a", 20: "b", 30: "c"}, "en")
    output = tmp_path / "results.json"
    arguments = ["evaluate", "--model", "m", "--dataset", dataset, "--max_rows", "2", "--output", str(output)]
    assert cli.main(arguments) == 0
    assert json.loads(output.read_text())["results"]["spoken"]["utterances"] == 2


def test_evaluate_reads_the_transcripts_from_another_column(pipeline, tmp_path, capsys):
    dataset = make_dataset(tmp_path / "spoken", {10: "length 10", 20: "long 20"}, "en")
    change(tmp_path / "spoken", lambda rows: rows.rename_column("text", "sentence"))
    output = tmp_path / "results.json"
    arguments = ["evaluate", "--model", "m", "--dataset", dataset, "--output", str(output)]
    assert cli.main(arguments) == 2
    assert "--text_column of a command" in capsys.readouterr().err
    assert cli.main([*arguments, "--text_column", "sentence"]) == 0
    assert json.loads(output.read_text())["results"]["spoken"]["wer"] == pytest.approx(1 / 6)


def test_evaluate_reads_one_configuration_of_several(pipeline, tmp_path, capsys):
    folder = tmp_path / "spoken"
    make_dataset(folder, {10: "length 10"}, "en")
    make_dataset(folder / "far", {20: "long 20"}, "en")
    files = {"near": "*.parquet", "far": "far/*.parquet"}
    configs = [{"config_name": name, "data_files": [{"split": "test", "path": path}]} for name, path in files.items()]
    (folder / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    output, rates = tmp_path / "results.json", {}
    for name in files:
        arguments = ["evaluate", "--model", "m", "--dataset", str(folder), "--output", str(output)]
        assert cli.main([*arguments, "--dataset_config", name]) == 0
        report = json.loads(output.read_text())
        assert report["dataset_config"] == name
        rates[name] = report["results"]["spoken"]["wer"]
    assert rates == {"near": 0, "far": pytest.approx(1 / 3)}


def test_evaluate_names_a_data_set_that_is_not_there(pipeline, tmp_path, capsys):
    assert cli.main(["evaluate", "--model", "m", "--dataset", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert pipeline.calls == []


def test_evaluate_measures_hallucination_with_guards_and_without_in_silence_and_in_noise(pipeline, tmp_path, capsys):
    english = make_dataset(tmp_path / "spoken", {10: "length 10", 20: "length 20"}, "en")
    output = tmp_path / "results.json"
    arguments = ["--guards", "both", "--padded_silence", "0.5", "--non_speech", "3", "--output", str(output)]
    assert cli.main(["evaluate", "--model", "m", "--dataset", english, *arguments]) == 0
    report = json.loads(output.read_text())
    assert (report["guards"], report["padded_silence"], report["non_speech"]) == ("both", 0.5, 3)
    spoken, made = report["results"]["spoken"], report["results"]["made sounds without speech"]
    assert spoken["hallucination"]["hallucination_rate"] == 0
    assert list(spoken["conditions"]) == [
        "guards off",
        "0.5 s of silence around, guards on",
        "0.5 s of silence around, guards off",
    ]
    # It hears the hundredths of a second, so silence around changes the number: a wrong number is no hallucination.
    assert spoken["conditions"]["0.5 s of silence around, guards on"]["wer"] > 0
    assert made["hallucination"]["nonspeech_rate"] == 1 and list(made["conditions"]) == ["guards off"]
    assert [call.get("guards") for call in pipeline.calls] == [None, WITHOUT_GUARDS] * 3
    assert "guards off: hallucination 100.0 %" in capsys.readouterr().out


def test_evaluate_masks_audio_and_adds_the_noise_of_a_data_set(pipeline, tmp_path):
    english = make_dataset(tmp_path / "spoken", {10: "length 10"}, "en")
    noise = make_dataset(tmp_path / "noise", {30: ""}, "none")
    change(tmp_path / "noise", lambda rows: rows.remove_columns(["text", "language"]))
    output = tmp_path / "results.json"
    arguments = ["--masked", "0.1", "0.3", "--snr", "20", "0", "--noise", noise, "--output", str(output)]
    assert cli.main(["evaluate", "--model", "m", "--dataset", english, *arguments]) == 0
    report = json.loads(output.read_text())
    assert (report["masked"], report["snr"], report["noise"]) == ([0.1, 0.3], [20.0, 0.0], noise)
    names = [f"{change}, guards on" for change in ("10 % masked", "30 % masked", "noise at 20 dB", "noise at 0 dB")]
    assert list(report["results"]["spoken"]["conditions"]) == names


def test_evaluate_refuses_changes_of_audio_that_make_no_sense(pipeline, tmp_path, capsys):
    english = make_dataset(tmp_path / "spoken", {10: "length 10"}, "en")
    for arguments, message in ((["--masked", "1.5"], "`masked`"), (["--noise", english], "--snr")):
        assert cli.main(["evaluate", "--model", "m", "--dataset", english, *arguments]) != 0
        assert message in capsys.readouterr().err and pipeline.calls == []


@pytest.mark.parametrize("arguments", [["--padded_silence", "-1"], ["--guards", "some"], ["--non_speech", "0"]])
def test_evaluate_refuses_conditions_that_there_are_not(pipeline, tmp_path, capsys, arguments):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--model", "m", "--dataset", str(tmp_path), *arguments])
    assert arguments[0] in capsys.readouterr().err and pipeline.calls == []


def test_evaluate_scores_what_was_transcribed_before(pipeline, tmp_path, capsys):
    dataset = make_dataset(tmp_path / "spoken", {10: "length 10", 20: "long 20"}, "en")
    written, output = tmp_path / "out.parquet", tmp_path / "results.json"
    lines = tmp_path / "transcripts.jsonl"
    options = ["--split", "test", "--text_column", "text", "--model", "some/model"]
    assert cli.main(["transcribe", "--dataset", dataset, "--output", str(written), *options]) == 0
    pipeline.calls.clear()
    scoring = ["evaluate", "--transcripts", str(written), "--output", str(output), "--save_transcripts", str(lines)]
    assert cli.main(scoring) == 0
    assert pipeline.calls == [] and "WER 16.7" in capsys.readouterr().out
    transcribed_here = tmp_path / "here.json"
    cli.main(["evaluate", "--dataset", dataset, "--model", "some/model", "--output", str(transcribed_here)])
    report, here = (json.loads(path.read_text()) for path in (output, transcribed_here))
    assert report["model"] == here["model"] == "some/model"
    for name in ("wer", "by_language", "hallucination", "guards"):
        assert report["results"]["spoken"][name] == here["results"]["spoken"][name]
    assert [json.loads(line)["hypothesis"] for line in lines.read_text().splitlines()] == ["length 10", "length 20"]
    assert cli.main([*scoring, "--snr", "10"]) == 2
    assert "--snr is of transcribing" in capsys.readouterr().err
    assert cli.main(["evaluate"]) == 2


@pytest.mark.slow
def test_two_real_processes_measure_what_one_measures(tmp_path):
    spoken = make_dataset(tmp_path / "spoken", {10 * n: f"length {n}" for n in range(2, 9)}, "en")
    broken = Dataset.from_parquet(f"{spoken}/test-00000-of-00001.parquet").to_list()
    broken[3]["audio"]["bytes"] = b"not audio"
    Dataset.from_list(broken).cast_column("audio", Audio(decode=False)).to_parquet(
        f"{spoken}/test-00000-of-00001.parquet"
    )
    command = [sys.executable, "-m", "entropy_asr.trainers.commands.cli", "evaluate", "--dataset", spoken]
    command += ["--batch_size", "2", "--device", "cpu", "--non_speech", "3", "--padded_silence", "0.5"]
    found = []
    for processes in ([], ["--num_processes", "2"]):
        name = tmp_path / f"results{len(found)}"
        outputs = ["--output", f"{name}.json", "--save_transcripts", f"{name}.jsonl"]
        ended = subprocess.run([*command, *outputs, *processes], capture_output=True, text=True)
        assert ended.returncode == 1 and "Traceback" not in ended.stderr, ended.stderr
        assert ended.stdout.count("spoken") == 1  # one table
        results = json.loads(name.with_suffix(".json").read_text())["results"]
        for result in results.values():
            assert result.pop("wall_seconds") > 0 and result.pop("audio_seconds_per_second") > 0
        found.append((results, name.with_suffix(".jsonl").read_text()))
    assert found[0] == found[1]
    assert found[0][0]["spoken"]["unreadable"] and found[0][0]["spoken"]["utterances"] == 6
    # Also where nothing is written that says so.
    ended = subprocess.run([*command, "--num_processes", "2"], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 1 and ended.stdout.count("spoken") == 1, ended.stderr
