# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What stands on an encoder works on Whisper's: transcripts, hotwords, times, long audio, streams, remote code."""

import json

import numpy as np
import pytest
import torch
from small_models import build_model, small_config, small_whisper_encoder_config

from entropy_asr.modeling import (
    EndpointSettings,
    EntropyASRFeatureStream,
    EntropyASRPipeline,
    EntropyASRProcessor,
    EntropyASRWhisperFeatureExtractor,
    HotwordIndex,
    StreamingBatch,
    StreamingTranscriber,
)
from entropy_asr.modeling.ctc_entropy_asr import ctc_collapse


CHUNK, LEFT_CHUNKS = 16, 2  # encoder frames: 320 ms
LIMITS = {"max_new_tokens": 12}


def build_pipeline(tokenizer, **encoder) -> EntropyASRPipeline:
    model = build_model(small_config(small_whisper_encoder_config(**encoder)))
    processor = EntropyASRProcessor.from_components(EntropyASRWhisperFeatureExtractor(), tokenizer, model.config)
    return EntropyASRPipeline(model=model, processor=processor)


@pytest.fixture(scope="module")
def pipe(tokenizer) -> EntropyASRPipeline:
    """Pipeline whose encoder always runs under the streams' chunk mask."""
    return build_pipeline(tokenizer, chunk_size=CHUNK, left_chunks=LEFT_CHUNKS)


@pytest.fixture(scope="module")
def sound(waveforms) -> np.ndarray:
    """2.4 seconds."""
    return np.concatenate([waveforms[0], waveforms[2]])[:38000]


def transcribe(pipe, pieces, **kwargs):
    """Updates of a stream, and the encoder's output frames."""
    frames = []
    hook = pipe.model.model.audio_tower.register_forward_hook(
        lambda module, args, output: frames.append(output.last_hidden_state[0][output.attention_mask[0]])
    )
    settings = {"chunk_ms": 320, "left_chunks": LEFT_CHUNKS, "use_vad": False, "generate_kwargs": LIMITS}
    stream = StreamingTranscriber(pipe, **{**settings, **kwargs})
    updates = sum((stream.push(piece) for piece in pieces), []) + stream.finish()
    hook.remove()
    return updates, torch.cat(frames)


@pytest.mark.parametrize("length", [100, 5119, 5120, 5121, 5320, 10240, 10439, 10440, 38000])
@pytest.mark.parametrize("portion", [317, 4000, 38000])
def test_streams_have_the_frames_and_the_transcript_of_the_pipeline(pipe, sound, length, portion):
    samples = sound[:length]
    updates, frames = transcribe(pipe, [samples[i : i + portion] for i in range(0, length, portion)])
    features = pipe.processor.feature_extractor(samples, return_tensors="pt")["input_features"]
    with torch.no_grad():
        expected = pipe.model.model.audio_tower(features).last_hidden_state[0]
    assert frames.shape == expected.shape
    assert (frames - expected).abs().max() < 1e-5
    assert updates[-1].is_final and updates[-1].text == pipe(samples, **LIMITS)["text"]
    assert updates[-1].end == pytest.approx(length / 16000)


def test_a_chunk_is_encoded_as_soon_as_its_look_ahead_is_there(pipe, sound):
    """The window of the feature behind the chunk ends 200 samples after it; segments get samples in windows of 512."""
    features = EntropyASRFeatureStream(pipe.processor.feature_extractor)
    features.push(sound[: 5120 + 199])
    assert features.num_ready == 32
    features.push(sound[5120 + 199 : 5120 + 200])
    assert features.num_ready == 33
    stream = StreamingTranscriber(pipe, chunk_ms=320, use_vad=False, generate_kwargs=LIMITS)
    assert stream.push(sound[:5120]) == []
    assert len(stream.push(sound[5120 : 5120 + 512])) == 1


def test_a_batch_of_streams_equals_single_streams(pipe, waveforms):
    expected = [transcribe(pipe, [waveform])[0][-1].text for waveform in waveforms]
    batch = StreamingBatch(
        pipe, chunk_ms=320, left_chunks=LEFT_CHUNKS, max_streams=8, use_vad=False, generate_kwargs=LIMITS
    )
    streams, texts = [batch.join() for _ in waveforms], {}
    for start in range(0, 36000, 3000):
        for stream, waveform in zip(streams, waveforms, strict=True):
            if start < len(waveform):
                batch.push(stream, waveform[start : start + 3000])
            else:
                batch.finish(stream)
        while batch.has_work:
            texts |= {stream: update.text for stream, update in batch.step() if update.is_final}
    assert [texts[stream] for stream in streams] == expected
    assert len(set(expected)) > 4


def test_a_batch_gives_each_items_own_transcript(pipe, waveforms):
    texts = [result["text"] for result in pipe(list(waveforms), batch_size=8, **LIMITS)]
    assert texts == [pipe(waveform, **LIMITS)["text"] for waveform in waveforms]
    assert len(set(texts)) > 4


def test_words_have_times_of_fifty_frames_a_second(pipe, sound, monkeypatch):
    monkeypatch.setattr(type(pipe.processor), "decode", lambda self, ids, **kwargs: "the cat")
    result = pipe(sound, return_timestamps="word", guards={"no_speech": False}, language="en", **LIMITS)
    assert pipe.processor.seconds_per_frame == 0.02
    assert [chunk["text"].strip() for chunk in result["chunks"]] == ["the", "cat"]
    times = [time for chunk in result["chunks"] for time in chunk["timestamp"]]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= len(sound) / 16000


def test_hotwords_that_the_phoneme_head_found_are_hints_in_pipeline_and_stream(pipe, sound):
    inputs = pipe.processor(sound)
    speech = pipe.model.encode_speech(inputs["input_features"], inputs["input_features_mask"])
    phonemes = ctc_collapse(speech.phoneme_logits[0][speech.frame_mask[0]].argmax(-1).tolist(), 0)
    symbols = pipe.processor.phoneme_tokenizer.convert_ids_to_tokens(phonemes)
    index = HotwordIndex({"Kaldi": symbols[:3]})
    settings = {"guards": {"no_speech": False}}
    expected = pipe(sound, hotwords=index, **settings, **LIMITS)["text"]
    assert expected != pipe(sound, **settings, **LIMITS)["text"]
    settings["endpoints"] = EndpointSettings(max_segment=10)
    assert transcribe(pipe, [sound], hotwords=index, **settings)[0][-1].text == expected


def test_thirty_seconds_fit_and_a_default_stream_takes_them(tokenizer):
    pipe = build_pipeline(tokenizer)
    noise = np.random.default_rng(0).normal(scale=0.1, size=30 * 16000).astype(np.float32)
    assert isinstance(pipe(noise, guards=False, max_new_tokens=2)["text"], str)
    assert StreamingBatch(pipe, use_vad=False, generate_kwargs={"max_new_tokens": 2}).join() is not None
    assert EntropyASRFeatureStream(pipe.processor.feature_extractor).num_ready == 0


def test_a_saved_model_says_what_it_was_made_of(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["audio_config"]["model_type"] == "entropy_asr_whisper_encoder"
    assert config["adaptor_stacking"] == 8
    names = {path.name for path in tmp_path.glob("*.py")}
    assert {"modeling_entropy_asr_whisper.py", "feature_extraction_entropy_asr_whisper.py"} <= names
