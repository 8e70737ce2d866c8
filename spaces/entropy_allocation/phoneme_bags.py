# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Transcripts as bags of phonemes: how often each occurs, as shares of the transcript."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import torch


UNREADABLE = "<unk>"


def count_phonemes(phonemes, number: int) -> Counter:
    """How often each phoneme occurs in one transcript.

    Args:
        phonemes: Ids (whole numbers) or symbols (strings), one a phoneme.
        number: Of the utterance, for errors.

    Raises:
        ValueError: neither ids nor symbols, or none at all.
    """
    if isinstance(phonemes, torch.Tensor):
        phonemes = phonemes.cpu().numpy()
    if isinstance(phonemes, np.ndarray):
        phonemes = phonemes.tolist()
    if isinstance(phonemes, (str, bytes)) or not isinstance(phonemes, Iterable):
        raise ValueError(f"`phonemes` of utterance {number} must be a list of ids or symbols, got {phonemes!r}.")
    listed = [item.item() if isinstance(item, (np.generic, torch.Tensor)) else item for item in phonemes]
    for item in listed:
        if isinstance(item, bool) or not isinstance(item, (int, str)):
            raise ValueError(f"`phonemes` of utterance {number} holds {item!r}, which is no id and no symbol.")
    if not listed:
        raise ValueError(f"Utterance {number} has no phonemes: leave out utterances without speech.")
    return Counter(listed)


def phoneme_bags(counts: Sequence[Counter]) -> tuple[np.ndarray, list]:
    """Shares of the phonemes of each transcript, `(N, V)` float64 with rows of sum 1; and the V phonemes."""
    symbols = sorted({symbol for bag in counts for symbol in bag}, key=lambda symbol: (str(type(symbol)), symbol))
    columns = {symbol: column for column, symbol in enumerate(symbols)}
    bags = np.zeros((len(counts), len(symbols)))
    for row, bag in enumerate(counts):
        for symbol, count in bag.items():
            bags[row, columns[symbol]] = count
    return bags / bags.sum(1, keepdims=True), symbols


def phonemes_of_texts(texts: Sequence[str], languages: Sequence[str | None], first: int) -> list[list[str]]:
    """Phonemes of transcripts by the project's own grapheme-to-phoneme conversion.

    Args:
        texts: The transcripts.
        languages: Of each one; None where its script says enough.
        first: Number of the first utterance, for errors.

    Raises:
        ImportError: the package or its extra `g2p` is missing.
        ValueError: an unknown language, or text that no language of the package reads.
    """
    try:
        from entropy_asr.modeling import EntropyASRPhonemeTokenizer
        from entropy_asr.modeling.languages_entropy_asr import language_code
    except ImportError as error:
        raise ImportError(
            f"`texts` become phonemes by the package entropy-asr with its extra g2p, which cannot be imported "
            f"({error}): install it, or give `phonemes`."
        ) from error
    codes = [language_code(language, optional=True) for language in languages]
    found = EntropyASRPhonemeTokenizer().phonemize_batch(list(texts), codes)
    for number, (text, phonemes) in enumerate(zip(texts, found, strict=True), first):
        if UNREADABLE in phonemes:
            raise ValueError(f"Text of utterance {number} has letters that cannot be read as phonemes: {text!r}.")
        if not phonemes:
            raise ValueError(f"Text of utterance {number} has no phonemes ({text!r}): leave out what has no speech.")
    return found
