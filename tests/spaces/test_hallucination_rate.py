# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hallucination rate: hand-made cases in English and Chinese, properties, jiwer as a second opinion."""

import json
import random
import sys
import unicodedata
from pathlib import Path

import evaluate
import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unicode_forms import FORMS

import entropy_asr.spaces
from entropy_asr.spaces.hallucination_rate import sounds, spoken, units
from entropy_asr.spaces.hallucination_rate.detection import Thresholds, detect, find_burst
from entropy_asr.spaces.hallucination_rate.hallucination_rate import (
    hallucination_rate,
    summarize_detections,
    warn_of_scripts,
)
from entropy_asr.spaces.hallucination_rate.units import fold_text, split_units


FOLDER = Path(entropy_asr.spaces.__file__).parent / "hallucination_rate"
RATES = ("hallucination_rate", "empty_reference_rate", "unsupported_rate", "burst_rate", "loop_rate", "paper_rate")
WORDS = st.lists(
    st.sampled_from(["the", "cat", "sat", "on", "a", "mat", "我", "们", "去", "学", "校"]), max_size=8
).map(" ".join)
# Words that no reference has.
PHRASES = st.lists(st.sampled_from(["okay", "thank", "you", "bye", "谢", "观"]), min_size=1, max_size=5).map(" ".join)


@pytest.fixture(scope="module")
def metric():
    return evaluate.load(str(FOLDER))


@pytest.mark.parametrize(("typed", "same"), FORMS)
def test_forms_of_unicode_make_no_difference(metric, typed, same):
    for pair in ([typed, same], [same, typed]):
        result = metric.compute(predictions=[pair[0]], references=[pair[1]])
        assert result["hallucination_rate"] == 0 and result["mean_unsupported"] == 0
    assert split_units(typed).texts == split_units(same).texts
    assert fold_text(fold_text(typed)) == fold_text(typed)


def test_spans_of_decomposed_text_are_places_in_what_was_given(metric):
    spoken, said = "the café is open", unicodedata.normalize("NFD", "é ") + "ze\u200bro résumés été "
    hypothesis = said + unicodedata.normalize("NFD", spoken)
    result = metric.compute(predictions=[hypothesis], references=[spoken], return_utterances=True)
    spans = {span["reason"]: span["text"] for span in result["utterances"][0]["spans"]}
    assert spans["burst"] == said.strip()


def test_marks_belong_to_their_words():
    assert split_units("हिन्दी में").texts == ("हिन्दी", "में") and split_units("ภาษาไทย").texts == ("ภาษาไทย",)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "reasons", "offending"),
    [
        # E: text where nobody speaks.
        ("", "Thanks for watching!", ["empty_reference"], "Thanks for watching"),
        ("", "谢谢观看", ["empty_reference"], "谢谢观看"),
        # U: text that the reference does not support, of the right length.
        ("turn on the kitchen light", "what a bumpy quiz show", ["unsupported"], None),
        ("打开厨房的灯", "今天天气很好", ["unsupported"], "今天天气很好"),
        # B: supported as a whole, with an inserted burst.
        (
            "please turn on the kitchen light and close the window before you leave",
            "please turn on the kitchen light my friend and close the window before you leave",
            ["burst"],
            "my friend",
        ),
        (
            "请打开厨房的灯然后关上窗户再离开这里",
            "请打开厨房的灯谢谢大家然后关上窗户再离开这里",
            ["burst"],
            "谢谢大家",
        ),
        # L: a loop; one word three times is an inserted burst too.
        (
            "we went to the market early in the morning to buy some bread and fruit",
            "we went to the market market market early in the morning to buy some bread and fruit",
            ["burst", "loop"],
            "market market market",
        ),
        ("今天我们一起去学校上课然后回家吃饭休息", "今天我们一起去学校上课课课然后回家吃饭休息", ["loop"], "课课课"),
        ("oh what a day it was", "oh oh oh oh what a day it was", ["loop"], "oh oh oh oh"),
    ],
)
def test_hand_made_hallucinations(reference, hypothesis, reasons, offending):
    found = detect(reference, hypothesis)
    assert found.reasons == reasons
    if offending is not None:
        assert offending in {hypothesis[start:end] for start, end in found.spans.values()}


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        ("", ""),
        ("", " ... "),
        ("turn on the light", ""),
        ("Turn on the light.", "turn on the light"),
        ("turn on the light", "turn of the light"),
        ("打开灯", "打开，灯。"),
        ("打开厨房的灯", "打开厨房灯"),
        ("no no no", "no no no"),
        ("快快快跑", "快快快跑"),
        ("okay", "oh oh okay"),
        ("very very good", "very very very good"),  # the reference repeats it itself; one inserted word is no burst
    ],
)
def test_errors_that_are_no_hallucinations(reference, hypothesis):
    assert detect(reference, hypothesis).reasons == []


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        ("USA", "U.S.A."),
        ("the USA is a country", "The U.S.A. is a country."),
        ("the USA a day later", "the U S A a day later"),
        ("777", "7 7 7"),
        ("dial 777 7 please", "dial 7 7 7 7 please"),
        ("1000000 people", "1,000,000 people"),
        ("call 555 1234 now", "call 5 5 5 1 2 3 4 now"),
        ("call 138 0013 8000 now", "call 13 80 01 38 00 0 now"),  # each cuts the number where the other does not
        ("ＵＳＡ", "u. s. a."),
        ("U S A", "USA"),
        ("我在USA上学", "我在U.S.A.上学"),
    ],
)
def test_where_a_word_is_cut_makes_no_difference(reference, hypothesis):
    found = detect(reference, hypothesis)
    assert found.reasons == [] and not found.paper


@pytest.mark.parametrize(
    ("reference", "hypothesis", "reason"),
    [
        ("USA", "U.S.A. U.S.A. U.S.A.", "burst"),
        ("the USA is a country", "the U.S.A. my friend is a country", "burst"),
        (
            "dial 777 for help in an emergency at any time",
            "dial 7 7 7 7 7 7 for help in an emergency at any time",
            "loop",
        ),
        ("we met in the USA", "we met in U.S.S.R. and in the U.S.A.", "burst"),
        ("he got a way to go away", "he got a way to go away a way to go", "burst"),  # nothing is missing to be joined
        ("call 138 0013 8000 now", "call 13 80 01 38 00 0 now 24 68 13 57", "burst"),
        ("国家", "國家謝謝觀看", "burst"),
        ("国家", "美麗世界", "unsupported"),
        ("我们爱国家", "我們愛國家國家國家", "loop"),
    ],
)
def test_what_is_said_otherwise_or_too_often_is_still_flagged(reference, hypothesis, reason):
    pytest.importorskip("opencc")
    assert reason in detect(reference, hypothesis).reasons


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [("国家", "國家"), ("國家", "国家"), ("后来我们发现头发很长", "後來我們發現頭髮很長")],
)
def test_traditional_and_simplified_characters_are_the_same(reference, hypothesis):
    pytest.importorskip("opencc")
    found = detect(reference, hypothesis)
    assert found.reasons == [] and found.unsupported == 0


@pytest.fixture
def without_package(monkeypatch):
    """Makes an import of a package fail."""

    def forget(name):
        monkeypatch.setitem(sys.modules, name, None)
        forget_what_was_read()

    yield forget
    monkeypatch.undo()
    forget_what_was_read()


def forget_what_was_read():
    caches = (units._converter, units._simplified, sounds._pinyin, sounds._sounds_of_characters, spoken._spoken)
    for cached in caches:
        cached.cache_clear()


def test_without_opencc_scripts_differ_and_that_is_said(without_package, recwarn):
    without_package("opencc")
    without_package("pypinyin")  # it reads both scripts
    assert detect("国际关系", "國際關係").reasons == ["unsupported"]
    assert detect("打开灯", "打开灯").reasons == [] == detect("USA", "U.S.A.").reasons
    warn_of_scripts(["turn it on", "打开灯"], ["turn it on", ""])
    assert not recwarn
    with pytest.warns(UserWarning, match="pip install opencc"):
        warn_of_scripts(["国家"], ["國家"])


def test_without_pypinyin_long_homophones_are_unsupported_and_that_is_said(without_package):
    pytest.importorskip("pypinyin")
    assert detect("他在人行道上", "她载仁兴到尚").reasons == []
    without_package("pypinyin")
    assert detect("北京", "背景").reasons == []
    assert detect("他在人行道上", "她载仁兴到尚").reasons == ["unsupported"]
    with pytest.warns(UserWarning, match="pip install pypinyin"):
        warn_of_scripts(["北京"], ["背景"])


@pytest.mark.parametrize("hypothesis", ["!!!!", "♪♪♪", "♪", "[♪]", "?", "👍"])
def test_symbols_alone_are_output_that_no_speech_supports(hypothesis):
    silent = detect("", hypothesis)
    assert "empty_reference" in silent.reasons and silent.nonspeech
    start, end = silent.spans["empty_reference"]
    assert hypothesis[start:end] == hypothesis
    for words in ("turn on the light", "hello", "hello there", "你好"):
        spoken = detect(words, hypothesis)
        assert "unsupported" in spoken.reasons and spoken.unsupported == 1
    assert detect(hypothesis, hypothesis).reasons == []


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        ("", "。"),
        ("", "…"),
        ("", " - "),
        ("turn on the light", "..."),  # nothing was written: a deletion, and no hallucination
        ("turn on the light", "♪ Turn on the light! ♪"),
        ("turn on the light", "turn on the light!!!!"),
        ("♪♪♪", ""),
    ],
)
def test_pauses_alone_are_an_empty_output_and_symbols_beside_words_punctuation(reference, hypothesis):
    assert detect(reference, hypothesis).reasons == []


def test_symbols_alone_as_reference_say_that_nobody_speaks():
    found = detect("♪♪♪", "thanks for watching")
    assert found.nonspeech and found.reasons == ["empty_reference"] and found.unsupported == 1 and found.paper


def test_rates_parts_and_counts(metric):
    result = metric.compute(
        references=["", "", "hello there", "one two three four five six seven eight nine ten"],
        predictions=["", "you", "a b c d e f g h", "one two three four five six seven eight nine ten"],
    )
    assert result["hallucination_rate"] == 0.5
    assert result["empty_reference_rate"] == 0.25
    assert result["nonspeech_rate"] == 0.5
    assert result["unsupported_rate"] == 0.25
    assert result["paper_rate"] == 0.5
    assert (result["num_utterances"], result["num_hallucinated"], result["num_nonspeech"]) == (4, 2, 2)
    assert metric.compute(references=["a"], predictions=["a"])["nonspeech_rate"] is None


def test_utterances_on_request_name_reason_and_span(metric):
    hypothesis = "Turn it on. Bye bye bye!"
    result = metric.compute(references=["turn it on"], predictions=[hypothesis], return_utterances=True)
    (utterance,) = result["utterances"]
    assert utterance["hallucinated"]
    assert utterance["reasons"] == ["burst", "loop", "unsupported"]
    assert {"reason": "loop", "start": 12, "end": 23, "text": "Bye bye bye"} in utterance["spans"]
    assert "utterances" not in metric.compute(references=["a"], predictions=["a"])


def test_thresholds_are_honoured_and_unknown_ones_refused(metric):
    pair = {"references": ["a b c d"], "predictions": ["a b c d e f"]}
    assert metric.compute(**pair)["burst_rate"] == 1
    assert metric.compute(**pair, burst_words=3)["burst_rate"] == 0
    assert metric.compute(**pair, unsupported=0.3)["unsupported_rate"] == 1
    with pytest.raises(ValueError, match="burst_word"):
        metric.compute(**pair, burst_word=3)
    with pytest.raises(ValueError, match="unsupported=2"):
        metric.compute(**pair, unsupported=2)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"length_ratio": float("nan")}, "length_ratio at least 1"),
        ({"length_ratio": "1.5"}, "`length_ratio` must be a number, got '1.5'"),
        ({"alike": None}, "`alike` must be a number, got None"),
        ({"burst_words": 1.5}, "`burst_words` must be a whole number, got 1.5"),
        ({"loop_repeats": True}, "`loop_repeats` must be a whole number, got True"),
        ({"confidence": "0.95"}, "confidence must be between 0 and 1, got '0.95'"),
        ({"seed": -1}, "seed must be a whole number from 0 on, got -1"),
    ],
)
def test_settings_that_are_no_such_numbers_are_named(metric, setting, reason):
    with pytest.raises(ValueError, match=reason):
        metric.compute(references=["a"], predictions=["b c d"], **setting)


def test_batches_give_what_one_call_gives(metric):
    references, predictions = ["a b", "", "我们"], ["a b", "x", "我们走吧走吧走吧"]
    whole = metric.compute(references=references, predictions=predictions)
    for reference, prediction in zip(references, predictions, strict=True):
        metric.add(reference=reference, prediction=prediction)
    assert metric.compute() == whole


PAIRS = [
    json.loads(line) for line in (Path(__file__).parent / "hallucination_pairs.jsonl").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair['reference']} | {pair['hypothesis']}")
def test_labelled_pairs(pair):
    if pair["language"] == "zh":
        pytest.importorskip("pypinyin")
        pytest.importorskip("opencc")
    assert bool(detect(pair["reference"], pair["hypothesis"]).reasons) == pair["hallucinated"], pair["reason"]


def test_there_are_thirty_labelled_pairs_a_language_of_both_labels():
    for language in ("en", "zh"):
        labels = [pair["hallucinated"] for pair in PAIRS if pair["language"] == language]
        assert len(labels) == 30 and labels.count(True) >= 8 and labels.count(False) >= 8
    assert all(pair["reason"] for pair in PAIRS)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("turn left", "please subscribe to my channel", True),  # five words for two, none in common
        ("turn left", "thanks for watching", False),  # three for two are 50 % more, not more than that
        ("turn left", "the left one is mine", False),  # one word in common
        ("turn left please now", "say no", False),  # shorter
        ("twenty five", "25 25 25 25", False),  # related, once numbers are written alike
        ("", "you", True),
        ("打开灯", "谢谢观看下期再见", True),
        ("打开灯", "谢谢观看打下期再见", False),
    ],
)
def test_the_papers_rule(reference, hypothesis, counts):
    assert detect(reference, hypothesis).paper is counts


def test_the_papers_thresholds_are_arguments(metric):
    pair = {"references": ["turn left"], "predictions": ["the left one is mine"]}
    assert metric.compute(**pair)["paper_rate"] == 0
    assert metric.compute(**pair, overlap=0.2)["paper_rate"] == 1
    assert metric.compute(**pair, overlap=0.2, length_ratio=3)["paper_rate"] == 0


def test_a_replaced_stretch_is_named_however_long_the_rest_is(metric):
    said = "we need to talk about the budget for next year before the office closes on friday afternoon"
    written = said.replace("budget for next year", "murder of my wife")
    found = metric.compute(predictions=[written], references=[said], return_utterances=True)["utterances"][0]
    assert found["reasons"] == ["unsupported"] and found["unsupported"] < 0.35
    assert "murder of my wife" in found["spans"][0]["text"]


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        ("it costs one million", "it costs 1,000,000,000"),  # a wrong number is one
        ("the year was nineteen ninety eight", "the year was 2005"),
        ("call five five five one two one two", "call 555-1213"),
        ("[laughter] well <noise> let us go", "well let's go"),
        ("lobster a la newberg", "lobsters ella new burk"),
    ],
)
def test_wrong_numbers_remarks_and_misheard_words_are_errors(reference, hypothesis):
    assert detect(reference, hypothesis).reasons == []


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        ("nineteen ninety nine", "$19.99"),
        ("it is five fifty", "it is £5.50"),
        ("一共三十五", "一共35美元"),
        ("意义", "一亿"),
        ("一亿", "意义"),
        ("这有什么意义", "这有什么一亿"),
        ("我的电话是一三八零零一三八零零零", "我的电话是138 0013 8000"),
    ],
)
def test_numbers_read_in_two_ways_are_no_hallucinations(reference, hypothesis):
    if "意义" in reference + hypothesis:
        pytest.importorskip("pypinyin")
    assert detect(reference, hypothesis).reasons == []


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        ("打开", "谢谢"),  # nothing of what was said is left
        ("你好", "再见"),
        ("五", "五亿"),
        ("three", "3000000"),
        ("it costs nineteen", "it costs 19 dollars dollars dollars dollars"),
    ],
)
def test_other_words_and_numbers_are_still_flagged(reference, hypothesis):
    pytest.importorskip("pypinyin")
    assert detect(reference, hypothesis).reasons


def test_remarks_alone_say_that_nobody_speaks():
    found = detect("<noise> [music]", "thank you")
    assert found.nonspeech and found.reasons == ["empty_reference"]


def test_intervals_hold_the_rate_and_shrink_with_the_number_of_utterances(metric):
    widths = []
    for count in (20, 2000):
        pairs = {"references": ["", "turn left"] * (count // 2), "predictions": ["you", "turn left"] * (count // 2)}
        result = metric.compute(**pairs)
        low, high = result["hallucination_rate_interval"]
        assert low <= result["hallucination_rate"] == 0.5 <= high
        widths.append(high - low)
        assert metric.compute(**pairs) == result  # seeded
    # A binomial share has a standard deviation of sqrt(p (1 - p) / n): .112 and .0112.
    assert 0.35 < widths[0] < 0.5 and 0.035 < widths[1] < 0.05
    assert metric.compute(**pairs, confidence=0.5)["hallucination_rate_interval"] != [low, high]
    with pytest.raises(ValueError, match="confidence"):
        metric.compute(**pairs, confidence=95)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=30), st.text(max_size=30))
def test_any_output_can_be_scored(reference, hypothesis):
    found = detect(reference, hypothesis)
    assert 0 <= found.unsupported <= 1
    assert all(0 <= start < end <= len(hypothesis) for start, end in found.spans.values())


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_rates_lie_in_0_1_and_do_not_depend_on_the_order(pairs, rng):
    result = summarize_detections([detect(*pair) for pair in pairs])
    assert all(0 <= result[name] <= 1 for name in (*RATES, "mean_unsupported"))
    shuffled = random.Random(rng.random()).sample(pairs, len(pairs))
    other = summarize_detections([detect(*pair) for pair in shuffled])
    assert other.pop("hallucination_rate_interval") == result.pop("hallucination_rate_interval")
    assert other.pop("paper_rate_interval") == result.pop("paper_rate_interval")
    # Sums of floats depend on the order in their last digits.
    assert other == pytest.approx(result)


@settings(deadline=None, max_examples=200)
@given(WORDS)
def test_a_correct_transcript_is_none(text):
    assert detect(text, text).reasons == []


@settings(deadline=None, max_examples=300)
@given(WORDS, WORDS, PHRASES)
def test_a_flag_stays_when_a_repeated_phrase_is_appended(reference, hypothesis, phrase):
    flagged: set[str] = set()
    for repeats in range(6):
        found = set(detect(reference, " ".join([hypothesis, *[phrase] * repeats])).reasons)
        assert flagged <= found
        flagged = found
    assert "loop" in flagged


@settings(deadline=None, max_examples=200)
@given(WORDS.filter(bool), WORDS.filter(bool))
def test_bursts_are_those_of_jiwers_alignment(reference, hypothesis):
    """jiwer aligns the same units; a burst is an insertion chunk of it that is long enough."""
    said, written = split_units(reference), split_units(hypothesis)
    output = jiwer.process_words(" ".join(said.texts), " ".join(written.texts))
    chunks = [chunk for chunk in output.alignments[0] if chunk.type == "insert"]
    weights = [
        sum(
            1 / 4 if "一" <= unit <= "鿿" else 1 / 2 for unit in written.texts[chunk.hyp_start_idx : chunk.hyp_end_idx]
        )
        for chunk in chunks
    ]
    assert (find_burst(said, written, Thresholds()) is not None) == any(weight >= 1 for weight in weights)


@pytest.mark.parametrize(
    ("predictions", "references", "reason"),
    [
        (["a"], ["a", "b"], "1 `predictions` for 2 `references`"),
        ("a", ["a"], "`predictions` must be a list of texts, got 'a'"),
        (None, ["a"], "`predictions` must be a list of texts, got None"),
        (["a"], [None], "`references` must be texts, got None"),
    ],
)
def test_what_are_no_texts_is_named(predictions, references, reason):
    with pytest.raises(ValueError, match=reason):
        hallucination_rate(predictions, references)
