# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Chinese numerals, times, dates and amounts in one way of writing: Arabic digits, 24 hours, 元.

A numeral inside a word (一起, 万一) becomes a digit too or stays: it does so on both sides of a comparison.
"""

import re
from functools import cache
from typing import Any


_ONES = "零〇一二三四五六七八九两幺"
_UNITS = "十百千万亿"
_NUMERAL = re.compile(rf"(?:\d+(?:\.\d+)?|[{_ONES}{_UNITS}])[{_ONES}{_UNITS}\d]*")
# 三点一四, 三点五万; a time when minutes follow: 三点五分, 三点十五.
_DECIMAL = re.compile(rf"([{_ONES}{_UNITS}\d]+)点([{_ONES}\d]+)(?![{_UNITS[:3]}分半刻{_ONES}\d])")
_DIGITS = str.maketrans(_ONES, "0012345678921")
# Written in several ways, said in one; after numerals have become digits.
_FORMS = [
    (re.compile(pattern), written)
    for pattern, written in (
        # Times: 3点半, 3点一刻, 3点30分, 3点钟, 3:30, each as "3点30"; a whole hour has no minutes.
        (r"(?<!\d)(\d{1,2})[:：](\d{2})(?::00)?(?!\d)", r"\1点\2"),
        (r"(?<=\d)时(?=\d+分|半|整)", "点"),
        (r"(?<=\d点)半", "30"),
        (r"(?<=\d点)([13])刻", lambda match: str(15 * int(match[1]))),
        (r"(?<=\d点)(\d)分(?!之|钟)", r"0\1"),
        (r"(?<=\d点)(\d\d)分(?!之|钟)", r"\1"),
        (r"(?<=\d点)(?:钟|整|00(?!\d))", ""),
        # Dates: 5月3号, 2024-05-03, 2024/5/3.
        (r"(?<=\d)号(?!线|楼|门|院|房|店|桌|机|码)", "日"),
        (r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)", r"\1年\2月\3日"),
        (r"(?<=年)0(?=\d月)|(?<=月)0(?=\d日)", ""),
        # Amounts: ¥25, 25块钱, 25块, 3块5, 3元5角.
        (r"[¥￥]\s*(\d+(?:[./]\d+)?)", r"\1元"),
        (r"\$\s*(\d+(?:[./]\d+)?)", r"\1美元"),
        (r"(?<=\d)(?:元|块)(\d)(?:角|毛)?(?!\d)", r".\1元"),
        (r"(?<=\d)(?:块钱|元钱|圆|块|人民币)", "元"),
        (r"(?<=\d)(?:美金|刀)", "美元"),
        # Shares and fractions: 百分之25, 9成, 3分之1.
        (r"百分之(\d+(?:\.\d+)?)", r"\1%"),
        (r"(?<![\d.])([1-9])成(?![为功立员就长果本人年])", r"\g<1>0%"),
        (r"(\d+)分之(\d+)", r"\2/\1"),
        # Powers and units: 3的平方, 25m平方.
        (r"(?<=\d)的(?=平方|立方)", ""),
        (r"(?<=\d)\s*([kc]?m)(平方|立方)", lambda match: match[2] + {"m": "米", "km": "公里", "cm": "公分"}[match[1]]),
        (r"(?<=平方|立方)厘米", "公分"),
        (r"(?<=\d)\s*(?:千米|km\b)", "公里"),
        (r"(?<=\d)\s*(?:千克|kg\b)", "公斤"),
        (r"(?<=\d)\s*(?:厘米|cm\b)", "公分"),
        (r"(?<=\d)\s*(?:摄氏度|°c|℃|°)", "度"),
        (r"(?<=\d)(\.\d+?)0+(?!\d)", r"\1"),
        (r"(?<=\d)[.点](?=\d)", " "),
    )
]
_AFTERNOON = re.compile(r"(?:下午|晚上|傍晚|夜里)\s*(\d{1,2})(?=点)")


def write_chinese_numbers(text: str) -> str:
    """A text, simplified and in lower case, with its numbers in one way of writing.

    Example:

    ```python
    >>> write_chinese_numbers("下午三点半花了两百五十块钱"), write_chinese_numbers("15:30花了¥250")
    ('15 30花了250元', '15 30花了250元')
    ```
    """
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(rf"零下(?=[{_ONES}{_UNITS}\d])|(?<![\w-])-(?=[$¥￥]?\d)", "负", text)
    text = re.sub(rf"(?<=[{_ONES}{_UNITS}\d])个(?=[万亿])", "", text)
    text = _DECIMAL.sub(lambda match: f"{_write_numeral(match[1])}.{_write_digits(match[2])}", text)
    text = _NUMERAL.sub(lambda match: _write_numeral(match[0]), text)
    text = _AFTERNOON.sub(_write_hour, re.sub(r"(?<!\d)(\d{1,2})[:：](?=\d{2}(?!\d))", r"\1点", text))
    for pattern, written in _FORMS:
        text = pattern.sub(written, text)
    return text


def _write_numeral(numeral: str) -> str:
    if re.fullmatch(r"\d+(?:\.\d+)?", numeral):
        return numeral
    if not re.search(f"[{_UNITS}]", numeral):
        return _write_digits(numeral)
    try:
        value = _reader()(numeral.replace("幺", "一"), "smart")
    except (ValueError, LookupError):  # no number: 万一, 千万, 百货
        return numeral
    return f"{value:.10f}".rstrip("0").rstrip(".")


@cache
def _reader() -> Any:
    # Loaded with the first numeral: error rates, which share this folder's normalisers, have no use for it.
    from cn2an import cn2an

    return cn2an


def _write_digits(numeral: str) -> str:
    """Digit by digit, as years and telephone numbers are said."""
    return numeral.translate(_DIGITS)


def _write_hour(match: re.Match) -> str:
    hour = int(match[1])
    return str(hour + 12 if hour < 12 else hour)
