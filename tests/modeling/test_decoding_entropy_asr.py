# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is asked of the model in recordings and streams alike: settings, bounds, audio that is too long."""

import pytest
import soundfile
import torch
from audio_rows import make_noise
from small_models import build_model, small_config, small_encoder_config, small_text_config, small_whisper_config
from transformers import (
    WhisperFeatureExtractor,
)

from entropy_asr.modeling import AudioError, EntropyASRPipeline, EntropyASRProcessor
from entropy_asr.modeling.decoding_entropy_asr import TranscriptDecoder, check_generate_kwargs
from entropy_asr.modeling.guards_entropy_asr import GuardSettings


@pytest.fixture(scope="module")
def pipe(model, processor) -> EntropyASRPipeline:
    return EntropyASRPipeline(model=model, processor=processor, device="cpu")


@pytest.fixture(scope="module")
def decoder(pipe) -> TranscriptDecoder:
    return pipe.decoder


def test_settings_are_greedy_and_end_where_the_prompt_says(decoder, processor):
    config, others = decoder.generation_settings({"num_beams": 3, "synced_gpus": False})
    assert (config.do_sample, config.num_beams, config.max_new_tokens) == (False, 3, None)
    assert config.eos_token_id is not None and config.pad_token_id is not None
    assert others == {"synced_gpus": False}
    assert decoder.generation_settings({}).config.num_beams != 3  # the model's own settings stay as they are


@pytest.mark.parametrize("name", ["language", "hotwords", "hotword_tolerance", "guards"])
def test_arguments_of_the_pipeline_are_none_of_generate(name):
    with pytest.raises(
        ValueError, match=f"`{name}` is no argument of `generate`: give it beside `generate_kwargs`, x"
    ):
        check_generate_kwargs({"num_beams": 2, name: None}, ", x")
    check_generate_kwargs({"num_beams": 2})


def test_transcripts_are_bounded_by_their_own_audio_unless_a_length_is_asked_for(decoder):
    audio, prompt = torch.tensor([1, 10, 40]), torch.tensor([30, 40, 70])
    config, _ = decoder.generation_settings({})
    assert decoder.max_new_tokens(audio, prompt, config, GuardSettings()).tolist() == [12, 48, 168]
    free = decoder.max_new_tokens(audio, prompt, config, GuardSettings(length_bound=False))
    assert free.tolist() == [512 - 30, 512 - 40, 512 - 70]  # the language model's positions
    asked, _ = decoder.generation_settings({"max_new_tokens": 7})
    assert decoder.max_new_tokens(audio, prompt, asked, GuardSettings()).tolist() == [7, 7, 7]
    least, _ = decoder.generation_settings({"min_new_tokens": 20})
    assert decoder.max_new_tokens(audio, prompt, least, GuardSettings()).tolist() == [20, 48, 168]


def test_an_utterance_fits_exactly_as_long_as_it_is_said_to(decoder):
    most = int(decoder.max_audio_tokens(30, None))
    assert decoder.length_error(1.0, most, 30, None) is None
    assert "takes at most" in decoder.length_error(1.0, most + 1, 30, None)
    assert decoder.max_audio_tokens(30, 5) > most  # a short answer leaves room for more audio
    assert "encoder takes nothing so short" in decoder.length_error(0.001, 0, 30, None)


def test_a_list_of_hotwords_is_indexed_once_and_an_index_taken_as_it_is(decoder):
    pytest.importorskip("phonemizer")
    first = decoder.index_hotwords(["Kaldi"])
    assert decoder.index_hotwords(("Kaldi",)) is first is decoder.index_hotwords(first)
    assert decoder.index_hotwords(["icefall"]) is not first


# Audio that is too long


def test_audio_beyond_the_language_model_is_refused(pipe, tmp_path):
    """512 positions: with the prompt and 5 for each audio token of 160 ms, some 12 s."""
    path = tmp_path / "lecture.wav"
    soundfile.write(path, make_noise(20), 16000)
    with pytest.raises(AudioError, match=r"^.*lecture.wav: lasts 20.0 s, .* at most 12\.\d s"):
        pipe(str(path))
    for batch_size in (None, 2):  # one that is too long leaves the batch, and the others go on
        short, long = pipe([make_noise(1), make_noise(20)], batch_size=batch_size)
        assert short == pipe(make_noise(1))
        assert long["text"] == "" and long["error"].startswith("item 1: audio: lasts 20.0 s")
    assert pipe(str(path), max_new_tokens=5, guards=False)["text"]  # a short answer leaves room for more audio
    limit = float(refusal(pipe, make_noise(20)).partition("at most ")[2].split()[0])
    assert pipe(make_noise(limit - 0.2), guards={"no_speech": False})["text"]


def refusal(pipe, audio) -> str:
    with pytest.raises(AudioError) as caught:
        pipe(audio, chunk_length_s=0)
    return str(caught.value)


def test_audio_beyond_the_encoder_is_refused(processor):
    model = build_model(small_config(small_encoder_config(max_position_embeddings=100)))
    pipe = EntropyASRPipeline(model=model, processor=processor, device="cpu")
    assert pipe(make_noise(3.9), guards=False)["text"]
    assert "lasts 5.0 s" in refusal(pipe, make_noise(5)) and "at most 3.9 s" in refusal(pipe, make_noise(5))


def test_audio_that_the_features_would_cut_is_refused(tokenizer):
    """Whisper's features are of 30 s, always."""
    config = small_config(small_whisper_config(d_model=16, encoder_layers=1))
    config.text_config = small_text_config()
    config.text_config.max_position_embeddings = 4096
    processor = EntropyASRProcessor.from_components(WhisperFeatureExtractor(), tokenizer, config)
    pipe = EntropyASRPipeline(model=build_model(config), processor=processor, device="cpu")
    assert pipe(make_noise(2), guards=False, max_new_tokens=4)["text"]
    assert "lasts 31.0 s" in refusal(pipe, make_noise(31)) and "at most 30.0 s" in refusal(pipe, make_noise(31))
    options = {"chunk_length_s": 0, "guards": False, "max_new_tokens": 4}
    short, long = pipe([make_noise(2), make_noise(31)], batch_size=2, **options)
    assert short["text"] and long["error"].startswith("item 1: audio: lasts 31.0 s")
