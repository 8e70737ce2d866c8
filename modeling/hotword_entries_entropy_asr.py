# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hotwords as they are given: which can be found by their sound, when two are one, and how they are stored."""

import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from transformers.utils import logging

from .languages_entropy_asr import UNK_TOKEN
from .spoken_text_entropy_asr import why_unreadable
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


logger = logging.get_logger(__name__)

# A single phoneme is in every sentence.
MIN_PHONEMES = 2
MAX_TOLERANCE = 0.3
# Texts given to the grapheme-to-phoneme backends at once.
_G2P_BATCH = 10_000
# Phoneme codes become characters from here on, clear of control characters and surrogates. Code 0 is in no word.
_FIRST_CHARACTER = 0x100
# Words named in an error, and in a warning of what was left out.
_NAMED, _NAMED_LEFT_OUT = 5, 50


def import_daachorse():
    """The automaton's package, imported where it is needed.

    Raises:
        ImportError: it is not installed; the message names the extra.
    """
    try:
        import daachorse
    except ImportError as error:
        raise ImportError(
            f"A hotword index needs the package `daachorse`, which cannot be imported ({error}): "
            'pip install "entropy-asr[hotwords]"'
        ) from error
    return daachorse


def check_tolerance(tolerance: float) -> None:
    """Raise a ValueError for a tolerance outside 0 to 0.3: beyond it most hypotheses are near to some hotword."""
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0 <= tolerance <= MAX_TOLERANCE:
        raise ValueError(f"`tolerance` must be a number from 0 to {MAX_TOLERANCE}, not {tolerance!r}.")


def check_tolerance_used(tolerance: float | None, hotwords: object) -> None:
    """Raise a ValueError for a tolerance that was asked for without any hotwords to tolerate something of."""
    if tolerance is not None and hotwords is None:
        raise ValueError("`hotword_tolerance` says how near a hotword has to be, and there are none: give `hotwords`.")


class Entries(NamedTuple):
    """Words and their phoneme codes in four arrays: compact in memory, and saved as they are.

    `words` is UTF-8 in uint8, `codes` uint16; entry i has `words[word_offsets[i]:word_offsets[i + 1]]` and the like.
    """

    words: np.ndarray
    word_offsets: np.ndarray
    codes: np.ndarray
    code_offsets: np.ndarray

    @classmethod
    def pack(cls, pairs: Iterable[tuple[str, Sequence[int]]]) -> "Entries":
        words, word_ends, codes, code_ends = bytearray(), array("q", [0]), array("H"), array("q", [0])
        for word, word_codes in pairs:
            words += word.encode("utf-8")
            codes.extend(word_codes)
            word_ends.append(len(words))
            code_ends.append(len(codes))
        return cls(
            np.array(words, np.uint8),
            np.array(word_ends, np.int64),
            np.array(codes, np.uint16),
            np.array(code_ends, np.int64),
        )

    def __len__(self) -> int:  # not the number of arrays
        return len(self.word_offsets) - 1

    def word(self, entry: int) -> str:
        return self.words[self.word_offsets[entry] : self.word_offsets[entry + 1]].tobytes().decode("utf-8")

    def pairs(self) -> Iterator[tuple[str, list[int]]]:
        text, codes = self.words.tobytes(), self.codes.tolist()
        limits = zip(pairwise(self.word_offsets.tolist()), pairwise(self.code_offsets.tolist()), strict=True)
        for (start, end), (first, last) in limits:
            yield text[start:end].decode("utf-8"), codes[first:last]

    def keys(self) -> list[str]:
        text = to_text(self.codes)
        return [text[start:end] for start, end in pairwise(self.code_offsets.tolist())]


def to_text(codes: Sequence[int] | np.ndarray) -> str:
    """One character a phoneme code, of `(num_phonemes,)`."""
    return (np.asarray(codes, dtype="<u2") + np.uint16(_FIRST_CHARACTER)).tobytes().decode("utf-16-le")


def to_codes(text: str) -> np.ndarray:
    """Phoneme codes of one character each, uint16 `(num_phonemes,)`."""
    return np.frombuffer(text.encode("utf-16-le"), "<u2").astype(np.uint16) - np.uint16(_FIRST_CHARACTER)


def as_words(words: Iterable[str]) -> list[str]:
    """Words without surrounding white space and empty ones.

    Raises:
        ValueError: one string in place of a list, or an item that is no string.
    """
    if isinstance(words, (str, bytes, Mapping)) or not isinstance(words, Iterable):
        raise ValueError(f"Hotwords must be a list of words, not {words!r}.")
    words = list(words)
    for word in words:
        if not isinstance(word, str):
            raise ValueError(f"Hotwords must be strings, not {word!r}.")
    return [stripped for word in words if (stripped := word.strip())]


def identity(word: str) -> str:
    """What makes a word another one: neither the form of Unicode, nor characters that nobody sees, nor blanks."""
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFKC", word) if unicodedata.category(c) != "Cf")
    return " ".join(word.split())


def spelling(word: str) -> str:
    """What a word is written like: its identity in one case. Where the sound is another one ("US", "us"), so is it."""
    return identity(word).casefold()


def unique_pairs(pairs: Iterable[tuple[str, tuple[int, ...]]]) -> list[tuple[str, tuple[int, ...]]]:
    """The first of each word and pronunciation, as it was written; case makes no other word of the same sound."""
    found: dict[tuple, tuple[str, tuple[int, ...]]] = {}
    for word, codes in pairs:
        found.setdefault((spelling(word), codes), (word, codes))
    return list(found.values())


def phonemize_hotwords(
    words: Iterable[str], tokenizer: EntropyASRPhonemeTokenizer, language: str | None, skip_unusable: bool
) -> list[tuple[str, list[str]]]:
    first: dict[str, str] = {}
    for word in as_words(words):
        first.setdefault(identity(word), word)
    words = list(first.values())
    pairs: list[tuple[str, list[str]]] = []
    for start in range(0, len(words), _G2P_BATCH):
        batch = words[start : start + _G2P_BATCH]
        pairs += zip(batch, tokenizer.phonemize_batch(batch, language), strict=True)
    known = tokenizer.get_vocab()
    problems = {word: problem for word, phonemes in pairs if (problem := _problem_of_word(word, phonemes, known))}
    if problems and not skip_unusable:
        raise ValueError(f"Hotwords that cannot be found by their sound: {_name_problems(problems, _NAMED)}.")
    if problems:
        named = _name_problems(problems, _NAMED_LEFT_OUT)
        logger.warning(f"{len(problems)} of {len(words)} hotwords are left out: {named}")
    return [(word, phonemes) for word, phonemes in pairs if word not in problems]


def check_pairs(
    pairs: Mapping[str, Sequence[str]] | Iterable[tuple[str, Sequence[str]]],
) -> list[tuple[str, Sequence[str]]]:
    pairs = list(pairs.items() if isinstance(pairs, Mapping) else pairs)
    problems = {word: problem for word, phonemes in pairs if (problem := _problem_of(phonemes))}
    if problems:
        raise ValueError(f"Hotwords that cannot be found by their sound: {_name_problems(problems, _NAMED)}.")
    return pairs


def _problem_of_word(word: str, phonemes: Sequence[str], known: Mapping[str, int]) -> str | None:
    if UNK_TOKEN in phonemes and (reason := why_unreadable(word)):
        return f"cannot be used: {reason}"
    if strange := [phoneme for phoneme in phonemes if phoneme not in known]:
        return f"has the sound {strange[0]!r}, which the vocabulary of phonemes lacks"
    return _problem_of(phonemes)


def _problem_of(phonemes: Sequence[str]) -> str | None:
    if isinstance(phonemes, str):
        return f"has the string {phonemes!r} in place of a list of phonemes"
    if UNK_TOKEN in phonemes:
        return "has a sound or script without phonemes"
    if len(phonemes) < MIN_PHONEMES:
        return f"has {len(phonemes)} phonemes, {MIN_PHONEMES} are needed"
    return None


def _name_problems(problems: dict[str, str], limit: int) -> str:
    named = "; ".join(f"{word!r} {problem}" for word, problem in list(problems.items())[:limit])
    return named + (f"; and {len(problems) - limit} more" if len(problems) > limit else "")


__all__ = [
    "Entries",
    "as_words",
    "check_pairs",
    "check_tolerance",
    "identity",
    "import_daachorse",
    "phonemize_hotwords",
    "spelling",
    "to_codes",
    "to_text",
    "unique_pairs",
]
