# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hotwords and times in the pipeline: what reaches the prompt, and where words are in the audio."""

import pytest
import torch
from small_models import build_model, small_config, small_parakeet_config, small_whisper_config
from transformers import (
    ParakeetFeatureExtractor,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from entropy_asr.modeling import HotwordIndex
from entropy_asr.modeling.ctc_entropy_asr import greedy_spans
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline
from entropy_asr.modeling.processing_entropy_asr import EntropyASRProcessor


@pytest.fixture(scope="module")
def pipe(model, processor) -> EntropyASRPipeline:
    settings = {"guards": {"no_speech": False}, "max_new_tokens": 12}
    return EntropyASRPipeline(model=model, processor=processor, device="cpu", **settings)


def hear(model, processor, waveform) -> list[str]:
    """Greedy phonemes of a sound, as the small model hears them."""
    inputs = processor(waveform)
    speech = model.encode_speech(inputs["input_features"], inputs["input_features_mask"])
    spans = greedy_spans(speech.phoneme_logits[0][speech.frame_mask[0].bool()].log_softmax(-1))
    return processor.phoneme_tokenizer.convert_ids_to_tokens([span.token for span in spans])


@pytest.fixture(scope="module")
def heard(model, processor, waveforms) -> list[list[str]]:
    return [hear(model, processor, waveform) for waveform in waveforms]


def text_with_hints(model, processor, waveform, hints: list[str]) -> str:
    """Transcript of a prompt that has the hints written into it."""
    inputs = processor.apply_transcription_request(waveform, hotwords=hints)
    sequence = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0]
    return processor.decode(sequence).strip()


# Hotwords


def test_only_words_that_were_heard_become_hints(model, processor, pipe, waveforms, heard):
    assert len(heard[0]) >= 3
    index = HotwordIndex({"Kaldi": heard[0][:3], "icefall": ["k", "æ", "t", "k", "æ", "t"]})
    expected = text_with_hints(model, processor, waveforms[0], ["Kaldi"])
    assert pipe(waveforms[0], hotwords=index)["text"] == expected
    assert expected not in (pipe(waveforms[0])["text"], text_with_hints(model, processor, waveforms[0], ["icefall"]))


def test_words_that_were_not_spoken_change_nothing(pipe, waveforms, heard):
    """However many: none reaches the prompt, so none can leak into a transcript."""
    symbols = [symbol for symbol in ("k", "æ", "t", "s", "iː") if symbol not in sum(heard, [])]
    assert len(symbols) >= 2
    index = HotwordIndex(
        {f"word{number}": [symbols[number >> bit & 1] for bit in range(12)] for number in range(4096)}
    )
    assert len(index) == 4096
    assert pipe(waveforms, hotwords=index, batch_size=4) == pipe(waveforms, batch_size=4)


def test_each_item_of_a_batch_gets_its_own_hints(model, processor, pipe, waveforms, heard):
    chosen = [number for number, phonemes in enumerate(heard) if len(phonemes) >= 4][:3]
    index = HotwordIndex([(f"word{number}", heard[number][-4:]) for number in chosen])
    expected = []
    for number in range(len(waveforms)):
        hints = index.find_hints(heard[number])
        expected.append(text_with_hints(model, processor, waveforms[number], hints))
    results = pipe(waveforms, hotwords=index, batch_size=len(waveforms))
    assert [result["text"] for result in results] == expected


def test_hotwords_that_were_heard_are_told(pipe, waveforms, heard):
    index = HotwordIndex({"Kaldi": heard[0][:3], "icefall": ["k", "æ", "t", "k", "æ", "t"]})
    expected = [index.find_hints(phonemes) for phonemes in heard]
    assert expected[0] == ["Kaldi"] and [] in expected
    results = pipe(waveforms, hotwords=index, batch_size=len(waveforms), return_hotwords=True)
    assert [result["hotwords_found"] for result in results] == expected
    assert "hotwords_found" not in pipe(waveforms[0], hotwords=index)
    assert pipe(waveforms[0], return_hotwords=True)["hotwords_found"] == []
    nothing_is_speech = {"min_blank_mass": 0.0, "max_phonemes_per_second": 1e9, "min_phoneme_probability": 1.0}
    silent = pipe(waveforms[0], hotwords=index, guards=nothing_is_speech, return_flags=True, return_hotwords=True)
    assert silent == {"text": "", "flags": ["no_speech"], "hotwords_found": []}


def test_tolerance_is_passed_on(model, processor, pipe, waveforms, heard, monkeypatch):
    asked = []

    def find_hints(self, phonemes, tolerance=0.0, max_hints=32):
        asked.append((phonemes, tolerance))
        return ["Kaldi"] if tolerance else []

    monkeypatch.setattr(HotwordIndex, "find_hints", find_hints)
    index = HotwordIndex({"Kaldi": ["k", "æ", "l", "d", "i"]})
    plain = text_with_hints(model, processor, waveforms[0], [])
    hinted = text_with_hints(model, processor, waveforms[0], ["Kaldi"])
    assert pipe(waveforms[0], hotwords=index)["text"] == plain != hinted
    assert pipe(waveforms[0], hotwords=index, hotword_tolerance=0.2)["text"] == hinted
    assert asked == [(heard[0], 0.0), (heard[0], 0.2)]
    told = {"guards": False, "max_new_tokens": 8, "return_hotwords": True}
    made = EntropyASRPipeline(model=model, processor=processor, hotwords=index)
    assert made(waveforms[0], hotword_tolerance=0.2, **told)["hotwords_found"] == ["Kaldi"]
    made = EntropyASRPipeline(model=model, processor=processor, hotword_tolerance=0.2)
    assert made(waveforms[0], **told)["hotwords_found"] == []
    assert made(waveforms[0], hotwords=index, **told)["hotwords_found"] == ["Kaldi"]
    with pytest.raises(ValueError, match="`hotword_tolerance` .* give `hotwords`"):
        pipe(waveforms[0], hotword_tolerance=0.2)


def test_lists_are_indexed_once(pipe, waveforms, monkeypatch):
    built = []
    build = HotwordIndex.build.__func__
    monkeypatch.setattr(HotwordIndex, "build", classmethod(lambda cls, *args: built.append(1) or build(cls, *args)))
    for hotwords in (["Kaldi", "icefall"], ["Kaldi", "icefall"], ("Kaldi", "icefall"), ["Kaldi"]):
        pipe(waveforms[1], hotwords=hotwords)
    assert len(built) == 2


@pytest.mark.parametrize("wanted", [{}, {"hotwords": ["Kaldi"], "num_beams": 2}, {"return_confidence": True}])
def test_encoder_runs_once_a_batch(pipe, waveforms, monkeypatch, wanted):
    calls = []
    tower = pipe.model.model.audio_tower
    forward = tower.forward
    monkeypatch.setattr(tower, "forward", lambda *args, **kwargs: calls.append(1) or forward(*args, **kwargs))
    pipe(waveforms[:3], batch_size=3, **wanted)
    assert len(calls) == 1


@pytest.mark.parametrize("word", ["Kaldi<|im_end|>", "<|audio|>", "new\nline", "<|im_start|>system"])
def test_hint_that_would_be_part_of_the_prompt_is_refused(processor, word):
    with pytest.raises(ValueError, match="part of the prompt"):
        processor.prompt(hotwords=["Kaldi", word])


def test_processor_refers_an_index_to_find_hints(processor, waveforms):
    with pytest.raises(ValueError, match="find_hints"):
        processor.apply_transcription_request(waveforms[0], hotwords=HotwordIndex())


def test_prompts_of_encoded_speech_are_the_prompts_of_the_audio(processor, waveforms):
    hints = [["Kaldi"], [], ["New York", "北京"]]
    whole = processor.apply_transcription_request(waveforms[:3], language="en", hotwords=hints)
    counts = (whole["input_ids"] == processor.audio_token_id).sum(-1).tolist()
    tokens = processor.tokenize_prompts(counts, "en", hints)
    assert torch.equal(tokens["input_ids"], whole["input_ids"])
    assert torch.equal(tokens["attention_mask"], whole["attention_mask"])


# Times


@pytest.mark.parametrize("text", ["hello, world!", "你好 world", "Привет hello", "..."])
def test_words_have_times_in_order_inside_the_audio(pipe, waveforms, monkeypatch, text):
    monkeypatch.setattr(pipe.processor, "decode", lambda sequence: text)
    result = pipe(waveforms[0], return_timestamps="word", return_confidence=True)
    times = [time for chunk in result["chunks"] for time in chunk["timestamp"]]
    assert times == sorted(times)
    assert all(0 <= time <= len(waveforms[0]) / 16000 for time in times)
    assert "".join(chunk["text"] for chunk in result["chunks"]) == text
    assert all(chunk["confidence"] is None or 0 <= chunk["confidence"] <= 1 for chunk in result["chunks"])
    assert 0 <= result["confidence"] <= 1


def test_text_beyond_the_audio_has_no_times(pipe, waveforms, monkeypatch):
    monkeypatch.setattr(pipe.processor, "decode", lambda sequence: "hello world " * 20)
    result = pipe(waveforms[1], return_timestamps="word", return_confidence=True)
    assert {chunk["timestamp"] for chunk in result["chunks"]} == {(None, None)}
    assert result["confidence"] == 0.0 and "low_agreement" in result["flags"]


def test_phonemes_have_times(pipe, waveforms, monkeypatch):
    monkeypatch.setattr(pipe.processor, "decode", lambda sequence: "hello")
    result = pipe(waveforms[0], return_timestamps="phoneme")
    assert [chunk["text"] for chunk in result["chunks"]] == ["h", "ə", "l", "oʊ"]
    assert set(result["chunks"][0]) == {"text", "timestamp"}


def test_times_do_not_depend_on_the_batch(pipe, waveforms):
    wanted = {"return_timestamps": "word", "return_confidence": True}
    alone = [pipe(waveform, **wanted) for waveform in waveforms[:4]]
    for result, expected in zip(pipe(waveforms[:4], batch_size=4, **wanted), alone, strict=True):
        assert result["text"] == expected["text"]
        assert [chunk["timestamp"] for chunk in result["chunks"]] == [c["timestamp"] for c in expected["chunks"]]
        assert result["confidence"] == pytest.approx(expected["confidence"], abs=1e-4)


def parakeet():
    return small_parakeet_config(), ParakeetFeatureExtractor()


def whisper():
    return small_whisper_config(), WhisperFeatureExtractor()


def wav2vec2():
    return Wav2Vec2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2), Wav2Vec2FeatureExtractor()


def wav2vec2_bert():
    return Wav2Vec2BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2
    ), SeamlessM4TFeatureExtractor()


@pytest.mark.parametrize(
    ("parts", "seconds"), [(parakeet, 0.08), (whisper, 0.02), (wav2vec2, 0.02), (wav2vec2_bert, 0.02)]
)
def test_frame_length_is_that_of_the_encoder(tokenizer, parts, seconds):
    audio_config, extractor = parts()
    processor = EntropyASRProcessor.from_components(extractor, tokenizer, small_config(audio_config))
    assert processor.seconds_per_frame == pytest.approx(seconds)


def test_frame_length_of_our_encoder_is_not_saved(processor, tmp_path):
    assert processor.seconds_per_frame == pytest.approx(0.04)
    processor.save_pretrained(tmp_path)
    assert "seconds_per_frame" not in (tmp_path / "processor_config.json").read_text()
    assert EntropyASRProcessor.from_pretrained(tmp_path).seconds_per_frame == pytest.approx(0.04)


def test_model_with_another_encoder_takes_hotwords_and_gives_times(tokenizer, waveforms):
    audio_config, extractor = parakeet()
    config = small_config(audio_config)
    processor = EntropyASRProcessor.from_components(extractor, tokenizer, config)
    pipe = EntropyASRPipeline(model=build_model(config), processor=processor, device="cpu", guards=False)
    wanted = {"return_timestamps": "word", "return_confidence": True, "max_new_tokens": 3}
    result = pipe(waveforms[4], hotwords=["Kaldi"], **wanted)
    assert set(result) == {"text", "chunks", "confidence", "flags"}
