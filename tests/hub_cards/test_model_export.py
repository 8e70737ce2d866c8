# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is exported works without this package: the encoder in onnxruntime, the language model in transformers."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from small_models import build_model, build_tokenizer, small_config
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3ForCausalLM

import entropy_asr.spaces
from entropy_asr.hub_cards.model_export import export_encoder, export_language_model, list_written
from entropy_asr.hub_cards.publish import BLOCK
from entropy_asr.hub_cards.run_onnx import compute_features, encode


DEMO = Path(entropy_asr.spaces.__file__).parent / "demo"
# Neither this package nor what it is made with; then the script that is named.
WITHOUT_PACKAGES = BLOCK.replace('== "entropy_asr"', 'in ("entropy_asr", "torch", "transformers", "onnx")') + (
    "import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    samples, _ = soundfile.read(DEMO / "examples" / "english.flac", dtype="float32")
    return samples


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model, processor) -> Path:
    """The bundled checkpoint, exported whole; the exporter takes some ten seconds for each graph."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("exported")
    export_encoder(model, processor, folder, int8=True)
    export_language_model(model, processor.tokenizer, folder / "language_model")
    return folder


def phonemes_without_this_package(folder: Path, *options: str) -> list[str]:
    command = [sys.executable, "-c", WITHOUT_PACKAGES, str(folder / "run_onnx.py"), str(folder / "speech.wav")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@torch.no_grad()
def phonemes_in_pytorch(model, processor, speech: np.ndarray, **chunks) -> list[str]:
    inputs = processor.feature_extractor(speech, sampling_rate=16000, return_tensors="pt")
    encoded = model.model.audio_tower(inputs["input_features"], **chunks)
    best = model.phoneme_head(encoded.last_hidden_state).argmax(-1)[0]
    ids = [index for index in best.unique_consecutive().tolist() if index]
    return processor.phoneme_tokenizer.convert_ids_to_tokens(ids)


def share_of_errors(found: list[str], expected: list[str]) -> float:
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(found, expected) / len(expected)


@pytest.mark.slow
def test_the_script_in_the_folder_hears_what_the_model_hears(folder, model, processor, speech):
    soundfile.write(folder / "speech.wav", speech, 16000, subtype="PCM_16")
    expected = phonemes_in_pytorch(model, processor, speech)
    assert len(expected) > 10
    assert phonemes_without_this_package(folder) == expected
    in_chunks = phonemes_in_pytorch(model, processor, speech, chunk_size=16, left_chunks=4)
    assert phonemes_without_this_package(folder, "--streaming") == in_chunks
    assert share_of_errors(phonemes_without_this_package(folder, "--int8"), expected) < 0.1
    assert share_of_errors(phonemes_without_this_package(folder, "--int8", "--streaming"), in_chunks) < 0.1


@pytest.mark.slow
@torch.no_grad()
def test_both_halves_give_the_text_of_the_whole(folder, model, processor, speech):
    onnxruntime = pytest.importorskip("onnxruntime")
    settings = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(folder / settings["offline"]["file"])
    features = compute_features(speech, settings["features"], dict(np.load(folder / "features.npz")))
    audio = torch.from_numpy(encode(session, features)["audio_embeddings"])
    language_model = AutoModelForCausalLM.from_pretrained(folder / "language_model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "language_model")
    sides = [settings["language_model"][f"prompt_{side}_audio"] for side in ("before", "after")]
    before, after = (language_model.get_input_embeddings()(torch.tensor([ids])) for ids in sides)
    ids = language_model.generate(inputs_embeds=torch.cat([before, audio, after], dim=1), max_new_tokens=60)
    inputs = processor.apply_transcription_request(speech)
    expected = processor.batch_decode(model.generate(**inputs, max_new_tokens=60))
    assert len(expected[0]) > 10
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == expected


@pytest.mark.slow
def test_settings_say_what_the_files_are(folder):
    settings = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    for graph in (settings["offline"], settings["streaming"]):
        assert (folder / graph["file"]).stat().st_size > 2 * (folder / graph["int8_file"]).stat().st_size
        assert graph["outputs"]["logits"] == ["batch", "num_frames", len(settings["phonemes"])]
    streaming = settings["streaming"]
    assert (settings["frame_ms"], streaming["chunk_features"], streaming["chunk_frames"]) == (40.0, 64, 16)
    assert settings["phonemes"][settings["blank"]] == "<pad>"
    assert dict(list_written([folder]))[folder / "encoder.json"] > 0


def test_chunks_of_no_whole_number_of_audio_tokens_are_refused_before_anything_is_written(tmp_path, model, processor):
    with pytest.raises(ValueError, match="must be a multiple of 160 ms, not 200"):
        export_encoder(model, processor, tmp_path / "out", chunk_ms=200)
    assert not (tmp_path / "out").exists()


@torch.no_grad()
def test_the_language_model_is_one_of_transformers(tmp_path, model, processor):
    export_language_model(model, processor.tokenizer, tmp_path)
    loaded, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert type(loaded) is Qwen3ForCausalLM
    assert loaded.generation_config.eos_token_id == model.generation_config.eos_token_id
    assert not [
        name for name in ("config.json", "tokenizer_config.json") if "entropy" in (tmp_path / name).read_text()
    ]
    ids = tokenizer("hello world", return_tensors="pt").input_ids
    assert ids.tolist() == processor.tokenizer("hello world", return_tensors="pt").input_ids.tolist()
    torch.testing.assert_close(loaded(ids).logits, model(input_ids=ids).logits)


def test_older_versions_of_transformers_find_tokens_and_positions_too(tmp_path, model, processor):
    export_language_model(model, processor.tokenizer, tmp_path)
    config, tokenizer = (
        json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("config.json", "tokenizer_config.json")
    )
    # Version 4 has no `rope_parameters`, no `TokenizersBackend`, and takes no list of `extra_special_tokens`.
    assert config["rope_theta"] == model.config.text_config.rope_parameters["rope_theta"]
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast" and "extra_special_tokens" not in tokenizer
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    prompt = "<|im_start|>user<|audio|><|im_end|>"
    assert loaded(prompt).input_ids == processor.tokenizer(prompt).input_ids
    assert set(loaded.all_special_tokens) == set(processor.tokenizer.all_special_tokens)


@pytest.mark.parametrize("is_tied", [True, False])
@torch.no_grad()
def test_weights_of_the_output_are_those_of_the_whole(tmp_path, is_tied):
    model = build_model(small_config(tie_word_embeddings=is_tied)).to(torch.bfloat16)
    export_language_model(model, build_tokenizer(["<|im_end|>"]), tmp_path)
    loaded, info = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert loaded.dtype == torch.bfloat16
    assert not info["missing_keys"] and not info["unexpected_keys"]
    torch.testing.assert_close(loaded.lm_head.weight, model.lm_head.weight)
    assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) == is_tied
