# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A thin folder holds what was trained, and is one model all the same; what it lacks comes from the public parts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from small_models import save_public_parts
from transformers import AutoModel, AutoModelForSpeechSeq2Seq, Qwen3ForCausalLM, pipeline

from entropy_asr.modeling import EntropyASRForConditionalGeneration, load_pipeline
from entropy_asr.modeling.components_entropy_asr import THIN_WEIGHTS
from entropy_asr.modeling.merged_adapters_entropy_asr import ADAPTER_WEIGHTS, read_adapters
from entropy_asr.modeling.speech_models_entropy_asr import load_speech_model


TASK = "automatic-speech-recognition"
LORA = {"target_modules": ".*language_model.*(q|v|down)_proj", "init_lora_weights": False}
EMBEDDINGS = "model.language_model.embed_tokens.weight"


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> tuple[str, str]:
    return save_public_parts(tmp_path_factory.mktemp("parts"))


@torch.no_grad()
def change(module: torch.nn.Module) -> None:
    """As training does."""
    for parameter in module.parameters():
        parameter.add_(0.01 * torch.randn_like(parameter))


def joined(parts: tuple[str, str]) -> EntropyASRForConditionalGeneration:
    """Of the public parts, with a trained adaptor."""
    torch.manual_seed(0)
    model = EntropyASRForConditionalGeneration.from_components(*parts, dtype="float32")
    change(model.model.adaptor)
    return model.eval()


def assert_same(model, expected: dict[str, torch.Tensor]) -> None:
    state = model.state_dict()
    assert state.keys() == expected.keys()
    different = [name for name, tensor in expected.items() if not torch.equal(state[name], tensor)]
    assert not different


@pytest.fixture(scope="module")
def thin(parts, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("thin")
    joined(parts).save_pretrained(folder, thin=True)
    return folder


@pytest.fixture(scope="module")
def whole(parts, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    joined(parts).save_pretrained(folder)
    return folder


def test_it_holds_what_was_trained(thin):
    stored = load_file(thin / THIN_WEIGHTS)
    heads = {name.rpartition(".")[0] for name in stored if not name.startswith(EMBEDDINGS)}
    assert {name.split(".")[0] for name in heads} == {"model", "phoneme_head"}
    assert {name for name in heads if name.startswith("model.")} == {"model.adaptor.linear1", "model.adaptor.linear2"}
    # The rows of the three tokens that the language model did not know.
    assert stored[f"{EMBEDDINGS}.rows"].shape == (3, 32)
    assert not (thin / "model.safetensors").exists()


@pytest.mark.parametrize(
    "load",
    [
        lambda folder: AutoModel.from_pretrained(folder),
        lambda folder: AutoModelForSpeechSeq2Seq.from_pretrained(folder),
        lambda folder: EntropyASRForConditionalGeneration.from_pretrained(str(folder), dtype="float32"),
        lambda folder: load_speech_model(str(folder)),
        lambda folder: load_pipeline(folder, device="cpu", dtype="float32").model,
        lambda folder: pipeline(TASK, str(folder), device="cpu", dtype="float32").model,
    ],
    ids=["auto", "seq2seq", "class", "speech_model", "load_pipeline", "pipeline"],
)
def test_it_loads_as_the_whole_model_does(load, thin, whole):
    assert_same(load(thin), EntropyASRForConditionalGeneration.from_pretrained(whole).state_dict())


def test_its_text_is_that_of_the_whole_model(thin, whole):
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    texts = [pipeline(TASK, str(folder), device="cpu")(noise, guards=False)["text"] for folder in (thin, whole)]
    assert texts[0] == texts[1]
    settings = [
        EntropyASRForConditionalGeneration.from_pretrained(folder).generation_config for folder in (thin, whole)
    ]
    assert settings[0].to_dict() == settings[1].to_dict() and settings[0].eos_token_id


def test_dtype_and_configuration_are_as_asked_for(thin, whole):
    arguments = {"dtype": torch.bfloat16, "initializer_range": 0.5}
    model = EntropyASRForConditionalGeneration.from_pretrained(thin, **arguments)
    assert_same(model, EntropyASRForConditionalGeneration.from_pretrained(whole, **arguments).state_dict())
    assert model.dtype == torch.bfloat16 and model.config.initializer_range == 0.5


def test_a_changed_encoder_is_stored_whole(parts, tmp_path):
    model = joined(parts)
    change(model.model.audio_tower)
    model.save_pretrained(tmp_path, thin=True)
    stored = load_file(tmp_path / THIN_WEIGHTS)
    trained = {name for name, _ in model.named_parameters() if "audio_tower" in name}
    assert trained == {name for name in stored if "audio_tower" in name}
    assert not [name for name in stored if "language_model.layers" in name]
    assert_same(EntropyASRForConditionalGeneration.from_pretrained(tmp_path), model.state_dict())


def test_loading_it_draws_no_random_numbers(thin):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    EntropyASRForConditionalGeneration.from_pretrained(thin)
    assert torch.equal(torch.rand(3), expected)


def lora(model, folder: Path, **kwargs) -> dict[str, torch.Tensor]:
    """Train adapters on a model, save both thin, and return the weights with the adapters merged."""
    torch.manual_seed(len(model.merged_adapters) + 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    peft = get_peft_model(model, LoraConfig(**LORA, **kwargs))
    peft.save_pretrained(folder / "trained")
    adapters = read_adapters(folder / "trained")
    shutil.rmtree(folder / "trained")
    merged = peft.merge_and_unload()
    merged.save_pretrained(folder, thin=True, state_dict=before, adapters=adapters)
    return merged.state_dict()


def test_adapters_of_several_stages_stay_adapters(parts, tmp_path):
    expected = lora(joined(parts), tmp_path / "first", r=2)
    model = EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "first")
    assert_same(model, expected)
    expected = lora(model, tmp_path / "second", r=4, modules_to_save=["adaptor"])
    model = AutoModel.from_pretrained(tmp_path / "second")
    assert_same(model, expected)
    # A stage that trains something else hands them on.
    change(model.phoneme_head)
    model.save_pretrained(tmp_path / "third", thin=True)
    assert_same(EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "third"), model.state_dict())
    for name in ("second", "third"):
        assert not [name for name in load_file(tmp_path / name / THIN_WEIGHTS) if "layers" in name]
        assert sorted(path.name for path in (tmp_path / name).glob("adapters-*")) == ["adapters-1", "adapters-2"]
        # What was trained whole beside adapters is there once.
        assert not [key for key in load_file(tmp_path / name / "adapters-2" / ADAPTER_WEIGHTS) if "adaptor" in key]
    assert str(tmp_path) not in (tmp_path / "third" / "adapters-1" / "adapter_config.json").read_text()


def test_weights_trained_after_adapters_were_merged_win(parts, tmp_path):
    lora(joined(parts), tmp_path / "first", r=2)
    model = EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "first")
    change(model.model.language_model)
    model.save_pretrained(tmp_path / "second", thin=True)
    model = EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "second")
    expected = lora(model, tmp_path / "third", r=2)
    assert_same(EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "third"), expected)


def test_a_whole_folder_names_no_folder_of_this_machine_and_cannot_become_thin(whole, parts, tmp_path):
    assert parts[1] not in (whole / "config.json").read_text()
    with pytest.raises(ValueError, match="not known which public models"):
        EntropyASRForConditionalGeneration.from_pretrained(whole).save_pretrained(tmp_path, thin=True)


def without_its_parts(thin: Path, parts: tuple[str, str], folder: Path) -> Path:
    """A copy of a thin folder that names copies of its parts."""
    shutil.copytree(thin, folder / "thin")
    config = json.loads((folder / "thin" / "config.json").read_text())
    for kind, path in zip(("encoder", "language_model"), parts, strict=True):
        shutil.copytree(path, folder / kind)
        config["public_parts"][kind]["path"] = str(folder / kind)
    (folder / "thin" / "config.json").write_text(json.dumps(config))
    return folder / "thin"


def test_another_part_in_the_place_of_one_is_noticed(thin, parts, tmp_path):
    folder = without_its_parts(thin, parts, tmp_path)
    assert_same(AutoModel.from_pretrained(folder), AutoModel.from_pretrained(thin).state_dict())
    language_model = Qwen3ForCausalLM.from_pretrained(tmp_path / "language_model")
    language_model.model.layers[1].mlp.up_proj.weight.data[0, 0] += 1
    language_model.save_pretrained(tmp_path / "language_model")
    with pytest.raises(ValueError, match=f"language model {tmp_path / 'language_model'} is not the one"):
        AutoModel.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["encoder", "language_model"])
def test_a_missing_part_is_named_with_what_to_do(kind, thin, parts, tmp_path):
    folder = without_its_parts(thin, parts, tmp_path)
    shutil.rmtree(tmp_path / kind)
    for load in (AutoModel.from_pretrained, load_pipeline):
        with pytest.raises(OSError, match=f"{tmp_path / kind}, which is not there.*public_parts.{kind}"):
            load(folder)
