# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Text files as material: the style of transcripts, and pieces of lines that never change."""

import pytest

from entropy_asr.trainers.data.text import cut_text, frequent_words, read_lines, transcript_style, written_style


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("“It’s twenty-one o'clock,” he said — twice.", "en", "it's twenty one o'clock he said twice"),
        ("'TIS 'quoted' rock 'n' roll", "en", "tis quoted rock n roll"),
        ("...", "en", ""),
        ("The Café’s crème — Łódź–Zürich", "en", "the cafe's creme lodz zurich"),
        ("cafe\u0301 ze\u200bro ﬁsh ＡＢＣ", "en", "cafe zero fish abc"),
        ("打开ＵＳＢ\u200b", "zh", "打开USB"),
        ("你好，世界！ OK", "zh", "你好世界OK"),
    ],
)
def test_transcript_style(text, language, expected):
    assert transcript_style(text, language) == expected


def test_english_pieces_cover_the_line_in_order_and_length():
    line = " ".join(["one two three four five six seven"] * 5)
    pieces = cut_text(line, "en", 4, seed=0)
    assert " ".join(pieces) == line
    assert max(len(piece.split()) for piece in pieces) <= 4
    assert len({len(piece.split()) for piece in pieces}) > 1


def test_pieces_depend_on_seed_and_line_alone():
    line = " ".join(f"word{chr(97 + index % 26)}" for index in range(40))
    first = cut_text(line, "en", 8, seed=0)
    cut_text("something in between", "en", 8, seed=0)
    assert cut_text(line, "en", 8, seed=0) == first
    assert cut_text(line, "en", 8, seed=1) != first


def test_chinese_is_cut_at_punctuation_and_long_clauses_are_left_out():
    assert cut_text("今天，我们去北京。好！这一句话实在是太长了。", "zh", 6, seed=0) == ["今天", "我们去北京"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“It’s twenty-one o'clock,” he said—twice. (Really?)", "It's twenty-one o'clock, he said twice. Really?"),
        ("‘Oh my ears, how late it’s getting!’ She ran", "Oh my ears, how late it's getting! She ran"),
        ("他說：「好！」（笑）", "他說：好！笑"),
        ("_So_ -- no...", "So no..."),
    ],
)
def test_written_style_has_what_a_reader_hears(text, expected):
    assert written_style(text) == expected


def test_written_pieces_end_where_the_text_has_a_mark():
    line = "“My dear Mr. Bennet,” said his lady one day, “have you heard that the Park is let at last?” No. J. Smith"
    cuts = [cut_text(line, "en", 12, seed=seed, style="written") for seed in range(8)]
    for pieces in cuts:
        assert " ".join(pieces) == written_style(line)
        assert all(piece[-1] in ",.?" for piece in pieces[:-1])
        assert not any(piece.endswith(("Mr.", " J.")) for piece in pieces)
    assert len({len(pieces) for pieces in cuts}) > 1
    assert cut_text(line, "en", 12, seed=3, style="written") == cuts[3]


def test_written_clauses_that_are_too_long_are_left_out_and_nothing_is_joined_over_them():
    line = "Yes, one two three four five six seven eight. No!"
    for seed in range(5):
        assert cut_text(line, "en", 4, seed=seed, style="written") == ["Yes,", "No!"]
    assert cut_text("今天，我们去北京。好！这一句话实在是太长了。", "zh", 6, seed=1, style="written") in (
        ["今天，", "我们去北京。", "好！"],
        ["今天，", "我们去北京。好！"],
    )
    assert cut_text("...", "en", 4, seed=0, style="written") == []


def test_lines_are_collapsed_and_empty_ones_left_out(tmp_path):
    (tmp_path / "a.txt").write_text("  one \t two\n\n\u3000\nthree", encoding="utf-8")
    (tmp_path / "b.txt").write_text("四\n", encoding="utf-8")
    assert list(read_lines([tmp_path / "a.txt", tmp_path / "b.txt"])) == ["one two", "three", "四"]


def test_lines_of_files_in_the_users_own_folder_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.txt").write_text("one\n", encoding="utf-8")
    assert list(read_lines(["~/a.txt"])) == ["one"]


def test_frequent_words_are_words_of_the_language():
    words = frequent_words(2000)
    assert len(words) == len(set(words)) == 2000
    assert {"中国", "我们", "一个"} <= set(words) and max(map(len, words)) <= 4
