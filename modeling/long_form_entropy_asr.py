# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recordings of any length: read in blocks, cut where nobody speaks, transcribed in batches, put together again.

Memory holds one block, the open segment and one batch, whatever the length. Segments do not overlap and leave out
nothing that voice activity detection takes for speech, so that no word is transcribed twice or dropped at a seam.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from .audio import AudioError, audio_blocks, audio_duration, is_longer_than, load_audio
from .guards_entropy_asr import NO_SPEECH
from .url_entropy_asr import fetched, is_url
from .vad_entropy_asr import SAMPLING_RATE, EndpointSettings, SpeechPiece, SpeechSegmenter


# Longest segment: what models are trained on, and Whisper's window.
SEGMENT_SECONDS = 30.0
# Segments that are transcribed together where no batch size is asked for: so many, but no more seconds of audio than
# that, padding included. Short segments fill a batch, and two long ones take no more memory than eight short ones.
MAX_BATCH_SIZE, MAX_BATCH_SECONDS = 8, 64.0
# Scripts that put no space between words: kana, Chinese characters and their punctuation, full-width forms.
_UNSPACED = (("\u3000", "\u30ff"), ("\u3400", "\u9fff"), ("\uf900", "\ufaff"), ("\uff00", "\uffef"))
# Punctuation of scripts of both kinds.
_ANY_SCRIPT = "…—“”‘’·"


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


def batch_segments(
    segments: Iterable[dict[str, Any]], batch_size: int | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Consecutive segments in batches.

    Args:
        segments: mappings with `array` and `sampling_rate`.
        batch_size: segments of a batch; by default as many as bound its memory, see `MAX_BATCH_SECONDS`.

    Raises:
        AudioError: as `segments` does, behind the batch of those that came before.
    """
    batch: list[dict[str, Any]] = []
    longest = 0.0
    error = None
    try:
        for segment in segments:
            seconds = len(segment["array"]) / segment["sampling_rate"]
            longest = max(longest, seconds)
            is_full = len(batch) == (batch_size or MAX_BATCH_SIZE)
            if batch and (is_full or (batch_size is None and (len(batch) + 1) * longest > MAX_BATCH_SECONDS)):
                yield batch
                batch, longest = [], seconds
            batch.append(segment)
    except AudioError as caught:  # what came before it is not lost
        error = caught
    if batch:
        yield batch
    if error is not None:
        raise error


def needs_segments(inputs: Any, chunk_length_s: float | None, return_timestamps: Any) -> bool:
    """Whether a call of the pipeline goes through segments: asked to, or because an item is that long.

    Generators and data sets are not looked into: they need `chunk_length_s`.

    Raises:
        ValueError: times of segments are asked for, and that there are none.
    """
    if chunk_length_s == 0 and return_timestamps is True:
        raise ValueError("`return_timestamps=True` gives the times of segments, and `chunk_length_s=0` cuts none.")
    if chunk_length_s is not None or return_timestamps is True:
        return chunk_length_s != 0
    items = inputs if isinstance(inputs, list) else [inputs]
    return any(_is_long(item, SEGMENT_SECONDS) for item in items)


def _is_long(item: Any, limit: float) -> bool:
    """Whether an item lasts longer than `limit` seconds; of one whose header does not say it, so much is decoded."""
    if is_url(item):
        return True  # it is fetched once, when its turn comes
    try:
        return is_longer_than(item, limit, SAMPLING_RATE)
    except AudioError:
        return False  # reading it tells why


def join_texts(texts: Iterable[str]) -> str:
    """Put segments' texts together, with a space between them unless both sides are of a script without spaces."""
    return "".join(with_spaces(texts))


def with_spaces(texts: Iterable[str]) -> list[str]:
    """Each text with the space that belongs between it and those before, so that they are joined as they are."""
    spaced, last = [], ""
    for text in texts:
        needs_space = last and text and not (_is_unspaced(last, -1) and _is_unspaced(text, 0))
        spaced.append(" " + text if needs_space else text)
        last = text or last
    return spaced


def _is_unspaced(text: str, side: int) -> bool:
    """Whether the first (`side` 0) or last (-1) character that is of a script is of one without spaces."""
    of_script = text.strip(_ANY_SCRIPT) or " "
    return any(first <= of_script[side] <= last for first, last in _UNSPACED)


class LongFormTranscriber:
    """Runs the segments of one or several items through the pipeline, and collects what comes back by item.

    Args:
        transcribe: the pipeline for short audio: takes a generator of items, gives an iterator of their results.
        chunk_length_s: longest segment in seconds; items up to that are transcribed as a whole.
        return_timestamps: as the pipeline's; `True` gives the times of segments.
        progress: whether to show a bar, in seconds of audio.
        silent: what the result of an item without speech has beside its text and chunks.
    """

    def __init__(
        self,
        transcribe: Callable[[Iterator[Any]], Iterable[dict[str, Any]]],
        chunk_length_s: float = SEGMENT_SECONDS,
        return_timestamps: bool | str | None = None,
        progress: bool = False,
        silent: dict[str, Any] | None = None,
    ):
        if not isinstance(chunk_length_s, (int, float)) or chunk_length_s < 1:
            raise ValueError(f"`chunk_length_s` must be at least 1 second, or 0 for none, not {chunk_length_s!r}.")
        self.transcribe = transcribe
        self.settings = EndpointSettings(max_segment=float(chunk_length_s))
        self.return_timestamps = return_timestamps
        self.silent = silent or {}
        # Shown after a second: what is done by then needs no bar, and before the first block no length is known.
        self._bar = tqdm(unit="s", unit_scale=True, disable=not progress, desc="transcribing", total=0, delay=1.0)
        # What was sent to the model and has not come back: (start, end) of segments, and behind them their item's end.
        self._sent: deque[tuple[float, float] | float] = deque()

    def __call__(self, items: Iterable[Any], first_index: int = 0) -> Iterator[dict[str, Any]]:
        """Results of the items, in order, each as soon as its last segment is there.

        Raises:
            AudioError: an item cannot be read; it is numbered from `first_index` on. Those before it come first.
        """
        results: list[tuple[float, float, dict[str, Any]]] = []
        error = None
        try:
            for result in self.transcribe(self._segments(items, first_index)):
                yield from self._finished(results)
                start, end = self._sent.popleft()
                self._bar.update(end - self._last_end(results))
                results.append((start, end, result))
        except AudioError as caught:
            error = caught
        yield from self._finished(results)
        self._bar.close()
        if error is not None:
            raise error

    def _finished(self, results: list[tuple[float, float, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
        """Results of items all of whose segments came back."""
        while self._sent and isinstance(self._sent[0], float):
            self._bar.update(max(0.0, self._sent.popleft() - self._last_end(results)))
            yield self._merge(results)
            results.clear()

    @staticmethod
    def _last_end(results: list[tuple[float, float, dict[str, Any]]]) -> float:
        return results[-1][1] if results else 0.0

    def _segments(self, items: Iterable[Any], first_index: int) -> Iterator[dict[str, Any]]:
        for index, item in enumerate(items, first_index):
            name = item.get("path") if isinstance(item, Mapping) else item
            name = str(name) if isinstance(name, (str, os.PathLike)) else "audio"
            try:
                for start, samples in self._cut(item):
                    self._sent.append((start / SAMPLING_RATE, (start + len(samples)) / SAMPLING_RATE))
                    place = f"{name} from {start / SAMPLING_RATE:.1f} s" if start else name
                    yield {"array": samples, "sampling_rate": SAMPLING_RATE, "path": f"item {index}: {place}"}
            except AudioError as error:
                raise AudioError(f"item {index}: {error}") from error

    def _cut(self, item: Any) -> Iterator[tuple[int, np.ndarray]]:
        """Segments of one item, itself where it is short; then it is noted as sent."""
        item = fetched(item)
        if is_longer_than(item, self.settings.max_segment, SAMPLING_RATE):
            stated = audio_duration(item, SAMPLING_RATE)
            self._bar.total += stated or 0.0
            seconds = 0.0

            def heard_blocks() -> Iterator[np.ndarray]:
                nonlocal seconds
                for block in audio_blocks(item):
                    seconds += len(block) / SAMPLING_RATE
                    # The bar of a recording of unknown length grows with what is read.
                    self._bar.total += 0.0 if stated else len(block) / SAMPLING_RATE
                    yield block

            yield from speech_segments(heard_blocks(), self.settings)
        else:
            samples = load_audio(item)
            seconds = len(samples) / SAMPLING_RATE
            self._bar.total += seconds
            yield 0, samples
        self._sent.append(seconds)

    def _merge(self, results: list[tuple[float, float, dict[str, Any]]]) -> dict[str, Any]:
        """One result of the segments': texts joined, times counted from the beginning of the item."""
        texts = with_spaces(result["text"] for *_, result in results)
        merged: dict[str, Any] = {"text": "".join(texts)}
        if self.return_timestamps is True:
            pairs = zip(texts, results, strict=True)
            merged["chunks"] = [
                {**result, "text": text, "timestamp": (start, end)} for text, (start, end, result) in pairs
            ]
        elif self.return_timestamps or any("chunks" in result for *_, result in results):
            merged["chunks"] = []
            for text, (start, _, result) in zip(texts, results, strict=True):
                chunks = [_moved(chunk, start) for chunk in result["chunks"]]
                # Words joined are the text; phonemes are not.
                if chunks and self.return_timestamps != "phoneme":
                    space = text[: len(text) - len(result["text"])]
                    chunks[0] = {**chunks[0], "text": space + chunks[0]["text"]}
                merged["chunks"] += chunks
        return merged | (_merge_verdicts(results) if results else self.silent)


def _merge_verdicts(results: list[tuple[float, float, dict[str, Any]]]) -> dict[str, Any]:
    """Confidence of an item, the mean over its speech, and flags and hotwords of any of its segments."""
    merged: dict[str, Any] = {}
    # Pauses say nothing of an item in which somebody speaks elsewhere.
    results = [item for item in results if NO_SPEECH not in item[2].get("flags", [])] or results
    if any("confidence" in result for *_, result in results):
        seconds = sum(end - start for start, end, _ in results)
        merged["confidence"] = sum((end - start) * result["confidence"] for start, end, result in results) / seconds
    for name in ("flags", "hotwords_found"):
        if any(name in result for *_, result in results):
            merged[name] = list(dict.fromkeys(value for *_, result in results for value in result[name]))
    return merged


def _moved(chunk: dict[str, Any], seconds: float) -> dict[str, Any]:
    """A timed piece of text, that much later."""
    start, end = (None if time is None else time + seconds for time in chunk["timestamp"])
    return {**chunk, "timestamp": (start, end)}


__all__ = ["LongFormTranscriber", "batch_segments", "join_texts", "needs_segments", "speech_segments", "with_spaces"]
