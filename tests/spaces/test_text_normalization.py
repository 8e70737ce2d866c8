# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Text as it is spoken: one writing for all ways to write a number, a time, an amount, a unit or a word."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_asr.spaces.hallucination_rate.spoken import spoken_units
from entropy_asr.spaces.hallucination_rate.text_normalization import (
    write_as_spoken,
)


SAME = [
    ("twenty-one", "21"),
    ("a hundred and one", "101"),
    ("one point five million", "1.5 million"),
    ("double seven", "77"),
    ("7 7 7", "seven seven seven"),
    ("nineteen ninety eight", "1998"),
    ("two thousand and five", "2005"),
    ("nineteen oh five", "1905"),
    ("double oh seven or oh oh seven", "007 or 007"),
    ("version two point oh", "version 2.0"),
    ("oh, five of them at that point oh no", "ah 5 of them at that point ah no"),
    ("oh oh oh oh oh five", "ah ah ah ah ah 5"),
    ("the nineteen eighties", "the 1980s"),
    ("half past three", "3:30"),
    ("quarter to four", "3:45"),
    ("five past ten", "10:05"),
    ("seven o'clock", "7:00"),
    ("three thirty p.m.", "15:30"),
    ("twenty dollars", "$20"),
    ("five pounds fifty", "£5.50"),
    ("two dollars and fifty cents", "$2.50"),
    ("fifty cents", "$0.50"),
    ("twelve hundred euros", "€1,200"),
    ("fifty percent", "50 %"),
    ("two and a half", "2½"),
    ("two thirds", "2/3"),
    ("minus five degrees", "-5°"),
    ("the twenty first", "the 21st"),
    ("sixty miles an hour", "60 mph"),
    ("ten kilometers", "10km"),
    ("okay", "OK"),
    ("i am going to go", "I'm gonna go"),
    ("colour centre travelled organised defence grey", "color center traveled organized defense gray"),
    ("anna at example dot org", "anna@example.org"),
    ("five five five one two three four five six seven", "555 123 4567"),
    ("three squared is nine", "3² is 9"),
    ("ten cubed", "10³"),
    ("twenty five square meters", "25 m²"),
    ("minus half a dollar", "-$1/2"),
    ("three quarters of a dollar", "$3/4"),
    ("half an hour", "1/2 hour"),
]
SAME_CHINESE = [
    ("二十五块钱", "25元"),
    ("两百五十块", "¥250"),
    ("三块五", "3.5元"),
    ("一百二十美元", "$120"),
    ("一九九八年", "1998年"),
    ("二〇二四年五月三号", "2024-05-03"),
    ("下午三点半", "15:30"),
    ("八点一刻", "8点15分"),
    ("十二点零五分", "12:05"),
    ("十点钟", "10点"),
    ("百分之三点五", "3.5%"),
    ("九成的人", "90%的人"),
    ("三分之一", "1/3"),
    ("三点五万", "35000"),
    ("一亿", "1亿"),
    ("六个亿", "6亿"),
    ("零下五度", "-5℃"),
    ("二十公斤", "20kg"),
    ("幺三八零零", "13800"),
    ("國家發展", "国家发展"),
    ("一三八零零一三八零零零", "138 0013 8000"),
    ("九五五八八", "95588"),
    ("幺零零八六", "10086"),
    ("三的平方是九", "3²是9"),
    ("二十五平方米", "25㎡"),
    ("负二分之一美元", "-$1/2"),
]


@pytest.mark.parametrize(("spoken", "written"), SAME)
def test_english_is_written_in_one_way(spoken, written):
    assert write_as_spoken(spoken) == write_as_spoken(written)


@pytest.mark.parametrize(("spoken", "written"), SAME_CHINESE)
def test_chinese_is_written_in_one_way(spoken, written):
    if "國" in spoken:
        pytest.importorskip("opencc")
    assert write_as_spoken(spoken, with_chinese=True) == write_as_spoken(written, with_chinese=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[
            ("fifteen", "fifty"),
            ("3:30", "3:15"),
            ("$5", "£5"),
            ("1998", "1989"),
            ("二十", "十二"),
            ("三点半", "三点"),
        ],
        *[("3²", "3³"), ("word²", "word squared")],
    ],
)
def test_what_is_said_otherwise_stays_different(one, other):
    assert write_as_spoken(one) != write_as_spoken(other)


def test_units_keep_their_places_in_what_was_written():
    text = "It cost $25, OK?"
    said, written = spoken_units("it cost twenty five dollars okay", text)
    assert said.texts == written.texts
    places = [text[start:end] for start, end in zip(written.starts, written.ends, strict=True)]
    assert places[:2] == ["It", "cost"] and places[-1] == "OK" and "25" in places[2]


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=40), st.text(alphabet="0123456789一二十百万亿点半分 .:/$¥%-an", max_size=20))
def test_any_text_can_be_written_as_spoken(text, numbers):
    for given_text in (text, numbers, text + numbers):
        for with_chinese in (False, True):
            write_as_spoken(given_text, with_chinese)
