# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Mandarin tones as they are spoken."""

import pytest


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
def test_tones_are_those_of_speech(phoneme_tokenizer, text: str, tones: str) -> None:
    words = phoneme_tokenizer.phonemize_words(text, "zh")
    assert "".join(phonemes[-1][-1] for _, phonemes in words) == tones
