# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""When each phoneme is spoken, by CTC forced alignment (Viterbi: torchaudio's `forced_align`)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torchaudio.functional import TokenSpan, forced_align, merge_tokens


def align_phonemes(log_probs: torch.Tensor, phoneme_ids: Sequence[int], blank: int = 0) -> list[TokenSpan]:
    """The most probable CTC alignment of a phoneme sequence.

    Args:
        log_probs: Log-probabilities of the phoneme head for the valid frames of one utterance, `(T, V)`; any device
            and floating-point type. The alignment is found on the CPU in float32.
        phoneme_ids: The L phonemes that were said, in order, without blanks.
        blank: Id of the CTC blank.

    Returns:
        One span for each phoneme, in order: `token` is the phoneme's id, `start` (inclusive) and `end` (exclusive) are
        frames, `score` is the mean posterior probability of the phoneme over its frames, in [0, 1]. Spans do not
        overlap; frames between them are blank. A trained CTC head is peaky, so that many spans are one frame long. No
        phonemes give no spans.

    Raises:
        ValueError: `log_probs` is not `(T, V)` floats or holds NaN; a phoneme is the blank or outside the vocabulary;
            there are fewer frames than the phonemes need (one each, and a blank between equal neighbours); or every
            alignment has probability zero.
    """
    phoneme_ids = [int(phoneme) for phoneme in phoneme_ids]
    _check_emission(log_probs, phoneme_ids, blank)
    if not phoneme_ids:
        return []
    targets = torch.tensor([phoneme_ids], dtype=torch.int32)
    path, scores = forced_align(log_probs.detach().cpu().float()[None], targets, blank=blank)  # (1, T) each
    if torch.isneginf(scores).any():
        raise ValueError(f"No alignment of the {len(phoneme_ids)} phonemes has a probability above zero.")
    return merge_tokens(path[0], scores[0].exp(), blank=blank)


def frames_needed(phoneme_ids: Sequence[int]) -> int:
    """Fewest frames that a CTC path through these phonemes has: equal neighbours need a blank between them."""
    repeats = sum(first == second for first, second in pairwise(phoneme_ids))
    return len(phoneme_ids) + repeats


def _check_emission(log_probs: torch.Tensor, phoneme_ids: list[int], blank: int) -> None:
    if log_probs.ndim != 2 or not log_probs.is_floating_point():
        raise ValueError(
            f"`log_probs` must be floats of shape (frames, phonemes), not {log_probs.dtype} of shape "
            f"{tuple(log_probs.shape)}."
        )
    if log_probs.isnan().any():
        raise ValueError("`log_probs` holds NaN.")
    num_frames, vocab_size = log_probs.shape
    if not 0 <= blank < vocab_size:
        raise ValueError(f"`blank` ({blank}) must be 0 to {vocab_size - 1}.")
    wrong = sorted({phoneme for phoneme in phoneme_ids if phoneme == blank or not 0 <= phoneme < vocab_size})
    if wrong:
        raise ValueError(f"`phoneme_ids` must be 0 to {vocab_size - 1} and not the blank {blank}: found {wrong}.")
    if num_frames < frames_needed(phoneme_ids):
        raise ValueError(
            f"{num_frames} frames are too few for {len(phoneme_ids)} phonemes: a CTC alignment of them needs at least "
            f"{frames_needed(phoneme_ids)}."
        )
