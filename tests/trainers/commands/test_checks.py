# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What commands refuse before a model is loaded."""

import json
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from entropy_asr.trainers.commands import checks, cli
from entropy_asr.trainers.commands.checks import CommandError, check_model, check_output_file, check_port, find_device


@pytest.fixture(autouse=True)
def _nothing_heavy(monkeypatch):
    """No model is loaded, and none of the libraries that take seconds to import is asked for."""
    for name in ("entropy_asr.modeling.pipeline_entropy_asr", "entropy_asr.trainers.evaluation.report"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in (
        "entropy_asr.trainers.recipes.recipe",
        "entropy_asr.trainers.data.sources",
        "entropy_asr.hub_cards.publish",
    ):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("a.wav").write_bytes(b"RIFF")
    Path("words.txt").write_text("Kaldi\n", encoding="utf-8")
    Path("bad.yaml").write_text("a: [1, 2\nb: c\n", encoding="utf-8")
    Path("good.yaml").write_text("a: 1\n", encoding="utf-8")
    Path("folder").mkdir()
    for name, kind in (("merged", "entropy_asr"), ("part", "qwen3")):
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("transcribe a.wav --model ./gone", "--model ./gone: there is no such folder"),
        ("transcribe a.wav --model folder", "folder: the folder holds no config.json"),
        ("transcribe a.wav --model runs", "it is no checkpoint (in it are: runs/merged, runs/part)"),
        ("publish runs --dry_run", "it is no checkpoint (in it are: runs/merged, runs/part)"),
        ("publish runs/part --dry_run", "runs/part holds a model of type 'qwen3'"),
        ("transcribe a.wav -o out.srt", "--output_dir out.srt: names a file, not a folder"),
        ("transcribe a.wav --hotwords Kaldi москва", "--hotwords: 'москва' (Cyrillic) cannot be read"),
        ("stream a.wav --hotwords Kaldi москва", "--hotwords: 'москва' (Cyrillic) cannot be read"),
        ("transcribe a.wav --model a.wav", "a.wav: is a file"),
        ("transcribe a.wav -o a.wav", "is not a folder"),
        ("transcribe a.wav -o a.wav/sub", "is not a folder"),
        ("transcribe a.wav --hotwords gone.txt", "gone.txt: cannot be read"),
        ("transcribe - -", "standard input"),
        ("stream gone.wav", "gone.wav: cannot be opened: No such file"),
        ("stream folder", "folder: is a folder"),
        ("stream a.wav --hotword_tolerance 0.1", "--hotword_tolerance needs --hotwords"),
        ("hotwords gone.txt -o x.npz", "gone.txt: there is no such file"),
        ("hotwords words.txt -o folder", "--output folder: is a folder"),
        ("evaluate --dataset ./gone", "--dataset ./gone: there is no such folder or file"),
        ("evaluate --dataset gone.parquet", "gone.parquet: there is no such folder or file"),
        ("evaluate --dataset me/rows -o folder", "--output folder: is a folder"),
        ("report --model /gone --dataset me/rows", "--model /gone: there is no such folder"),
        ("report --model me/model --dataset ./gone", "./gone: there is no such folder or file"),
        ("demo --model ./gone", "--model ./gone: there is no such folder"),
        ("demo --report gone", "gone has no report.md"),
        ("card gone", "gone: there is no such folder"),
        ("publish gone --dry_run", "gone: there is no such folder"),
        ("train joint_sft --config gone", "no such file: gone"),
        ("train joint_sft --config bad.yaml", "bad.yaml: cannot be read as YAML"),
        ("train joint_sft --config good.yaml -o a.wav", "--output_dir a.wav"),
        ("recipe bad.yaml", "bad.yaml: cannot be read as YAML"),
        ("serve --port 70000", "--port 70000"),
    ],
)
def test_one_line_before_anything_is_loaded(folder, capsys, arguments, reason):
    assert cli.main(arguments.split()) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert reason in output.err and output.err.startswith("entropy-asr: error: ") and output.err.count("\n") == 1


def test_a_missing_file_alone_needs_no_model(folder, capsys):
    assert cli.main(["transcribe", "gone.wav", "too.wav", "--format", "json"]) == 1
    output = capsys.readouterr()
    assert output.out == "[]\n"
    assert [line.split(": ")[2] for line in output.err.splitlines()] == ["gone.wav", "too.wav"]


@pytest.mark.parametrize(
    ("arguments", "module", "extra"),
    [
        ("transcribe a.wav --hotwords Kaldi", "daachorse", "hotwords"),
        ("transcribe a.wav --format json --timestamps word", "phonemizer", "g2p"),
        ("transcribe a.wav --format json --confidence", "espeakng_loader", "g2p"),
        ("stream a.wav --hotwords Kaldi", "daachorse", "hotwords"),
        ("stream a.wav --confidence", "pypinyin", "g2p"),
        ("hotwords words.txt -o x.npz", "daachorse", "hotwords"),
        ("serve", "uvicorn", "serve"),
        ("report --model m --dataset d", "matplotlib", "report"),
        ("demo", "gradio", "demo"),
    ],
)
def test_a_missing_extra_is_told_before_anything_is_loaded(folder, capsys, monkeypatch, arguments, module, extra):
    found = checks.find_spec
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == module else found(name))
    assert cli.main(arguments.split()) == 2
    error = capsys.readouterr().err
    assert f'(missing: {module}): pip install "entropy-asr[{extra}]"' in error and error.count("\n") == 1


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_port_in_use_is_told_before_anything_is_loaded(folder, capsys, monkeypatch, command):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("GRADIO_SERVER_PORT", str(port))
        assert cli.main([command, *(["--port", str(port)] if command == "serve" else [])]) == 2
        error = capsys.readouterr().err
        assert f"{port}: cannot listen on 127.0.0.1: Address already in use" in error
    check_port("127.0.0.1", port)


def test_names_of_the_hub_are_left_to_the_hub(folder):
    Path("adapters").mkdir()
    Path("adapters/adapter_config.json").write_text("{}", encoding="utf-8")
    for name in (None, "gpt2", "me/model", "adapters"):
        check_model(name)
    check_output_file(Path("new/folder/results.json"), "--output")
    assert not Path("new").exists()


def test_gpu_is_the_one_that_is_here(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    for name in ("gpu", "cuda", "cuda:1", "mps"):
        with pytest.raises(CommandError, match=f"--device {name}: there is no GPU here"):
            find_device(name)
    assert (find_device("cpu"), find_device(None)) == ("cpu", None)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: SimpleNamespace(type="cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert [find_device(name) for name in ("gpu", "cuda", "gpu:1", "cuda:0")] == ["cuda", "cuda", "cuda:1", "cuda:0"]
    with pytest.raises(CommandError, match="--device cuda:2: there are 2"):
        find_device("cuda:2")
    with pytest.raises(CommandError, match="--device mps: torch uses cuda here"):
        find_device("mps")
