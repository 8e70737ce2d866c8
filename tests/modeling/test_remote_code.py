# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Saved folders load by every auto class: with the package installed, and by their own code without it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import transformers
from small_models import save_public_parts, small_encoder_config
from transformers import pipeline

from entropy_asr.modeling import (
    EntropyASRCTCConfig,
    EntropyASREncoder,
    EntropyASRFeatureExtractor,
    EntropyASRForConditionalGeneration,
    EntropyASRForCTC,
    EntropyASRPhonemeTokenizer,
    pipeline_entropy_asr,
)
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline


MODELING = Path(pipeline_entropy_asr.__file__).parent
CODE = {
    "adapters_entropy_asr.py",
    "alignment_entropy_asr.py",
    "audio.py",
    "audio_files_entropy_asr.py",
    "channels_entropy_asr.py",
    "checkpoint_folders_entropy_asr.py",
    "checkpoints_entropy_asr.py",
    "components_entropy_asr.py",
    "configuration_entropy_asr.py",
    "containers_entropy_asr.py",
    "ctc_entropy_asr.py",
    "decoding_entropy_asr.py",
    "diarization_entropy_asr.py",
    "encoder_attention_entropy_asr.py",
    "encoder_cache_entropy_asr.py",
    "encoder_rules_entropy_asr.py",
    "feature_extraction_entropy_asr.py",
    "feature_extraction_entropy_asr_whisper.py",
    "ffmpeg_entropy_asr.py",
    "file_parts_entropy_asr.py",
    "firered_checkpoint_entropy_asr.py",
    "flac_entropy_asr.py",
    "generation_entropy_asr.py",
    "guards_entropy_asr.py",
    "hotword_files_entropy_asr.py",
    "hotwords_entropy_asr.py",
    "hotwords_tolerant_entropy_asr.py",
    "hotwords_inexact_entropy_asr.py",
    "hotword_entries_entropy_asr.py",
    "hotword_matches_entropy_asr.py",
    "hypotheses_entropy_asr.py",
    "word_boundaries_entropy_asr.py",
    "inputs_entropy_asr.py",
    "joining_entropy_asr.py",
    *(file.name for file in MODELING.glob("language_*.py")),
    "languages_entropy_asr.py",
    "letters_entropy_asr.py",
    "loaded_adapters_entropy_asr.py",
    "long_form_entropy_asr.py",
    "messages_entropy_asr.py",
    "modeling_entropy_asr.py",
    "modeling_entropy_asr_base.py",
    "modeling_entropy_asr_ctc.py",
    "modeling_entropy_asr_encoder.py",
    "modeling_entropy_asr_firered.py",
    "modeling_entropy_asr_whisper.py",
    "lora_configuration_entropy_asr.py",
    "merged_adapters_entropy_asr.py",
    "misheard_words_entropy_asr.py",
    "mpeg_entropy_asr.py",
    "numerals_english_entropy_asr.py",
    "numerals_mandarin_entropy_asr.py",
    "optional_parts_entropy_asr.py",
    "phoneme_head_entropy_asr.py",
    "phonetics_entropy_asr.py",
    "pipeline_arguments_entropy_asr.py",
    "pipeline_entropy_asr.py",
    "pipeline_parts_entropy_asr.py",
    "processing_entropy_asr.py",
    "prompts_entropy_asr.py",
    "recognition_entropy_asr.py",
    "rescoring_entropy_asr.py",
    "results_entropy_asr.py",
    "segment_context_entropy_asr.py",
    "speech_models_entropy_asr.py",
    "spoken_language_entropy_asr.py",
    "spoken_text_entropy_asr.py",
    "streaming_cache_entropy_asr.py",
    "streaming_entropy_asr.py",
    "streaming_model_entropy_asr.py",
    "streaming_state_entropy_asr.py",
    "streaming_transcriber_entropy_asr.py",
    "sure_numbers_entropy_asr.py",
    "text_style_entropy_asr.py",
    "thin_checkpoints_entropy_asr.py",
    "tokenization_entropy_asr_phoneme.py",
    "tones_mandarin_entropy_asr.py",
    "torchaudio_entropy_asr.py",
    "url_entropy_asr.py",
    "vad_entropy_asr.py",
}


class Checkpoints(NamedTuple):
    """Folders of a full model and of a thin one with their processors, of a CTC model with extractor and tokenizer."""

    full: Path
    thin: Path
    ctc: Path
    ctc_model: EntropyASRForCTC


@pytest.fixture(scope="module")
def saved(model, processor, waveforms, tmp_path_factory) -> Checkpoints:
    folder = tmp_path_factory.mktemp("checkpoints")
    model.save_pretrained(folder / "full.model-1")  # a name that is no module name
    processor.save_pretrained(folder / "full.model-1")
    np.savez(folder / "full.model-1" / "waveforms.npz", *waveforms[:3])
    torch.manual_seed(0)
    ctc_model = EntropyASRForCTC(EntropyASRCTCConfig(audio_config=small_encoder_config().to_dict())).eval()
    for part in (ctc_model, EntropyASRFeatureExtractor(), EntropyASRPhonemeTokenizer()):
        part.save_pretrained(folder / "ctc")
    torch.manual_seed(0)
    parts = save_public_parts(folder / "parts")
    EntropyASRForConditionalGeneration.from_components(*parts).save_pretrained(folder / "thin", thin=True)
    return Checkpoints(folder / "full.model-1", folder / "thin", folder / "ctc", ctc_model)


@pytest.fixture(scope="module")
def remote(saved, tmp_path_factory) -> dict:
    """What a Python without the package reads from the folders."""
    folder = tmp_path_factory.mktemp("remote")
    script = Path(__file__).parents[1] / "helpers" / "remote_code_script.py"
    environment = {**os.environ, "HF_MODULES_CACHE": str(folder / "modules"), "HF_HOME": str(folder / "home")}
    finished = subprocess.run(
        [sys.executable, str(script), str(saved.full), str(saved.ctc), str(folder / "again"), str(saved.thin)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    assert "Could not load tokenizer" not in finished.stderr
    return {**json.loads(finished.stdout.splitlines()[-1]), "again": folder / "again"}


@pytest.fixture(scope="module")
def expected_tokens(model, processor, waveforms) -> list[list[int]]:
    inputs = processor(waveforms[:3])
    return model.generate(**inputs, max_new_tokens=8, do_sample=False)[:, inputs["input_ids"].shape[1] :].tolist()


def test_a_thin_folder_loads_by_its_own_code(saved, remote):
    model = transformers.AutoModel.from_pretrained(saved.thin)
    sums = {name: float(tensor.float().sum()) for name, tensor in model.state_dict().items()}
    assert remote["thin"] == sums and not (saved.thin / "model.safetensors").exists()


def test_saved_folders_carry_all_code(saved, remote):
    for folder in (saved.full, saved.thin, saved.ctc, remote["again"]):
        assert {path.name for path in folder.glob("*.py")} == CODE
    auto_map = json.loads((saved.full / "config.json").read_text())["auto_map"]
    assert set(auto_map) == {"AutoConfig", "AutoModel", "AutoModelForSpeechSeq2Seq", "AutoModelForMultimodalLM"}
    assert set(json.loads((saved.ctc / "config.json").read_text())["auto_map"]) == {"AutoConfig", "AutoModelForCTC"}


def test_every_auto_class_loads_the_folders_own_code(remote):
    assert remote["modules"] == ["transformers_modules"]
    assert remote["classes"] == {
        "AutoConfig": "EntropyASRConfig",
        "AutoFeatureExtractor": "EntropyASRFeatureExtractor",
        "AutoConfig of ctc": "EntropyASRCTCConfig",
        "AutoTokenizer of ctc": "EntropyASRPhonemeTokenizer",
        "phoneme_tokenizer": "EntropyASRPhonemeTokenizer",
    }
    assert remote["phoneme"] == EntropyASRPhonemeTokenizer().convert_ids_to_tokens(5)


def test_hotwords_of_the_folders_own_code_are_told_from_the_same_common_words(remote):
    words = [EntropyASRPhonemeTokenizer().common_words(code) for code in ("en", "zh")]
    assert all(words[0]) and words[1][0]
    assert remote["common words"] == [list(pair) for pair in words]


def test_models_of_the_folders_own_code_give_the_saved_models_outputs(remote, saved, expected_tokens, waveforms):
    assert remote["tokens"] == dict.fromkeys(remote["tokens"], expected_tokens)
    assert len(remote["tokens"]) == 4
    features = EntropyASRFeatureExtractor()(waveforms[:3], return_tensors="pt")
    with torch.no_grad():
        logits = saved.ctc_model(**features).logits[0, :3, :5]
    assert torch.allclose(torch.tensor(remote["ctc_logits"]), logits, atol=1e-6)


def test_pipeline_of_the_folders_own_code_gives_the_same_texts(remote, model, processor, waveforms):
    texts = [item["text"] for item in EntropyASRPipeline(model=model, processor=processor)(waveforms[:3])]
    assert remote["texts"] == remote["texts again"] == remote["texts with an index"] == texts


def test_hotwords_of_the_folders_own_code_name_the_missing_extra(remote):
    assert "entropy-asr[g2p]" in remote["missing"]
    assert remote["flags"] == ["length_limit"]


@pytest.mark.parametrize("trust", [None, True])
def test_auto_classes_of_the_installed_package(saved, expected_tokens, waveforms, trust):
    trusted = {} if trust is None else {"trust_remote_code": trust}

    def load(auto_class: str, folder: Path):
        loaded = getattr(transformers, auto_class).from_pretrained(folder, **trusted)
        assert type(loaded).__module__.startswith("entropy_asr.modeling")
        return loaded

    processor = load("AutoProcessor", saved.full)
    assert type(processor.phoneme_tokenizer) is EntropyASRPhonemeTokenizer
    inputs = processor(waveforms[:3])
    for auto_class in ("AutoModel", "AutoModelForSpeechSeq2Seq", "AutoModelForMultimodalLM"):
        tokens = load(auto_class, saved.full).generate(**inputs, max_new_tokens=8, do_sample=False)
        assert tokens[:, inputs["input_ids"].shape[1] :].tolist() == expected_tokens
    assert type(load("AutoModelForCTC", saved.ctc)) is EntropyASRForCTC
    for auto_class in ("AutoConfig", "AutoFeatureExtractor"):
        load(auto_class, saved.full)
    for auto_class in ("AutoConfig", "AutoFeatureExtractor", "AutoTokenizer"):
        load(auto_class, saved.ctc)


def test_pipeline_with_the_installed_package(saved, waveforms):
    pipe = pipeline("automatic-speech-recognition", str(saved.full), trust_remote_code=True)
    texts = [item["text"] for item in pipe([*waveforms[:3]])]
    pipe = pipeline("automatic-speech-recognition", str(saved.full), pipeline_class=EntropyASRPipeline)
    assert [item["text"] for item in pipe([*waveforms[:3]])] == texts


def test_parts_saved_alone_carry_their_code(tmp_path):
    EntropyASRFeatureExtractor().save_pretrained(tmp_path / "extractor")
    assert {path.name for path in (tmp_path / "extractor").glob("*.py")} == {
        "audio.py",
        "audio_files_entropy_asr.py",
        "channels_entropy_asr.py",
        "containers_entropy_asr.py",
        "feature_extraction_entropy_asr.py",
        "ffmpeg_entropy_asr.py",
        "file_parts_entropy_asr.py",
        "flac_entropy_asr.py",
        "mpeg_entropy_asr.py",
        "optional_parts_entropy_asr.py",
        "torchaudio_entropy_asr.py",
        "url_entropy_asr.py",
    }
    EntropyASRPhonemeTokenizer().save_pretrained(tmp_path / "tokenizer")
    assert (tmp_path / "tokenizer" / "tokenization_entropy_asr_phoneme.py").exists()
    EntropyASREncoder(small_encoder_config()).save_pretrained(tmp_path / "encoder")
    auto_map = json.loads((tmp_path / "encoder" / "config.json").read_text())["auto_map"]
    assert auto_map["AutoModel"] == "modeling_entropy_asr_encoder.EntropyASREncoder"
    assert type(transformers.AutoModel.from_pretrained(tmp_path / "encoder")) is EntropyASREncoder


def test_trainer_checkpoints_carry_their_code(model, tmp_path):
    trainer = transformers.Trainer(model, transformers.TrainingArguments(str(tmp_path), report_to=[]))
    trainer.save_model(str(tmp_path / "saved"))
    assert {path.name for path in (tmp_path / "saved").glob("*.py")} == CODE
