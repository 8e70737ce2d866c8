# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A transcript in the letters of its language: no English words for Mandarin speech, and no Chinese ones for English.

A language model that was asked for Mandarin still writes an English word here and there for sounds that it does not
know. Where one language is asked for, tokens with letters of others are taken from its choice while it writes. Digits
and punctuation are of every language. Hints stay possible: the tokens that a hotword is made of may be written.

Who asks for no language ("auto") may speak several in a sentence, so there all letters stay possible: how sure the
spoken language is tells nothing of single words. What the phoneme head hears of another language cannot tell either:
in Mandarin sentences of development rows the bundled checkpoint hears English sounds for as long as in the same
sentences with an English word behind them. With `one_language` each utterance is taken to be in one language, the one
that [`~spoken_language_entropy_asr`] finds most probable, and is written in its letters.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.generation import LogitsProcessor
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from .languages_entropy_asr import LANGUAGES
from .prompts_entropy_asr import encode_texts, structure_tokens


_BYTE_OF_CHARACTER = {character: byte for byte, character in bytes_to_unicode().items()}
# What decoders write for a part of a character.
_PART = "\ufffd"
# The basic plane holds the letters of all languages that are written today.
_BASIC_PLANE = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]


class LettersProcessor(LogitsProcessor):
    """Lets each row write its language and its hints.

    Args:
        tokenizer: the language model's.
        languages: code of each of B utterances' language, `None` for any letters; or what gives them, which is called
            once, after the first token's scores are known. Rows of beams and samples are copies of utterances.
        hints: hotwords of each utterance.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        languages: Sequence[str | None] | Callable[[], Sequence[str | None]],
        hints: Sequence[Sequence[str]],
    ):
        self.tokenizer, self._languages, self.hints = tokenizer, languages, hints
        self._forbidden: torch.Tensor | None = None  # of each row, (N, V)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        if self._forbidden is None:
            languages = self._languages() if callable(self._languages) else self._languages
            rows = zip(languages, self.hints, strict=True)
            forbidden = torch.stack([self._forbidden_to(*row, scores.shape[-1]) for row in rows])
            self._forbidden = forbidden.repeat_interleave(len(scores) // len(forbidden), 0).to(scores.device)
        return scores.masked_fill(self._forbidden, -torch.inf)

    def _forbidden_to(self, language: str | None, hints: Sequence[str], vocab_size: int) -> torch.Tensor:
        """Tokens that an utterance may not have, `(V,)`."""
        letters = LANGUAGES[language].letters if language in LANGUAGES else ""
        if not letters:
            return torch.zeros(vocab_size, dtype=torch.bool)
        forbidden = other_letters(self.tokenizer, vocab_size, letters).clone()
        # As they are written, as transcripts have them, at the beginning and behind a blank.
        spellings = [f"{blank}{form}" for hint in hints for form in {hint, hint.lower()} for blank in ("", " ")]
        for ids in encode_texts(self.tokenizer, spellings):
            forbidden[ids] = False
        return forbidden


def _has_other_letters(text: str, letters: str) -> bool:
    own = re.compile(f"[{letters}]")
    return any(one.isalpha() and not own.match(one) for one in text)


@lru_cache(maxsize=8)
def other_letters(tokenizer: PreTrainedTokenizerBase, vocab_size: int, letters: str) -> torch.Tensor:
    """Which tokens have letters that are none of these, `(V,)`.

    Args:
        tokenizer: the language model's.
        vocab_size: V, at least the tokenizer's.
        letters: as of a [`Language`].
    """
    parts = character_starts(letters, others=True) - character_starts(letters)
    tokens = tokens_alone(tokenizer, vocab_size)
    return torch.tensor([part in parts or _has_other_letters(text, letters) for text, part in tokens])


@lru_cache(maxsize=2)
def tokens_alone(tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> list[tuple[str, bytes]]:
    """Text of each of V tokens, and bytes of one that is a part of a character, without blanks before it.

    Tokens that build prompts, and those behind the tokenizer's last, have no text.
    """
    count, structure = min(len(tokenizer), vocab_size), structure_tokens(tokenizer)
    texts = tokenizer.batch_decode([[index] for index in range(count)])
    names = tokenizer.convert_ids_to_tokens(range(count))
    tokens = [("", b"")] * vocab_size
    for index, (text, name) in enumerate(zip(texts, names, strict=True)):
        if index not in structure:
            tokens[index] = (text, _part_bytes(name) if _PART in text else b"")
    return tokens


def character_starts(letters: str, others: bool = False) -> set[bytes]:
    """First bytes, in UTF-8, of letters that byte-level vocabularies cut into several tokens.

    Args:
        letters: as of a [`Language`].
        others: of all letters but these.
    """
    if not letters:
        return set()
    own = re.compile(f"[{letters}]")
    found = (one for one in _BASIC_PLANE if (one.isalpha() and not own.match(one) if others else own.match(one)))
    encoded = (character.encode() for character in found)
    return {code[:length] for code in encoded for length in range(1, len(code))}


def _part_bytes(token: str) -> bytes:
    """Bytes of a token that is a part of a character, without blanks before it."""
    if named := re.fullmatch("<0x([0-9A-Fa-f]{2})>", token):
        return bytes.fromhex(named[1])
    return bytes(_BYTE_OF_CHARACTER[character] for character in token if character in _BYTE_OF_CHARACTER).lstrip()


__all__ = ["LettersProcessor", "character_starts", "other_letters", "tokens_alone"]
