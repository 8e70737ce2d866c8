# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of adapters, and of models with adapters merged in, are models: they load wherever a model is named."""

import copy
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModel, AutoProcessor, pipeline

from entropy_asr.modeling import (
    EntropyASRForConditionalGeneration,
    EntropyASRProcessor,
    adapters_entropy_asr,
    load_pipeline,
    merged_adapters_entropy_asr,
)
from entropy_asr.modeling.adapters_entropy_asr import adapters_beside
from entropy_asr.modeling.loaded_adapters_entropy_asr import LoadedAdapters
from entropy_asr.modeling.speech_models_entropy_asr import load_speech_model
from entropy_asr.trainers.evaluation.frames import load_speech_encoder


CHECKPOINT = Path(__file__).parents[2] / "spaces" / "demo" / "checkpoint"
LORA = {"r": 2, "target_modules": ".*language_model.*(q|v)_proj", "init_lora_weights": False}
TASK = "automatic-speech-recognition"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A copy of the bundled checkpoint, which can be taken away."""
    folder = tmp_path_factory.mktemp("base") / "model"
    names = ("*.md", "report", "results.json")
    shutil.copytree(CHECKPOINT, folder, ignore=shutil.ignore_patterns(*names))
    return folder


@pytest.fixture(scope="module")
def adapted(base):
    """Adapters and, beside them, a whole module that was trained too."""
    torch.manual_seed(0)
    model = EntropyASRForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(**LORA, modules_to_save=["adaptor"]))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "modules_to_save" in name:
                parameter.mul_(0.9)
    return adapted


@pytest.fixture(scope="module")
def folder(adapted, tmp_path_factory) -> Path:
    """As PEFT saves them: without a processor."""
    folder = tmp_path_factory.mktemp("adapters")
    adapted.save_pretrained(folder)
    assert not (folder / "config.json").exists() and not (folder / "processor_config.json").exists()
    return folder


@pytest.fixture(scope="module")
def merged_state(adapted) -> dict[str, torch.Tensor]:
    return copy.deepcopy(adapted).merge_and_unload().state_dict()


def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)


def assert_same(model, expected: dict[str, torch.Tensor]) -> None:
    state = model.state_dict()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name], tensor, rtol=1e-5, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize(
    "load",
    [
        lambda folder: AutoModel.from_pretrained(folder, dtype="float32"),
        lambda folder: EntropyASRForConditionalGeneration.from_pretrained(folder, dtype="float32"),
        lambda folder: load_pipeline(folder, device="cpu", dtype="float32").model,
    ],
    ids=["AutoModel", "class", "load_pipeline"],
)
def test_adapters_are_loaded_into_the_model_they_stand_on(load, folder, base, merged_state):
    model = load(folder)
    assert_same(model, merged_state)
    original = EntropyASRForConditionalGeneration.from_pretrained(base, dtype=torch.float32).state_dict()
    changed = {name for name, tensor in original.items() if not torch.equal(tensor, merged_state[name])}
    assert any("q_proj" in name for name in changed) and any("adaptor" in name for name in changed)
    assert model.config.phoneme_head_trained


def test_what_was_loaded_from_adapters_is_saved_whole_and_can_be_adapted_again(
    folder, merged_state, tmp_path, recwarn
):
    model = EntropyASRForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    model.save_pretrained(tmp_path / "whole")
    assert_same(EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "whole"), merged_state)
    again = get_peft_model(model, LoraConfig(**LORA))
    assert not [warning for warning in recwarn if "second time" in str(warning.message)]
    again.save_pretrained(tmp_path / "again")
    expected = again.merge_and_unload().state_dict()
    assert_same(load_pipeline(tmp_path / "again", device="cpu").model, expected)


def test_adapters_transcribe_with_their_processor_or_that_of_their_model(folder, merged_state, tmp_path):
    with_processor = shutil.copytree(folder, tmp_path / "adapters")
    EntropyASRProcessor.from_pretrained(folder).save_pretrained(with_processor)
    stock = pipeline(TASK, str(with_processor), device="cpu", dtype="float32")
    assert_same(stock.model, merged_state)
    for loaded in (load_pipeline(folder, device="cpu"), stock):
        assert isinstance(loaded(noise(), guards=False, max_new_tokens=4)["text"], str)


def test_the_encoder_of_adapters_can_be_taken(folder, merged_state):
    for model in (
        load_speech_model(str(folder), torch.float32),
        load_speech_encoder(str(folder), device="cpu").full_model,
    ):
        assert_same(model, merged_state)


def test_the_revision_of_adapters_is_not_taken_for_that_of_their_model(folder, merged_state, monkeypatch):
    asked = []
    original = AutoConfig.from_pretrained
    monkeypatch.setattr(
        AutoConfig, "from_pretrained", lambda path, **kwargs: asked.append((path, kwargs)) or original(path, **kwargs)
    )
    assert_same(load_speech_model(str(folder), torch.float32, revision="abc", token="secret"), merged_state)
    assert asked and all("revision" not in kwargs for _, kwargs in asked)
    merged = []
    merge = merged_adapters_entropy_asr.merge_adapters
    monkeypatch.setattr(
        merged_adapters_entropy_asr,
        "merge_adapters",
        lambda model, path, **place: merged.append(place) or merge(model, path, **place),
    )
    EntropyASRForConditionalGeneration.from_pretrained(str(folder), revision="abc", token="secret")
    assert merged == [{"token": "secret", "revision": "abc"}]


def test_a_model_saves_the_processor_it_knows_of(base, tmp_path):
    model = EntropyASRForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    model.save_pretrained(tmp_path / "bare")
    assert not (tmp_path / "bare" / "processor_config.json").exists()
    model.processor = EntropyASRProcessor.from_pretrained(base)
    for name, known in (("own", model), ("copied", copy.deepcopy(model))):
        known.save_pretrained(tmp_path / name)
        processor = AutoProcessor.from_pretrained(tmp_path / name)
        assert processor.prompt("en") == model.processor.prompt("en")
        assert "processor" not in json.loads((tmp_path / name / "config.json").read_text())
    model.save_pretrained(tmp_path / "other", is_main_process=False)
    assert not (tmp_path / "other" / "processor_config.json").exists()


def test_adapters_whose_model_is_gone_say_so(folder, tmp_path):
    moved = shutil.copytree(folder, tmp_path / "moved")
    config = json.loads((moved / "adapter_config.json").read_text())
    (moved / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "/gone/model"}))
    with pytest.raises(OSError, match="moved holds adapters for the model /gone/model, which is not there"):
        load_pipeline(moved)
    (moved / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": None}))
    with pytest.raises(ValueError, match="moved holds adapters and does not say of which model"):
        load_pipeline(moved)


def test_adapters_of_another_kind_of_model_are_refused(folder, tmp_path):
    moved, other = shutil.copytree(folder, tmp_path / "moved"), tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "qwen3"}')
    config = json.loads((moved / "adapter_config.json").read_text())
    (moved / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(other)}))
    with pytest.raises(ValueError, match="other holds a model of type `qwen3`"):
        load_pipeline(moved)


def test_adapters_without_peft_say_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match="holds adapters, which need `pip install peft`"):
        load_pipeline(folder)


def test_where_adapters_cannot_be_loaded_the_model_runs_without_and_a_name_is_refused(model, monkeypatch):
    """As in a Space whose requests name none: the file for them is not there."""
    assert isinstance(adapters_beside(model), LoadedAdapters)
    monkeypatch.setattr(adapters_entropy_asr, "is_here", lambda module: False)
    monkeypatch.setitem(sys.modules, LoadedAdapters.__module__, None)
    adapters = adapters_beside(model)
    with adapters.active(None):
        assert adapters.names == ()
    for ask in (adapters.check, adapters.active, lambda name: adapters.load("somewhere", name)):
        with pytest.raises(ImportError, match=r"`adapter` needs loaded_adapters_entropy_asr\.py"):
            ask("law")
