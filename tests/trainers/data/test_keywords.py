# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Keywords of transcripts, distractors that sound alike, and the hints that prompts are given."""

import doctest

import numpy as np
import pytest
from datasets import Dataset
from rapidfuzz.distance import Levenshtein

from entropy_asr.modeling import EntropyASRPhonemeTokenizer
from entropy_asr.trainers.data import keywords
from entropy_asr.trainers.data.keywords import (
    ContextConfig,
    KeywordChooser,
    SoundAlikes,
    add_keywords,
    draw_hints,
    keyword_spans,
    spell_sounds,
)
from entropy_asr.trainers.data.text import contains


TRANSCRIPTS = {
    "en": (
        "please call anna marsh today",
        "please call hannah march today",
        "we flew to boston in the morning",
        "we drove to austin in the evening",
        "doctor brown came with doctor braun",
        "the red house near the river",
    ),
    "zh": (
        "请打电话给张珊",
        "请打电话给张山",
        "我们明天去北京大学",
        "我们明天去南京大学",
        "李建国老师来了",
        "今天天气很好",
    ),
    "none": ("", ""),
}


@pytest.fixture(scope="module")
def rows() -> Dataset:
    pairs = [(text, language) for language, texts in TRANSCRIPTS.items() for text in texts]
    return Dataset.from_dict({"text": [text for text, _ in pairs], "language": [language for _, language in pairs]})


@pytest.fixture(scope="module")
def tokenizer() -> EntropyASRPhonemeTokenizer:
    return EntropyASRPhonemeTokenizer()


@pytest.fixture(scope="module")
def chosen(rows, tokenizer) -> Dataset:
    return add_keywords(rows, KeywordChooser(rows, ContextConfig(), tokenizer))


def distance(first: str, second: str, language: str, tokenizer) -> float:
    sounds = spell_sounds([first, second], [language] * 2, tokenizer)
    return Levenshtein.normalized_distance(*sounds)


def test_examples_of_the_docstrings_run():
    assert doctest.testmod(keywords).failed == 0


def test_spans_begin_and_end_at_words():
    chinese = keyword_spans("我们去北京大学找李建国", "zh")
    assert {"北京大学", "李建国", "我们去"} <= chinese.keys()
    assert not {"京大", "们去", "大学"} & chinese.keys()
    assert all(2 <= len(span) <= 4 for span in chinese)
    assert keyword_spans("", "none") == {}
    assert keyword_spans("I am", "en") == {"I am": 2}


def test_what_looks_like_a_token_of_the_prompt_is_no_keyword():
    assert list(keyword_spans("he said <|audio|> aloud [PAD]", "en")) == ["he said", "said", "aloud"]


def test_keywords_are_spoken_in_their_utterance_and_distractors_are_not(chosen):
    for row in chosen:
        assert bool(row["keywords"]) == (row["language"] != "none")
        assert 1 <= len(row["distractors"]) <= 4
        assert all(contains(row["text"], keyword, row["language"]) for keyword in row["keywords"])
        assert not any(contains(row["text"], other, row["language"]) for other in row["distractors"])


def test_distractors_sound_like_the_keywords(chosen, tokenizer):
    """Closer than keywords drawn at random from the same vocabulary, and the best known pairs are found."""
    near, far = [], []
    everything = {language: [] for language in TRANSCRIPTS}
    for row in chosen:
        everything[row["language"]] += row["keywords"]
    rng = np.random.default_rng(0)
    for row in chosen.filter(lambda row: row["language"] != "none"):
        language = row["language"]
        others = rng.choice(everything[language], 4)
        for group, words in ((near, row["distractors"]), (far, others)):
            group += [
                min(distance(keyword, str(word), language, tokenizer) for keyword in row["keywords"])
                for word in words
                if word not in row["keywords"]
            ]
    assert np.mean(near) < np.mean(far) - 0.15
    vocabulary = ["hannah march", "boston", "austin", "river", "doctor"]
    alike = SoundAlikes(vocabulary, spell_sounds(vocabulary, ["en"] * 5, tokenizer))
    [sound] = spell_sounds(["anna marsh"], ["en"], tokenizer)
    assert alike.nearest(sound, max_distance=0.5, limit=2) == ["hannah march"]


def test_homophones_are_the_nearest_of_all(tokenizer):
    vocabulary = ["北京", "张山", "张三"]
    alike = SoundAlikes(vocabulary, spell_sounds(vocabulary, ["zh"] * 3, tokenizer))
    [sound] = spell_sounds(["张珊"], ["zh"], tokenizer)
    assert alike.nearest(sound, max_distance=0.5, limit=3) == ["张山", "张三"]


def test_rare_keywords_are_preferred(tokenizer):
    texts = ["turn on the radio please"] * 60 + ["turn on the gramophone please"]
    rows = Dataset.from_dict({"text": texts, "language": ["en"] * 61})
    found = 0
    for seed in range(20):
        chooser = KeywordChooser(rows, ContextConfig(max_keywords=1, seed=seed), tokenizer)
        [[keyword]] = chooser.choose(texts[-1:], ["en"], [60])["keywords"]
        found += "gramophone" in keyword
    assert found >= 18


def test_choice_depends_on_seed_and_row_alone(rows, chosen, tokenizer):
    chooser = KeywordChooser(rows, ContextConfig(), tokenizer)
    one = chooser.choose([rows[3]["text"]], ["en"], [3])
    assert one == {name: [chosen[3][name]] for name in keywords.COLUMNS}
    other = KeywordChooser(rows, ContextConfig(seed=1), tokenizer)
    assert add_keywords(rows, other)["keywords"][:] != chosen["keywords"][:]
    in_two_processes = add_keywords(rows, chooser, num_proc=2)
    for name in keywords.COLUMNS:
        assert in_two_processes[name][:] == chosen[name][:]


def test_keywords_of_rows_in_memory_are_chosen_once(rows, tokenizer, tmp_path, monkeypatch):
    chooser = KeywordChooser(rows, ContextConfig(), tokenizer)
    first = add_keywords(rows, chooser, cache_dir=tmp_path)
    other = KeywordChooser(rows, ContextConfig(seed=3), tokenizer)
    monkeypatch.setattr(KeywordChooser, "choose", lambda *args: pytest.fail("chosen twice"))
    assert add_keywords(rows, chooser, cache_dir=tmp_path)["keywords"][:] == first["keywords"][:]
    with pytest.raises(pytest.fail.Exception):
        add_keywords(rows, other, cache_dir=tmp_path)


def test_important_keywords_are_found_where_they_are_spoken(rows, tokenizer, tmp_path):
    file = tmp_path / "important.txt"
    file.write_text("boston\n北京\n")
    for important in (["boston", "北京"], str(file)):
        found = add_keywords(rows, KeywordChooser(rows, ContextConfig(important_keywords=important), tokenizer))
        spoken = {row["text"]: row["important"] for row in found if row["important"]}
        assert spoken == {TRANSCRIPTS["en"][2]: ["boston"], TRANSCRIPTS["zh"][2]: ["北京"]}
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ContextConfig(important_keywords=str(tmp_path / "nowhere")).important()


def test_shares_of_prompts_without_hints_and_with_wrong_hints_alone(chosen):
    row = chosen[0]
    config = ContextConfig(no_hint_probability=0.3, distractors_only_probability=0.25)
    kinds = {"none": 0, "wrong": 0, "right": 0}
    orders = set()
    for seed in range(2000):
        hints = draw_hints(row, config, np.random.default_rng(seed))
        own = [hint for hint in hints if hint in row["keywords"]]
        kinds["none" if not hints else "right" if own else "wrong"] += 1
        orders.add(hints.index(own[0]) if own else None)
        assert set(hints) <= {*row["keywords"], *row["distractors"]} and len(hints) == len(set(hints))
    assert kinds["none"] / 2000 == pytest.approx(0.3, abs=0.03)
    assert kinds["wrong"] / (2000 - kinds["none"]) == pytest.approx(0.25, abs=0.03)
    assert {0, 1, 2, 3} <= orders, "the right hint must not be told by its place"


def test_audio_without_speech_is_hinted_wrongly_only(chosen):
    row = chosen[len(chosen) - 1]
    draws = [draw_hints(row, ContextConfig(), np.random.default_rng(seed)) for seed in range(100)]
    assert any(draws) and all(set(hints) <= set(row["distractors"]) for hints in draws)


@pytest.mark.parametrize(
    "arguments",
    [{"max_keywords": 0}, {"no_hint_probability": 1.1}, {"distractors_only_probability": -1}, {"max_distance": 1.5}],
)
def test_settings_that_cannot_be_meant_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ContextConfig(**arguments)


def test_transcripts_without_any_keyword_are_an_error(tokenizer):
    rows = Dataset.from_dict({"text": ["", "a"], "language": ["none", "en"]})
    with pytest.raises(ValueError, match="no transcript has a keyword"):
        KeywordChooser(rows, ContextConfig(), tokenizer)
