# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Styles of text: numbers and punctuation as they were asked for, and nothing else touched."""

import sys

import pytest

from entropy_asr.modeling import EntropyASRPipeline, StreamingTranscriber, text_style_entropy_asr
from entropy_asr.modeling.subtitles_entropy_asr import make_cues
from entropy_asr.modeling.text_style_entropy_asr import TextStyle


LIMIT = {"max_new_tokens": 6, "guards": False}


@pytest.mark.parametrize(
    ("style", "text", "language", "expected"),
    [
        ("written", "i have twenty five apples and one pear", None, "i have 25 apples and one pear"),
        (
            "written",
            "Twenty five people paid three dollars and fifty cents , each",
            "en",
            "25 people paid $3.50 , each",
        ),
        ("written", "in nineteen eighty four", "en", "in 1984"),
        ("written", "no one was there", "en", None),
        ("written", "go to gate sixty four six at five thirty", "en", None),
        ("written", "八点零五分", "zh", "8:05"),
        ("written", "我有二十五个苹果，百分之三点五", "zh", "我有25个苹果，3.5%"),
        ("written", "万一一起去，一心一意", None, None),
        ("written", "Er hat zwanzig Äpfel", None, None),
        ("written", "", None, None),
        ("spoken", "I have 25 apples.", "en", "I have twenty five apples."),
        ("spoken", "in 1984", None, "in nineteen eighty four"),
        ("spoken", "我有25个苹果", None, "我有二十五个苹果"),
        ("spoken", "涨了3.5%。", "zh", "涨了百分之三点五。"),
        ("spoken", "nothing to rewrite", "en", None),
        ("spoken", "7十...", "en", None),
        ("spoken", "百分之7three point。、（", "en", None),
        ("written", "twenty five a\\b", "en", None),
    ],
)
def test_numbers_are_written_in_digits_or_in_words(style, text, language, expected):
    pytest.importorskip("wetext")
    assert TextStyle.of(style)(text, language) == (text if expected is None else expected)


@pytest.mark.parametrize(
    ("width", "text", "expected"),
    [
        ("auto", "你好, 世界! 我有3.5个, 你呢?", "你好，世界！我有3.5个，你呢？"),
        ("auto", "Hello， world。 See example.com at 10:30， OK？", "Hello, world. See example.com at 10:30, OK?"),
        ("auto", "他说 OK, 好 (真的).", "他说 OK, 好（真的）。"),
        ("full", "well, yes (no)...", "well，yes（no）..."),
        ("half", "你好，世界。一、二（三）！", "你好, 世界. 一, 二 (三)!"),
        ("auto", "1, 2, 3", None),
        ("auto", "no marks here", None),
        (None, "你好, 世界", None),
    ],
)
def test_punctuation_has_the_width_of_its_script_and_none_is_added(width, text, expected):
    assert TextStyle(punctuation=width)(text) == (text if expected is None else expected)


def words(*texts: str) -> list[dict]:
    return [
        {"text": text, "timestamp": (float(number), number + 0.5), "confidence": 0.9 - number / 10}
        for number, text in enumerate(texts)
    ]


def test_words_that_become_one_number_last_as_long_as_they_all_do():
    pytest.importorskip("wetext")
    chunks = TextStyle.of("written").chunks(words("it", " costs", " three", " dollars,", " not", " twenty", " five"))
    assert [chunk["text"] for chunk in chunks] == ["it", " costs", " $3,", " not", " 25"]
    assert [chunk["timestamp"] for chunk in chunks][2:] == [(2.0, 3.5), (4.0, 4.5), (5.0, 6.5)]
    assert chunks[2]["confidence"] == pytest.approx(0.6)
    chunks = TextStyle.of("written").chunks(words("我", "有", "二", "十", "五", "个"), "zh")
    assert [(chunk["text"], chunk["timestamp"]) for chunk in chunks][2:] == [("25", (2.0, 4.5)), ("个", (5.0, 5.5))]
    both = TextStyle.of({"numbers": "written", "punctuation": "auto"})
    chunks = both.chunks(words("二", "十", "个,", " 三", "十", "个"))
    assert [chunk["text"] for chunk in chunks] == ["20", "个，", "30", "个"]
    unknown = [{"text": "twenty", "timestamp": (None, None)}, {"text": " five", "timestamp": (1.0, 2.0)}]
    assert TextStyle.of("written").chunks(unknown) == [{"text": "25", "timestamp": (1.0, 2.0)}]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("loud", "`numbers` of a text style must be one of .*'written', 'spoken'.*, not 'loud'"),
        ({"punctuation": "wide"}, "must be one of .*'full', 'half', 'auto'.*, not 'wide'"),
        ({"capitals": True}, "`text_style` has no 'capitals': it has `numbers` and `punctuation`"),
        (7, "must be 'written', 'spoken', or a dict, not 7"),
    ],
)
def test_styles_that_there_are_not_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        TextStyle.of(given)


def test_numbers_need_their_extra_and_punctuation_does_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "wetext", None)
    text_style_entropy_asr._normalizer.cache_clear()
    with pytest.raises(ImportError, match=r'pip install "entropy-asr\[style\]"'):
        TextStyle.of("written")
    assert TextStyle.of({"punctuation": "half"})("你好。") == "你好."


@pytest.fixture
def saying(pipe, monkeypatch):
    """Lets the model write a text."""
    return lambda text: monkeypatch.setattr(type(pipe.processor), "decode", lambda self, *args, **kwargs: text)


def test_transcripts_words_and_subtitles_are_in_style(pipe, waveforms, saying):
    pytest.importorskip("wetext")
    pytest.importorskip("phonemizer")
    saying("go to room twenty five, now")
    assert pipe(waveforms[0], **LIMIT) == {"text": "go to room twenty five, now"}
    assert pipe(waveforms[0], text_style="written", **LIMIT) == {"text": "go to room 25, now"}
    result = pipe(waveforms[4], text_style="written", return_timestamps="word", return_confidence=True, **LIMIT)
    assert result["text"] == "go to room 25, now" == "".join(chunk["text"] for chunk in result["chunks"])
    plain = pipe(waveforms[4], return_timestamps="word", return_confidence=True, **LIMIT)
    assert result["confidence"] == plain["confidence"]
    (number,) = (chunk for chunk in result["chunks"] if "25" in chunk["text"])
    first, last = (next(chunk for chunk in plain["chunks"] if word in chunk["text"]) for word in ("twenty", "five"))
    assert number["timestamp"] == (first["timestamp"][0], last["timestamp"][1])
    assert "25," in make_cues(result["chunks"], 2)[0].text
    segments = pipe(waveforms[0], text_style="written", return_segments=True, **LIMIT)["segments"]
    assert [segment["text"] for segment in segments] == ["go to room 25, now"]
    made = EntropyASRPipeline(model=pipe.model, processor=pipe.processor, text_style="written")
    assert made(waveforms[0], **LIMIT)["text"] == "go to room 25, now"


def test_streams_have_the_style_of_their_pipeline(pipe, waveforms, saying):
    saying("你好, 世界")
    made = EntropyASRPipeline(model=pipe.model, processor=pipe.processor, text_style={"punctuation": "auto"})
    options = {"use_vad": False, "guards": False, "generate_kwargs": {"max_new_tokens": 6}}
    stream = StreamingTranscriber(made, **options)
    texts = [update.text for update in stream.push(waveforms[0]) + stream.finish() if update.is_final]
    assert texts == ["你好，世界"]


def test_numbers_of_other_languages_are_refused(pipe, waveforms):
    pytest.importorskip("wetext")
    with pytest.raises(ValueError, match="are known for zh, en, ja, not for cy"):
        TextStyle.of("written").check("cy")
    TextStyle.of({"punctuation": "half"}).check("cy")
    with pytest.raises(ValueError, match="not 'loud'"):
        pipe(waveforms[0], text_style="loud")
