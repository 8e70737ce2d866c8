# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Mandarin numbers as people say them."""

import pytest

from entropy_asr.modeling.numerals_mandarin_entropy_asr import read_number


@pytest.mark.parametrize(
    ("written", "reading"),
    [
        ("0", "零"),
        ("10", "十"),
        ("110", "一百一十"),
        ("1005", "一千零五"),
        ("120000", "十二万"),
        ("20300", "二万零三百"),
        ("30003", "三万零三"),
        ("100000000", "一亿"),
        ("1亿", "一亿"),
        ("007", "零零七"),
        ("13800138000", "一三八零零一三八零零零"),
        ("12,345", "一万二千三百四十五"),
        ("-5", "负五"),
        ("\u22125度", "负五度"),
        ("$5", "五美元"),
        ("$5亿", "五亿美元"),
        ("¥3.50", "三点五元"),
        ("$2", "两美元"),
        ("2美元", "两美元"),
        ("1/2", "二分之一"),
        ("3.5", "三点五"),
        ("3.5%", "百分之三点五"),
        ("2个", "两个"),
        ("12个", "十二个"),
        ("2万", "两万"),
        ("第2个", "第二个"),
        ("2月", "二月"),
        ("2.5个", "二点五个"),
        ("1998年", "一九九八年"),
        ("1998-2003年", "一九九八到二零零三年"),
        ("2023-05-03", "二零二三年五月三日"),
        ("5-10", "五到十"),
        ("10:05", "十点零五分"),
        ("3:2", "三比二"),
        ("1+2", "一加二"),
        ("100°C", "一百摄氏度"),
        ("010-8888", "零一零八八八八"),
        ("2点30分", "两点三十分"),
        ("1-2個", "一到两個"),
        ("5-10%", "百分之五到百分之十"),
        ("5‰", "千分之五"),
        ("5+3-2", "五加三减二"),
        ("½", "二分之一"),
        ("-$1/2", "负二分之一美元"),
        ("3²", "三的平方"),
        ("5³是125", "五的立方是一百二十五"),
        ("10⁴", "十的四次方"),
        ("95588", "九五五八八"),
        ("10086", "一零零八六"),
        ("10086元", "一万零八十六元"),
        ("拨打12345", "拨打一二三四五"),
        ("12345", "一万二千三百四十五"),
        ("请打110", "请打一一零"),
        ("110米", "一百一十米"),
        ("138 0013 8000", "一三八 零零一三 八零零零"),
        ("+86 138 0013 8000", "加八六 一三八 零零一三 八零零零"),
        ("400 800 8888", "四零零 八零零 八八八八"),
        ("100 000 000", "一百 零零零 零零零"),
        ("气温5℃~10℃", "气温五摄氏度到十摄氏度"),
        ("-5℃~5℃", "负五摄氏度到五摄氏度"),
        ("1,000-3,000人", "一千到三千人"),
        ("\u22125~10度", "负五到十度"),
    ],
)
def test_numbers_are_read_as_people_say_them(phoneme_tokenizer, written: str, reading: str) -> None:
    pytest.importorskip("cn2an")
    assert phoneme_tokenizer.phonemize(written, "zh") == phoneme_tokenizer.phonemize(reading, "zh")


@pytest.mark.parametrize(("text", "phonemes"), [("2个", "l iang3 ɡ e4"), ("一亿", "i2 i4"), ("15日", "sh ʅ2 u3 r ʅ4")])
def test_numbers_that_touch_characters_are_read_with_them_in_english_text(
    phoneme_tokenizer, text: str, phonemes: str
) -> None:
    pytest.importorskip("cn2an")
    assert phoneme_tokenizer.phonemize(f"yes {text} no", "en")[3:-2] == phonemes.split()


def test_a_minus_is_no_hyphen(phoneme_tokenizer) -> None:
    pytest.importorskip("cn2an")
    assert phoneme_tokenizer.phonemize("covid-19", "zh") == phoneme_tokenizer.phonemize("covid 十九", "zh")
    assert read_number("3.5%", after="年") == "百分之三点五"
