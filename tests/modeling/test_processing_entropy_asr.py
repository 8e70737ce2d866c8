# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Prompts, labels, decoding, audio of all kinds, and what the processor refuses."""

import copy
import io
import math
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import torch
from prompt_texts import PROMPT, prompts_of
from small_models import build_tokenizer, small_config, small_whisper_config
from transformers import AutoFeatureExtractor, AutoProcessor, AutoTokenizer, WhisperFeatureExtractor

from entropy_asr.modeling import (
    AudioError,
    EntropyASRFeatureExtractor,
    EntropyASRPhonemeTokenizer,
    EntropyASRProcessor,
)
from entropy_asr.modeling.languages_entropy_asr import default_phonemes


def test_audio_alone_gets_the_default_prompt_and_its_number_of_placeholders(processor, waveforms):
    inputs = processor(waveforms)
    assert prompts_of(processor, inputs) == [PROMPT.format(language="", hints="")] * 8
    frames = inputs["input_features_mask"].sum(-1).tolist()
    assert frames == [EntropyASRFeatureExtractor().num_frames(len(samples)) for samples in waveforms]
    expected = [math.ceil(math.ceil(math.ceil(n / 2) / 2) / 4) for n in frames]
    assert (inputs["input_ids"] == processor.audio_token_id).sum(-1).tolist() == expected
    assert inputs["input_ids"][1, 0] == processor.tokenizer.pad_token_id  # padded on the left
    assert inputs["attention_mask"][:, -1].all()


def test_placeholders_are_those_that_the_model_counts(processor, model, waveforms):
    inputs = processor(waveforms)
    embeddings = model.get_audio_features(inputs["input_features"], inputs["input_features_mask"]).pooler_output
    assert len(embeddings) == (inputs["input_ids"] == processor.audio_token_id).sum()


def test_chat_messages_with_audio_give_the_same_inputs(processor, waveforms):
    messages = [{"role": "user", "content": [{"type": "audio", "audio": waveforms[0]}]}]
    inputs = processor.apply_chat_template(messages, tokenize=True, return_dict=True, add_generation_prompt=True)
    expected = processor(waveforms[0])
    assert torch.equal(inputs["input_ids"], expected["input_ids"])
    assert torch.equal(inputs["input_features"], expected["input_features"])


def test_labels_cover_the_transcription_and_its_end_only(processor):
    ids, labels = processor.encode_example(98, "hello world", language="en", hotwords=["cat"])
    transcription = [label for label in labels if label != -100]
    assert processor.tokenizer.decode(transcription) == "hello world<|im_end|>"
    assert labels == [-100] * (len(ids) - len(transcription)) + transcription
    assert ids[-len(transcription) :] == transcription
    prompt = processor.tokenizer.decode(ids[: -len(transcription)])
    placeholders = "<|audio|>" * processor.num_audio_tokens(98)
    assert prompt == PROMPT.format(language=" English", hints="\nContextual hints: cat.").replace(
        "<|audio|>", placeholders
    )


def test_training_and_inference_see_the_same_prompt(processor, waveforms):
    inputs = processor.apply_transcription_request(waveforms[0], language="zh", hotwords=["你好"])
    num_frames = int(inputs["input_features_mask"].sum())
    ids, labels = processor.encode_example(num_frames, "", language="zh", hotwords=["你好"])
    assert inputs["input_ids"][0].tolist() == ids[: labels.count(-100)]
    assert labels[-1] == processor.end_of_text_id


@pytest.mark.parametrize("transcript", ["hello world", "你好", "", "say assistant\nuser"])
def test_decode_gives_the_transcription_without_prompt_and_rest(processor, transcript):
    ids, _ = processor.encode_example(30, transcript)
    assert processor.decode([*ids, 5, 6, 7]) == transcript
    assert processor.decode(ids[:-1]) == transcript
    answer = processor.tokenizer(transcript, add_special_tokens=False).input_ids
    assert processor.decode([*answer, processor.end_of_text_id]) == transcript
    assert (
        processor.batch_decode(torch.tensor([ids, ids])) == processor.decode(np.array([ids, ids])) == [transcript] * 2
    )


def wav_bytes(samples: np.ndarray, sampling_rate: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sampling_rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 192000])
def test_other_sampling_rates_are_converted(processor, rate):
    samples, expected = (
        (0.3 * np.sin(2 * np.pi * 440 * np.arange(r) / r)).astype(np.float32) for r in (rate, processor.sampling_rate)
    )
    expected = processor(expected)["input_features"]
    for inputs in (processor(samples, sampling_rate=rate), processor(wav_bytes(samples, rate))):
        assert inputs["input_features"].shape == expected.shape
        # Energies of the channel of 440 Hz; the edges of a resampled signal ring.
        channel = int(expected[0].mean(0).argmax())
        assert (inputs["input_features"] - expected)[0, 2:-2, channel].abs().max() < 0.05


def test_all_forms_of_audio_are_the_same_speech(processor, waveforms, tmp_path):
    path = tmp_path / "speech.wav"
    path.write_bytes(wav_bytes(waveforms[0], 16000))
    forms = [
        waveforms[0],
        waveforms[0].tolist(),
        torch.from_numpy(waveforms[0]),
        np.stack([waveforms[0]] * 8),
        path,
        str(path),
        path.read_bytes(),
        {"array": waveforms[0], "sampling_rate": 16000},
        {"bytes": path.read_bytes(), "path": None},
    ]
    features = processor(forms)["input_features"]
    assert (features - features[:1]).abs().max() < 1e-3


def test_bad_audio_is_named_by_item_and_file(processor, waveforms, tmp_path):
    path = tmp_path / "notes.wav"
    path.write_text("no audio")
    for bad, message in [(path, "notes.wav"), (np.zeros(0), "no samples"), (np.array([np.inf]), "infinite")]:
        with pytest.raises(AudioError, match=f"Audio item 2: .*{message}"):
            processor([waveforms[0], waveforms[1], bad])


def test_audio_that_the_features_would_cut_is_refused(tokenizer):
    config = small_config(small_whisper_config(d_model=16, encoder_layers=1))
    cutting = EntropyASRProcessor.from_components(WhisperFeatureExtractor(), tokenizer, config)
    whole, long = np.zeros(480000, np.float32), np.zeros(480001 + 16000, np.float32)
    assert cutting.apply_transcription_request(whole)["input_features_mask"].sum() == 3000
    with pytest.raises(AudioError, match=r"item 1 lasts 31\.0 s, .* at most 30\.0 s"):
        cutting.apply_transcription_request([whole, long])


def test_misuse_is_refused(processor, waveforms):
    with pytest.raises(ValueError, match="`audio` is empty"):
        processor([])
    with pytest.raises(ValueError, match="PyTorch tensors only"):
        processor(waveforms[0], return_tensors="np")
    with pytest.raises(ValueError, match="audio_token_stages"):
        EntropyASRProcessor(processor.feature_extractor, processor.tokenizer, processor.phoneme_tokenizer)
    stages = processor.audio_token_stages
    plain = build_tokenizer([])
    with pytest.raises(ValueError, match="no audio token"):
        EntropyASRProcessor(processor.feature_extractor, plain, processor.phoneme_tokenizer, audio_token_stages=stages)


def test_padding_side_is_the_callers_choice(processor, waveforms):
    for choice in ({"padding_side": "right"}, {"text_kwargs": {"padding_side": "right"}}):
        inputs = processor(waveforms[:3], **choice)
        assert inputs["attention_mask"][:, 0].all()
        assert inputs["input_ids"][1, -1] == processor.tokenizer.pad_token_id
    assert processor(waveforms[:3])["attention_mask"][:, -1].all()


def test_prompts_are_padded_on_the_left_whatever_the_tokenizer_says(processor, waveforms):
    tokenizer = build_tokenizer(["<|im_start|>", "<|im_end|>", "<|audio|>"], padding_side="right")
    careless = EntropyASRProcessor.from_components(EntropyASRFeatureExtractor(), tokenizer, small_config())
    assert torch.equal(careless(waveforms[:2])["attention_mask"], processor(waveforms[:2])["attention_mask"])


def test_from_components_adds_the_prompts_tokens(waveforms):
    tokenizer = EntropyASRProcessor.prepare_tokenizer(build_tokenizer([]))
    added = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>", "<|audio|>"])
    assert added == [len(tokenizer) - 3, len(tokenizer) - 2, len(tokenizer) - 1]
    config = small_config(audio_token_id=added[2])
    processor = EntropyASRProcessor.from_components(EntropyASRFeatureExtractor(), tokenizer, config)
    assert (processor(waveforms[0])["input_ids"] == added[2]).sum() == 7
    ids, _ = processor.encode_example(98, "hello world")
    assert processor.decode(ids) == "hello world"


def test_from_components_refuses_parts_that_do_not_fit(tokenizer):
    with pytest.raises(ValueError, match=f"{len(default_phonemes())} phonemes.*100"):
        EntropyASRProcessor.from_components(
            EntropyASRFeatureExtractor(), tokenizer, small_config(phoneme_vocab_size=100)
        )
    with pytest.raises(ValueError, match="is token 29.*`audio_token_id` is 3"):
        EntropyASRProcessor.from_components(EntropyASRFeatureExtractor(), build_tokenizer([]), small_config())


def test_saved_processor_loads_with_all_its_parts(processor, waveforms, tmp_path, caplog):
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert "Could not load" not in caplog.text
    assert type(loaded) is EntropyASRProcessor
    assert type(loaded.phoneme_tokenizer) is EntropyASRPhonemeTokenizer
    assert loaded.phoneme_tokenizer.get_vocab() == processor.phoneme_tokenizer.get_vocab()
    assert type(AutoTokenizer.from_pretrained(tmp_path / "phoneme_tokenizer")) is EntropyASRPhonemeTokenizer
    assert type(AutoFeatureExtractor.from_pretrained(tmp_path)) is EntropyASRFeatureExtractor
    assert loaded.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    expected, inputs = processor(waveforms), loaded(waveforms)
    assert {name: tensor.tolist() for name, tensor in inputs.items()} == {n: t.tolist() for n, t in expected.items()}


def test_threads_do_not_change_the_tokenizer_under_each_other(processor, waveforms, monkeypatch):
    busy, encode = threading.Lock(), processor.tokenizer._encode_plus

    def encode_alone(*args, **kwargs):
        assert busy.acquire(blocking=False), "another thread is tokenizing"
        time.sleep(0.002)
        try:
            return encode(*args, **kwargs)
        finally:
            busy.release()

    monkeypatch.setattr(processor.tokenizer, "_encode_plus", encode_alone)
    calls = [
        lambda: processor.tokenize_prompts([3, 5]),
        lambda: processor.prompt_ids("en"),
        lambda: processor.encode_example(100, "go <|im_end|>"),
        lambda: processor.decode([5, 6]),
        lambda: processor(waveforms[0]),
    ]
    with ThreadPoolExecutor(len(calls)) as threads:
        for future in [threads.submit(call) for call in 4 * calls]:
            future.result()


def test_processor_can_be_sent_to_another_process(processor, waveforms):
    for copied in (pickle.loads(pickle.dumps(processor)), copy.deepcopy(processor)):
        assert torch.equal(copied(waveforms[0])["input_ids"], processor(waveforms[0])["input_ids"])
