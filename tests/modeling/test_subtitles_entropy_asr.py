# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Subtitles: what a player shows and when, in both formats."""

import html
import random
import re
import unicodedata
from itertools import pairwise

import pytest

from entropy_asr.modeling.subtitles_entropy_asr import (
    LINE_WIDTH,
    MAX_SECONDS,
    Cue,
    display_width,
    format_srt,
    format_vtt,
    make_cues,
)


def words(text: str, start: float = 0.0, seconds: float = 0.3) -> list[dict]:
    """Chunks of a text, word after word without a pause; spaces stand before the words."""
    pieces = re.findall(r"\s*\S+", text)
    times = [(start + number * seconds, start + (number + 1) * seconds) for number in range(len(pieces))]
    return [{"text": piece, "timestamp": time} for piece, time in zip(pieces, times, strict=True)]


def read_cues(subtitles: str, separator: str) -> list[tuple[float, float, str]]:
    """Reads subtitles as a player does."""
    time = rf"(\d\d):(\d\d):(\d\d){re.escape(separator)}(\d\d\d)"
    found = re.findall(rf"^{time} --> {time}\n((?:.+\n)+)", subtitles, re.MULTILINE)
    cues = []
    for *numbers, text in found:
        hours, minutes, seconds, thousandths = map(int, numbers[:4])
        start = 3600 * hours + 60 * minutes + seconds + thousandths / 1000
        hours, minutes, seconds, thousandths = map(int, numbers[4:])
        cues.append((start, 3600 * hours + 60 * minutes + seconds + thousandths / 1000, text.strip()))
    return cues


def test_srt_is_numbered_with_commas():
    cues = [Cue(0.0, 1.5, "Hello,\nworld."), Cue(3661.0625, 3725.9996, "Bye.")]
    assert format_srt(cues) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello,\nworld.\n\n2\n01:01:01,062 --> 01:02:06,000\nBye.\n"
    )
    assert format_srt([]) == ""


def test_vtt_has_its_header_and_escapes_markup():
    assert format_vtt([Cue(0.0, 1.0, "a < b & c --> d")]) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\na &lt; b &amp; c --&gt; d\n"
    )
    assert format_vtt([]) == "WEBVTT\n"


@pytest.mark.parametrize(
    "text",
    [
        "the quick brown fox jumps over the lazy dog " * 12,
        "我们今天晚上和老师一起去学校的公园里面散步，" * 12,
        "please call 张先生 at Tsinghua 大学 before noon, " * 8,
        "Donaudampfschifffahrtsgesellschaftskapitaenswitwenrentenauszahlungsstellenleiter " * 3,
    ],
)
@pytest.mark.parametrize("per_chunk", ["word", "segment"])
def test_cues_keep_every_word_in_two_lines_and_seven_seconds(text, per_chunk):
    chunks = words(text.strip())
    if not text.isascii():
        chunks = [{"text": c, "timestamp": (0.2 * n, 0.2 * n + 0.2)} for n, c in enumerate(text.strip())]
    duration = chunks[-1]["timestamp"][1]
    if per_chunk == "segment":
        chunks = [{"text": text.strip(), "timestamp": (0.0, duration)}]
    cues = make_cues(chunks, duration)
    shown = "".join(cue.text for cue in cues)
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", text)
    for cue in cues:
        lines = cue.text.split("\n")
        assert len(lines) <= 2 and all(display_width(line) <= LINE_WIDTH for line in lines)
        assert 0 < cue.end - cue.start <= MAX_SECONDS + 0.01 or per_chunk == "segment"
    assert all(one.end <= other.start + 1e-9 for one, other in pairwise(cues))
    assert cues[0].start == 0.0 and cues[-1].end == pytest.approx(duration)


BEGINS_NO_LINE = "，。、！？：；）」』”’》】…,.!?:;)]}»%"
ENDS_NO_LINE = "（「『“‘《【([{«"


def check_lines(text: str, cues: list[Cue]) -> None:
    lines = [line for cue in cues for line in cue.text.split("\n")]
    assert [line for line in lines[1:] if line[0] in BEGINS_NO_LINE] == []
    assert [line for line in lines[:-1] if line[-1] in ENDS_NO_LINE] == []
    assert all(line == line.strip() and 0 < display_width(line) <= LINE_WIDTH for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@pytest.mark.parametrize(
    "text",
    [
        "一二三四五六七八九十一二三四五六七八九十一，然后我们继续说话。",
        "一二三四五六七八九十一二三四五六七八九十一！？”然后",
        "一二三四五六七八九十一二三四五六七八九十（“然后”）我们",
        "我" * 20 + "iPhone，" + "他" * 20 + "，说 《红楼梦》",
        "好" * 10 + "Donaudampfschifffahrtsgesellschaftskapitaenswitwen，" + "好" * 20 + "。",
        "x" * 41 + "，好的",
        "the quick brown fox jumped over the lazy do , and « so » ( on ) it went : he said ... nothing at all !",
        "it grew by more than fourteen whole percent .5 is what they said ...and then it stopped (again) .",
        "".join(f"第{number}句话说完了，" for number in range(40)),
        unicodedata.normalize("NFD", "élève à l’école où été né à côté de Noël, " * 6),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_punctuation_begins_no_line_and_brackets_end_none(text, size):
    """However the text is cut into chunks: characters, words or a whole segment, with and without pauses."""
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    for pause in (0.0, 1.5):
        times = [(number * (0.2 + pause), number * (0.2 + pause) + 0.2) for number in range(len(pieces))]
        if size < 10_000 and pause and text[0] != "一":
            continue  # words are not cut by pauses
        chunks = [{"text": piece, "timestamp": time} for piece, time in zip(pieces, times, strict=True)]
        check_lines(text, make_cues(chunks, times[-1][1]))


def test_punctuation_rules_hold_for_any_text():
    rng = random.Random(0)
    parts = [
        "好",
        "的",
        "我们",
        "。",
        "，",
        "“",
        "”",
        "（",
        "）",
        " (",
        ") ",
        " hello",
        " iPhone",
        ", ",
        "！",
        "x" * 50,
        " ",
    ]
    for _ in range(300):
        pieces = ["我", *rng.choices(parts, k=rng.randint(1, 60))]
        # A run of punctuation may fill a line, then it must be cut: not here.
        text = (
            re.sub(r"([，。”）！“（(),\s]{3})[，。”）！“（(),\s]+", r"\1", "".join(pieces)).strip(ENDS_NO_LINE + " ")
            + "完"
        )
        if re.search(r"[“（(]\s*[”），。！,)]", text):
            continue  # what is opened and closed at once has no place to break that is right for both
        check_lines(text, make_cues([{"text": text, "timestamp": (0.0, 60.0)}], 60.0))
        parts_of_three = [text[start : start + 3] for start in range(0, len(text), 3)]
        chunks = [{"text": part, "timestamp": (n / 2, n / 2 + 0.5)} for n, part in enumerate(parts_of_three)]
        check_lines(text, make_cues(chunks, len(chunks) / 2))


def test_a_run_of_punctuation_longer_than_a_line_stays_within_its_width():
    cues = make_cues([{"text": "好" + "！" * 60, "timestamp": (0.0, 3.0)}], 3.0)
    lines = [line for cue in cues for line in cue.text.split("\n")]
    assert "".join(lines) == "好" + "！" * 60 and max(map(display_width, lines)) <= LINE_WIDTH


def test_line_breaks_of_a_text_end_no_cue():
    (cue,) = make_cues([{"text": "one\n\ntwo\u2028three", "timestamp": (0.0, 2.0)}], 2.0)
    assert cue.text == "one two three"


def test_pauses_and_sentences_begin_new_cues():
    chunks = words("Yes. No,", 0.0) + words(" maybe.", 0.8) + words(" After a pause", 3.0)
    assert [cue.text for cue in make_cues(chunks, 9.0)] == ["Yes. No, maybe.", "After a pause"]
    chunks = words("Yes.", 0.0) + words(" No, maybe.", 0.6)
    assert [cue.text for cue in make_cues(chunks, 9.0)] == ["Yes.", "No, maybe."]


def test_words_without_a_time_are_shown_between_their_neighbours():
    chunks = [*words("one two"), {"text": " lost", "timestamp": (None, None)}, *words(" three", 2.0)]
    (cue,) = make_cues(chunks, 5.0)
    assert cue == Cue(0.0, 2.3, "one two lost three")
    assert make_cues([{"text": "all lost", "timestamp": (None, None)}], 5.0) == [Cue(0.0, 5.0, "all lost")]


def test_nothing_said_is_nothing_shown():
    assert make_cues([], 3.0) == []
    assert make_cues([{"text": "", "timestamp": (0.0, 3.0)}], 3.0) == []


@pytest.mark.parametrize(("write", "separator"), [(format_srt, ","), (format_vtt, ".")])
def test_players_read_what_was_written(write, separator):
    cues = make_cues(words("Tom & Jerry are <b>bold</b>, said the cat to the mouse in the house of cards."), 6.0)
    read = read_cues(write(cues), separator)
    unescape = html.unescape if separator == "." else str
    assert [(start, end, unescape(text)) for start, end, text in read] == [
        (pytest.approx(cue.start, abs=6e-4), pytest.approx(cue.end, abs=6e-4), cue.text) for cue in cues
    ]


def spoken(*turns: tuple[str | None, str]) -> list[dict]:
    """Words of one turn after the other."""
    chunks: list[dict] = []
    for speaker, text in turns:
        chunks += [{**chunk, "speaker": speaker} for chunk in words(text, 0.3 * len(chunks))]
    return chunks


def test_cues_name_who_speaks_and_end_where_another_begins():
    cues = make_cues(spoken(("Anna", "Open the door."), ("Ben & Bo", "Which one?"), (None, "Hm.")), 10)
    assert [(cue.speaker, cue.text) for cue in cues] == [
        *(("Anna", "Open the door."), ("Ben & Bo", "Which one?"), (None, "Hm."))
    ]
    assert [text for *_, text in read_cues(format_srt(cues), ",")] == [
        *("Anna: Open the door.", "Ben & Bo: Which one?", "Hm.")
    ]
    assert [text for *_, text in read_cues(format_vtt(cues), ".")] == [
        *("<v Anna>Open the door.", "<v Ben &amp; Bo>Which one?", "Hm.")
    ]


@pytest.mark.parametrize("speaker", ["Anna", "安娜", "Speaker with a name\nof two lines"])
@pytest.mark.parametrize("unit", ["words", "segment"])
def test_names_leave_lines_as_short_as_they_are_to_be(speaker, unit):
    text = "the old man went home and opened the door of the house where he was born a hundred years before this day"
    chunks = spoken((speaker, text))
    if unit == "segment":
        chunks = [{"text": text, "timestamp": (0.0, 9.0), "speaker": speaker}]
    cues = make_cues(chunks, 10)
    assert " ".join(" ".join(cue.text for cue in cues).split()) == text
    name = " ".join(speaker.split())
    room = min(display_width(f"{name}: "), LINE_WIDTH // 2)  # longer names are shown whole
    for cue in cues:
        first, *others = cue.text.split("\n")
        assert cue.speaker == name and len(others) <= 1
        assert room + display_width(first) <= LINE_WIDTH and all(display_width(line) <= LINE_WIDTH for line in others)


def test_a_long_word_beside_a_name_is_not_cut():
    word = "donaudampfschifffahrtsgesellschaft"
    assert [cue.text for cue in make_cues(spoken(("Anna", f"{word} yes")), 1)] == [f"{word}\nyes"]
