# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Guards against hallucination: what they leave empty, what they flag, and that each can be switched off."""

import copy
import itertools

import numpy as np
import pytest
import torch

from entropy_asr.modeling import EndpointSettings, HotwordIndex, StreamingTranscriber, vad_entropy_asr
from entropy_asr.modeling.guards_entropy_asr import (
    GuardSettings,
    blank_mass,
    is_speech_absent,
    judge_transcript,
    transcript_confidence,
)
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline


SECOND = np.zeros(16000, np.float32)


def emission_of(path: list[int], vocab_size: int = 279, certainty: float = 0.95) -> torch.Tensor:
    """Log-probabilities `(T, V)` of a head that is `certainty` sure of the symbols of a path."""
    probabilities = torch.full((len(path), vocab_size), (1 - certainty) / (vocab_size - 1))
    probabilities[torch.arange(len(path)), torch.tensor(path)] = certainty
    return probabilities.log()


@pytest.fixture
def vad(monkeypatch) -> dict:
    """Stands for the voice activity detector: hears `segments`, counts its calls."""
    heard = {"segments": [], "calls": 0}

    def detect_speech(waveform, sampling_rate=16000, settings=None):
        assert sampling_rate == 16000
        heard["calls"] += 1
        return heard["segments"]

    monkeypatch.setattr(vad_entropy_asr, "detect_speech", detect_speech)
    return heard


# No speech


@pytest.mark.parametrize(
    ("phonemes", "segments", "expected", "calls"),
    [
        ([], [(0.0, 1.0)], True, 0),  # the head hears nothing: its word counts
        ([5], [], True, 1),  # little, and the detector agrees
        ([5, 6, 5], [(0.2, 0.5)], False, 1),  # the detector heard a word
        ([5, 6, 7, 8, 5], [], False, 0),  # plainly speech
    ],
)
def test_head_and_detector_decide_together(vad, phonemes, segments, expected, calls):
    vad["segments"] = segments
    log_probs = emission_of([symbol for phoneme in phonemes for symbol in (phoneme, 0)] + [0] * 30)
    assert is_speech_absent(log_probs, SECOND, 16000, GuardSettings()) is expected
    assert vad["calls"] == calls


def test_head_that_is_certain_of_nothing_is_no_witness_of_silence(vad):
    """Its blank may be the best symbol by chance."""
    log_probs = emission_of([0] * 25, certainty=0.1)
    assert blank_mass(log_probs) == pytest.approx(0.1)
    assert not is_speech_absent(log_probs, SECOND, 16000, GuardSettings())
    assert is_speech_absent(log_probs, SECOND, 16000, GuardSettings(min_blank_mass=0.05))


def test_thresholds_are_honoured(vad):
    log_probs = emission_of([5, 0, 6, 0, 7] + [0] * 20)
    assert is_speech_absent(log_probs, SECOND, 16000, GuardSettings(max_phonemes_per_second=4))
    assert not is_speech_absent(log_probs, SECOND, 16000, GuardSettings(max_phonemes_per_second=3))
    assert not is_speech_absent(log_probs, SECOND, 16000, GuardSettings(min_blank_mass=0.9))


def test_few_phonemes_are_no_speech_where_none_is_certain(vad):
    vad["segments"] = [(0.0, 1.0)]
    log_probs = emission_of([5, 0, 6] + [0] * 30)
    log_probs[:3] = emission_of([5, 0, 6], certainty=0.4)
    assert is_speech_absent(log_probs, SECOND, 16000, GuardSettings(min_phoneme_probability=0.5))
    assert not is_speech_absent(log_probs, SECOND, 16000, GuardSettings(min_phoneme_probability=0.3))


def test_certainty_of_the_detector_is_honoured(monkeypatch):
    """Probabilities of 0.8 for a second."""
    monkeypatch.setattr(vad_entropy_asr, "SileroVAD", lambda: lambda samples: np.full(len(samples) // 512, 0.8))
    log_probs = emission_of([5] + [0] * 30)
    assert not is_speech_absent(log_probs, SECOND, 16000, GuardSettings(vad_threshold=0.7))
    assert is_speech_absent(log_probs, SECOND, 16000, GuardSettings(vad_threshold=0.9))


def test_without_a_trained_head_the_detector_decides_alone(vad):
    assert is_speech_absent(None, SECOND, 16000, GuardSettings())
    vad["segments"] = [(0.0, 1.0)]
    assert not is_speech_absent(None, SECOND, 16000, GuardSettings())


@pytest.mark.parametrize("kind", ["silence", "noise", "tones"])
def test_detector_hears_no_speech_in_silence_noise_and_tones(kind):
    time = np.arange(48000) / 16000
    sounds = {
        "silence": np.zeros(48000),
        "noise": np.random.default_rng(0).normal(size=48000) / 10,
        "tones": sum(np.sin(2 * np.pi * f * time) for f in (262, 330, 392)) / 6,
    }
    log_probs = emission_of([0] * 30 + [5] + [0] * 44)
    assert is_speech_absent(log_probs, sounds[kind].astype(np.float32), 16000, GuardSettings())


# Agreement


def test_confidence_is_the_share_of_the_likelihood():
    log_probs = torch.randn(5, 4, dtype=torch.float64).log_softmax(-1)
    labels = [2, 1]
    total = sum(
        log_probs[torch.arange(5), torch.tensor(path)].sum().exp().item()
        for path in itertools.product(range(4), repeat=5)
        if [symbol for symbol, _ in itertools.groupby(path) if symbol] == labels
    )
    best = log_probs.max(-1).values.sum().exp().item()
    assert transcript_confidence(log_probs, labels) == pytest.approx(min(1.0, total / best) ** 0.5, rel=1e-4)


def test_confidence_falls_with_every_kind_of_error():
    log_probs = emission_of([0, 5, 0, 6, 0, 7, 0, 8, 0])
    right = transcript_confidence(log_probs, [5, 6, 7, 8])
    wrong = {
        "substituted": [5, 6, 9, 8],
        "missing": [5, 6, 8],
        "superfluous": [5, 6, 9, 7, 8],
        "other": [9, 10, 11, 12],
    }
    confidences = {name: transcript_confidence(log_probs, ids) for name, ids in wrong.items()}
    assert right > 0.95
    assert all(confidence < 0.25 for confidence in confidences.values())
    assert confidences["other"] == min(confidences.values())


def test_confidence_at_the_limits():
    assert transcript_confidence(emission_of([0, 0]), []) == pytest.approx(1.0)
    assert transcript_confidence(emission_of([5, 6, 7]), []) < 1e-6  # words were left out
    assert transcript_confidence(emission_of([5, 6]), [5, 6, 7]) == 0.0  # no room
    assert transcript_confidence(torch.zeros(0, 9), []) == 1.0
    assert transcript_confidence(torch.zeros(0, 9), [1]) == 0.0
    assert 0 <= transcript_confidence(torch.full((4, 9), -torch.inf).index_fill(1, torch.tensor(0), 0.0), [1]) < 1e-6


def test_transcript_that_was_not_said_is_flagged(phoneme_tokenizer):
    ids = phoneme_tokenizer("good morning", "en")["input_ids"]
    log_probs = emission_of([symbol for i in ids for symbol in (i, 0)])
    confidence, flags = judge_transcript(log_probs, "good morning", phoneme_tokenizer, GuardSettings())
    assert confidence > 0.9 and flags == []
    confidence, flags = judge_transcript(log_probs, "thank you for watching", phoneme_tokenizer, GuardSettings())
    assert confidence < 0.1 and flags == ["low_agreement"]
    off = GuardSettings(agreement=False)
    assert judge_transcript(log_probs, "thank you for watching", phoneme_tokenizer, off) == (confidence, [])
    lenient = GuardSettings(min_confidence=0.0)
    assert judge_transcript(log_probs, "thank you for watching", phoneme_tokenizer, lenient) == (confidence, [])


# Settings


@pytest.mark.parametrize("guards", [None, True, {}, GuardSettings()])
def test_guards_are_on_by_default(guards):
    assert GuardSettings.of(guards) == GuardSettings()


def test_guards_are_switched_off_together_or_one_by_one():
    off = GuardSettings.of(False)
    assert (off.no_speech, off.length_bound, off.agreement) == (False, False, False)
    assert GuardSettings.of({"no_speech": False}) == GuardSettings(no_speech=False)


@pytest.mark.parametrize(
    "guards",
    [
        "off",
        1.5,
        {"speech": True},
        {"min_blank_mass": 1.5},
        {"max_phonemes_per_second": -1},
        {"vad_threshold": 0.1},
        {"length_factor": 0.5},
        {"length_factor": float("inf")},
        {"length_factor": 2, "length_bound": False},
    ],
)
def test_wrong_guards_are_refused(guards):
    with pytest.raises(ValueError, match=r"guards|min_blank_mass|max_phonemes_per_second|vad_threshold|length_factor"):
        GuardSettings.of(guards)


# In the pipeline


@pytest.fixture
def deaf_pipe(model, processor) -> EntropyASRPipeline:
    """Its phoneme head hears nothing but blanks; its language model talks on regardless."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.phoneme_head.output.bias[0] = 1000.0
    return EntropyASRPipeline(model=model, processor=processor, device="cpu")


def test_audio_without_speech_gives_no_text_and_is_not_decoded(deaf_pipe, waveforms, monkeypatch):
    calls = []
    generate = type(deaf_pipe.model).generate
    monkeypatch.setattr(
        type(deaf_pipe.model), "generate", lambda self, **inputs: calls.append(1) or generate(self, **inputs)
    )
    result = {"text": "", "chunks": [], "confidence": 1.0, "flags": ["no_speech"]}
    assert deaf_pipe(waveforms[0], return_timestamps="word", return_confidence=True) == result
    assert deaf_pipe(waveforms[:3], batch_size=3) == [{"text": ""}] * 3
    assert calls == []
    assert deaf_pipe(waveforms[0], guards={"no_speech": False})["text"]
    assert deaf_pipe(waveforms[0], guards=False)["text"]
    assert len(calls) == 2


@pytest.fixture
def untrained_pipe(model, processor) -> EntropyASRPipeline:
    """As joined from an encoder without a phoneme head."""
    model = copy.deepcopy(model)
    model.config.phoneme_head_trained = False
    return EntropyASRPipeline(model=model, processor=processor, device="cpu")


@pytest.mark.parametrize(
    "arguments",
    [
        {"return_timestamps": "word"},
        {"return_confidence": True},
        {"hotwords": ["Kaldi"]},
        {"hotwords": HotwordIndex({"Kaldi": ["k", "æ"]})},
    ],
)
def test_what_rests_on_an_untrained_phoneme_head_is_refused(untrained_pipe, waveforms, arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}.*never trained.*train phoneme_head"):
        untrained_pipe(waveforms[0], **arguments)


def test_no_hotwords_need_no_phoneme_head(untrained_pipe, waveforms):
    limits = {"guards": False, "max_new_tokens": 6}
    assert untrained_pipe(waveforms[0], hotwords=[], **limits) == untrained_pipe(waveforms[0], **limits)


def test_with_an_untrained_phoneme_head_the_detector_is_the_guard(untrained_pipe, waveforms, vad):
    assert untrained_pipe(waveforms[0], return_flags=True) == {"text": "", "flags": ["no_speech"]}
    vad["segments"] = [(0.0, 1.0)]
    assert untrained_pipe(waveforms[0])["text"]


def test_streams_say_that_the_phoneme_head_is_untrained(untrained_pipe, waveforms, vad):
    vad["segments"] = [(0.0, 1.0)]
    with pytest.warns(UserWarning, match="never trained"):
        stream = StreamingTranscriber(untrained_pipe, use_vad=False, endpoints=EndpointSettings(max_segment=2))
    update = (stream.push(waveforms[0]) + stream.finish())[-1]
    assert update.text and update.phonemes == ""
    with pytest.raises(ValueError, match=r"hotwords.*never trained"):
        StreamingTranscriber(untrained_pipe, hotwords=["Kaldi"])


def test_silence_in_a_batch_leaves_the_others_as_they_are(model, processor, waveforms, monkeypatch):
    pipe = EntropyASRPipeline(model=model, processor=processor, device="cpu", guards={"no_speech": False})
    alone = [pipe(waveform)["text"] for waveform in waveforms[:4]]
    absent = iter([False, True, True, False])
    monkeypatch.setattr("entropy_asr.modeling.decoding_entropy_asr.is_speech_absent", lambda *_: next(absent))
    results = pipe(waveforms[:4], batch_size=4, guards=True, return_flags=True)
    assert [result["text"] for result in results] == [alone[0], "", "", alone[3]]
    assert ["no_speech" in result["flags"] for result in results] == [False, True, True, False]


def test_loop_is_stopped_by_the_bound_flagged_and_left_as_it_is(model, processor, waveforms):
    pipe = EntropyASRPipeline(model=model, processor=processor, device="cpu", guards={"no_speech": False})
    endless = {"suppress_tokens": [processor.end_of_text_id]}
    ends = {"forced_eos_token_id": processor.end_of_text_id, "max_new_tokens": 4}
    bounded = pipe(waveforms[0], generate_kwargs=endless, return_flags=True)
    assert bounded["flags"] == ["length_limit"]
    unbounded = pipe(waveforms[0], generate_kwargs=endless, return_flags=True, guards=False)
    assert unbounded["flags"] == ["length_limit"]  # the language model's own
    assert unbounded["text"].startswith(bounded["text"]) and len(unbounded["text"]) > 2 * len(bounded["text"])
    assert pipe(waveforms[0], generate_kwargs=ends, return_flags=True)["flags"] == []


def test_length_factor_widens_the_bound_as_far_as_there_are_positions(model, processor, waveforms):
    pipe = EntropyASRPipeline(model=model, processor=processor, device="cpu", guards={"no_speech": False})
    endless = {"suppress_tokens": [processor.end_of_text_id]}

    def length(**guards):
        text = pipe(waveforms[0], generate_kwargs=endless, guards={"no_speech": False, **guards})["text"]
        return len(processor.tokenizer(text, add_special_tokens=False).input_ids)

    assert length(length_factor=3) == pytest.approx(3 * length(), rel=0.1)
    assert length(length_factor=1000) == length(length_bound=False)


def test_loops_of_a_batch_are_flagged_though_padding_is_an_end_too(model, processor, waveforms):
    pipe = EntropyASRPipeline(model=model, processor=processor, device="cpu", guards={"no_speech": False})
    end, pad = processor.end_of_text_id, processor.tokenizer.pad_token_id
    endless = {"eos_token_id": [end, pad], "pad_token_id": pad, "suppress_tokens": [end, pad]}
    by_length = sorted(waveforms, key=len)
    results = pipe([by_length[0], by_length[-1]], batch_size=2, return_flags=True, generate_kwargs=endless)
    assert [result["flags"] for result in results] == [["length_limit"]] * 2


def test_guards_need_no_text_phonemes_unless_confidence_is_asked_for(model, processor, waveforms, monkeypatch):
    pipe = EntropyASRPipeline(model=model, processor=processor, device="cpu")
    tokenizer_class = type(processor.phoneme_tokenizer)

    def missing(*args, **kwargs):
        raise ImportError('pip install "entropy-asr[g2p]"')

    monkeypatch.setattr(tokenizer_class, "phonemize_batch", missing)
    assert pipe(waveforms[0], return_flags=True)["text"]
    for wanted in ({"return_confidence": True}, {"return_timestamps": "word"}, {"hotwords": ["Kaldi"]}):
        with pytest.raises(ImportError, match="g2p"):
            pipe(waveforms[0], **wanted)
