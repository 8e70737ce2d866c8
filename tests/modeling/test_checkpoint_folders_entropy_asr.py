# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of checkpoints from anybody: what is damaged is named in a line, what is outside of them is not read."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor, load_pipeline


@pytest.fixture
def folder(checkpoint, tmp_path) -> Path:
    """A copy of the small model, to be damaged."""
    return shutil.copytree(checkpoint, tmp_path / "stranger", ignore=shutil.ignore_patterns("*.py"))


def change(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refused(folder: Path, kind: type[Exception] = ValueError) -> str:
    """The message, which names the folder in one line."""
    with pytest.raises(kind) as caught:
        load_pipeline(folder, device="cpu")
    message = str(caught.value)
    assert str(folder) in message and "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("config.json", "[]", "config.json: must hold a JSON object, not a list"),
        ("config.json", "{", "config.json: cannot be read as JSON"),
        ("processor_config.json", "[" * 100_000, "RecursionError"),
        ("tokenizer.json", "{}", "cannot be read as a checkpoint"),
        ("phoneme_tokenizer/phonemes.json", '{"<pad>": 0}', "<unk> must have the id 1"),
    ],
)
def test_a_damaged_file_is_one_clear_error(folder, name, text, reason):
    (folder / name).write_text(text)
    assert reason in refused(folder)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"adaptor_stacking": "four"}, "adaptor_stacking"),
        ({"phoneme_blank_token_id": -1}, "phoneme_blank_token_id"),
        ({"audio_config": 3}, "cannot be read as a checkpoint"),
        ({"text_config": {"model_type": "qwen3", "num_hidden_layers": 10**9}}, "`text_config.num_hidden_layers` is"),
        ({"adaptor_intermediate_size": 2**40}, "no model has more than"),
        ({"thin_adapters": 10**9}, "`thin_adapters` of config.json must be a number from 0 to 100, not 1000000000"),
    ],
)
def test_a_configuration_of_no_model_is_refused_before_it_is_built(folder, values, reason):
    change(folder / "config.json", **values)
    assert reason in refused(folder)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"suppress_tokens": "3"}, "`suppress_tokens` must be ids of tokens"),
        ({"eos_token_id": 10**6}, "`eos_token_id` must be ids of tokens"),
        ({"do_sample": "yes"}, "`do_sample` must be true or false"),
        ({"max_new_tokens": [4]}, "`max_new_tokens` must be a number"),
        ({"num_beams": True}, "`num_beams` must be a number"),
    ],
)
def test_settings_of_generation_are_refused_before_the_first_recording(folder, values, reason):
    change(folder / "generation_config.json", **values)
    assert reason in refused(folder)


def test_weights_that_are_damaged_or_missing_are_refused(folder):
    file = folder / "model.safetensors"
    whole = load_file(file)
    save_file({name: tensor for name, tensor in whole.items() if "adaptor" not in name}, file, {"format": "pt"})
    assert "lacks 4 weights of its model, such as model.adaptor" in refused(folder)
    file.write_bytes(file.read_bytes()[:1000])
    assert "cannot be read as a checkpoint: SafetensorError" in refused(folder)
    file.unlink()
    assert "no file named" in refused(folder, OSError)


@pytest.mark.parametrize("value", [{"audio_token_stages": [[3, {}, 2]]}, {"audio_token_stages": [[3, 0, 2]]}])
def test_a_processor_that_cannot_process_is_refused(folder, value):
    change(folder / "processor_config.json", **value)
    assert "cannot be read as a checkpoint" in refused(folder)


def test_a_tokenizer_that_cannot_pad_is_refused(folder):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("pad_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert "does not have a padding token" in refused(folder)


@pytest.mark.parametrize("absolute", [True, False])
def test_weights_outside_of_the_folder_are_not_read(folder, absolute):
    outside = folder.parent / "model.safetensors"
    (folder / "model.safetensors").rename(outside)
    name = str(outside) if absolute else "../model.safetensors"
    index = {"metadata": {}, "weight_map": dict.fromkeys(load_file(outside), name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "is outside of the folder" in refused(folder)


class Evil:
    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch"])
def test_a_pickle_runs_nothing(folder, write, tmp_path):
    (folder / "model.safetensors").unlink()
    with (folder / "pytorch_model.bin").open("wb") as file:
        write(Evil(tmp_path / "was run"), file)
    refused(folder)
    assert not (tmp_path / "was run").exists()


def test_code_of_a_folder_is_not_run(folder, tmp_path):
    """Its classes are this package's own, whatever the folder names."""
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'was run')!r})\nclass Evil: pass\n")
    change(folder / "config.json", auto_map={"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"})
    change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]})
    assert load_pipeline(folder, device="cpu").model.config.model_type == "entropy_asr"
    assert not (tmp_path / "was run").exists()


def test_a_processor_is_refused_like_a_model(folder):
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="stranger: cannot be read as a checkpoint"):
        EntropyASRProcessor.from_pretrained(folder)


def test_on_the_meta_device_transformers_own_words_are_heard(folder):
    with pytest.raises(RuntimeError, match="anti-pattern"), torch.device("meta"):
        EntropyASRForConditionalGeneration.from_pretrained(folder)
