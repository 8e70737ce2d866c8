# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sentences over a closed vocabulary, for training and tests that need no corpus."""

import hashlib
import random
import re

from entropy_asr.modeling.languages_entropy_asr import language_code, language_name


# Patterns of slots, and what may fill them: about 60 words a language, so that a tiny model learns them in minutes.
_ENGLISH_SLOTS = {
    "color": ("red", "green", "blue", "white", "black"),
    "animal": ("dog", "cat", "horse", "bird", "fish"),
    "place": ("river", "city", "house", "school", "garden", "market"),
    "number": ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    "thing": ("books", "apples", "letters", "boxes"),
    "person": ("mother", "brother", "teacher", "doctor"),
    "verb": ("sleeps", "waits", "runs", "sings"),
    "time": ("today", "tomorrow", "tonight"),
    "action": ("open", "close", "clean", "paint"),
    "object": ("door", "window", "table"),
}
_MANDARIN_SLOTS = {
    "color": ("红", "绿", "蓝", "白", "黑"),
    "animal": ("狗", "猫", "马", "鸟", "鱼"),
    "place": ("学校", "公园", "商店", "北京", "上海"),
    "number": ("两", "三", "四", "五", "六", "七", "八", "九", "十"),
    "thing": ("苹果", "包子", "杯子"),
    "person": ("妈妈", "老师", "医生", "朋友"),
    "verb": ("睡觉", "吃饭", "唱歌"),
    "time": ("今天", "明天", "晚上"),
    "action": ("打开", "关上"),
    "object": ("门", "窗户", "电脑"),
}
SENTENCE_PATTERNS = {
    "en": (
        "the {color} {animal} {verb} near the {place}",
        "my {person} has {number} {thing} and {number} {thing}",
        "please {action} the {color} {object} {time}",
        "we go to the {place} with my {person} {time}",
        "{number} {number} {number} {number}",
    ),
    "zh": (
        "{color}{animal}在{place}{verb}",
        "{person}有{number}个{thing}",
        "请{time}{action}{color}{object}",
        "我们{time}和{person}去{place}{verb}",
        "{number}{number}{number}{number}",
    ),
}
_SLOTS = {"en": _ENGLISH_SLOTS, "zh": _MANDARIN_SLOTS}


def _is_test_sentence(sentence: str) -> bool:
    """A tenth of all sentences, chosen by their spelling alone so that the splits are disjoint under every seed."""
    return hashlib.sha256(sentence.encode("utf-8")).digest()[0] < 26


def _fill(pattern: str, slots: dict[str, tuple[str, ...]], rng: random.Random) -> str:
    return re.sub(r"\{(\w+)\}", lambda slot: rng.choice(slots[slot.group(1)]), pattern)


def synthetic_sentences(language: str, num_sentences: int, split: str = "train", seed: int = 0) -> list[str]:
    """Different sentences over a closed vocabulary of about 60 words.

    Args:
        language: One that has sentences here, in any usual form.
        num_sentences: At most 3000 for "train" and 300 for "test".
        split: "train" or "test"; no sentence is in both, under any seed.
        seed: Decides which sentences, and their order.
    """
    language = language_code(language)
    if language not in SENTENCE_PATTERNS:
        name, known = language_name(language), ", ".join(map(language_name, SENTENCE_PATTERNS))
        raise ValueError(f"there are no built-in sentences of {name}, only of {known}: name a text file")
    limits = {"train": 3000, "test": 300}
    if split not in limits or not 0 <= num_sentences <= limits[split]:
        raise ValueError(f"split {split!r} has no {num_sentences} sentences; there are {limits}")
    rng = random.Random(f"{language} {split} {seed}")
    sentences: dict[str, None] = {}
    while len(sentences) < num_sentences:
        pattern = rng.choice(SENTENCE_PATTERNS[language])
        sentence = _fill(pattern, _SLOTS[language], rng)
        if _is_test_sentence(sentence) == (split == "test"):
            sentences[sentence] = None
    return list(sentences)
