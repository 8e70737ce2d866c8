# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which language was spoken, by two witnesses that know nothing of each other.

Where the prompt leaves the language to the model, the probability with which the language model begins its answer in
the letters of a language; and how much of what the phoneme head finds are sounds of that language alone. What each
says is a share of each language; as independent witnesses of one fact they are multiplied. On development rows in
English and Mandarin the bundled checkpoint's product was as often right as its language model and better calibrated,
and both were better than its phoneme head (`python tests/benchmarks/benchmark_spoken_language.py --data_dir D`).

Languages that share their letters are told apart by the phoneme head alone.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import torch
from transformers.generation import LogitsProcessor
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from .languages_entropy_asr import LANGUAGES, Language
from .letters_entropy_asr import character_starts, tokens_alone
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


# Frames of each language that are counted before any is found: a few sounds are no proof.
PRIOR_FRAMES = 1.0
# Probability of each language that no language model can take from it: a script seldom written is no proof.
PRIOR_PROBABILITY = 1e-4


def known_languages() -> list[Language]:
    """Languages that may be told: those with letters of their own or phonemes."""
    return [entry for entry in LANGUAGES.values() if entry.letters or entry.g2p is not None]


class FirstTokenLanguages(LogitsProcessor):
    """Listens, in `generate`, in which language's letters the language model begins its answer; changes nothing.

    Args:
        tokenizer: the language model's.
        num_rows: B, the batch's utterances; rows of beams and samples are copies of them.

    Attributes:
        mass (`torch.Tensor` of shape `(B, num_languages)`): probability of first tokens in the letters of each
            language, in the order of [`known_languages`]; `None` before `generate`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, num_rows: int):
        self.tokenizer, self.num_rows = tokenizer, num_rows
        self.mass: torch.Tensor | None = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores `(num_rows, vocab_size)` of the next tokens, as they were."""
        if self.mass is None:
            first = scores[:: len(scores) // self.num_rows].float().softmax(-1)  # (B, V)
            writes = _writing_tokens(self.tokenizer, scores.shape[-1], tuple(known_languages()))
            self.mass = first.cpu() @ writes.T
        return scores


@lru_cache(maxsize=8)
def _writing_tokens(
    tokenizer: PreTrainedTokenizerBase, vocab_size: int, languages: tuple[Language, ...]
) -> torch.Tensor:
    """1 where a token begins text in a language's letters, `(num_languages, vocab_size)`."""
    starts = [character_starts(language.letters) for language in languages]
    tokens = tokens_alone(tokenizer, vocab_size)
    begins = [
        [language.writes(text) or part in own for text, part in tokens]
        for language, own in zip(languages, starts, strict=True)
    ]
    return torch.tensor(begins, dtype=torch.float32)


def phoneme_language_shares(log_probs: torch.Tensor, phoneme_tokenizer: EntropyASRPhonemeTokenizer) -> torch.Tensor:
    """Share of each language in the phonemes that are its own, `(num_languages,)`, in the order of `known_languages`.

    A language without phonemes of its own is neither found nor missing: its share is that of chance.

    Args:
        log_probs: log-probabilities `(T, V)` of the phoneme head for the valid frames of an utterance.
        phoneme_tokenizer: vocabulary of the head.
    """
    languages, known = known_languages(), phoneme_tokenizer.encoder
    inventories = [set(entry.g2p.phonemes) & set(known) if entry.g2p is not None else set() for entry in languages]
    own = [phonemes - _union(inventories, but=number) for number, phonemes in enumerate(inventories)]
    frames = log_probs.detach().cpu().float().exp().sum(0)  # (V,)
    counts = torch.tensor([frames[[known[phoneme] for phoneme in phonemes]].sum().item() for phonemes in own])
    has_own = torch.tensor([bool(phonemes) for phonemes in own])
    shares = torch.full((len(languages),), 1 / max(1, len(languages)))
    counts_of_own = counts[has_own] + PRIOR_FRAMES
    shares[has_own] = counts_of_own / counts_of_own.sum() * shares[has_own].sum()
    return shares


def _union(inventories: Iterable[set[str]], but: int) -> set[str]:
    return set().union(*(phonemes for number, phonemes in enumerate(inventories) if number != but))


def language_probabilities(first_tokens: torch.Tensor | None, by_sound: torch.Tensor | None) -> dict[str, float]:
    """Probability of each language by its code; the sum is 1.

    Args:
        first_tokens: `(num_languages,)`, a row of [`FirstTokenLanguages`]; `None` where the prompt named a language.
        by_sound: `(num_languages,)`, [`phoneme_language_shares`]; `None` where the phoneme head was never trained.
    """
    product = torch.ones(len(known_languages()))
    if first_tokens is not None:
        product = product * (first_tokens + PRIOR_PROBABILITY)
    if by_sound is not None:
        product = product * by_sound
    return {
        entry.code: value for entry, value in zip(known_languages(), (product / product.sum()).tolist(), strict=True)
    }


class SpokenLanguages:
    """Which languages the utterances of a batch are in, known once `generate` has begun with the listener.

    Args:
        tokenizer: the language model's.
        phoneme_tokenizer: vocabulary of the phoneme head.
        asked: code of the language that each prompt names; `None` where the model decides.
        frames: log-probabilities `(T, V)` of the phoneme head for each utterance; `None` where it was never trained.
        first_tokens: `mass` of an earlier listener, where the first tokens are written already.

    Attributes:
        listener ([`FirstTokenLanguages`]): for `generate`.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        phoneme_tokenizer: EntropyASRPhonemeTokenizer,
        asked: Sequence[str | None],
        frames: Sequence[torch.Tensor] | None,
        first_tokens: torch.Tensor | None = None,
    ):
        self.phoneme_tokenizer, self.asked, self.frames = phoneme_tokenizer, asked, frames
        self.listener = FirstTokenLanguages(tokenizer, len(asked))
        self.listener.mass = first_tokens

    def probabilities(self) -> list[dict[str, float]]:
        """Probability of each language by its code, for each utterance."""
        found = []
        for number, (asked, row) in enumerate(zip(self.asked, self.listener.mass, strict=True)):
            by_sound = None
            if self.frames is not None:
                by_sound = phoneme_language_shares(self.frames[number], self.phoneme_tokenizer)
            # Where the prompt names a language, the answer begins as it says.
            found.append(language_probabilities(row if asked is None else None, by_sound))
        return found

    def codes(self) -> list[str]:
        """The language that each prompt names, or else the most probable one."""
        pairs = zip(self.asked, self.probabilities(), strict=True)
        return [asked or max(probabilities, key=probabilities.get) for asked, probabilities in pairs]


__all__ = [
    "FirstTokenLanguages",
    "SpokenLanguages",
    "known_languages",
    "language_probabilities",
    "phoneme_language_shares",
]
