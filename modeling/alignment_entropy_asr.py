# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""When phonemes and words were spoken: CTC forced alignment by torchaudio.

A trained CTC head is peaky: it marks a phoneme by a frame or two, somewhere in the middle of it, and leaves the rest
to the blank. Times are made of these marks by sharing out the blanks between neighbours (`LEAD_SHARE` and below),
which was settled on synthetic speech with known boundaries (tests/benchmarks/benchmark_timestamps.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from .spoken_text_entropy_asr import spoken_characters
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer
from .torchaudio_entropy_asr import TokenSpan, forced_align, merge_tokens


# Of the blanks between two phonemes this share goes to the later one, the rest to the earlier one: marks come early in
# long vowels. Where the pause is long, no more than these seconds.
LEAD_SHARE = 1 / 3
MAX_LEAD, MAX_TAIL = 0.04, 0.12


@dataclass(frozen=True, slots=True)
class TimedText:
    """A piece of a transcript and when it was spoken.

    Args:
        text: A word with the punctuation and white space around it, so that the words of a transcript joined are the
            transcript; or a phoneme.
        start, end: Seconds from the beginning of the audio; `None` where no alignment is possible.
        confidence: Mean posterior probability of its phonemes, in [0, 1]; `None` for what has no phonemes.
    """

    text: str
    start: float | None
    end: float | None
    confidence: float | None


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


def align_words(
    log_probs: torch.Tensor,
    text: str,
    phoneme_tokenizer: EntropyASRPhonemeTokenizer,
    seconds_per_frame: float,
    language: str | None = None,
) -> list[TimedText]:
    """When the words of a transcript were spoken. The extra `g2p` turns them into phonemes.

    Args:
        log_probs: Log-probabilities `(T, V)` of the valid frames of the utterance.
        text: What was said. Words are those of [`EntropyASRPhonemeTokenizer.phonemize_words`]: a Chinese character
            each, English between white space.
        phoneme_tokenizer: Vocabulary of the phoneme head.
        seconds_per_frame: Of the encoder (`processor.seconds_per_frame`).
        language: Which language reads the digits; see the tokenizer.

    Returns:
        The words in order; start and end never decrease, and lie in the audio. A word without phonemes (of another
        script) lasts from the word before it to the word after it. Where the text has more phonemes than the audio
        has room for, no word has a time, and all have confidence 0.

    Raises:
        ImportError: the extra `g2p` is not installed.
    """
    words = phoneme_tokenizer.phonemize_words(text, language)
    pieces = _cut_at_words(text, [word for word, _ in words])
    blank, unknown = phoneme_tokenizer.blank_token_id, phoneme_tokenizer.unk_token_id
    ids = [[i for i in phoneme_tokenizer.convert_tokens_to_ids(units) if i != unknown] for _, units in words]
    if sum(map(len, ids)) == 0:
        return _fill_gaps([TimedText(piece, None, None, None) for piece in pieces], len(log_probs) * seconds_per_frame)
    if frames_needed(sum(ids, [])) > len(log_probs):
        return [TimedText(piece, None, None, 0.0) for piece in pieces]
    times = time_spans(align_phonemes(log_probs, sum(ids, []), blank), len(log_probs), seconds_per_frame)
    timed = []
    for piece, word_ids in zip(pieces, ids, strict=True):
        spoken, times = times[: len(word_ids)], times[len(word_ids) :]
        if spoken:
            confidence = sum(score for *_, score in spoken) / len(spoken)
            timed.append(TimedText(piece, spoken[0][0], spoken[-1][1], confidence))
        else:
            timed.append(TimedText(piece, None, None, None))
    return _fill_gaps(timed, len(log_probs) * seconds_per_frame)


def align_text_phonemes(
    log_probs: torch.Tensor,
    text: str,
    phoneme_tokenizer: EntropyASRPhonemeTokenizer,
    seconds_per_frame: float,
    language: str | None = None,
) -> list[TimedText]:
    """When the phonemes of a transcript were spoken, in seconds.

    `log_probs` is `(T, V)`; arguments and the rest are as in [`align_words`].
    """
    unknown = phoneme_tokenizer.unk_token_id
    ids = [i for i in phoneme_tokenizer(text, language)["input_ids"] if i != unknown]
    symbols = phoneme_tokenizer.convert_ids_to_tokens(ids)
    if frames_needed(ids) > len(log_probs):
        return [TimedText(symbol, None, None, 0.0) for symbol in symbols]
    spans = align_phonemes(log_probs, ids, phoneme_tokenizer.blank_token_id)
    times = time_spans(spans, len(log_probs), seconds_per_frame)
    return [TimedText(symbol, *time) for symbol, time in zip(symbols, times, strict=True)]


def time_spans(
    spans: Sequence[TokenSpan], num_frames: int, seconds_per_frame: float
) -> list[tuple[float, float, float]]:
    """`(start, end, score)` in seconds of aligned phonemes, the blanks between them shared out."""
    times = []
    for position, span in enumerate(spans):
        before = spans[position - 1].end if position else 0
        after = spans[position + 1].start if position + 1 < len(spans) else num_frames
        lead = (span.start - before) * seconds_per_frame * (LEAD_SHARE if position else 1)
        tail = (after - span.end) * seconds_per_frame * (1 - LEAD_SHARE if position + 1 < len(spans) else 1)
        start = span.start * seconds_per_frame - min(lead, MAX_LEAD)
        end = span.end * seconds_per_frame + min(tail, MAX_TAIL)
        # Where all blanks are shared out, the two sides of a border differ by rounding.
        start = max(start, times[-1][1] if times else 0.0)
        times.append((start, min(end, num_frames * seconds_per_frame), span.score))
    return times


def _fill_gaps(words: list[TimedText], duration: float) -> list[TimedText]:
    """Give words without a time that between their neighbours."""
    filled, last = [], 0.0
    for position, word in enumerate(words):
        if word.start is None:
            following = (later.start for later in words[position + 1 :] if later.start is not None)
            word = replace(word, start=last, end=next(following, duration))
        filled.append(word)
        last = word.end
    return filled


def _cut_at_words(text: str, words: list[str]) -> list[str]:
    """Pieces of a text, one a word: from the end of the piece before it to the white space after the word.

    The tokenizer's words are of text as it is spoken; one that cannot be found again stands for itself.
    """
    normalised = spoken_characters(text)
    searched = "".join(part for part, _ in normalised)
    starts, position = [], 0
    for word in words:
        found = searched.find(word, position)
        if found < 0:
            return words
        starts.append(normalised[found][1])
        position = found + len(word)
    limits = pairwise([*starts, len(text)])
    # What stands after a word, up to its last white space, is its own; quotes before the next word are the next one's.
    cuts = [0, *(_cut_before(text, start, end) for start, end in limits)]
    cuts[-1] = len(text)
    return [text[start:end] for start, end in pairwise(cuts)]


def _cut_before(text: str, start: int, end: int) -> int:
    """Where the piece of a word at `start` ends before the next word at `end`: at the last white space between."""
    for index in range(end - 1, start, -1):
        if text[index].isspace():
            return index
    return end


def frames_needed(phoneme_ids: Sequence[int]) -> int:
    """Fewest frames that a CTC path through these phonemes has: equal neighbours need a blank between them."""
    return len(phoneme_ids) + sum(first == second for first, second in pairwise(phoneme_ids))


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
