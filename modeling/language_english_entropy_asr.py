# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""English: its entry, and how it is read.

Phonemes are the IPA of espeak-ng's `en-us` voice without stress marks, one token a phone: `oʊ`, `ɪɹ` and `tʃ` are one.
"""

import logging
import re
import threading
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from .language_entry_entropy_asr import GraphemeToPhoneme, Language, latin_style, missing_g2p
from .numerals_english_entropy_asr import read_numbers


# Latin letters that espeak-ng reads in words: ASCII, Latin-1 and Latin Extended-A. It spells others by their numbers.
LATIN = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u017f"
# fmt: off
VOWELS = (
    "i", "iː", "ɪ", "ᵻ", "eɪ", "ɛ", "æ", "ɑː", "ɔ", "ɔː", "oʊ", "ʊ", "uː", "ʌ", "ɐ", "ə", "ɜː", "ɚ", "aɪ", "aʊ", "ɔɪ",
    "iə", "aɪə", "aɪɚ", "ɪɹ", "ɛɹ", "ɑːɹ", "ɔːɹ", "oːɹ", "ʊɹ", "əl", "n̩",
)
CONSONANTS = (
    "p", "b", "t", "d", "k", "ɡ", "ʔ", "ɾ", "tʃ", "dʒ", "f", "v", "θ", "ð", "s", "z", "ʃ", "ʒ", "h", "m", "n", "ŋ",
    "l", "ɹ", "j", "w",
)
# fmt: on
# Sounds that espeak-ng keeps for foreign names in English text ("loch", "Utrecht", "barr'st"), by the nearest English
# phone. `r` and `x` would otherwise meet the Mandarin initials of that spelling.
_ALIASES = {"r": "ɹ", "x": "k", "ç": "ʃ", "ɬ": "l", "ɑ̃": "ɑː", "ɔ̃": "ɔː", "ɲ": "n", "ɡʲ": "ɡ", "l̩": "əl"}

# espeak-ng's library has one state for the process, and calls of several threads would mix their texts in it.
_ESPEAK_LOCK = threading.Lock()


@lru_cache(maxsize=1)
def _backend():
    """phonemizer's backend over the espeak-ng library of `espeakng-loader`, and its separator; once a process."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise missing_g2p("espeakng-loader", error) from error
    try:
        from phonemizer.backend import EspeakBackend
        from phonemizer.backend.espeak.wrapper import EspeakWrapper
        from phonemizer.separator import Separator
    except ImportError as error:
        raise missing_g2p("phonemizer", error) from error
    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    quiet = logging.getLogger(f"{__name__}.phonemizer")
    quiet.setLevel(logging.ERROR)
    backend = EspeakBackend(
        "en-us", with_stress=False, language_switch="remove-flags", words_mismatch="ignore", logger=quiet
    )
    return backend, Separator(phone=" ", word=" | ", syllable="")


class EnglishPhonemes(GraphemeToPhoneme):
    """Pronunciation by espeak-ng, with numbers as they are said. A word is what stands between blanks."""

    phonemes = (*VOWELS, *CONSONANTS)
    vowels = frozenset(VOWELS)
    sound_classes = (
        *("i iː ɪ ᵻ", "ə ɐ ʌ", "ɛ æ", "ɑː ɔ ɔː", "ʊ uː", "aɪ aɪə", "ɜː ɚ", "ɪɹ iə", "ɔːɹ oːɹ ʊɹ"),
        *("p b", "t d ɾ ʔ", "k ɡ", "tʃ dʒ", "f v", "θ ð", "s z", "ʃ ʒ", "n ŋ"),
    )

    contexts = ("bob {} ox", "bob {} cab")
    derivations = ("ɚ", "ɚ z", "ɪ ŋ", "ɪ ŋ z", "n ə s")  # -er, -ing, -ness
    endings = ("z", "s", "ᵻ z", "ɹ")  # 's, and the r of "layer of"

    def phonemize(self, texts: Sequence[str]) -> list[list[str]]:
        """IPA phones of each text; espeak-ng is called once for all of them."""
        if not texts:
            return []
        spoken = [_spoken(text) for text in texts]
        with _ESPEAK_LOCK:
            backend, separator = _backend()
            lines = backend.phonemize(spoken, separator=separator, strip=True)
        return [[_ALIASES.get(phone, phone) for phone in line.split() if phone != "|"] for line in lines]

    def words(self, text: str) -> list[tuple[str, list[str]]]:
        """Words with their phones in this text, punctuation stripped at both ends."""
        written = text.split()
        pairs = [pair for pair in zip(written, read_numbers(written), strict=True) if re.search(r"\w", pair[0])]
        words = [re.sub(r"^\W+|\W+$", "", word) for word, _ in pairs]
        [phones] = self.phonemize([text])
        if len(words) < 2:
            return [(word, phones) for word in words]
        alone = self.phonemize([spoken for _, spoken in pairs])
        return list(zip(words, _assign_to_words(phones, alone), strict=True))


def _spoken(text: str) -> str:
    """A text with what is said for its numbers."""
    if not re.search(r"\d", text):
        return text
    return " ".join(read_numbers(text.split()))


def _substitution_cost(phone: str, other: str) -> float:
    if phone == other:
        return 0.0
    return 1.0 if (phone in VOWELS) == (other in VOWELS) else 2.0


def _assign_to_words(phones: list[str], words: list[list[str]]) -> list[list[str]]:
    """Divides the phones of a sentence among its words, given each word's phones in isolation.

    espeak-ng joins short words ("of the" is one) and expands numbers, so that its own word breaks are not the text's.
    Connected speech differs from isolated words by weak forms and linking sounds only: a minimum edit alignment.
    """
    flat = [(phone, index) for index, word in enumerate(words) for phone in word]
    rows, columns = len(phones), len(flat)
    cost = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows + 1):
        for column in range(columns + 1):
            options = []
            if row and column:
                substitution = _substitution_cost(phones[row - 1], flat[column - 1][0])
                options.append(cost[row - 1][column - 1] + substitution)
            if row:
                options.append(cost[row - 1][column] + 1)
            if column:
                options.append(cost[row][column - 1] + 1)
            cost[row][column] = min(options, default=0.0)
    return _trace_words(phones, flat, cost, len(words))


def _trace_words(
    phones: list[str], flat: list[tuple[str, int]], cost: list[list[float]], num_words: int
) -> list[list[str]]:
    assigned: list[list[str]] = [[] for _ in range(num_words)]
    row, column = len(phones), len(flat)
    while row:
        substitution = _substitution_cost(phones[row - 1], flat[column - 1][0]) if column else None
        if column and cost[row][column] == cost[row - 1][column - 1] + substitution:
            row, column = row - 1, column - 1
            assigned[flat[column][1]].insert(0, phones[row])
        elif cost[row][column] == cost[row - 1][column] + 1:  # a linking sound belongs to the word before it
            row -= 1
            assigned[flat[max(column - 1, 0)][1]].insert(0, phones[row])
        else:
            column -= 1
    return assigned


@cache
def _whisper_normalizer() -> Any:
    # Only what scores text needs it, and its package takes seconds.
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    # The British-American spelling table is not part of transformers; without it, spellings are compared as written.
    return EnglishTextNormalizer({})


def _normalize(text: str) -> str:
    """Lower case, contractions written out, fillers and bracketed remarks dropped, number words as single digits.

    "Forty two" and "42" are both "4 2"; a lone 1 stays "one". The usual Whisper normaliser joins neighbouring digits,
    so that "seven seven seven" becomes "777" and, against "seven", counts as one substitution instead of two
    insertions: they are split again.
    """
    separate = re.sub(r"(?<=\d)(?=\d)", " ", _whisper_normalizer()(text))
    # The normaliser writes a lone 1 as "one", so a 1 that has just become lone must be written so too.
    return " ".join(re.sub(r"(?<!\S)1(?!\S)", "one", separate).split())


ENGLISH = Language(
    "en",
    "English",
    codes=("eng",),
    names=("american english", "british english", "us english", "uk english", "英语", "英語", "英文"),
    letters=LATIN,
    script="Latin letters",
    g2p=EnglishPhonemes(),
    transcript_style=latin_style,
    normalize=_normalize,
    voices=(
        *(("gmw/en-US", "f3"), ("gmw/en-US", "m3"), ("gmw/en-US", "Andrea"), ("gmw/en-US", "shelby")),
        *(("gmw/en", "f2"), ("gmw/en", "m1"), ("gmw/en-GB-scotland", "f4"), ("gmw/en-GB-scotland", "m7")),
        *(("gmw/en-029", "f5"), ("gmw/en-029", "m4"), ("gmw/en-GB-x-rp", "belinda"), ("gmw/en-GB-x-rp", "Michael")),
        *(("gmw/en-US-nyc", "m6"), ("gmw/en-US-nyc", "Alicia")),
        *(("gmw/en-GB-x-gbclan", "steph"), ("gmw/en-GB-x-gbcwmd", "Andy")),
    ),
)


__all__ = ["ENGLISH", "LATIN", "EnglishPhonemes"]
