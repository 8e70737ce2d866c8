# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Results of segments, put together to that of a recording."""

import re

import pytest

from entropy_asr.modeling.results_entropy_asr import SegmentResult, WantedOutputs, join_texts, merge_segments


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["hello", "world"], "hello world"),
        (["你好", "世界"], "你好世界"),
        (["你好", "world", "世界", "。"], "你好 world 世界。"),
        (["", "a", "", "b"], "a b"),
        ([], ""),
        (["你好……", "“世界”", "——hello", "你"], "你好……“世界” ——hello 你"),
        (["…", "a"], "… a"),
    ],
)
def test_texts_are_joined_as_they_are_written(texts, joined):
    """Whatever the unit of the chunks, their texts are joined to the same text without another rule."""
    assert join_texts(texts) == joined
    for unit, cut in ((True, None), ("word", lambda text: re.findall(r"\s*\S", text))):
        results = [{"text": text} for text in texts]
        for result in results:
            if cut is not None:
                result["chunks"] = [{"text": piece, "timestamp": (0.5, None)} for piece in cut(result["text"])]
        segments = [SegmentResult(float(start), start + 1.0, result) for start, result in enumerate(results)]
        merged = merge_segments(segments, WantedOutputs(return_timestamps=unit))
        assert merged["text"] == "".join(chunk["text"] for chunk in merged["chunks"]) == joined


def test_phonemes_are_no_text_that_needs_spaces():
    result = {"text": "a", "chunks": [{"text": "ə", "timestamp": (0.0, 0.1)}]}
    segments = [SegmentResult(0.0, 1.0, result), SegmentResult(2.0, 3.0, result)]
    chunks = merge_segments(segments, WantedOutputs(return_timestamps="phoneme"))["chunks"]
    assert chunks == [{"text": "ə", "timestamp": (0.0, 0.1)}, {"text": "ə", "timestamp": (2.0, 2.1)}]


def test_segments_are_told_beside_the_times_of_words():
    words = [{"text": "a", "timestamp": (0.0, 0.5)}, {"text": " b", "timestamp": (0.5, None)}]
    result = {"text": "a b", "chunks": words, "confidence": 0.5, "flags": []}
    segments = [SegmentResult(1.0, 2.0, result), SegmentResult(4.0, 5.0, {**result, "text": "你"})]
    merged = merge_segments(segments, WantedOutputs(return_timestamps="word", return_segments=True))
    verdict = {"confidence": 0.5, "flags": []}
    assert merged["segments"] == [
        {**verdict, "text": "a b", "timestamp": (1.0, 2.0)},
        {**verdict, "text": " 你", "timestamp": (4.0, 5.0)},
    ]
    assert len(merged["chunks"]) == 4
    assert WantedOutputs(return_segments=True).of_silence() == {"text": "", "segments": []}


def test_a_segment_without_speech_says_nothing_of_the_others():
    segments = [
        SegmentResult(0.0, 4.0, {"text": "a", "confidence": 0.4, "flags": ["low_agreement"]}),
        SegmentResult(4.0, 9.0, {"text": "", "confidence": 1.0, "flags": ["no_speech"]}),
        SegmentResult(9.0, 10.0, {"text": "b", "confidence": 0.9, "flags": []}),
    ]
    wanted = WantedOutputs(return_confidence=True)
    confidence = pytest.approx((4 * 0.4 + 0.9) / 5)
    assert merge_segments(segments, wanted) == {"text": "a b", "confidence": confidence, "flags": ["low_agreement"]}
    assert merge_segments(segments[1:2], wanted) == {"text": "", "confidence": 1.0, "flags": ["no_speech"]}


def test_hotwords_of_a_recording_are_those_of_any_segment():
    segments = [
        SegmentResult(0.0, 1.0, {"text": "Kaldi", "hotwords_found": ["Kaldi"]}),
        SegmentResult(2.0, 3.0, {"text": "", "hotwords_found": ["icefall", "Kaldi"]}),
    ]
    merged = merge_segments(segments, WantedOutputs(return_hotwords=True))
    assert merged == {"text": "Kaldi", "hotwords_found": ["Kaldi", "icefall"]}


def test_language_of_a_recording_is_the_most_probable_over_its_speech():
    """What a segment leaves to other languages counts for these: the longest one alone does not decide."""
    told = [("a", {"en": 0.55, "zh": 0.45}), ("", None), ("一", {"en": 0.4, "zh": 0.6}), ("b", {"en": 0.5, "zh": 0.5})]
    times = [(0.0, 4.0), (4.0, 5.0), (5.0, 8.0), (8.0, 9.0)]
    segments = [SegmentResult(*time, {"text": text}, shares) for time, (text, shares) in zip(times, told, strict=True)]
    merged = merge_segments(segments, WantedOutputs(return_language=True))
    probability = pytest.approx((4 * 0.45 + 3 * 0.6 + 0.5) / 8)
    assert merged == {"text": "a 一 b", "language": "zh", "language_probability": probability}
    silent = {"text": "", "language": None, "language_probability": None}
    assert merge_segments(segments[1:2], WantedOutputs(return_language=True)) == silent


def test_hypotheses_of_a_recording_are_joined_from_its_segments():
    def found(*scored):
        each = {"llm_log_prob": -2.0, "token_log_probs": [-2.0], "ctc_log_prob": None, "confidence": 0.5}
        return {"text": scored[0][0], "hypotheses": [{"text": text, "score": score, **each} for text, score in scored]}

    segments = [
        SegmentResult(0.0, 1.0, found(("hello", -0.1), ("hallo", -0.4))),
        SegmentResult(1.0, 3.0, found(("world", -0.2), ("word", -0.3))),
    ]
    merged = merge_segments(segments, WantedOutputs(return_hypotheses=True))
    assert [one["text"] for one in merged["hypotheses"]] == ["hello world", "hello word"]
    assert merged["text"] == merged["hypotheses"][0]["text"]
    assert merged["hypotheses"][1]["score"] == pytest.approx((-0.1 - 2 * 0.3) / 3)
    assert merge_segments([], WantedOutputs(return_hypotheses=True)) == {"text": "", "hypotheses": []}


def test_a_recording_without_speech_has_the_keys_of_any_other():
    wanted = WantedOutputs(return_timestamps="word", return_confidence=True, return_hotwords=True)
    silent = {"text": "", "chunks": [], "confidence": 1.0, "flags": ["no_speech"], "hotwords_found": []}
    assert merge_segments([], wanted) == silent
    assert merge_segments([], WantedOutputs()) == {"text": ""}
