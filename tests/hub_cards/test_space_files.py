# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a Space takes along of the package: what its model and its own code need, and nothing else."""

import json

import pytest
from small_models import (
    build_model,
    build_tokenizer,
    small_config,
    small_firered_encoder_config,
    small_parakeet_config,
    small_whisper_encoder_config,
)

from entropy_asr.hub_cards import publish
from entropy_asr.hub_cards.space_files import copy_space, space_modules
from entropy_asr.modeling import EntropyASRProcessor, EntropyASRWhisperFeatureExtractor
from entropy_asr.modeling.optional_parts_entropy_asr import MAKING, REQUESTED


ENCODERS = {
    "own": {"modeling_entropy_asr_encoder"},
    "whisper": {"modeling_entropy_asr_whisper", "feature_extraction_entropy_asr_whisper"},
    "firered": {"modeling_entropy_asr_firered"},
    "parakeet": set(),
}
CONFIGS = {
    "own": None,
    "whisper": small_whisper_encoder_config,
    "firered": small_firered_encoder_config,
    "parakeet": small_parakeet_config,
}


def taken(space: str, model: str | None = None) -> set[str]:
    return {name.rpartition(".")[2] for name in space_modules(space, model)}


def save_config(folder, kind: str, **changes) -> str:
    config = small_config(None if CONFIGS[kind] is None else CONFIGS[kind]())
    config.save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("kind", ENCODERS)
def test_of_the_encoders_that_of_the_model_comes_along(tmp_path, kind):
    files = taken("demo", save_config(tmp_path, kind))
    assert files & set.union(*ENCODERS.values()) == ENCODERS[kind]
    assert not files & set(MAKING)


def test_a_model_that_lacks_weights_of_its_own_takes_along_what_reads_those_of_others(tmp_path):
    thin = save_config(tmp_path / "thin", "own", thin_adapters=0)
    adapters = tmp_path / "adapters"
    adapters.mkdir()
    (adapters / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": thin}), encoding="utf-8")
    for model in (thin, str(adapters)):
        assert taken("server", model) >= set(MAKING) | set.union(*ENCODERS.values())


def test_what_an_argument_asks_for_comes_along_where_the_space_uses_it():
    """OpenAI's verbose answers tell the language that was heard, and servers load adapters; the demo does not."""
    adapters = {"loaded_adapters_entropy_asr", "lora_configuration_entropy_asr"}
    assert taken("server") & set(REQUESTED) == {*adapters, "spoken_language_entropy_asr"}
    assert not taken("demo") & set(REQUESTED)


def test_a_model_that_is_named_is_loaded_from_where_it_is(tmp_path):
    copy_space("demo", tmp_path / "named", save_config(tmp_path / "model", "whisper"))
    copy_space("demo", tmp_path / "bundled")
    below = "entropy_asr/spaces/demo/checkpoint"
    assert (tmp_path / "bundled" / below / "model.safetensors").is_file() and not (tmp_path / "named" / below).exists()
    for name in ("named", "bundled"):
        assert (tmp_path / name / "entropy_asr" / "modeling" / "common_words.json").is_file()


def test_what_no_space_can_run_is_named(tmp_path):
    small_whisper_encoder_config().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path} holds a model of type `entropy_asr_whisper_encoder`, not"):
        copy_space("demo", tmp_path / "space", str(tmp_path))
    with pytest.raises(ValueError, match="cannot read someone/nothing"):
        copy_space("demo", tmp_path / "another", "someone/nothing")


@pytest.mark.slow
def test_a_space_runs_the_model_that_it_was_published_for_and_refuses_others_in_words(tmp_path):
    pytest.importorskip("gradio")
    config = small_config(small_whisper_encoder_config())
    tokenizer = build_tokenizer(["<|im_start|>", "<|im_end|>", "<|audio|>"])
    config.audio_token_id = tokenizer.convert_tokens_to_ids("<|audio|>")
    processor = EntropyASRProcessor.from_components(EntropyASRWhisperFeatureExtractor(), tokenizer, config)
    for part in (build_model(config), processor):
        part.save_pretrained(tmp_path / "model")
    variables = {publish.MODEL_VARIABLE: str(tmp_path / "model"), "HF_HUB_OFFLINE": "1"}
    publish.stage_space("demo", tmp_path / "named", str(tmp_path / "model"))
    publish.check(publish.DEMO_CHECK, tmp_path / "named", variables)
    publish.stage_space("demo", tmp_path / "bundled")
    with pytest.raises(ValueError, match=r"EntropyASRWhisperEncoder needs modeling_entropy_asr_whisper\.py"):
        publish.check(publish.DEMO_CHECK, tmp_path / "bundled", variables)
