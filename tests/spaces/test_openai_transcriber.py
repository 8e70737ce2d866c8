# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Text told while it is written, work that is given up, and the length of what is sent."""

import io
import threading

import numpy as np
import pytest
import soundfile
import torch
from small_models import build_model, build_tokenizer, small_config

from entropy_asr.modeling import EntropyASRFeatureExtractor, EntropyASRPipeline, EntropyASRProcessor
from entropy_asr.spaces.server import openai_transcriber
from entropy_asr.spaces.server.openai_errors import OpenAIError
from entropy_asr.spaces.server.openai_request import TranscriptionRequest
from entropy_asr.spaces.server.openai_transcriber import AbandonedError, Job, TextDeltas, Transcriber, measured_seconds


def pieces_of(*segments: bytes) -> list[str]:
    """What is told of segments whose tokens are bytes."""
    told: list[str] = []
    deltas = TextDeltas(lambda tokens: bytes(tokens).decode("utf-8", "replace"), told.append)
    for segment in segments:
        deltas.put(torch.tensor([[1, 2, 3]]))  # the prompt
        for token in segment:
            deltas.put(torch.tensor([token]))
        deltas.end()
    return told


@pytest.mark.parametrize(
    ("segments", "told"),
    [
        (["hi", "you"], ["h", "i", " y", "o", "u"]),
        (["你好", "世界", "hi"], ["你", "好", "世", "界", " h", "i"]),
        (["你 b  ", "“好”"], ["你", " b", " “好", "”"]),
        (["你", "“好”"], ["你", "“好", "”"]),  # a quotation mark alone tells no script
        (["a", "", "..."], ["a", " ..."]),
        (["", ""], []),
    ],
)
def test_pieces_are_whole_characters_and_joined_the_text(segments, told):
    assert pieces_of(*(segment.encode("utf-8") for segment in segments)) == told


@pytest.fixture(scope="module")
def pipe() -> EntropyASRPipeline:
    tokenizer = build_tokenizer(["<|im_start|>", "<|im_end|>", "<|audio|>"])
    processor = EntropyASRProcessor.from_components(EntropyASRFeatureExtractor(), tokenizer, small_config())
    return EntropyASRPipeline(model=build_model(small_config()), processor=processor, guards=False, max_new_tokens=8)


def wav(seconds: float) -> bytes:
    file = io.BytesIO()
    noise = 0.1 * np.random.default_rng(0).normal(size=round(16000 * seconds))
    soundfile.write(file, noise, 16000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def test_a_job_that_is_given_up_ends_and_the_next_one_begins(pipe):
    transcriber = Transcriber(pipe)
    told: list[str] = []

    def tell(piece: str) -> None:
        told.append(piece)
        job.abandon()

    job = Job(TranscriptionRequest(stream=True), wav(1), tell)
    with pytest.raises(AbandonedError):
        transcriber.submit(job).result(30)
    whole = transcriber.submit(Job(TranscriptionRequest(), wav(1))).result(30)["text"]
    assert len(told) == 1 and whole.startswith(told[0]) and whole != told[0]
    transcriber.close()


def test_what_nobody_waits_for_any_more_keeps_no_file_in_memory(pipe):
    transcriber = Transcriber(pipe)
    begun, goes_on = threading.Event(), threading.Event()

    def hold(piece: str) -> None:
        begun.set()
        assert goes_on.wait(30)

    long = transcriber.submit(Job(TranscriptionRequest(stream=True), wav(1), hold))
    assert begun.wait(30)
    waiting = Job(TranscriptionRequest(hints=("Kaldi",)), wav(1))
    transcriber.submit(waiting)
    waiting.abandon()
    assert not waiting.audio and not waiting.request.hints
    goes_on.set()
    assert long.result(30)["text"]
    transcriber.close()


def test_a_stream_of_beams_tells_the_text_at_its_end(pipe, monkeypatch):
    transcriber = Transcriber(pipe)
    monkeypatch.setattr(pipe.model.generation_config, "num_beams", 2)
    told: list[str] = []
    job = Job(TranscriptionRequest(stream=True), wav(1), told.append)
    assert [transcriber.submit(job).result(30)["text"]] == told
    transcriber.close()


def test_times_of_words_are_refused_before_anything_is_read(pipe, monkeypatch):
    monkeypatch.setattr(pipe.model.config, "phoneme_head_trained", False)
    request = TranscriptionRequest(response_format="verbose_json", granularities=("word",))
    with pytest.raises(OpenAIError, match="no times of words here: .* never trained"):
        Transcriber(pipe).check(request)
    Transcriber(pipe).check(TranscriptionRequest(response_format="verbose_json"))


def test_length_is_that_of_the_header_or_of_what_is_decoded(monkeypatch):
    assert measured_seconds(wav(1.5), "a.wav", 2) == 1.5
    monkeypatch.setattr(openai_transcriber, "audio_duration", lambda source: None)
    assert measured_seconds(wav(1.5), "a.wav", 2) == 1.5


def test_no_more_is_decoded_than_may_be_sent(monkeypatch):
    """A small file may hold days of silence."""
    read: list[int] = []

    def endless(source):
        while True:
            read.append(len(read))
            yield np.zeros(16000, np.float32)

    monkeypatch.setattr(openai_transcriber, "audio_duration", lambda source: None)
    monkeypatch.setattr(openai_transcriber, "audio_blocks", endless)
    with pytest.raises(OpenAIError, match="a.flac: lasts longer than the 60 seconds") as refused:
        measured_seconds(b"", "a.flac", 60)
    assert refused.value.code == "audio_too_long" and len(read) == 61
