# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recordings of any length: read in blocks, cut where nobody speaks, transcribed in batches, put together again.

Memory holds one block, the open segment and one batch, whatever the length. Segments do not overlap and leave out
nothing that voice activity detection takes for speech, so that no word is transcribed twice or dropped at a seam.
An item that cannot be read or transcribed costs itself: its result has the reason, and the others go on.

With a diarization, segments are also cut where the speaker changes, and say whose they are. With `carry_context`, each
is told the last sentence of the one before, and so waits for it.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from .audio import AudioError, audio_blocks, audio_duration, load_audio, load_or_blocks, measure_duration
from .audio_files_entropy_asr import fetched
from .recognition_entropy_asr import BatchedUtterance
from .results_entropy_asr import SegmentResult, WantedOutputs, failure, merge_segments
from .vad_entropy_asr import SAMPLING_RATE, EndpointSettings, SpeechPiece, SpeechSegmenter


if TYPE_CHECKING:
    from .diarization_entropy_asr import Diarizations, SpeakerTimeline

# Longest segment: what models are trained on, and Whisper's window.
SEGMENT_SECONDS = 30.0
# Segments that are transcribed together where no batch size is asked for: so many, but no more seconds of audio than
# that, padding included. Short segments fill a batch, and two long ones take no more memory than eight short ones.
MAX_BATCH_SIZE, MAX_BATCH_SECONDS = 8, 64.0


def speech_segments(blocks: Iterable[np.ndarray], settings: EndpointSettings) -> Iterator[tuple[int, np.ndarray]]:
    """Cut audio that arrives in blocks at its pauses.

    Args:
        blocks: consecutive `(num_samples,)` float32 arrays at 16 kHz.
        settings: when a segment begins and ends.

    Yields:
        The sample at which a segment begins, and its samples.
    """
    segmenter = SpeechSegmenter(settings)
    parts: list[np.ndarray] = []

    def complete(pieces: list[SpeechPiece]) -> Iterator[tuple[int, np.ndarray]]:
        for piece in pieces:
            parts.append(piece.samples)
            if piece.is_last:
                samples = np.concatenate(parts)
                parts.clear()
                if len(samples):
                    yield piece.start, samples

    for block in blocks:
        yield from complete(segmenter.push(block))
    yield from complete(segmenter.finish())


def item_name(item: Any) -> str:
    """What an item is called: its path or address where it has one."""
    path = item.get("path") if isinstance(item, Mapping) else item
    return str(path) if isinstance(path, (str, os.PathLike)) else "audio"


@dataclass(eq=False)
class Item:
    """One item of several, and what is known of it.

    Args:
        seconds: its length, as far as it was read.
        is_cut: whether it was long and so cut into segments.
        is_read: whether all of its segments were given out.
        num_open: segments that were given out and have no result yet.
        context: what its next segment is told of those before it.
        results: of the others.
        error: why it cannot be transcribed.
        bar: of a long one, in seconds.
    """

    seconds: float = 0.0
    is_cut: bool = False
    is_read: bool = False
    num_open: int = 0
    context: str = ""
    results: list[SegmentResult] = field(default_factory=list)
    error: str | None = None
    bar: tqdm | None = None

    @property
    def end(self) -> float:
        """End of its last segment that has a result, in seconds."""
        return self.results[-1].end if self.results else 0.0


@dataclass(eq=False)
class Segment:
    """A piece of an item from `start` to `end` seconds, or the whole of it.

    Args:
        voices: with a diarization, `speaker` and `other_speakers` of its result.
    """

    item: Item
    start: float
    end: float
    utterance: BatchedUtterance
    voices: dict[str, Any] = field(default_factory=dict)

    def with_speaker(self, result: dict[str, Any]) -> dict[str, Any]:
        """Its result with whose it is; words and phonemes have the speaker too."""
        if not self.voices or "error" in result:
            return result
        speaker = {"speaker": self.voices["speaker"]}
        chunks = {"chunks": [chunk | speaker for chunk in result["chunks"]]} if "chunks" in result else {}
        return result | chunks | self.voices


class AudioPiece(NamedTuple):
    """What a segment is made of: its times in seconds, its samples `(num_samples,)`, and whose it is."""

    start: float
    end: float
    samples: np.ndarray
    voices: dict[str, Any]


def batch_segments(segments: Iterable[Segment], batch_size: int | None = None) -> Iterator[list[Segment]]:
    """Consecutive segments in batches.

    Args:
        segments: the segments.
        batch_size: segments of a batch; by default as many as bound its memory, see `MAX_BATCH_SECONDS`.
    """
    batch: list[Segment] = []
    longest = 0.0
    for segment in segments:
        seconds = segment.utterance.seconds
        longest = max(longest, seconds)
        is_full = len(batch) == (batch_size or MAX_BATCH_SIZE)
        if batch and (is_full or (batch_size is None and (len(batch) + 1) * longest > MAX_BATCH_SECONDS)):
            yield batch
            batch, longest = [], seconds
        batch.append(segment)
    if batch:
        yield batch


class LongFormTranscriber:
    """Runs items, or their segments, through the pipeline, and collects what comes back by item.

    Args:
        recognize: the pipeline's three steps: takes utterances and whether they are segments of long recordings,
            gives their results.
        wanted: what results have beside their text; `return_timestamps=True` or `return_segments` gives the times of
            segments.
        chunk_length_s: longest segment in seconds; items up to that are transcribed as a whole. 0 cuts nothing; by
            default `SEGMENT_SECONDS`.
        sampling_rate: of the utterances, in Hz.
        progress: whether to show a bar for each long item, in seconds of audio.
        diarization: who speaks when; every item is then cut, however short it is.
        next_context: what the next segment of an item is told, of an utterance that was recognised; by default none is
            told anything. Segments are then transcribed one by one.

    Attributes:
        is_asked_to_cut: whether segments were asked for, also where nothing is long.

    Raises:
        ValueError: segments that are too short, or times of segments where there are none.
    """

    def __init__(
        self,
        recognize: Callable[[list[BatchedUtterance], bool], list[dict[str, Any]]],
        wanted: WantedOutputs,
        chunk_length_s: float | None = None,
        sampling_rate: int = SAMPLING_RATE,
        progress: bool = False,
        diarization: "Diarizations | None" = None,
        next_context: Callable[[BatchedUtterance], str] | None = None,
    ):
        self.is_asked_to_cut = bool(chunk_length_s) or wanted.has_segments
        chunk_length_s = SEGMENT_SECONDS if chunk_length_s is None else chunk_length_s
        if chunk_length_s == 0 and wanted.has_segments:
            asked = "`return_segments`" if wanted.return_segments else "`return_timestamps=True`"
            asked = "`diarization`" if diarization is not None else asked
            raise ValueError(f"{asked} gives the times of segments, and `chunk_length_s=0` cuts none.")
        if not isinstance(chunk_length_s, (int, float)) or (chunk_length_s < 1 and chunk_length_s != 0):
            raise ValueError(f"`chunk_length_s` must be at least 1 second, or 0 for none, not {chunk_length_s!r}.")
        self.recognize = recognize
        self.wanted = wanted
        self.sampling_rate = sampling_rate
        self.max_seconds = 0.0 if diarization is not None else float(chunk_length_s) or float("inf")
        self.endpoints = EndpointSettings(max_segment=float(chunk_length_s)) if chunk_length_s else None
        self.progress = progress
        self.diarization = diarization
        self.next_context = next_context
        if next_context is not None and chunk_length_s == 0:
            raise ValueError("`carry_context` tells segments of each other, and `chunk_length_s=0` cuts none.")
        self._unfinished: deque[Item] = deque()

    def __call__(
        self, items: Iterable[Any], batch_size: int | None = None, across_items: bool = False, numbered: bool = True
    ) -> Iterator[dict[str, Any]]:
        """Results of the items, in order, each as soon as its last segment is there.

        Args:
            items: what [`load_audio`] reads; an [`AudioError`] among them stands for an item that could not be.
            batch_size: segments that are transcribed together, see [`batch_segments`]; one where they are told of each
                other.
            across_items: whether a batch may hold segments of several items; else an item's result is there before
                the next item is read.
            numbered: whether messages have the items' numbers.
        """
        if self.next_context is not None:
            if batch_size not in (None, 1):
                raise ValueError("`carry_context` lets each segment wait for the one before: `batch_size` must be 1.")
            batch_size = 1
        entries = enumerate(items)
        groups = [entries] if across_items else ([entry] for entry in entries)
        for group in groups:
            for batch in batch_segments(self._segments(group, numbered), batch_size):
                self._recognize(batch)
                yield from self._finished()
            yield from self._finished()

    def _recognize(self, batch: list[Segment]) -> None:
        are_pieces = any(segment.item.is_cut for segment in batch)
        if self.next_context is not None:
            for segment in batch:
                segment.utterance.context = segment.item.context
        results = self.recognize([segment.utterance for segment in batch], are_pieces)
        for segment, result in zip(batch, results, strict=True):
            item = segment.item
            if item.bar is not None:
                item.bar.update(segment.end - item.end)
            languages = segment.utterance.languages
            item.results.append(SegmentResult(segment.start, segment.end, segment.with_speaker(result), languages))
            item.num_open -= 1
            if self.next_context is not None:
                item.context = self.next_context(segment.utterance)

    def _finished(self) -> Iterator[dict[str, Any]]:
        """Results of items all of whose segments came back."""
        while self._unfinished and self._unfinished[0].is_read and not self._unfinished[0].num_open:
            item = self._unfinished.popleft()
            if item.bar is not None:
                item.bar.update(max(0.0, item.seconds - item.end))
                item.bar.close()
            yield self._result(item)

    def _result(self, item: Item) -> dict[str, Any]:
        errors = (segment.result["error"] for segment in item.results if "error" in segment.result)
        error = next(errors, item.error)
        if error is not None:
            return failure(error)
        if not item.is_cut and not self.wanted.has_segments:
            return item.results[0].result
        return merge_segments(item.results, self.wanted)

    def _segments(self, entries: Iterable[tuple[int, Any]], numbered: bool) -> Iterator[Segment]:
        for index, source in entries:
            item = Item()
            self._unfinished.append(item)
            prefix, name = f"item {index}: " if numbered else "", item_name(source)
            try:
                for piece in self._cut(source, item, index):
                    seconds = len(piece.samples) / self.sampling_rate
                    place = f"{name} from {piece.start:.1f} s" if piece.start else name
                    item.num_open += 1
                    utterance = BatchedUtterance(prefix + place, piece.samples, seconds)
                    yield Segment(item, piece.start, piece.end, utterance, piece.voices)
            except AudioError as error:
                item.error = f"{prefix}{error}"
            item.is_read = True

    def _cut(self, source: Any, item: Item, index: int) -> Iterator[AudioPiece]:
        """An item's segments, itself if it is short and nobody asks who speaks; it is read once."""
        if isinstance(source, AudioError):
            raise source
        name = item_name(source)
        source, rate = fetched(source), self.sampling_rate
        timeline = self._timeline(source, index, name)
        audio = load_or_blocks(source, self.max_seconds, target_sampling_rate=rate)
        if isinstance(audio, np.ndarray):
            item.seconds = len(audio) / rate
            yield AudioPiece(0.0, item.seconds, audio, {})
            return
        item.is_cut = True
        own_rate = rate if isinstance(source, np.ndarray | torch.Tensor) else None
        # What voice activity detection takes.
        blocks = audio if rate == SAMPLING_RATE else audio_blocks(source, own_rate)
        counted = self._counted(blocks, audio_duration(source, own_rate), item)
        for start, samples in speech_segments(counted, self.endpoints):
            whole = samples if rate == SAMPLING_RATE else load_audio(samples, SAMPLING_RATE, rate)
            segment = AudioPiece(start / SAMPLING_RATE, (start + len(samples)) / SAMPLING_RATE, whole, {})
            yield from [segment] if timeline is None else self._by_speaker(segment, timeline)

    def _timeline(self, source: Any, index: int, name: str) -> "SpeakerTimeline | None":
        """Who speaks when in an item, checked before anything is transcribed."""
        if self.diarization is None:
            return None
        timeline = self.diarization.timeline(index, name)
        seconds = audio_duration(source, self.sampling_rate)
        try:
            timeline.check(measure_duration(source) if seconds is None else seconds)
        except AudioError as error:
            raise AudioError(str(error) if name in str(error) else f"{name}: {error}") from error
        return timeline

    def _by_speaker(self, segment: AudioPiece, timeline: "SpeakerTimeline") -> Iterator[AudioPiece]:
        """A segment cut where the speaker changes."""
        for one in timeline.pieces(segment.start, segment.end):
            first, last = (round((time - segment.start) * self.sampling_rate) for time in (one.start, one.end))
            voices = {"speaker": one.speaker, "other_speakers": list(one.other_speakers)}
            yield AudioPiece(one.start, one.end, segment.samples[first:last], voices)

    def _counted(self, blocks: Iterable[np.ndarray], stated: float | None, item: Item) -> Iterator[np.ndarray]:
        """The blocks of a long item, whose seconds are counted; the bar of one of unknown length grows with them."""
        # Shown after a second: what is done by then needs no bar.
        item.bar = tqdm(
            unit="s", unit_scale=True, disable=not self.progress, desc="transcribing", total=stated or 0.0, delay=1.0
        )
        for block in blocks:
            seconds = len(block) / SAMPLING_RATE
            item.seconds += seconds
            item.bar.total += 0.0 if stated else seconds
            yield block


__all__ = ["LongFormTranscriber", "batch_segments", "item_name", "speech_segments"]
