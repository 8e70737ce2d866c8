# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hotwords begin and end where words do: none is found in the middle of another word or across two."""

import itertools
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_asr.modeling import EntropyASRPhonemeTokenizer, HotwordIndex, hotword_files_entropy_asr
from entropy_asr.modeling.languages_entropy_asr import default_phonemes
from entropy_asr.modeling.misheard_words_entropy_asr import misheard
from entropy_asr.modeling.word_boundaries_entropy_asr import CommonWords, common_pronunciations


DEFAULT_PHONEMES = default_phonemes()
RARE_ENGLISH = [
    *("ann", "nat", "ile", "wert", "byes", "stray", "siege", "whirl", "sanch", "pierce", "wrist", "slice"),
    *("fount", "ending", "sighs", "awhile", "beacon", "plant", "reigned", "cat", "ham", "eden", "tin", "anna", "art"),
    *("Kaldi", "icefall", "Zhongguancun", "Meier", "Grafton", "Oslo", "Hedwig", "kumquat"),
]
PLAIN_ENGLISH = [
    "while they were talking the man had taken the apples which the girls were to eat",
    "you see him in the eyes of a child",
    "everything around appeared to be the mountain and the fountain",
    "he cut in quarters two fresh apples and an onion",
    "by and by a short figure came up out of the dark",
    "there was little time to lose in making preparations",
    "on perceiving this she had found that her husband was no more",
    "the strength that enables someone to stand and hold his body still",
    "and so through many questions they learn at last how to use the contents of this house",
    "they have eaten at noon and started again",
    "the party of the king remained in the hall",
]
RARE_MANDARIN = ["武士", "违背", "已有", "议员", "安慰", "精华", "手中", "抑制", "意味", "正规", "一夜"]
PLAIN_MANDARIN = [
    "政府是没有介入的",
    "你有拿放在里面的钱吗",
    "世界上只有妈妈好",
    "如果我们可以改变这个世界",
    "汽车公司不得不重新考虑大城市未来的交通问题",
    "昨天晚上就已经到家三次",
]


@pytest.fixture(scope="module")
def english(phoneme_tokenizer) -> HotwordIndex:
    return HotwordIndex.build(RARE_ENGLISH, phoneme_tokenizer)


@pytest.fixture(scope="module")
def mandarin(phoneme_tokenizer) -> HotwordIndex:
    return HotwordIndex.build(RARE_MANDARIN, phoneme_tokenizer)


def test_plain_sentences_have_no_hotwords(phoneme_tokenizer, english, mandarin):
    anywhere = HotwordIndex.build([*RARE_ENGLISH, *RARE_MANDARIN], phoneme_tokenizer, common_words=[])
    inside = 0
    for index, sentences in ((english, PLAIN_ENGLISH), (mandarin, PLAIN_MANDARIN)):
        for sentence in sentences:
            heard = phoneme_tokenizer.phonemize(sentence)
            inside += len(anywhere.find_hints(heard))
            assert index.find_hints(heard) == [], sentence
            assert index.find_hints(heard, tolerance=0.2) == [], sentence
    assert inside > 15


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the beacon is on the hill", ["beacon"]),
        ("he broke his wrist yesterday", ["wrist"]),
        ("we went with anna to the house", ["anna"]),
        ("there is a stray cat in the house", ["stray", "cat"]),
        ("the cat's food", ["cat"]),
        ("they went from Oslo to Grafton with Hedwig Meier", ["Oslo", "Grafton", "Hedwig", "Meier"]),
        ("Hedwig of Oslo", ["Hedwig", "Oslo"]),
        ("Kaldi", ["Kaldi"]),
        ("kumquat kumquat kumquat", ["kumquat"]),
    ],
)
def test_words_that_are_said_are_found(phoneme_tokenizer, english, text, expected):
    assert english.find_hints(phoneme_tokenizer.phonemize(text)) == expected


@pytest.mark.parametrize(
    ("hotword", "text"),
    [
        ("the table", "put it on the table please"),  # a phrase of common words
        ("water", "a glass of water please"),  # a common word
        ("night", "that was the knight that we saw"),  # sounds like a common word
        ("New York", "we went to New York in may"),
        ("New York", "New York"),
        ("ABC", "the ABC has said so"),
        ("3M", "we bought it from 3M last year"),
        ("route 66", "we drive on route 66 to the west"),
        ("三星", "我们买了三星的手机"),
        ("2024年", "这是2024年的事情"),
        ("中关村", "他在中关村工作"),
        ("Kaldi", "我们用 Kaldi 做语音识别"),
        ("GitHub", "请把代码放到 GitHub 上"),
        ("北京", "we flew from 北京 to London"),
    ],
)
def test_any_hotword_is_found_where_it_is_said(phoneme_tokenizer, hotword, text):
    index = HotwordIndex.build([hotword], phoneme_tokenizer)
    heard = phoneme_tokenizer.phonemize(text)
    assert index.find_hints(heard) == [hotword]
    assert index.find_hints(heard, tolerance=0.2) == [hotword]


@pytest.mark.parametrize(
    ("hotword", "text", "longer"),
    [
        (
            "New York",
            "we are in New York today",
            ["a New Yorker came", "the New Yorker magazine", "the New Yorkers know"],
        ),
        ("Ann", "ask Ann about it", ["it was their anniversary", "the anniversary"]),
    ],
)
def test_a_hotword_is_not_the_beginning_of_a_longer_word(phoneme_tokenizer, hotword, text, longer):
    index = HotwordIndex.build([hotword], phoneme_tokenizer)
    for tolerance in (0.0, 0.3):
        assert index.find_hints(phoneme_tokenizer.phonemize(text), tolerance) == [hotword]
        for other in longer:
            assert index.find_hints(phoneme_tokenizer.phonemize(other), tolerance) == [], other
    assert index.find_hints(phoneme_tokenizer.phonemize(f"{hotword} or Boston")) == [hotword]


def test_a_short_hotword_in_a_common_word_is_none_with_a_tolerance(phoneme_tokenizer):
    """Leaving it out is cheaper there than any way of having heard it."""
    index = HotwordIndex.build(["fie"], phoneme_tokenizer)
    for text in ("they were satisfied", "gratified"):
        assert index.find_hints(phoneme_tokenizer.phonemize(text), tolerance=0.3) == []


def test_longer_one_of_two_hotwords_wins_where_both_are_words(phoneme_tokenizer):
    index = HotwordIndex.build(["York", "New York", "New York Times", "Times Square"], phoneme_tokenizer)
    phonemize = phoneme_tokenizer.phonemize
    assert index.find_hints(phonemize("he reads the New York Times")) == ["New York Times"]
    assert index.find_hints(phonemize("the duke of York")) == ["York"]
    assert index.find_hints(phonemize("in the New York Times Square")) == ["New York Times", "Times Square"]


def test_words_that_sound_the_same_are_both_found(phoneme_tokenizer):
    index = HotwordIndex.build(["Grafton", "Graphton", "Graffton"], phoneme_tokenizer)
    sounds = {word: phoneme_tokenizer.phonemize(word) for word in index.words()}
    expected = [word for word, phonemes in sounds.items() if phonemes == sounds["Grafton"]]
    assert len(expected) > 1
    assert index.find_hints(phoneme_tokenizer.phonemize("we met Grafton today")) == expected


def test_mandarin_words_begin_with_the_initial(phoneme_tokenizer):
    """意志 is in 地址 no more than 'ear' is in 'hear'."""
    index = HotwordIndex.build(["意味", "意志"], phoneme_tokenizer)
    heard = [*phoneme_tokenizer.phonemize("汽车"), "t", "i4", "zh", "i4"]
    anywhere = HotwordIndex({"意志": ["i4", "zh", "i4"]})
    assert anywhere.find_hints(["t", "i4", "zh", "i4"]) == ["意志"]
    assert index.find_hints(heard) == []
    assert index.find_hints(phoneme_tokenizer.phonemize("他有意志")) == ["意志"]


def test_own_common_words_take_the_place_of_the_built_in_ones(phoneme_tokenizer):
    """The same phonemes are a word by itself, or a part of a word that is common where the index is used."""
    heard = phoneme_tokenizer.phonemize("the grafton is here")
    hotword = {"raft": phoneme_tokenizer.phonemize("raft")}
    words = ["the", "is", "here", "grafton"]
    assert HotwordIndex(hotword).find_hints(heard) == ["raft"]
    assert HotwordIndex(hotword, common_pronunciations(phoneme_tokenizer, words)).find_hints(heard) == []
    index = HotwordIndex.build(["raft"], phoneme_tokenizer, common_words=["the", "is", "here"])
    assert index.find_hints(phoneme_tokenizer.phonemize("the raft is here")) == ["raft"]
    assert HotwordIndex.build(["raft"], phoneme_tokenizer, common_words=[]).find_hints(heard) == ["raft"]
    for wrong, named in (("the", "a list of words, not 'the'"), (["the", 3], "strings, not 3")):
        with pytest.raises(ValueError, match=f"`common_words` must be {named}"):
            HotwordIndex.build(["raft"], phoneme_tokenizer, common_words=wrong)


def test_common_words_of_a_checkpoint_take_the_place_of_the_built_in_ones(phoneme_tokenizer, tmp_path):
    lists = {"en": {"words": ["the is", "grafton"], "joined": ["is_the"]}}
    (tmp_path / "common_words.json").write_text(json.dumps(lists), encoding="utf-8")
    own = common_pronunciations(EntropyASRPhonemeTokenizer(common_words_file=str(tmp_path / "common_words.json")))
    built_in = common_pronunciations(phoneme_tokenizer)
    grafton, night = (tuple(phoneme_tokenizer.phonemize(word)) for word in ("grafton", "night"))
    assert grafton in own and night not in own
    assert night in built_in and grafton not in built_in


def test_silence_strange_sounds_and_empty_lists(phoneme_tokenizer, english):
    for index in (english, HotwordIndex.build([], phoneme_tokenizer)):
        for tolerance in (0.0, 0.3):
            assert index.search([], tolerance) == []
            assert index.search(["<unk>", "never heard of", "k"], tolerance) == []


def with_errors(phonemes: list[str], rate: float, rng: random.Random) -> list[str]:
    """Substitutions, deletions and insertions, as many of each, by any English phoneme."""
    sounds = [phoneme for phoneme in DEFAULT_PHONEMES[2:60] if not phoneme[-1].isdigit()]
    heard: list[str] = []
    for phoneme in phonemes:
        kind = rng.randrange(3) if rng.random() < rate else 3
        heard += [[rng.choice(sounds)], [], [phoneme, rng.choice(sounds)], [phoneme]][kind]
    return heard


def test_tolerance_finds_more_words_without_more_wrong_ones(phoneme_tokenizer, english):
    """Of 40 misheard sentences with a hotword most are found, and in 44 without one next to none."""
    rng = random.Random(0)
    spoken = ["Zhongguancun", "Grafton", "Hedwig", "kumquat", "icefall"]
    exact, tolerant, wrong = 0, 0, 0
    for _, word in itertools.product(range(8), spoken):
        heard = with_errors(phoneme_tokenizer.phonemize(f"we talked about {word} yesterday"), 0.1, rng)
        exact += english.find_hints(heard) == [word]
        hints = english.find_hints(heard, tolerance=0.3)
        tolerant += word in hints
        wrong += len(set(hints) - {word})
    for _, sentence in itertools.product(range(4), PLAIN_ENGLISH):
        wrong += len(english.find_hints(with_errors(phoneme_tokenizer.phonemize(sentence), 0.1, rng), tolerance=0.3))
    assert exact < 26 and tolerant >= 30 and wrong <= 4


# Readings


WORDS = {"a": 3.0, "b": 4.0, "ab": 5.0, "abc": 9.0, "cab": 6.0, "bca": 7.0}
LETTERS = dict(zip("abcd", ["æ", "b", "k", "d"], strict=True))


def code_of(letter: str) -> str:
    return chr(0x100 + 1 + DEFAULT_PHONEMES.index(LETTERS[letter]))


@pytest.fixture(scope="module")
def letters() -> CommonWords:
    costs = {"".join(map(code_of, word)): cost for word, cost in WORDS.items()}
    return CommonWords(costs, ["", *DEFAULT_PHONEMES])


def cheapest_by_trying(text: str) -> float:
    """Of all ways to cut a text into words; an unknown word costs 3 + 3.3 a phoneme, and 6, 3, 1 more if short."""
    best = float("inf")
    for cuts in itertools.product((False, True), repeat=max(0, len(text) - 1)):
        places = [0, *(place for place, cut in enumerate(cuts, start=1) if cut), len(text)]
        words = [text[start:end] for start, end in itertools.pairwise(places)]
        short = {1: 6.0, 2: 3.0, 3: 1.0}
        unknown = [3 + 3.3 * len(word) + short.get(len(word), 0.0) for word in words]
        best = min(best, sum(min(WORDS.get(word, cost), cost) for word, cost in zip(words, unknown, strict=True)))
    return best


@settings(max_examples=60, deadline=None)
@given(text=st.text("abcd", min_size=1, max_size=9))
def test_reading_is_the_cheapest_of_all(letters, text):
    codes, phonemes = "".join(map(code_of, text)), [LETTERS[letter] for letter in text]
    reading = letters.read(codes, phonemes)
    for place in range(1, len(text)):
        assert reading.before[place] == pytest.approx(cheapest_by_trying(text[:place]))
        assert reading.after[place] == pytest.approx(cheapest_by_trying(text[place:]))
    assert reading.before[-1] == pytest.approx(reading.after[0]) == pytest.approx(cheapest_by_trying(text))


@settings(max_examples=60, deadline=None)
@given(text=st.text("abcd", min_size=1, max_size=9))
def test_noisy_reading_is_the_same_from_both_sides_and_no_dearer(letters, text):
    phonemes = [LETTERS[letter] for letter in text]
    codes = np.array([1 + DEFAULT_PHONEMES.index(phoneme) for phoneme in phonemes], np.uint16)
    noisy = misheard(letters).read(codes, phonemes)
    exact = letters.read("".join(map(code_of, text)), phonemes)
    assert noisy.before[0] == noisy.after[-1] == 0
    assert all(one <= other + 0.1 * len(text) + 1e-3 for one, other in zip(noisy.before, exact.before, strict=True))
    assert all(one <= other + 0.1 * len(text) + 1e-3 for one, other in zip(noisy.after, exact.after, strict=True))


def test_common_words_know_how_they_sound_between_others(phoneme_tokenizer):
    costs = common_pronunciations(phoneme_tokenizer)
    for phonemes in ("ð ə", "ð ɪ", "t ə", "t ʊ", "ɐ", "ɪ ɾ", "f ɔː ɹ", "ʌ v ð ə"):
        assert tuple(phonemes.split()) in costs, phonemes
    assert costs["ð", "ə"] < costs["m", "ɪ", "n", "ɪ", "t"] < 15
    assert tuple(phoneme_tokenizer.phonemize("我们")) in costs


# Save, load, update


def test_saved_index_keeps_its_common_words(phoneme_tokenizer, english, tmp_path):
    english.save(tmp_path / "words.npz")
    loaded = HotwordIndex.load(tmp_path / "words.npz")
    for text in [*PLAIN_ENGLISH, "there is a stray cat in the house", "they went to Oslo with Hedwig"]:
        heard = phoneme_tokenizer.phonemize(text)
        for tolerance in (0.0, 0.2):
            assert loaded.search(heard, tolerance) == english.search(heard, tolerance)
    loaded.update(add={"ʘ": ["ʘ", "k", "æ", "ʘ"]}, remove=["cat"])
    assert loaded.find_hints(["ʘ", "k", "æ", "ʘ"]) == ["ʘ"]
    assert loaded.find_hints(["ʘ", "k", "æ", "ʘ"], tolerance=0.2) == ["ʘ"]
    assert loaded.find_hints(phoneme_tokenizer.phonemize("there is a stray cat in the house")) == ["stray"]


def without_boundaries(source, target, **changes) -> None:
    """The file as an earlier release wrote it."""
    with np.load(source) as arrays:
        kept = {name: arrays[name] for name in arrays.files if not name.startswith("common_")}
    header = json.loads(kept["header"].tobytes()) | {"format": 1} | changes
    np.savez(target, **kept | {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)})


def test_files_of_an_earlier_release_still_work_and_say_what_they_lack(tmp_path, english, monkeypatch):
    warnings = []
    monkeypatch.setattr(hotword_files_entropy_asr.logger, "warning", warnings.append)
    english.save(tmp_path / "new.npz")
    HotwordIndex.load(tmp_path / "new.npz")
    assert warnings == []
    without_boundaries(tmp_path / "new.npz", tmp_path / "old.npz")
    old = HotwordIndex.load(tmp_path / "old.npz")
    assert old.words() == english.words() and old.find_hints(["s", "k", "æ", "t", "s"]) == ["cat"]
    assert len(warnings) == 1 and "old.npz" in warnings[0] and "word boundaries" in warnings[0]
    # Sounds that have a coarser one in earlier releases (the vowel of 知) are found by that, others are not.
    before_apical = DEFAULT_PHONEMES[: DEFAULT_PHONEMES.index("ng5") + 1]
    for known, lacks in ((before_apical, False), (before_apical[:-1], True)):
        warnings.clear()
        without_boundaries(tmp_path / "new.npz", tmp_path / "older.npz", phonemes=["", *known])
        HotwordIndex.load(tmp_path / "older.npz")
        assert any("'ng5'" in warning and "Build it again" in warning for warning in warnings) == lacks
        assert not any("'ʅ" in warning or "'ɿ" in warning for warning in warnings)
