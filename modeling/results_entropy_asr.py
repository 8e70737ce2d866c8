# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Results as transformers' pipelines give them: text, chunks with times, confidence, flags; of segments, put together.

Texts of segments are joined with a space unless both sides are of a script without spaces.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .alignment_entropy_asr import align_text_phonemes, align_words
from .decoding_entropy_asr import DEFAULT_GUARDS, TranscriptDecoder
from .guards_entropy_asr import NO_SPEECH, GuardSettings
from .languages_entropy_asr import is_unspaced
from .recognition_entropy_asr import BatchedUtterance


if TYPE_CHECKING:
    from .text_style_entropy_asr import TextStyle


# Beside the letters of languages without blanks: kana, East Asian punctuation, full-width forms.
_UNSPACED = (("\u3000", "\u30ff"), ("\uff00", "\uffef"))
# Punctuation of scripts of both kinds.
_ANY_SCRIPT = "…—“”‘’·"


@dataclass(frozen=True)
class WantedOutputs:
    """What a result has beside its text.

    Args:
        language: which language reads digits.
        return_timestamps: "word", "phoneme" or, for the times of segments, True.
        return_confidence: whether it has `confidence` and `flags`.
        return_flags: whether it has `flags`.
        return_hotwords: whether it has `hotwords_found`.
        return_segments: whether it has `segments`, also beside the chunks of words or phonemes.
        return_hypotheses: whether it has `hypotheses`.
        return_language: whether it has `language` and `language_probability`.
        text_style: how its text is written; as the model writes it by default.
        guards: when confidence counts as low.
    """

    language: str | None = None
    return_timestamps: str | bool | None = None
    return_confidence: bool = False
    return_flags: bool = False
    return_hotwords: bool = False
    return_segments: bool = False
    return_hypotheses: bool = False
    return_language: bool = False
    text_style: "TextStyle | None" = None
    guards: GuardSettings = DEFAULT_GUARDS

    @property
    def has_segments(self) -> bool:
        """Whether it tells the times of segments, however few there are."""
        return self.return_segments or self.return_timestamps is True

    def check(self, language: str | None) -> None:
        """Refuse a style that is not known for a language; None and "auto" are any.

        Raises:
            ValueError: numbers of a language whose numerals are not known.
        """
        if self.text_style is not None:
            self.text_style.check(language)

    def of_silence(self) -> dict[str, Any]:
        """The result of a recording in which nobody speaks, with the keys of any other."""
        result: dict[str, Any] = {"text": ""}
        if self.return_timestamps:
            result["chunks"] = []
        if self.return_segments:
            result["segments"] = []
        if self.return_confidence:
            result["confidence"] = 1.0
        if self.return_confidence or self.return_flags:
            result["flags"] = [NO_SPEECH]
        if self.return_hotwords:
            result["hotwords_found"] = []
        if self.return_hypotheses:
            result["hypotheses"] = []
        if self.return_language:
            result |= language_fields({})
        return result


def make_result(utterance: BatchedUtterance, decoder: TranscriptDecoder, wanted: WantedOutputs) -> dict[str, Any]:
    """Result of one utterance, or `{"text": "", "error": str}`.

    Args:
        utterance: from [`BatchRecognizer`].
        decoder: what recognised it.
        wanted: what the result has beside its text.
    """
    if utterance.error is not None:
        return failure(utterance.error)
    transcript = utterance.transcript
    result: dict[str, Any] = {"text": transcript.text}
    flags = transcript.flags
    if wanted.return_timestamps in ("word", "phoneme"):
        result["chunks"] = timed_chunks(utterance, decoder, wanted)
    if wanted.return_confidence:
        log_probs, language = utterance.log_probs, wanted.language
        result["confidence"], flags = decoder.judge(log_probs, transcript, wanted.guards, language)
    if wanted.return_flags or wanted.return_confidence:
        result["flags"] = list(flags)
    if wanted.return_hotwords:
        result["hotwords_found"] = utterance.hints
    if wanted.return_hypotheses:
        from .rescoring_entropy_asr import as_result

        result["hypotheses"] = list(map(as_result, transcript.hypotheses))
    if wanted.return_language:
        result |= language_fields(utterance.languages or {})
    if wanted.text_style is not None:
        result = wanted.text_style.styled(result, wanted.language, wanted.return_timestamps == "word")
    return result


def language_fields(probabilities: Mapping[str, float]) -> dict[str, Any]:
    """The most probable language and its probability; `None` for both where nobody speaks."""
    code = max(probabilities, key=probabilities.get, default=None)
    return {"language": code, "language_probability": probabilities.get(code)}


def failure(error: str) -> dict[str, Any]:
    """Result of an item that cannot be transcribed, and why."""
    return {"text": "", "error": error}


def timed_chunks(
    utterance: BatchedUtterance, decoder: TranscriptDecoder, wanted: WantedOutputs
) -> list[dict[str, Any]]:
    """Words or phonemes with their times in seconds, `{"text": str, "timestamp": (start, end)}` each."""
    processor, text, seconds = decoder.processor, utterance.transcript.text, utterance.seconds
    is_word = wanted.return_timestamps == "word"
    align = align_words if is_word else align_text_phonemes
    pieces = align(
        utterance.log_probs, text, processor.phoneme_tokenizer, processor.seconds_per_frame, wanted.language
    )
    # The last frame may reach beyond the audio.
    chunks = [
        (piece.text, (_within(piece.start, seconds), _within(piece.end, seconds)), piece.confidence)
        for piece in pieces
    ]
    if is_word and text and not chunks:  # nothing but punctuation; joined, the chunks are still the text
        chunks.append((text, (0.0, round(seconds, 3)), None))
    if wanted.return_confidence:
        return [{"text": text, "timestamp": times, "confidence": score} for text, times, score in chunks]
    return [{"text": text, "timestamp": times} for text, times, _ in chunks]


def _within(time: float | None, seconds: float) -> float | None:
    return None if time is None else round(min(time, seconds), 3)


class SegmentResult(NamedTuple):
    """Result of a segment that lasts from `start` to `end` seconds of its recording.

    `languages` is the probability of each language by its code, where that was asked for and somebody speaks.
    """

    start: float
    end: float
    result: dict[str, Any]
    languages: Mapping[str, float] | None = None


def merge_segments(segments: Sequence[SegmentResult], wanted: WantedOutputs) -> dict[str, Any]:
    """One result of a recording's segments: texts joined, times counted from the beginning of the recording.

    Confidence is the mean over the speech, and so is the probability of each language, of which the most probable one
    is told; flags and hotwords are those of any segment.

    Args:
        segments: results of the segments, in order; none of a recording without speech.
        wanted: what the result has beside its text; times of segments where `return_timestamps` is True.
    """
    if not segments:
        return wanted.of_silence()
    texts = with_spaces(segment.result["text"] for segment in segments)
    merged: dict[str, Any] = {"text": "".join(texts)}
    if wanted.return_segments:
        merged["segments"] = _timed_segments(texts, segments)
    if wanted.return_timestamps is True:
        merged["chunks"] = _timed_segments(texts, segments)
    elif wanted.return_timestamps:
        merged["chunks"] = _moved_chunks(texts, segments, joins=wanted.return_timestamps == "word")
    if wanted.return_hypotheses:
        merged["hypotheses"] = _join_hypotheses(segments)
    if wanted.return_language:
        merged |= language_fields(_shares_of_languages(segments))
    return merged | _merge_verdicts(segments)


def _timed_segments(texts: list[str], segments: Sequence[SegmentResult]) -> list[dict[str, Any]]:
    """Each segment as a chunk: its text, its times, and what else is known of it but for smaller chunks."""
    verdicts = [{name: value for name, value in one.result.items() if name != "chunks"} for one in segments]
    return [
        {**verdict, "text": text, "timestamp": (segment.start, segment.end)}
        for text, segment, verdict in zip(texts, segments, verdicts, strict=True)
    ]


def _shares_of_languages(segments: Sequence[SegmentResult]) -> dict[str, float]:
    """Mean probability of each language over the speech of a recording."""
    spoken = [(segment.end - segment.start, segment.languages) for segment in segments if segment.languages]
    total = sum(seconds for seconds, _ in spoken)
    shares: dict[str, float] = defaultdict(float)
    for seconds, languages in spoken:
        for code, probability in languages.items():
            shares[code] += seconds / total * probability
    return shares


def _join_hypotheses(segments: Sequence[SegmentResult]) -> list[dict[str, Any]]:
    """Hypotheses of a recording: the best ways to take one of each segment."""
    from .rescoring_entropy_asr import best_paths, joined_path

    seconds = [segment.end - segment.start for segment in segments]
    paths = best_paths([segment.result["hypotheses"] for segment in segments], seconds)
    return [
        joined_path(path, join_texts("" if one is None else one["text"] for one in path), seconds) for path in paths
    ]


def _moved_chunks(texts: list[str], segments: Sequence[SegmentResult], joins: bool) -> list[dict[str, Any]]:
    """Chunks of all segments with the times of the recording; words joined are its text, phonemes are not."""
    moved = []
    for text, segment in zip(texts, segments, strict=True):
        chunks = [_moved(chunk, segment.start) for chunk in segment.result["chunks"]]
        if chunks and joins:
            space = text[: len(text) - len(segment.result["text"])]
            chunks[0] = {**chunks[0], "text": space + chunks[0]["text"]}
        moved += chunks
    return moved


def _moved(chunk: dict[str, Any], seconds: float) -> dict[str, Any]:
    """A timed piece of text, that much later."""
    start, end = (None if time is None else time + seconds for time in chunk["timestamp"])
    return {**chunk, "timestamp": (start, end)}


def _merge_verdicts(segments: Sequence[SegmentResult]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    # Pauses say nothing of a recording in which somebody speaks elsewhere.
    segments = [item for item in segments if NO_SPEECH not in item.result.get("flags", [])] or segments
    results = [segment.result for segment in segments]
    if any("confidence" in result for result in results):
        lengths = [segment.end - segment.start for segment in segments]
        scores = [seconds * result["confidence"] for seconds, result in zip(lengths, results, strict=True)]
        merged["confidence"] = sum(scores) / sum(lengths)
    for name in ("flags", "hotwords_found"):
        if any(name in result for result in results):
            merged[name] = list(dict.fromkeys(value for result in results for value in result[name]))
    return merged


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
    character = (text.strip(_ANY_SCRIPT) or " ")[side]
    return any(first <= character <= last for first, last in _UNSPACED) or is_unspaced(character)


__all__ = [
    "SegmentResult",
    "WantedOutputs",
    "failure",
    "join_texts",
    "language_fields",
    "make_result",
    "merge_segments",
    "timed_chunks",
    "with_spaces",
]
