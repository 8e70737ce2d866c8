# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Mandarin read aloud: tones as they are spoken, numbers as people say them, three vowels that pinyin writes i."""

import pytest

from entropy_asr.modeling.language_mandarin_entropy_asr import MANDARIN
from entropy_asr.modeling.numerals_mandarin_entropy_asr import read_number
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> EntropyASRPhonemeTokenizer:
    return EntropyASRPhonemeTokenizer()


@pytest.mark.parametrize(
    ("text", "tones"),
    [
        # 一 before a fourth tone, before others, and where it keeps its own.
        *(("一个", "24"), ("一定", "24"), ("一样", "24"), ("一会儿", "245"), ("一万", "24"), ("一亿", "24")),
        *(("一天", "41"), ("一本书", "431"), ("一杯水", "413"), ("一年", "42"), ("一起", "43"), ("一百", "43")),
        *(("一千", "41"), ("一把", "43"), ("不一样", "424"), ("同一个", "224"), ("一周一次", "4124")),
        *(("第一", "41"), ("第一个", "414"), ("统一", "31"), ("统一战线", "3144"), ("之一", "11"), ("万一", "41")),
        *(("十一", "21"), ("十一个", "214"), ("一九九八", "1231"), ("一百零一个", "43214"), ("一点一", "131")),
        *(("一月", "14"), ("五月一日", "3414"), ("一号", "14"), ("星期一上午", "11143"), ("周一上午", "11" + "43")),
        *(("看一看", "454"), ("一个一个", "2424"), ("其中之一是", "21114")),
        # 不 before a fourth tone and before others.
        *(("不是", "24"), ("不对", "24"), ("不好", "43"), ("不来", "42"), ("不", "4"), ("要不要", "454")),
        # Third tones.
        *(("你好", "23"), ("可以", "23"), ("哪里", "23"), ("水果", "23"), ("展览馆", "223"), ("我很好", "223")),
        *(("水果很好", "2323"), ("好人", "32"), ("你，好", "33"), ("你好吗", "235"), ("姐姐", "35")),
    ],
)
def test_tones_are_those_of_speech(tokenizer: EntropyASRPhonemeTokenizer, text: str, tones: str) -> None:
    words = tokenizer.phonemize_words(text, "zh")
    assert "".join(phonemes[-1][-1] for _, phonemes in words) == tones


def test_the_vowels_of_zi_zhi_and_ji_are_three(tokenizer: EntropyASRPhonemeTokenizer) -> None:
    assert tokenizer.phonemize("资瓷思") == ["ts", "ɿ1", "c", "ɿ2", "s", "ɿ1"]
    assert tokenizer.phonemize("知吃师日") == ["zh", "ʅ1", "ch", "ʅ1", "sh", "ʅ1", "r", "ʅ4"]
    assert tokenizer.phonemize("鸡你衣") == ["tɕ", "i1", "n", "i3", "i1"]


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
    ],
)
def test_numbers_are_read_as_people_say_them(tokenizer, written: str, reading: str) -> None:
    pytest.importorskip("cn2an")
    assert tokenizer.phonemize(written, "zh") == tokenizer.phonemize(reading, "zh")


@pytest.mark.parametrize(("text", "phonemes"), [("2个", "l iang3 ɡ e4"), ("一亿", "i2 i4"), ("15日", "sh ʅ2 u3 r ʅ4")])
def test_numbers_that_touch_characters_are_read_with_them_in_english_text(tokenizer, text: str, phonemes: str) -> None:
    pytest.importorskip("cn2an")
    assert tokenizer.phonemize(f"yes {text} no", "en")[3:-2] == phonemes.split()


def test_a_minus_is_no_hyphen(tokenizer) -> None:
    pytest.importorskip("cn2an")
    assert tokenizer.phonemize("covid-19", "zh") == tokenizer.phonemize("covid 十九", "zh")
    assert read_number("3.5%", after="年") == "百分之三点五"


def test_words_are_characters_numbers_and_syllables(tokenizer: EntropyASRPhonemeTokenizer) -> None:
    pytest.importorskip("cn2an")
    words = tokenizer.phonemize_words("用iPhone打15次，ma1。", "zh")
    assert [word for word, _ in words] == ["用", "iPhone", "打", "15", "次", "ma1"]
    assert dict(words)["15"] == ["sh", "ʅ2", "u3"]
    assert tokenizer.phonemize("mp3播放", "zh") == ["ɛ", "m", "p", "iː", "s", "an1", "b", "o1", "f", "ang4"]


def test_error_rates_compare_characters_as_they_are_written() -> None:
    assert MANDARIN.normalize("我有 25 块，二十五！") == "我有25块二十五"


def test_words_are_those_of_the_phrase_table() -> None:
    assert MANDARIN.split_words("我们去北京，好") == ["我们", "去", "北京", "好"]
