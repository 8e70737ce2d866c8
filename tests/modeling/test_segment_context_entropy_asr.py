# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Segments of a long recording that are told the last sentence of the one before."""

import numpy as np
import pytest

from entropy_asr.modeling.decoding_entropy_asr import Transcript
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline
from entropy_asr.modeling.segment_context_entropy_asr import MAX_CHARACTERS, last_sentence, next_context


LIMIT = {"max_new_tokens": 12}


@pytest.fixture
def pipe(model, processor, loudness_vad) -> EntropyASRPipeline:
    return EntropyASRPipeline(model=model, processor=processor, device="cpu", guards={"no_speech": False})


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    """Four sounds of different pitch between silences, 36 s."""
    parts = []
    for index in range(4):
        time = np.arange(16000 * (3 + index)) / 16000
        sound = 0.3 * np.sin(2 * np.pi * (150 + 90 * index) * time + 60 * time**2)
        parts += [np.zeros(16000 * 4), sound]
    return np.concatenate([*parts, np.zeros(32000)]).astype(np.float32)


def texts_of(result: dict) -> list[str]:
    return [segment["text"] for segment in result["segments"]]


@pytest.fixture
def bounded_texts_are_told(monkeypatch):
    """The small model's texts never end by themselves."""
    monkeypatch.setattr("entropy_asr.modeling.segment_context_entropy_asr.LENGTH_LIMIT", "never")


def test_each_segment_is_told_the_last_sentence_of_the_one_before(pipe, recording, bounded_texts_are_told):
    apart = pipe(recording, return_segments=True, return_hotwords=True, **LIMIT)
    told = pipe(recording, return_segments=True, return_hotwords=True, carry_context=True, **LIMIT)
    assert len(apart["segments"]) == len(told["segments"]) == 4
    before = ""
    for number, segment in enumerate(told["segments"]):
        start, end = (round(16000 * time) for time in segment["timestamp"])
        hints = {"hotwords": [[last_sentence(before)]]} if before else {}
        asked = pipe.processor.apply_transcription_request([recording[start:end]], **hints)
        before = pipe.processor.batch_decode(pipe.model.generate(**asked, **LIMIT, do_sample=False))[0].strip()
        assert segment["text"].strip() == before, number
    assert texts_of(told)[0] == texts_of(apart)[0] and texts_of(told)[1:] != texts_of(apart)[1:]
    assert told["hotwords_found"] == []


def test_a_text_that_did_not_end_by_itself_is_told_to_nobody(pipe, recording):
    apart, told = (pipe(recording, return_flags=True, carry_context=carried, **LIMIT) for carried in (False, True))
    assert told == apart and told["flags"] == ["length_limit"]


def test_context_and_hotwords_stand_in_one_prompt(pipe, recording, monkeypatch, bounded_texts_are_told):
    """Hotwords alone are told as found."""
    pytest.importorskip("phonemizer")
    pytest.importorskip("daachorse")
    monkeypatch.setattr(pipe.processor, "find_hints", lambda logits, *rest: [["Kaldi"]] * len(logits))
    told = []
    tokenize = pipe.processor.tokenize_prompts

    def remember(counts, language, hotwords):
        told.extend(hotwords)
        return tokenize(counts, language, hotwords)

    monkeypatch.setattr(pipe.processor, "tokenize_prompts", remember)
    wanted = {"return_segments": True, "return_hotwords": True}
    result = pipe(recording, hotwords=["Kaldi"], carry_context=True, **wanted, **LIMIT)
    said = [text.strip() for text in texts_of(result)]
    assert told == [["Kaldi"], *([last_sentence(text), "Kaldi"] for text in said[:-1])] and all(said)
    assert result["hotwords_found"] == ["Kaldi"]


def test_a_pipeline_can_be_made_so_and_a_call_can_say_otherwise(model, processor, recording, loudness_vad):
    made = EntropyASRPipeline(model=model, processor=processor, device="cpu", carry_context=True)
    with pytest.raises(ValueError, match="`batch_size` must be 1"):
        made([recording], batch_size=2)
    assert made([recording], batch_size=2, carry_context=False, **LIMIT) == [
        made(recording, carry_context=False, **LIMIT)
    ]
    with pytest.raises(ValueError, match="`chunk_length_s=0` cuts none"):
        made(recording, chunk_length_s=0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hello world", "hello world"),
        ("It is late. We go home.", "We go home"),
        ("Is it 3.14? Yes", "Yes"),
        ("今天很好。我们走吧。", "我们走吧"),
        ("你好！再见", "再见"),
        ("", ""),
        (".", ""),
        ("Yes. ...", "Yes"),
        (" ".join(["word"] * 40), " ".join(["word"] * 20)),
        ("字" * 150, "字" * MAX_CHARACTERS),
    ],
)
def test_the_last_sentence(text, sentence):
    assert last_sentence(text) == sentence
    assert len(sentence) <= MAX_CHARACTERS


def test_loops_and_parts_of_the_prompt_are_told_to_nobody_and_silence_changes_nothing(processor):
    def told(*transcript) -> str:
        return next_context(Transcript(*transcript), "before", processor.tokenizer)

    assert told("we go. to the house") == "to the house"
    assert told("") == told("", ("no_speech",)) == "before"
    assert told("the the the the", ("length_limit",)) == ""
    assert told("we <|im_end|> go") == ""
