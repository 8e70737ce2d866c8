# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hotword index: what is found, what is not, and that it survives saving and changing."""

import json
import random
import sys
import zipfile

import numpy as np
import pytest
from hotword_index import SYMBOLS, found, index_of

from entropy_asr.modeling import hotword_files_entropy_asr, hotwords_entropy_asr
from entropy_asr.modeling.hotwords_entropy_asr import HotwordIndex
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


# Build


def test_words_are_found_as_they_are_said(phoneme_tokenizer):
    words = ["Kaldi", "Kaldi toolkit", "北京", "3M", "  北京 ", "", "Zhongguancun 中关村"]
    index = HotwordIndex.build(words, phoneme_tokenizer)
    assert len(index) == 5
    heard = phoneme_tokenizer.phonemize("we use the Kaldi toolkit in 北京")
    assert index.find_hints(heard) == ["Kaldi toolkit", "北京"]


def test_one_index_serves_heads_with_and_without_the_finer_vowels(phoneme_tokenizer, tmp_path):
    """Indexes are built apart from models: heads of older vocabularies hear one i in 知识 and 鸡, newer ones two."""
    path = tmp_path / "phonemes.json"
    older = [phoneme for phoneme in phoneme_tokenizer.get_vocab() if phoneme[0] not in "ɿʅ"]
    path.write_text(json.dumps({phoneme: number for number, phoneme in enumerate(older)}), encoding="utf-8")
    former = EntropyASRPhonemeTokenizer(str(path))
    for builder in (former, phoneme_tokenizer):
        index = HotwordIndex.build(["知识", "四字"], builder)
        index.save(tmp_path / "index.npz")
        for same in (index, HotwordIndex.load(tmp_path / "index.npz")):
            for tokenizer in (former, phoneme_tokenizer):
                heard = tokenizer.phonemize("学知识，四字好")
                assert same.find_hints(heard) == ["知识", "四字"]


def test_hypothesis_of_ids_or_one_string_is_refused():
    with pytest.raises(ValueError, match="string"):
        index_of("k æ t").search("k æ t")
    with pytest.raises(ValueError, match="symbols, not of such as 5"):
        index_of("k æ t").search([5, 7, 9])


def test_missing_packages_name_their_extra(monkeypatch, phoneme_tokenizer):
    monkeypatch.setitem(sys.modules, "daachorse", None)
    with pytest.raises(ImportError, match=r"daachorse.*entropy-asr\[hotwords\]"):
        index_of("k æ t")


def test_an_index_without_words_finds_nothing_and_needs_no_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "daachorse", None)
    for index in (HotwordIndex(), HotwordIndex({})):
        assert len(index) == 0 and index.words() == []
        assert index.search(["k", "æ", "t"]) == index.search(["k", "æ", "t"], tolerance=0.3) == []
    monkeypatch.undo()
    HotwordIndex().save(tmp_path / "empty.npz")
    loaded = HotwordIndex.load(tmp_path / "empty.npz")
    loaded.update({"cat": ["k", "æ", "t"]})
    assert loaded.find_hints(["k", "æ", "t"]) == ["cat"]


# Update, save, load


def random_words(rng: random.Random, count: int) -> dict[str, list[str]]:
    return {" ".join(word): word for word in (rng.choices(SYMBOLS, k=rng.randint(2, 5)) for _ in range(count))}


@pytest.mark.parametrize("most_recent", [0, 3, 1000])
def test_changed_index_finds_what_a_new_one_finds(monkeypatch, most_recent, tmp_path):
    monkeypatch.setattr(hotwords_entropy_asr, "_MAX_RECENT", most_recent)
    rng = random.Random(1)
    index, words = HotwordIndex(random_words(rng, 20)), None
    words = {word: word.split() for word in index.words()}
    for _ in range(8):
        added = random_words(rng, 4)
        removed = rng.sample(sorted(words), 3)
        index.update(add=added, remove=removed)
        words = {word: phonemes for word, phonemes in words.items() if word not in removed} | added
        fresh = HotwordIndex(words)
        assert sorted(index.words()) == sorted(words) and len(index) == len(words)
        index.save(tmp_path / "words.npz")
        loaded = HotwordIndex.load(tmp_path / "words.npz")
        for _ in range(10):
            heard = rng.choices(SYMBOLS, k=12)
            for tolerance in (0.0, 0.3):
                expected = sorted(map(str, fresh.search(heard, tolerance)))
                assert sorted(map(str, index.search(heard, tolerance))) == expected
                assert sorted(map(str, loaded.search(heard, tolerance))) == expected


def test_update_phonemizes_words(phoneme_tokenizer):
    index = HotwordIndex()
    index.update(add=["Kaldi"], phoneme_tokenizer=phoneme_tokenizer)
    assert index.find_hints(phoneme_tokenizer.phonemize("Kaldi")) == ["Kaldi"]
    with pytest.raises(ValueError, match="phoneme_tokenizer"):
        index.update(add=["Whisper"])


@pytest.mark.parametrize(
    "arguments", [{"remove": ["gone"]}, {"remove": ["k æ t"], "add": {"x": ["x"]}}, {"remove": "k æ t"}]
)
def test_failed_update_changes_nothing(arguments):
    index = index_of("k æ t", "m æ t")
    with pytest.raises((KeyError, ValueError)):
        index.update(**arguments)
    assert index.words() == ["k æ t", "m æ t"]


def test_index_of_another_daachorse_is_built_again(tmp_path, monkeypatch):
    index_of("k æ t").save(tmp_path / "words.npz")
    monkeypatch.setattr(hotword_files_entropy_asr, "_daachorse_version", lambda: "99")
    assert found(HotwordIndex.load(tmp_path / "words.npz"), "k æ t") == ["k æ t"]


def test_files_that_hold_no_index_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"words.txt.*\.npz"):
        index_of("k æ t").save(tmp_path / "words.txt")
    with pytest.raises(FileNotFoundError):
        HotwordIndex.load(tmp_path / "gone.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "text.npz").write_text("no index")
    np.save(tmp_path / "array.npy", np.zeros(3))
    index_of("k æ t").save(tmp_path / "whole.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-300])
    for name in ("other.npz", "text.npz", "cut.npz", "array.npy"):
        with pytest.raises(ValueError, match=f"{name}: not a hotword index"):
            HotwordIndex.load(tmp_path / name)


def test_a_damaged_name_inside_of_an_index_does_not_fill_the_message(tmp_path):
    path = tmp_path / "words.npz"
    index_of("k æ t").save(path)
    data = bytearray(path.read_bytes())
    data[26:28] = b"\xff\xff"  # the length of the first member's name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"words.npz: not a hotword index") as refused:
        HotwordIndex.load(path)
    assert len(str(refused.value)) < 1000 and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("words", np.frombuffer(b"\xff\xfe", np.uint8)),
        ("word_offsets", np.array([0, 5], np.int64)),
        ("word_offsets", np.array([0, 2, 1, 3], np.int64)),
        ("codes", np.array([60_000] * 3, np.uint16)),
        ("codes", np.array([1.5] * 3)),
        ("code_offsets", np.array([0, 3, 3], np.int64)),
        ("common_costs", np.array([np.nan], np.float32)),
        ("common_codes", np.array([60_000], np.uint16)),
        ("header", np.frombuffer(b'{"format": 2, "daachorse": "", "phonemes": [1]}', np.uint8)),
        ("header", np.frombuffer(b"[]", np.uint8)),
        ("automaton", np.zeros(30, np.uint8)),
    ],
)
def test_a_well_formed_file_with_other_arrays_is_refused(tmp_path, name, array):
    path = tmp_path / "words.npz"
    index_of("k æ t").save(path)
    with np.load(path) as arrays:
        changed = dict(arrays) | {name: array}
    np.savez(path, **changed)
    with pytest.raises(ValueError, match=r"words.npz: not a hotword index"):
        HotwordIndex.load(path)


def test_an_automaton_of_another_index_names_the_file(tmp_path):
    index_of("k æ t").save(tmp_path / "one.npz")
    index_of("m æ t", "k æ t").save(tmp_path / "two.npz")
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        np.savez(tmp_path / "mixed.npz", **dict(one) | {"automaton": two["automaton"]})
    with pytest.raises(ValueError, match=r"mixed.npz: its automaton finds words that are not in it"):
        HotwordIndex.load(tmp_path / "mixed.npz").search(["k", "æ", "t"])


def test_no_array_is_made_that_is_larger_than_the_file(tmp_path):
    """NumPy takes memory for what a header states before it reads."""
    path = tmp_path / "words.npz"
    index_of("k æ t").save(path)
    stated = b"'shape': (10000000000,), }"
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    start = members["codes.npy"].index(b"'shape'")
    end = members["codes.npy"].index(b"\n")
    members["codes.npy"] = members["codes.npy"][:start] + stated.ljust(end - start) + members["codes.npy"][end:]
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    with pytest.raises(ValueError, match=r"words.npz: not a hotword index: codes.npy has 6 bytes for an array"):
        HotwordIndex.load(path)
