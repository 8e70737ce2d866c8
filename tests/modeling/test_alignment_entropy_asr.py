# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Forced alignment: phoneme times, then word times."""

import itertools
import random
import statistics
import unicodedata

import pytest
import torch

from entropy_asr.modeling.alignment_entropy_asr import (
    TimedText,
    align_phonemes,
    align_words,
    frames_needed,
)
from entropy_asr.modeling.pipeline_entropy_asr import load_pipeline
from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.data.synthesis import VOICES, synthesize_with_alignment
from entropy_asr.trainers.data.synthetic_sentences import synthetic_sentences


def emission_of(path: list[int], vocab_size: int = 6, certainty: float = 0.9) -> torch.Tensor:
    """Log-probabilities `(T, V)` of a head that is `certainty` sure of the symbols of a path."""
    probabilities = torch.full((len(path), vocab_size), (1 - certainty) / (vocab_size - 1))
    probabilities[torch.arange(len(path)), torch.tensor(path)] = certainty
    return probabilities.log()


# Phonemes


def test_spans_are_where_the_head_heard_the_phonemes():
    spans = align_phonemes(emission_of([0, 0, 3, 3, 0, 2, 0, 0]), [3, 2])
    assert [(span.token, span.start, span.end) for span in spans] == [(3, 2, 4), (2, 5, 6)]
    assert [span.score for span in spans] == pytest.approx([0.9, 0.9])


def test_a_phoneme_that_was_not_heard_has_a_low_score():
    spans = align_phonemes(emission_of([0, 3, 0, 2, 0]), [3, 4, 2])
    assert [span.token for span in spans] == [3, 4, 2]
    assert spans[1].score == pytest.approx(0.02)


def test_equal_neighbours_are_told_apart():
    spans = align_phonemes(emission_of([3, 3, 0, 3]), [3, 3])
    assert [(span.start, span.end) for span in spans] == [(0, 2), (3, 4)]


def test_the_alignment_is_the_best_of_all_paths():
    log_probs = torch.randn(6, 4, dtype=torch.float64).log_softmax(-1)
    labels = [2, 1, 1]
    paths = [path for path in itertools.product(range(4), repeat=6) if collapse(path) == labels]
    best = max(sum(log_probs[t, symbol].item() for t, symbol in enumerate(path)) for path in paths)
    spans = align_phonemes(log_probs, labels)
    chosen = [0] * 6
    for span in spans:
        chosen[span.start : span.end] = [span.token] * (span.end - span.start)
    assert sum(log_probs[t, symbol].item() for t, symbol in enumerate(chosen)) == pytest.approx(best)


def collapse(path: tuple[int, ...]) -> list[int]:
    return [symbol for symbol, _ in itertools.groupby(path) if symbol]


def test_another_blank_and_half_precision():
    log_probs = emission_of([5, 0, 5, 1, 5]).to(torch.bfloat16)
    assert [(span.token, span.start) for span in align_phonemes(log_probs, [0, 1], blank=5)] == [(0, 1), (1, 3)]


def test_no_phonemes_have_no_spans():
    assert align_phonemes(emission_of([0, 0]), []) == []
    assert align_phonemes(torch.zeros(0, 6), []) == []


@pytest.mark.parametrize(("phonemes", "needed"), [([1], 1), ([1, 2, 3], 3), ([1, 1], 3), ([2, 2, 2, 1], 6), ([], 0)])
def test_too_few_frames_are_told_with_both_numbers(phonemes, needed):
    assert frames_needed(phonemes) == needed
    assert len(align_phonemes(torch.zeros(needed, 6).log_softmax(-1), phonemes)) == len(phonemes)
    if needed:
        with pytest.raises(ValueError, match=f"{needed - 1} frames are too few.* at least {needed}"):
            align_phonemes(torch.zeros(needed - 1, 6).log_softmax(-1), phonemes)


@pytest.mark.parametrize(
    ("log_probs", "phonemes", "reason"),
    [
        (torch.zeros(5, 4), [0, 1], "not the blank 0"),
        (torch.zeros(5, 4), [4], r"0 to 3 .* found \[4\]"),
        (torch.zeros(5, 4), [-1], r"found \[-1\]"),
        (torch.zeros(1, 5, 4), [1], r"\(1, 5, 4\)"),
        (torch.zeros(5, 4, dtype=torch.long), [1], "int64"),
        (torch.full((5, 4), torch.nan), [1], "NaN"),
        (torch.tensor([[0.0, -torch.inf]] * 5), [1], "probability above zero"),
    ],
)
def test_wrong_input_is_refused(log_probs, phonemes, reason):
    with pytest.raises(ValueError, match=reason):
        align_phonemes(log_probs, phonemes)


# Words


def symbols_of(phoneme_tokenizer, text: str, lead: int = 2, gap: int = 1) -> list[int]:
    """Frame symbols of a peaky head that hears a text: a frame a phoneme, blanks between."""
    path = [0] * lead
    for phoneme in phoneme_tokenizer(text)["input_ids"]:
        path += [phoneme] + [0] * gap
    return path


def test_words_are_where_their_phonemes_are(phoneme_tokenizer):
    log_probs = emission_of(symbols_of(phoneme_tokenizer, "cat sat", lead=5, gap=3), vocab_size=279)
    words = align_words(log_probs, "cat, sat.", phoneme_tokenizer, 0.04)
    assert [word.text for word in words] == ["cat,", " sat."]
    # k æ t at frames 5, 9, 13 and s æ t at 17, 21, 25 of 29: a frame of lead, two of three blanks as tail.
    assert words[0].start == pytest.approx(0.16) and words[1].start == pytest.approx(0.64)
    assert words[0].end == pytest.approx(0.64) and words[1].end == pytest.approx(26 * 0.04 + 0.12)
    assert words[0].confidence == pytest.approx(0.9)


def test_words_keep_their_text_in_any_form_of_unicode(phoneme_tokenizer):
    text = unicodedata.normalize("NFD", "café né. ") + "ze\u200bro 😀 Москва x"
    log_probs = emission_of(symbols_of(phoneme_tokenizer, "café né zero x"), vocab_size=279)
    words = [word.text for word in align_words(log_probs, text, phoneme_tokenizer, 0.04)]
    assert "".join(words) == text
    assert [unicodedata.normalize("NFC", word) for word in words] == [
        "café",
        " né.",
        " ze\u200bro 😀",
        " Москва",
        " x",
    ]


def test_pause_belongs_to_no_word(phoneme_tokenizer):
    path = symbols_of(phoneme_tokenizer, "cat") + [0] * 50 + symbols_of(phoneme_tokenizer, "sat")
    first, second = align_words(emission_of(path, vocab_size=279), "cat sat", phoneme_tokenizer, 0.04)
    assert second.start - first.end > 1.5


@pytest.mark.parametrize(
    "text",
    [
        'Hello, world! "Quoted words" here.',
        "你好，世界 hello 3M公司。",
        "don’t  stop ½ now",
        "foo_bar baz",
        "ＡＢＣ de",
    ],
)
def test_words_joined_are_the_text(phoneme_tokenizer, text):
    words = align_words(torch.zeros(200, 279).log_softmax(-1), text, phoneme_tokenizer, 0.04)
    assert "".join(word.text for word in words) == text


def test_words_without_phonemes_lie_between_their_neighbours(phoneme_tokenizer):
    path = symbols_of(phoneme_tokenizer, "cat") + [0] * 20 + symbols_of(phoneme_tokenizer, "sat")
    text = "猫 Привет 猫"
    words = align_words(emission_of(path, vocab_size=279), text, phoneme_tokenizer, 0.04)
    assert [word.confidence is None for word in words] == [False, True, False]
    assert words[0].end == words[1].start <= words[1].end == words[2].start
    (alone,) = align_words(emission_of(path, vocab_size=279), "Привет", phoneme_tokenizer, 0.04, "zh")
    assert (alone.start, alone.end, alone.confidence) == (0.0, pytest.approx(len(path) * 0.04), None)


def test_times_are_monotone_and_inside_the_audio_for_1000_utterances(phoneme_tokenizer):
    """Whatever the phoneme head says: emissions are random, some of them flat, some peaky."""
    rng = random.Random(0)
    texts = ["the", "quick", "brown", "fox", "今天", "天气", "很好", "hello", "3", "km"]
    for number in range(1000):
        text = " ".join(rng.choices(texts, k=rng.randint(1, 4)))
        num_frames = rng.randint(40, 120)
        log_probs = (torch.randn(num_frames, 279) * rng.choice([0.1, 2.0, 20.0])).log_softmax(-1)
        words = align_words(log_probs, text, phoneme_tokenizer, 0.04)
        times = [time for word in words for time in (word.start, word.end)]
        assert times == sorted(times) and times[0] >= 0 and times[-1] <= num_frames * 0.04 + 1e-9, number
        assert "".join(word.text for word in words) == text


def test_no_frames_and_no_words(phoneme_tokenizer):
    assert align_words(torch.zeros(0, 279), "", phoneme_tokenizer, 0.04) == []
    assert align_words(torch.zeros(0, 279), "cat", phoneme_tokenizer, 0.04) == [TimedText("cat", None, None, 0.0)]


@pytest.mark.slow
@pytest.mark.parametrize(("language", "limit"), [("en", 0.06), ("zh", 0.06)])
def test_median_error_on_synthetic_speech_is_at_most_60_ms(language, limit):
    """Word boundaries that espeak-ng knows, against those of the bundled checkpoint's phoneme head."""
    pipe = load_pipeline(default_model(), device="cpu")
    voices = [voice for voice in VOICES if voice.language == language]
    errors = []
    for number, text in enumerate(synthetic_sentences(language, 24, "test")):
        speech = synthesize_with_alignment(text, voices[number % len(voices)])
        inputs = pipe.processor(speech.samples)
        logits, mask = pipe.model.get_phoneme_logits(inputs["input_features"], inputs["input_features_mask"])
        log_probs = logits[0][mask[0]].log_softmax(-1)
        found = align_words(log_probs, text, pipe.processor.phoneme_tokenizer, pipe.processor.seconds_per_frame)
        position = 0
        for word in speech.words:
            size = len(word.text) if language == "zh" else 1
            errors.append(abs(found[position].start - word.start))
            errors.append(abs(found[position + size - 1].end - word.end))
            position += size
        assert position == len(found)
    assert len(errors) > 200
    assert statistics.median(errors) <= limit
