# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is known of a stream: audio that waits, segments that are on their way through the model, updates."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np
import soxr
import torch

from .ctc_entropy_asr import ctc_collapse
from .decoding_entropy_asr import Transcript
from .encoder_cache_entropy_asr import EntropyASREncoderCache
from .feature_extraction_entropy_asr import EntropyASRFeatureStream
from .hotwords_entropy_asr import HotwordIndex
from .vad_entropy_asr import SAMPLING_RATE, SpeechPiece, SpeechSegmenter


@dataclass(frozen=True)
class StreamingUpdate:
    """What is known about a segment of speech.

    Args:
        is_final: whether the segment has ended and `text` is its transcript.
        segment: number of the segment in its stream, from 0.
        start: second of the stream at which the segment begins.
        end: second up to which it was encoded; of a final update, its end.
        phonemes: the phoneme head's hypothesis so far, separated by spaces; "" where it was never trained.
        text: the transcript; of a partial update the preview's, or `None` where there was none.
        stable_text: of an update with a text, its beginning, which no later update of the segment takes back, nor the
            final one (but where a text style writes it otherwise, or the guards find no speech after all); of a final
            update, the text.
        revised: characters at the end of the segment's last text that this update's text takes back.
        end_known: of a final update, second of the stream at which its end was known; else `end`.
        flags: of a final update, what the pipeline's `return_flags` gives: "no_speech", "length_limit", and, where
            confidence is asked for, "low_agreement".
        confidence: of a final update, what the pipeline's `return_confidence` gives, where it was asked for.
        language, language_probability: of a final update, what the pipeline's `return_language` gives, where it was
            asked for; `None` where nobody speaks.
    """

    is_final: bool
    segment: int
    start: float
    end: float
    phonemes: str
    text: str | None
    end_known: float
    stable_text: str = ""
    revised: int = 0
    flags: tuple[str, ...] = ()
    confidence: float | None = None
    language: str | None = None
    language_probability: float | None = None


def common_length(first: Sequence, second: Sequence) -> int:
    """How many items two sequences begin with alike."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


@dataclass(eq=False)
class StreamSegment:
    """One segment of a stream on its way through the model.

    Args:
        number: its number in the stream, from 0.
        start: sample of the stream at which it begins.
        features: what makes features of its samples.
        encoder_cache: state of the encoder behind its last chunk.
        num_samples: samples that were pushed.
        end_known: samples that the stream had when the segment's last ones were known to be its own.
        has_ended: whether no more will come.
        num_chunks: chunks that were encoded.
        num_audio_tokens: audio tokens in the language model's state.
        last_frame: best phoneme of the last frame.
        phonemes: ids of the greedy CTC hypothesis.
        transcript: its text and flags, once it was decoded; of a preview until then.
        stable: tokens that its transcript begins with, in any case.
        first_tokens: what was heard of the language at its first token, `(num_languages,)`.
        shown: the text of its last update that had one.
        confidence: how far the phoneme head supports the text, where that is asked for.
        languages: probability of each language by its code, where that is asked for and there is speech.
        samples, log_probs: for the guards at its end: pieces `(num_samples,)`, and `(T, V)` of each chunk.
    """

    number: int
    start: int
    features: EntropyASRFeatureStream
    encoder_cache: EntropyASREncoderCache = field(default_factory=EntropyASREncoderCache)
    num_samples: int = 0
    end_known: int = 0
    has_ended: bool = False
    num_chunks: int = 0
    num_audio_tokens: int = 0
    last_frame: int | None = None
    phonemes: list[int] = field(default_factory=list)
    transcript: Transcript = field(default_factory=Transcript)
    stable: tuple[int, ...] = ()
    first_tokens: torch.Tensor | None = None
    shown: str = ""
    confidence: float | None = None
    languages: dict[str, float] = field(default_factory=dict)
    samples: list[np.ndarray] = field(default_factory=list)
    log_probs: list[torch.Tensor] = field(default_factory=list)

    def push(self, piece: SpeechPiece) -> None:
        """Take the next samples of the segment."""
        self.features.push(piece.samples)
        if piece.is_last:
            self.features.finish()
        self.samples.append(piece.samples)
        self.num_samples += len(piece.samples)
        self.end_known, self.has_ended = piece.num_pushed, piece.is_last

    def add_frames(self, frames: list[int], log_probs: torch.Tensor, blank: int) -> None:
        """Go on with the greedy CTC hypothesis.

        Args:
            frames: best phoneme of each of the next T frames.
            log_probs: their log-probabilities, `(T, V)`.
            blank: id of the CTC blank.
        """
        self.phonemes += ctc_collapse(frames, blank, self.last_frame)
        self.last_frame = frames[-1] if frames else self.last_frame
        self.log_probs.append(log_probs)

    def take(self, transcript: Transcript, keeps_beginning: bool) -> None:
        """Take what was decoded of it so far.

        Args:
            transcript: begins with the stable tokens.
            keeps_beginning: whether tokens that the last two have in common, but the last one, are stable from now on:
                one that ends a text is often a part of a word, or a guess at what comes.
        """
        if keeps_beginning:
            common = common_length(self.transcript.token_ids, transcript.token_ids[:-1])
            self.stable = transcript.token_ids[: max(common, len(self.stable))]
        self.transcript = transcript

    def show(self, text: str) -> int:
        """Take note of an update's text: how many characters of the one before it takes back."""
        before, self.shown = self.shown, text
        return len(before) - common_length(before, text)

    @property
    def is_complete(self) -> bool:
        """Whether it has ended and all of it was encoded."""
        return self.has_ended and self.features.num_ready == 0


class Stream:
    """One stream of a [`StreamingBatch`]; made by its `join`."""

    def __init__(
        self,
        slot: int,
        segmenter: SpeechSegmenter,
        language: str | None,
        hotwords: HotwordIndex | None,
        rate: int,
        hotword_tolerance: float = 0.0,
        adapter: str | None = None,
    ):
        self.slot = slot
        self.segmenter = segmenter
        self.language = language
        self.hotwords = hotwords
        self.hotword_tolerance = hotword_tolerance
        self.adapter = adapter
        self.segments: deque[StreamSegment] = deque()
        self.num_segments = 0
        self.is_finished = False
        self.waiting: deque[np.ndarray] = deque()
        self.resampler = None if rate == SAMPLING_RATE else soxr.ResampleStream(rate, SAMPLING_RATE, 1, "float32")
        self._is_closed = False

    @property
    def seconds_waiting(self) -> float:
        """Audio that was pushed and that `step` has not taken yet."""
        return sum(map(len, tuple(self.waiting))) / SAMPLING_RATE

    @property
    def has_work(self) -> bool:
        """Whether `step` has something to do for this stream."""
        return bool(self.waiting) or (self.is_finished and not self._is_closed)

    def push(self, samples: np.ndarray) -> None:
        """Queue `(num_samples,)` floats at the stream's own rate."""
        if self.resampler is not None:
            samples = self.resampler.resample_chunk(samples)
        if len(samples):
            self.waiting.append(samples)

    def finish(self) -> None:
        """No more audio will come."""
        if self.resampler is not None and not self.is_finished:
            self.waiting.append(self.resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True))
        self.is_finished = True

    def feed_segments(self, num_samples: int, new_segment: Callable[[int, int], StreamSegment]) -> None:
        """Pass at most `num_samples` of the waiting audio on to segments, and the end of the stream after the last."""
        pieces = self.segmenter.push(self._take(num_samples)) if self.waiting else []
        if self.is_finished and not self.waiting and not self._is_closed:
            pieces += self.segmenter.finish()
            self._is_closed = True
        for piece in pieces:
            if not self.segments or self.segments[-1].has_ended:
                self.segments.append(new_segment(self.num_segments, piece.start))
                self.num_segments += 1
            self.segments[-1].push(piece)

    def _take(self, num_samples: int) -> np.ndarray:
        taken = []
        while self.waiting and num_samples > 0:
            samples = self.waiting.popleft()
            if len(samples) > num_samples:
                self.waiting.appendleft(samples[num_samples:])
                samples = samples[:num_samples]
            taken.append(samples)
            num_samples -= len(samples)
        return np.concatenate(taken)


__all__ = ["Stream", "StreamSegment", "StreamingUpdate", "common_length"]
