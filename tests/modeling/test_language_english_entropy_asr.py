# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""English read aloud: numbers as people say them, words with the phonemes that they have in their sentence."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from entropy_asr.modeling import language_english_entropy_asr as english
from entropy_asr.modeling.language_english_entropy_asr import ENGLISH
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> EntropyASRPhonemeTokenizer:
    return EntropyASRPhonemeTokenizer()


def test_words_carry_the_phonemes_of_the_sentence(tokenizer: EntropyASRPhonemeTokenizer) -> None:
    text = 'He paid $3.50, in 1984 -- "one of the well-known" men; $5 million, a fire hour.'
    words = tokenizer.phonemize_words(text, "en")
    names = ["He", "paid", "3.50", "in", "1984", "one", "of", "the", "well-known", "men", "5", "million", "a"]
    assert [word for word, _ in words] == [*names, "fire", "hour"]
    assert [phone for _, phones in words for phone in phones] == tokenizer.phonemize(text, "en")
    phones = dict(words)
    assert phones["of"] == ["ʌ", "v"]
    assert phones["the"] == ["ð", "ə"]
    assert phones["paid"] == ["p", "eɪ", "d"]
    assert phones["3.50"] == tokenizer.phonemize("three dollars and fifty cents", "en")
    assert phones["million"] == tokenizer.phonemize("million dollars", "en")
    assert phones["well-known"] == ["w", "ɛ", "l", "n", "oʊ", "n"]


def test_threads_read_one_after_the_other(monkeypatch) -> None:
    busy = threading.Lock()

    class Backend:
        def phonemize(self, texts, separator, strip):
            assert busy.acquire(blocking=False), "another thread is reading"
            time.sleep(0.002)
            busy.release()
            return texts

    monkeypatch.setattr(english, "_backend", lambda: (Backend(), None))
    texts = ["one", "two"] * 8
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(lambda text: ENGLISH.g2p.phonemize([text]), texts))
    assert len(read) == len(texts)


def test_error_rates_compare_number_words_as_single_digits() -> None:
    assert ENGLISH.normalize("Forty-two, OK? It's uh 42") == "4 2 ok it is 4 2"
    assert ENGLISH.normalize("one, seven seven") == "one 7 7"
