# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores: what counts as an error, and that the evaluation loop pairs every transcript with its own reference."""

import io
import json

import numpy as np
import pytest
import soundfile
from datasets import Audio, Dataset
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from unicode_forms import FORMS

from entropy_asr.trainers.evaluation.error_rates import (
    evaluate_recognition,
    normalize_text,
    score_transcripts,
)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("It's 7 o'clock, Mr. Smith!", "it is seven o'clock mister smith"),
        ("zero", "0"),
        ("one", "1"),
        ("forty-two", "42"),
        ("one two three", "1 2 3"),
        ("um, yes", "yes"),
    ],
)
def test_english_spellings_of_the_same_words_agree(text, same):
    assert normalize_text(text, "en") == normalize_text(same, "en")


@pytest.mark.parametrize("language", ["en", "zh", "fr"])
@pytest.mark.parametrize(("typed", "same"), FORMS)
def test_forms_of_unicode_score_as_the_same_text(typed, same, language):
    counts = score_transcripts([same], [typed], language).by_language[language]
    assert counts.errors == 0 and counts.reference_length > 0


def test_invisible_characters_are_an_empty_output():
    assert score_transcripts([""], ["\u200b\ufeff \u00ad"], "none").by_language["none"].nonempty == 0


@pytest.mark.parametrize(
    ("text", "normalized"),
    [("你好,世界!", "你好世界"), ("你 好\n世界。", "你好世界"), ("用ＵＳＢ 线", "用usb线"), ("3个", "3个"), ("", "")],
)
def test_chinese_keeps_characters_only(text, normalized):
    assert normalize_text(text, "zh") == normalized


def test_other_languages_keep_their_letters():
    assert normalize_text("Où est l'été ?", "fr") == "où est l été"


def test_repeated_digits_count_as_insertions():
    """A normaliser that joins digits ("seven seven seven" -> "777") would report one substitution."""
    counts = score_transcripts(["seven"], ["seven seven seven"], "en").by_language["en"]
    assert (counts.substitutions, counts.insertions, counts.deletions) == (0, 2, 0)
    counts = score_transcripts(["one"], ["one two"], "en").by_language["en"]
    assert (counts.substitutions, counts.insertions, counts.deletions) == (0, 1, 0)


DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def test_all_pairs_of_digits_score_as_words_do():
    for reference in DIGITS:
        for hypothesis in DIGITS:
            assert score_transcripts([reference], [hypothesis], "en").wer == float(reference != hypothesis)


@given(st.lists(st.sampled_from(DIGITS), max_size=6), st.lists(st.sampled_from(DIGITS), min_size=1, max_size=6))
def test_digit_strings_score_as_plain_words(hypothesis, reference):
    """Number normalisation must not change the number of errors of digit strings."""
    expected = Levenshtein.distance(reference, hypothesis) / len(reference)
    assert score_transcripts([" ".join(reference)], [" ".join(hypothesis)], "en").wer == pytest.approx(expected)


@given(st.text(max_size=30), st.sampled_from(["en", "zh", "fr"]))
def test_any_output_of_a_model_can_be_scored(text, language):
    assert score_transcripts([text], [text], language).by_language[language].errors == 0


def test_edit_operations_are_told_apart():
    counts = score_transcripts(["a cat sat on mats"], ["the cat on mats today"], "en").by_language["en"]
    assert (counts.substitutions, counts.insertions, counts.deletions) == (1, 1, 1)
    assert counts.reference_length == 5
    assert counts.error_rate == 3 / 5


def test_rates_are_corpus_level():
    assert score_transcripts(["go", "turn the lights on"], ["stop", "turn the lights on"], "en").wer == 1 / 5
    assert score_transcripts(["好", "打开台灯"], ["坏", "打开台灯"], "zh").cer == 1 / 5
    assert score_transcripts(["go"], ["stop right there"], "en").wer == 3.0


def test_a_language_has_a_rate_in_its_own_unit_alone():
    assert score_transcripts(["你好"], ["你好"], "zh").wer is None
    assert score_transcripts(["hello"], ["hello"], "en").cer is None


def test_languages_are_reported_apart_and_noise_only_by_its_nonempty_share():
    score = score_transcripts(
        ["turn it on", "打开", "", "", ""],
        ["turn on", "打开", "", "   ", "hello"],
        ["en", "zh", "none", "none", "none"],
    )
    assert score.wer == 1 / 3
    assert score.cer == 0.0
    noise = score.by_language["none"]
    assert noise.error_rate is None
    assert noise.nonempty_share == 1 / 3
    assert score.nonempty_share == 3 / 5


def test_silence_among_speech_counts_insertions():
    assert score_transcripts(["", "go on"], ["hello", "go on"], "en").wer == 1 / 2
    assert score_transcripts([""], ["hello"], "en").wer is None


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="1 references, 2 hypotheses"):
        score_transcripts(["a"], ["a", "b"], "en")


def wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16000, format="WAV")
    return buffer.getvalue()


class LengthReader:
    """A stand-in recogniser: it "hears" the number of hundredths of a second in each recording."""

    def __init__(self):
        self.batches: list[list[int]] = []
        self.generate_kwargs = None

    def __call__(self, arrays, batch_size, generate_kwargs):
        self.batches.append([len(array) for array in arrays])
        self.generate_kwargs = generate_kwargs
        return [{"text": f"length {len(array) // 160}"} for array in arrays]


def make_dataset(hundredths: list[int], language: str = "en") -> Dataset:
    rows = [
        {
            "audio": {"bytes": wav(np.full(160 * n, 0.1, np.float32)), "path": f"{n}.wav"},
            "text": f"length {n}",
            "language": language,
            "duration": n / 100,
        }
        for n in hundredths
    ]
    return Dataset.from_list(rows).cast_column("audio", Audio(decode=False))


def test_each_transcript_meets_its_own_reference_whatever_the_batching():
    reader = LengthReader()
    score = evaluate_recognition(reader, make_dataset([3, 50, 7, 20, 90]), batch_size=2, progress=False, num_beams=4)
    assert score.wer == 0.0
    assert [t["file"] for t in score.transcripts] == ["3.wav", "50.wav", "7.wav", "20.wav", "90.wav"]
    assert reader.batches == [[14400, 8000], [3200, 1120], [480]]
    assert reader.generate_kwargs == {"num_beams": 4}
    assert score.audio_seconds == pytest.approx(1.7)
    assert score.audio_seconds_per_second > 0


def test_decoded_rows_are_evaluated():
    rows = [
        {"samples": [0] * 1600, "text": "length 10", "language": "en", "duration": 0.1},
        {"samples": [0] * 3200, "text": "length 21", "language": "en", "duration": 0.2},
    ]
    assert evaluate_recognition(LengthReader(), Dataset.from_list(rows), progress=False).wer > 0


def test_unreadable_row_is_reported_and_the_others_are_scored():
    rows = make_dataset([5, 6]).to_list()
    rows[0]["audio"] = {"bytes": b"not audio", "path": "broken.wav"}
    score = evaluate_recognition(LengthReader(), Dataset.from_list(rows), progress=False)
    assert score.utterances == 1
    assert len(score.unreadable) == 1
    assert "broken.wav" in score.unreadable[0]


def test_a_row_that_the_model_cannot_take_is_reported_and_the_others_are_scored():
    class ShortSighted(LengthReader):
        def __call__(self, arrays, **options):
            outputs = super().__call__(arrays, **options)
            too_long = {"text": "", "error": "item 0: audio: lasts 0.9 s, and this model takes at most 0.5 s"}
            return [too_long if len(array) > 8000 else output for array, output in zip(arrays, outputs, strict=True)]

    score = evaluate_recognition(ShortSighted(), make_dataset([5, 90]), progress=False)
    assert score.utterances == 1 and score.wer == 0
    assert score.unreadable == ["row 1: audio: lasts 0.9 s, and this model takes at most 0.5 s"]


def test_dataset_without_readable_rows_gives_an_empty_score():
    rows = make_dataset([5]).to_list()
    rows[0]["audio"]["bytes"] = b"not audio"
    score = evaluate_recognition(LengthReader(), Dataset.from_list(rows), progress=False)
    assert score.utterances == 0
    assert score.wer is None


def test_report_is_plain_json():
    report = json.loads(
        json.dumps(evaluate_recognition(LengthReader(), make_dataset([5], "none"), progress=False).to_dict())
    )
    assert report["wer"] is None
    assert report["by_language"]["none"]["nonempty_share"] == 1.0
