# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr export`: which parts, what is refused before a model is loaded, what is printed."""

import pytest
import torch
from small_models import small_encoder_config, small_text_config
from transformers import AutoModelForCausalLM, Qwen3ForCausalLM

from entropy_asr.modeling import (
    EntropyASRCTCConfig,
    EntropyASRFeatureExtractor,
    EntropyASRForCTC,
    EntropyASRPhonemeTokenizer,
)
from entropy_asr.trainers.commands import checks, cli


@pytest.fixture
def ctc_folder(tmp_path):
    torch.manual_seed(0)
    tokenizer = EntropyASRPhonemeTokenizer()
    config = EntropyASRCTCConfig(audio_config=small_encoder_config().to_dict(), vocab_size=len(tokenizer))
    for part in (EntropyASRForCTC(config), EntropyASRFeatureExtractor(), tokenizer):
        part.save_pretrained(tmp_path / "ctc")
    return tmp_path / "ctc"


def test_the_language_model_needs_no_extra_and_its_files_are_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert cli.main(["export", "-o", str(tmp_path), "--parts", "language_model"]) == 0
    printed = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert str(tmp_path / "language_model" / "model.safetensors") in printed
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "language_model").config.model_type == "qwen3"


def test_a_missing_exporter_is_named_before_a_model_is_loaded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert cli.main(["export", "-o", str(tmp_path / "out"), "--model", "user/none"]) == 2
    error = capsys.readouterr().err
    assert "export needs the extra onnx (missing: onnx, onnxscript)" in error
    assert not (tmp_path / "out").exists()


def test_the_language_model_is_written_for_llama_cpp_too(tmp_path, capsys):
    gguf = pytest.importorskip("gguf")
    out = tmp_path / "out"
    assert cli.main(["export", "-o", str(out), "--parts", "language_model", "--gguf", "q8_0"]) == 0
    printed = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert {str(out / "language_model.gguf"), str(out / "run_gguf.py")} < set(printed)
    matrices = {tensor.tensor_type.name for tensor in gguf.GGUFReader(out / "language_model.gguf").tensors}
    assert matrices == {"Q8_0", "F32"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--parts", "encoder", "--gguf", "f16"], "--gguf is of the language model, which --parts leaves out"),
        (["--parts", "language_model", "--gguf", "f16"], "needs the extra gguf (missing: gguf)"),
    ],
)
def test_a_gguf_file_that_cannot_be_written_is_refused_before_a_model_is_loaded(
    tmp_path, capsys, monkeypatch, options, reason
):
    missing = {"gguf"} if "missing" in reason else set()
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name in missing else object())
    assert cli.main(["export", "-o", str(tmp_path / "out"), "--model", "user/none", *options]) == 2
    assert reason in capsys.readouterr().err


def test_a_ctc_model_has_no_language_model(ctc_folder, tmp_path, capsys, monkeypatch):
    out = str(tmp_path / "out")
    assert cli.main(["export", "--model", str(ctc_folder), "-o", out, "--parts", "language_model"]) == 2
    assert "is a CTC model, which has none" in capsys.readouterr().err
    pytest.importorskip("gguf")
    monkeypatch.setattr(checks, "find_spec", lambda name: object())
    assert cli.main(["export", "--model", str(ctc_folder), "-o", out, "--gguf", "f16"]) == 2
    assert "is a CTC model, which has no language model" in capsys.readouterr().err


@pytest.mark.slow
def test_a_ctc_model_is_exported_with_its_phonemes(ctc_folder, tmp_path, capsys):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    assert cli.main(["export", "--model", str(ctc_folder), "-o", str(tmp_path / "out")]) == 0
    output, messages = capsys.readouterr()
    assert messages == ""
    names = {line.split()[-1].removeprefix(f"{tmp_path}/out/") for line in output.splitlines()}
    assert names == {"encoder.json", "encoder.onnx", "encoder_streaming.onnx", "features.npz", "run_onnx.py"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--chunk_ms", "0"], "must be at least 1"),
        (["--left_chunks", "-1"], "must not be negative"),
        (["--parts", "adaptor"], "invalid choice"),
    ],
)
def test_options_that_cannot_be_honoured_are_refused(tmp_path, capsys, options, reason):
    with pytest.raises(SystemExit):
        cli.main(["export", "-o", str(tmp_path), *options])
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--int8"], ["--chunk_ms", "640"], ["--left_chunks", "4"]])
def test_options_of_a_part_that_is_left_out_are_refused(tmp_path, capsys, option):
    assert cli.main(["export", "-o", str(tmp_path / "out"), "--parts", "language_model", *option]) == 2
    assert f"{option[0]} is of the encoder, which --parts leaves out" in capsys.readouterr().err


def test_another_model_is_refused(tmp_path, capsys):
    Qwen3ForCausalLM(small_text_config()).save_pretrained(tmp_path / "text")
    command = ["export", "--model", str(tmp_path / "text"), "-o", str(tmp_path / "out"), "--parts", "language_model"]
    assert cli.main(command) == 2
    assert "its type is 'qwen3': no phoneme head" in capsys.readouterr().err
