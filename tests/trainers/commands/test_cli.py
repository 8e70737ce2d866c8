# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command line: what it prints, what it passes on, and its exit status. Models and training are stand-ins."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from datasets import Audio, Dataset

import entropy_asr.modeling  # noqa: F401 (before its pipeline is replaced)
from entropy_asr.trainers.commands import cli


class FakePipeline:
    """Hears the number of hundredths of a second in a recording, and refuses recordings below 50 ms."""

    def __init__(self):
        self.calls: list[dict] = []
        self.looping = False
        self.model = SimpleNamespace(
            num_parameters=lambda: 1234, dtype=torch.float32, device=torch.device("cpu"), training=False
        )

    def __call__(self, arrays, batch_size, generate_kwargs, **options):
        self.calls.append(
            {"count": len(arrays), "batch_size": batch_size, "generate_kwargs": generate_kwargs, **options}
        )
        arrays = [np.zeros(16000 * 31) if isinstance(array, str) else array for array in arrays]
        if any(len(array) < 800 for array in arrays):
            raise ValueError("the recording is shorter than one frame")
        return [self.result(len(array) // 160, **options) for array in arrays]

    def result(self, hundredths, return_timestamps=None, return_flags=False, **options):
        result = {"text": f"length {hundredths}"}
        if return_timestamps:
            times = ("length", (0.0, 0.05)), (f" {hundredths}", (0.05, hundredths / 100))
            result["chunks"] = [{"text": text, "timestamp": time} for text, time in times]
        if self.looping and return_flags:
            result["flags"] = ["length_limit"]
        return result


@pytest.fixture
def pipeline(monkeypatch) -> FakePipeline:
    pipeline = FakePipeline()
    pipeline.loaded = []

    def load_pipeline(model, device=None, dtype=None):
        if model == "missing/model":
            raise OSError("missing/model is not a folder")
        pipeline.loaded.append((model, device, dtype))
        return pipeline

    module = SimpleNamespace(load_pipeline=load_pipeline)
    monkeypatch.setitem(sys.modules, "entropy_asr.modeling.pipeline_entropy_asr", module)
    return pipeline


def write_wav(path, hundredths: int = 10, sampling_rate: int = 16000, channels: int = 1) -> str:
    shape = (hundredths * sampling_rate // 100, channels)
    soundfile.write(path, np.full(shape, 0.1, np.float32), sampling_rate, subtype="FLOAT")
    return str(path)


def test_help_needs_no_heavy_import():
    """`entropy-asr --help` answers at once; importing torch alone takes seconds."""
    code = (
        "import sys\nfrom entropy_asr.trainers.commands.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for command in ("transcribe", "train", "recipe", "evaluate"):
        assert command in result.stdout


def test_transcribe_prints_path_tab_text_in_order(pipeline, tmp_path, capsys):
    files = [write_wav(tmp_path / f"{n}.wav", n) for n in (30, 10, 20)]
    assert cli.main(["transcribe", *files, "--model", "m"]) == 0
    assert capsys.readouterr().out == "".join(
        f"{file}\tlength {n}\n" for file, n in zip(files, (30, 10, 20), strict=True)
    )


def test_transcribe_json(pipeline, tmp_path, capsys):
    files = [write_wav(tmp_path / f"{n}.wav", n) for n in (30, 10)]
    assert cli.main(["transcribe", *files, "--model", "m", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"file": files[0], "text": "length 30"},
        {"file": files[1], "text": "length 10"},
    ]


def test_transcribe_passes_every_option_on(pipeline, tmp_path):
    files = [write_wav(tmp_path / f"{n}.wav", 10) for n in range(3)]
    options = [
        "--language",
        "Chinese",
        "--batch_size",
        "2",
        "--num_beams",
        "4",
        "--device",
        "cpu",
        "--dtype",
        "bfloat16",
    ]
    assert cli.main(["transcribe", *files, "--model", "some/model", *options]) == 0
    assert pipeline.loaded == [("some/model", "cpu", "bfloat16")]
    common = {"batch_size": 2, "generate_kwargs": {"num_beams": 4}, "language": "zh", "return_flags": True}
    assert pipeline.calls == [{"count": 2, **common}, {"count": 1, **common}]


def test_transcribe_passes_hotwords_times_and_guards_on(pipeline, tmp_path):
    file = write_wav(tmp_path / "a.wav")
    words = tmp_path / "words.txt"
    words.write_text("Kaldi\n\n  New York \n", encoding="utf-8")
    options = ["--format", "json", "--confidence", "--timestamps", "phoneme", "--no_guards"]
    for hotwords in ([str(words)], ["Kaldi", "New York"], ["Kaldi", "--hotwords", "New York"]):
        arguments = [file, "--model", "m", "--hotwords", *hotwords, "--hotword_tolerance", "0.2", *options]
        assert cli.main(["transcribe", *arguments]) == 0
    expected = {
        "count": 1,
        "batch_size": 8,
        "generate_kwargs": {},
        "language": None,
        "return_flags": True,
        "return_timestamps": "phoneme",
        "return_confidence": True,
        "guards": False,
        "hotwords": ["Kaldi", "New York"],
        "hotword_tolerance": 0.2,
    }
    assert pipeline.calls == [expected] * 3


def test_index_of_hotwords_is_built_once_and_read_by_transcribe(pipeline, tmp_path, capsys):
    words, index = tmp_path / "words.txt", tmp_path / "index.npz"
    words.write_text("Kaldi\n北京\n...\n", encoding="utf-8")
    assert cli.main(["hotwords", str(words), "--output", str(index)]) == 2
    assert "'...' has 0 phonemes" in capsys.readouterr().err
    assert cli.main(["hotwords", str(words), "--output", str(index), "--skip_unusable"]) == 0
    assert capsys.readouterr().out == f"{index}: 2 words\n"
    assert cli.main(["transcribe", write_wav(tmp_path / "a.wav"), "--model", "m", "--hotwords", str(index)]) == 0
    assert pipeline.calls[0]["hotwords"].words() == ["Kaldi", "北京"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--timestamps", "word"], "--timestamps needs --format"),
        (["--timestamps", "phoneme", "--format", "srt"], "not of phonemes"),
        (["--confidence", "--format", "vtt"], "--confidence needs --format json"),
        (["--hotword_tolerance", "0.1"], "needs --hotwords"),
        (["--hotwords", "gone.txt"], "gone.txt: cannot be read"),
        (["--hotwords", "gone.npz"], "gone.npz: cannot be read"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_the_model_is_loaded(
    pipeline, tmp_path, capsys, options, reason
):
    assert cli.main(["transcribe", write_wav(tmp_path / "a.wav"), "--model", "m", *options]) == 2
    assert reason in capsys.readouterr().err
    assert pipeline.loaded == []


def test_subtitles_of_one_file_are_printed_and_of_several_written(pipeline, tmp_path, capsys):
    files = [write_wav(tmp_path / f"{name}.wav", n) for name, n in (("a", 30), ("b", 20))]
    assert cli.main(["transcribe", files[0], "--model", "m", "--format", "srt"]) == 0
    srt = "1\n00:00:00,000 --> 00:00:00,300\nlength 30\n"
    assert capsys.readouterr().out == srt
    assert cli.main(["transcribe", *files, "--model", "m", "--format", "vtt"]) == 2
    assert "--output_dir" in capsys.readouterr().err
    folder = tmp_path / "out"
    for kind in ("srt", "vtt", "text", "json"):
        assert cli.main(["transcribe", *files, "--model", "m", "--format", kind, "--output_dir", str(folder)]) == 0
    assert capsys.readouterr().out == ""
    assert (folder / "a.srt").read_text() == srt
    assert (folder / "b.vtt").read_text() == "WEBVTT\n\n00:00:00.000 --> 00:00:00.200\nlength 20\n"
    assert (folder / "b.txt").read_text() == "length 20\n"
    assert json.loads((folder / "a.json").read_text()) == {"file": files[0], "text": "length 30"}
    assert pipeline.calls[0]["return_timestamps"] == "word"


def test_files_of_one_name_are_not_written_over_each_other(pipeline, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    files = [write_wav(tmp_path / "a.wav"), write_wav(tmp_path / "other" / "a.wav")]
    assert cli.main(["transcribe", *files, "--output_dir", str(tmp_path / "out")]) == 2
    assert "a.txt" in capsys.readouterr().err


def test_transcript_that_was_stopped_is_told_on_stderr(pipeline, tmp_path, capsys):
    pipeline.looping = True
    file = write_wav(tmp_path / "a.wav")
    assert cli.main(["transcribe", file, "--model", "m"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{file}\tlength 10\n"
    assert f"warning: {file}: the transcript was stopped" in captured.err


def test_long_recording_goes_to_the_pipeline_as_a_path_between_batches(pipeline, tmp_path, capsys):
    files = [write_wav(tmp_path / f"{name}.wav", n) for name, n in (("a", 10), ("long", 3100), ("b", 20))]
    assert cli.main(["transcribe", *files, "--model", "m"]) == 0
    assert [call["count"] for call in pipeline.calls] == [1, 1, 1]
    assert [call.get("progress") for call in pipeline.calls] == [None, True, None]
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == files


@pytest.fixture
def ten_files(tmp_path) -> tuple[list[str], list[str]]:
    """Four usable and six unusable files in one list, and the unusable ones."""
    whole = write_wav(tmp_path / "whole.wav", 40)
    good = [
        whole,
        write_wav(tmp_path / "channels.wav", 10, channels=8),
        write_wav(tmp_path / "rate.wav", 10, sampling_rate=192000),
        write_wav(tmp_path / "last.wav", 20),
    ]
    contents = {
        "truncated.wav": (tmp_path / "whole.wav").read_bytes()[:9000],
        "empty.wav": b"",
        "text.wav": b"not a recording\n" * 50,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    soundfile.write(tmp_path / "nan.wav", np.full(1600, np.nan, np.float32), 16000, subtype="FLOAT")
    short = write_wav(tmp_path / "short.wav", 1)
    bad = [*(str(tmp_path / name) for name in contents), str(tmp_path / "nan.wav"), str(tmp_path / "gone.wav"), short]
    return [good[0], *bad[:3], good[1], *bad[3:], *good[2:]], bad


@pytest.mark.parametrize("batch_size", ["1", "3", "16"])
def test_bad_files_are_told_one_by_one_and_all_others_transcribed(pipeline, ten_files, capsys, batch_size):
    files, bad = ten_files
    assert cli.main(["transcribe", *files, "--model", "m", "--batch_size", batch_size]) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [file for file in files if file not in bad]
    assert [line.split("\t")[1] for line in lines] == ["length 40", "length 10", "length 10", "length 20"]
    errors = [line for line in captured.err.splitlines() if line.startswith("entropy-asr: error: ")]
    assert len(errors) == len(bad)
    for file in bad:
        assert sum(file in error for error in errors) == 1


def test_model_that_cannot_be_loaded_is_named(pipeline, tmp_path, capsys):
    assert cli.main(["transcribe", write_wav(tmp_path / "a.wav"), "--model", "missing/model"]) == 2
    assert "missing/model" in capsys.readouterr().err


def test_without_bundled_checkpoint_the_error_names_the_option(pipeline, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "_package_folder", lambda package: tmp_path)
    assert cli.main(["transcribe", write_wav(tmp_path / "a.wav")]) == 2
    assert "--model" in capsys.readouterr().err


def test_bundled_checkpoint_is_the_default(pipeline, tmp_path, monkeypatch):
    checkpoint = tmp_path / "demo" / "checkpoint"
    checkpoint.mkdir(parents=True)
    (checkpoint / "config.json").write_text("{}")
    monkeypatch.setattr(cli, "_package_folder", lambda package: tmp_path)
    assert cli.main(["transcribe", write_wav(tmp_path / "a.wav")]) == 0
    assert pipeline.loaded == [(str(checkpoint), None, None)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["transcribe"],
        ["transcribe", "a.wav", "--batch_size", "0"],
        ["transcribe", "a.wav", "--language", "klingon"],
        ["transcribe", "a.wav", "--beams", "3"],
        ["evaluate", "--model", "m"],
        ["evaluate", "--dataset", "d", "--max", "3"],
        ["train", "joint_sft"],
        ["train", "joint_sft", "--config", "tiny", "stray"],
        ["unknown"],
        [],
    ],
)
def test_wrong_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "error" in capsys.readouterr().err


@pytest.fixture
def recipe_calls(monkeypatch) -> list[tuple]:
    calls: list[tuple] = []
    module = SimpleNamespace(
        run_stage=lambda stage, config, overrides: calls.append((stage, config, overrides)),
        run_recipe=lambda path, output_dir, overrides: calls.append((path, output_dir, overrides)),
    )
    monkeypatch.setitem(sys.modules, "entropy_asr.trainers.recipes.recipe", module)
    return calls


def test_train_passes_unknown_options_on_as_overrides(recipe_calls, tmp_path):
    config = tmp_path / "stage.yaml"
    config.touch()
    overrides = ["--learning_rate", "1e-4", "--output_dir", "out", "--max", "-1"]
    assert cli.main(["train", "joint_sft", "--config", str(config), *overrides]) == 0
    assert recipe_calls == [("joint_sft", config, overrides)]


@pytest.mark.parametrize("name", ["small", "small.yaml"])
def test_recipe_is_found_by_bare_name(recipe_calls, tmp_path, monkeypatch, name):
    recipe = tmp_path / "recipes" / "small.yaml"
    recipe.parent.mkdir()
    recipe.touch()
    monkeypatch.setattr(cli, "_package_folder", lambda package: tmp_path)
    assert cli.main(["recipe", name, "--output_dir", "out", "--seed", "7"]) == 0
    assert recipe_calls == [(recipe, "out", ["--seed", "7"])]


def test_unknown_recipe_is_refused_with_the_names_there_are(recipe_calls, tmp_path, monkeypatch, capsys):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "small.yaml").touch()
    monkeypatch.setattr(cli, "_package_folder", lambda package: tmp_path)
    assert cli.main(["recipe", "smal"]) == 2
    assert recipe_calls == []
    assert "small" in capsys.readouterr().err.replace("smal ", "")


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
    path = next((tmp_path / "spoken").glob("*.parquet"))
    renamed = Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache")).rename_column("text", "sentence")
    path.unlink()
    renamed.to_parquet(path)
    output = tmp_path / "results.json"
    arguments = ["evaluate", "--model", "m", "--dataset", dataset, "--output", str(output)]
    assert cli.main(arguments) == 2
    assert "--text_column of a command" in capsys.readouterr().err
    assert cli.main([*arguments, "--text_column", "sentence"]) == 0
    assert json.loads(output.read_text())["results"]["spoken"]["wer"] == pytest.approx(1 / 6)


def test_evaluate_names_a_data_set_that_is_not_there(pipeline, tmp_path, capsys):
    assert cli.main(["evaluate", "--model", "m", "--dataset", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert pipeline.calls == []


def test_a_mistyped_setting_is_told_without_a_traceback(tmp_path, capsys):
    arguments = ["recipe", "synthetic", "--output_dir", str(tmp_path), "--stages.encoder.training.max_step", "3"]
    assert cli.main(arguments) == 2
    assert "unknown max_step; did you mean" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
