# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Numbers in words become digits where these surely say the same, and stay as they were said elsewhere."""

import pytest

from entropy_asr.modeling.text_style_entropy_asr import TextStyle


pytest.importorskip("wetext")

SURE = [
    ("one two three four", "1234"),
    ("call five five five one two three four", "call 5551234"),
    ("in nineteen oh five", "in 1905"),
    ("in twenty twenty five", "in 2025"),
    ("two thousand and six", "2006"),
    ("one hundred and five", "105"),
    ("one thousand", "1000"),
    ("eleven hundred", "1100"),
    ("nine hundred ninety nine thousand", "999000"),
    ("two million three hundred thousand", "2300000"),
    ("three dollars and fifty cents", "$3.50"),
    ("three point one four", "3.14"),
    ("ten thirty a m", "10:30 a.m."),
    ("eight o'clock", "8:00"),
    ("the twenty first", "the 21st"),
    ("一三八零零一三八零零零", "13800138000"),
    ("拨打幺幺零", "拨打110"),
    ("一九九八年", "1998年"),
    ("两千零六年", "2006年"),
    ("二零二五年三月五日", "2025/03/05"),
    ("一百二十个", "120个"),
    ("百分之三点五", "3.5%"),
    ("二分之一", "1/2"),
    ("八点零五分", "8:05"),
]
# By what digits would be, and what else may have been meant.
UNSURE = [
    "four six",  # 46
    "one two three",  # 123
    "sixty four six",  # 6046
    "twenty four seven",  # 2047
    "thirty four fifty six",  # 3456
    "four sixty",  # "four 60"
    "one twenty three",  # 01:23
    "at five thirty",  # 05:30
    "half past nine",  # 09:30, of which nobody said that it was in the morning
    "seven eleven",  # "7-eleven"
    "wait a second",  # "a 2nd"
    "one second please",  # "1 s"
    "at first",  # "at 1st"
    "a fifth of it",  # "a 5th"
    "mister smith",  # "mr.": no number
    "w w w dot example dot com",
    "四六",
    "一二三",
    "十七八岁",  # 17-8
    "五六十",  # 50~60
    "十几个",  # 10几个
    "一百多",
    "三点一刻",  # 3.1刻
    "二百五",
    "一八年",  # 18年
    "下午三点二十分",  # "3:20p.m.": English letters
    "十月一号",  # 10/01
]


@pytest.mark.parametrize(("said", "written"), SURE)
def test_numbers_whose_digits_say_what_was_said(said, written):
    assert TextStyle("written")(said) == written


@pytest.mark.parametrize("said", UNSURE)
def test_what_may_be_another_number_stays_in_words(said):
    assert TextStyle("written")(said) == said
