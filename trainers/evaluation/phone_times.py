# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""When phonemes and words are spoken, and the labels that this gives the frames of any encoder."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from entropy_asr.modeling.alignment_entropy_asr import align_phonemes
from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH
from entropy_asr.modeling.spoken_text_entropy_asr import why_unreadable
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer

from .frames import SpeechEncoder


# A peaky CTC head marks one frame of a phoneme: its neighbours within this many seconds, up to half way to the next
# phoneme, are taken for the phoneme too.
MAX_REACH = 0.1
NO_PHONEME = -100


@dataclass
class SpokenUnit:
    """A phoneme or word with its time in seconds."""

    label: Hashable
    start: float
    end: float


@dataclass
class PhoneTimes:
    """Phonemes and words of one utterance; `score` is the mean posterior of the aligned phonemes, None if unknown."""

    phonemes: list[SpokenUnit]
    words: list[SpokenUnit]
    score: float | None = None


def times_from_columns(alignment: dict[str, Any]) -> PhoneTimes:
    """Times that a data set brings, in its column `alignment`.

    Args:
        alignment: `phonemes` and, if known, `words`: lists of `{"label", "start", "end"}`, times in seconds.
    """
    phonemes, words = (
        [SpokenUnit(unit["label"], float(unit["start"]), float(unit["end"])) for unit in alignment.get(name) or []]
        for name in ("phonemes", "words")
    )
    return PhoneTimes(phonemes, words)


def align_transcript(
    aligner: SpeechEncoder,
    tokenizer: EntropyASRPhonemeTokenizer,
    waveform: np.ndarray,
    text: str,
    language: str | None,
) -> PhoneTimes:
    """Times of the phonemes and words of a transcript by forced alignment with a phoneme head.

    The waveform is `(num_samples,)` at the aligner's sampling rate.

    Raises:
        ValueError: no alignment exists, for instance because there are fewer frames than phonemes, or the text is in a
            script without phonemes.
    """
    if problem := why_unreadable(text):
        raise ValueError(problem)
    words = tokenizer.phonemize_words(text, None if language == NON_SPEECH else language)
    words = [(word.lower(), tokenizer.convert_tokens_to_ids(phonemes)) for word, phonemes in words if phonemes]
    log_probs = aligner.phoneme_log_probs(waveform)
    ids = [phoneme for _, phonemes in words for phoneme in phonemes]
    spans = align_phonemes(log_probs, ids, aligner.blank)
    period = len(waveform) / aligner.feature_extractor.sampling_rate / len(log_probs)
    phonemes = widened([SpokenUnit(span.token, span.start * period, span.end * period) for span in spans])
    spoken, first = [], 0
    for word, own in words:
        spoken.append(SpokenUnit(word, phonemes[first].start, phonemes[first + len(own) - 1].end))
        first += len(own)
    score = float(np.mean([span.score for span in spans])) if spans else None
    return PhoneTimes(phonemes, spoken, score)


def widened(units: list[SpokenUnit]) -> list[SpokenUnit]:
    """Each unit with its share of the gaps around it."""
    found = []
    for index, unit in enumerate(units):
        before = units[index - 1].end if index else -np.inf
        after = units[index + 1].start if index + 1 < len(units) else np.inf
        start = max(unit.start - MAX_REACH, (before + unit.start) / 2, 0.0)
        found.append(SpokenUnit(unit.label, start, min(unit.end + MAX_REACH, (unit.end + after) / 2)))
    return found


def frame_labels(units: list[SpokenUnit], numbers: dict[Hashable, int], num_frames: int, seconds: float) -> np.ndarray:
    """Number of the unit spoken at the middle of each frame, `(num_frames,)`; -100 where there is none.

    Args:
        units: Phonemes in order.
        numbers: Number of each label; new ones are added.
        num_frames: Frames of the utterance, evenly spaced.
        seconds: Duration of the utterance.
    """
    labels = np.full(num_frames, NO_PHONEME)
    middles = (np.arange(num_frames) + 0.5) * seconds / num_frames
    for unit in units:
        labels[(middles >= unit.start) & (middles < unit.end)] = numbers.setdefault(unit.label, len(numbers))
    return labels


def word_spans(units: list[SpokenUnit], numbers: dict[Hashable, int], num_frames: int, seconds: float) -> np.ndarray:
    """First frame, end (exclusive) and number of each word with a frame's middle in it, `(M, 3)`."""
    spans = []
    for unit in units:
        start, end = (int(np.ceil(time * num_frames / seconds - 0.5)) for time in (unit.start, unit.end))
        start, end = max(start, 0), min(end, num_frames)
        if end > start:
            spans.append((start, end, numbers.setdefault(unit.label, len(numbers))))
    return np.array(spans, dtype=np.int64).reshape(-1, 3)
