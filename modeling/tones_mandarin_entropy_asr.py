# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tones of Mandarin as they are spoken: what becomes of 一, 不 and third tones beside other syllables.

pypinyin gives tones word by word, those of 一 and 不 sometimes as in the dictionary and sometimes as spoken. Here they
follow the text: 一 is `i2` before a fourth tone and `i4` before others (一天, 一本), but `i1` where it numbers or ends
a word (第一, 十一, 一九九八, 统一); 不 is `bu2` before a fourth tone; the first of two third tones is a second one.
"""

import re

from .numerals_mandarin_entropy_asr import DIGITS, MEASURES


# 一 keeps its tone after these, whatever follows: in ordinals, at the end of a number, inside words.
_KEPT_AFTER = "第十零〇之统統唯惟"
# It ends words (周一, 之一), but not those of these that a dictionary lists: 同一个 is read as 一个.
_NOT_ENDED = "同某另每这那哪有又再看想说某任"
# What 一 numbers rather than counts: January, the first day, floor, class; and the digits of a longer number.
_KEPT_BEFORE = re.compile(
    rf"月(?!份?[之来])|[号號楼樓班级級]|等奖|等獎|年[级級]|[点點][{DIGITS}]|[{DIGITS}〇十加减乘除比]"
)
# Where the second of two equal syllables is toneless, so that the first keeps its third tone.
_TONELESS_SECOND = frozenset(("姐姐", "奶奶", "姥姥", "婶婶", "嫂嫂", "宝宝"))


def spoken_tones(text: str, syllables: list[str], words: list[str]) -> list[str]:
    """Syllables of a phrase with the tones that they have in it.

    Args:
        text: The phrase, in Chinese characters alone.
        syllables: Pinyin with a tone number of each character, as a dictionary has it.
        words: The same characters as words.

    Example:
        >>> spoken_tones("你好", ["ni3", "hao3"], ["你好"]), spoken_tones("不是", ["bu4", "shi4"], ["不是"])
        (['ni2', 'hao3'], ['bu2', 'shi4'])
    """
    spoken = list(syllables)
    for place in range(len(text) - 1):
        if text[place : place + 2] in _TONELESS_SECOND:
            spoken[place + 1] = spoken[place + 1][:-1] + "5"
    ends = _word_ends(words)
    for place, character in enumerate(text):
        if character == "一" and spoken[place][:-1] == "yi":
            spoken[place] = "yi" + _tone_of_yi(text, spoken, place, place in ends)
        elif character == "不" and spoken[place][:-1] == "bu":
            spoken[place] = "bu" + _tone_of_bu(text, spoken, place)
    return _third_tones(spoken, words)


def _word_ends(words: list[str]) -> set[int]:
    """Places of the last characters of words that have several."""
    ends, place = set(), -1
    for word in words:
        place += len(word)
        if len(word) > 1:
            ends.add(place)
    return ends


def _tone_of_yi(text: str, syllables: list[str], place: int, ends_word: bool) -> str:
    before, after = text[:place], text[place + 1 :]
    if not after:
        return "1"
    last = before[-1:]
    if last == after[0] and last not in MEASURES + DIGITS + "十":
        return "5"  # 看一看, but not 一个一个
    is_weekday = re.search("星期$|礼拜$", before) or (last == "周" and after[0] not in MEASURES)
    is_kept = (last and last in _KEPT_AFTER) or (ends_word and last not in _NOT_ENDED) or is_weekday
    if is_kept or _KEPT_BEFORE.match(after) or (last == "月" and after[0] == "日"):
        return "1"
    return "2" if syllables[place + 1][-1] == "4" or after[0] in "个個" else "4"


def _tone_of_bu(text: str, syllables: list[str], place: int) -> str:
    if place + 1 == len(text):
        return "4"
    if place and text[place - 1] == text[place + 1]:
        return "5"  # 要不要
    return "2" if syllables[place + 1][-1] == "4" else "4"


def _third_tones(syllables: list[str], words: list[str]) -> list[str]:
    """Third tones before third tones become second ones: inside words first, then from one foot to the next.

    Words of one syllable are taken in pairs, as they are spoken.
    """
    spoken, feet, start = list(syllables), [], 0
    for word in words:
        end = start + len(word)
        if feet and len(word) == 1 and feet[-1] == (start - 1, start):
            feet[-1] = (start - 1, end)
        else:
            feet.append((start, end))
        start = end
    for start, end in feet:
        for place in range(start, end - 1):
            if spoken[place][-1] == "3" and syllables[place + 1][-1] == "3":
                spoken[place] = spoken[place][:-1] + "2"
    for _, end in feet[:-1]:
        if spoken[end - 1][-1] == "3" and spoken[end][-1] == "3":
            spoken[end - 1] = spoken[end - 1][:-1] + "2"
    return spoken


__all__ = ["spoken_tones"]
