# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Streaming recognition (paper, "Inference"): every sample is encoded once, every token prefilled once.

Speech goes through the encoder in chunks, whose embeddings are appended to the language model's keys and values as
they arrive, behind a prompt prefix that is computed once. Voice activity detection ends a segment; then hints are
appended and the text is decoded, once. Until then the phoneme head tells what was heard.

What a stream hears is cut into the same segments and chunks however its samples were portioned, so its transcript is
the one that the pipeline gives for the segment under the same chunk mask.
"""

import time
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soxr
import torch

from .audio import load_audio
from .configuration_entropy_asr import output_length
from .feature_extraction_entropy_asr import EntropyASRFeatureStream
from .generation_entropy_asr import rows_at_bound
from .guards_entropy_asr import LENGTH_LIMIT, NO_SPEECH, GuardSettings, is_speech_absent, judge_transcript
from .hotwords_entropy_asr import HotwordIndex
from .hotwords_tolerant_entropy_asr import check_tolerance
from .languages_entropy_asr import LANGUAGES, language_code
from .modeling_entropy_asr_encoder import EntropyASREncoderCache
from .pipeline_entropy_asr import OWN_ARGUMENTS, EntropyASRPipeline
from .streaming_cache_entropy_asr import CACHE, StreamSlots, check_language_model
from .vad_entropy_asr import SAMPLING_RATE, EndpointSettings, SpeechPiece, SpeechSegmenter


# Room in the language model's positions for hints that are found in an index only when a segment has ended.
HINT_TOKENS = 256
# Settings of `generate` under which it would not go on from the keys and values that a stream has.
UNSTREAMABLE = ("cache_implementation", "past_key_values", "cache")


@dataclass(frozen=True)
class StreamingUpdate:
    """What is known about a segment of speech.

    Args:
        is_final: whether the segment has ended and `text` is its transcript.
        segment: number of the segment in its stream, from 0.
        start: second of the stream at which the segment begins.
        end: second up to which it was encoded; of a final update, its end.
        phonemes: what the phoneme head heard so far, separated by spaces; "" where it was never trained.
        text: the transcript; of a partial update the look-ahead decode's, or `None` where there was none.
        heard: of a final update, second of the stream at which its end was known; else `end`.
        flags: of a final update, what the pipeline's `return_flags` gives: "no_speech", "length_limit", and, where
            confidence is asked for, "low_agreement".
        confidence: of a final update, what the pipeline's `return_confidence` gives, where it was asked for.
    """

    is_final: bool
    segment: int
    start: float
    end: float
    phonemes: str
    text: str | None
    heard: float
    flags: tuple[str, ...] = ()
    confidence: float | None = None


@dataclass(eq=False)
class _Segment:
    """One segment of a stream on its way through the model."""

    number: int
    start: int
    features: EntropyASRFeatureStream
    encoder_cache: EntropyASREncoderCache = field(default_factory=EntropyASREncoderCache)
    num_samples: int = 0
    heard: int = 0
    has_ended: bool = False
    num_chunks: int = 0
    num_audio_tokens: int = 0
    last_phoneme: int = -1
    phonemes: list[int] = field(default_factory=list)
    flags: tuple[str, ...] = ()
    confidence: float | None = None
    # For the guards at its end.
    samples: list[np.ndarray] = field(default_factory=list)
    log_probs: list[torch.Tensor] = field(default_factory=list)

    def push(self, piece: SpeechPiece) -> None:
        self.features.push(piece.samples)
        self.samples.append(piece.samples)
        self.num_samples += len(piece.samples)
        self.heard, self.has_ended = piece.heard, piece.is_last

    def add_frames(self, frame_phonemes: list[int], blank: int) -> None:
        """Greedy CTC over the phonemes of the next frames: repeats merged, across chunks too, blanks dropped."""
        for phoneme in frame_phonemes:
            if phoneme not in (self.last_phoneme, blank):
                self.phonemes.append(phoneme)
            self.last_phoneme = phoneme


class Stream:
    """One stream of a [`StreamingBatch`]; made by its `join`."""

    def __init__(
        self,
        slot: int,
        segmenter: SpeechSegmenter,
        language: str | None,
        hotwords: HotwordIndex | None,
        rate: int,
    ):
        self.slot = slot
        self.segmenter = segmenter
        self.language = language
        self.hotwords = hotwords
        self.hotword_tolerance = 0.0
        self.segments: deque[_Segment] = deque()
        self.num_segments = 0
        self.is_finished = False
        self.waiting: deque[np.ndarray] = deque()
        self.resampler = None if rate == SAMPLING_RATE else soxr.ResampleStream(rate, SAMPLING_RATE, 1, "float32")
        self._is_closed = False

    @property
    def seconds_waiting(self) -> float:
        """Audio that was pushed and not yet heard by `step`."""
        return sum(map(len, tuple(self.waiting))) / SAMPLING_RATE

    @property
    def has_work(self) -> bool:
        """Whether `step` has something to do for this stream."""
        return bool(self.waiting) or (self.is_finished and not self._is_closed)

    def push(self, samples: np.ndarray) -> None:
        if self.resampler is not None:
            samples = self.resampler.resample_chunk(samples)
        if len(samples):
            self.waiting.append(samples)

    def finish(self) -> None:
        if self.resampler is not None and not self.is_finished:
            self.waiting.append(self.resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True))
        self.is_finished = True

    def listen(self, num_samples: int, new_segment: Callable[[int, int], _Segment]) -> None:
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


class StreamingBatch:
    r"""
    Recognises many streams at once through one model: chunks that are due together are computed together.

    Streams join and leave at any time; what one says, and how it is portioned, changes nothing in another's
    transcript. The object is not to be used from several threads at a time.

    What the pipeline was made with (language, hotwords, generation settings, guards) holds for streams as well where
    nothing else is given here or to `join`; only its times are for recordings.

    Args:
        pipeline ([`EntropyASRPipeline`]): model, processor and device, and default settings.
        chunk_ms (`int`, *optional*, defaults to 640): audio encoded together; it must be a multiple of the 160 ms of
            an audio token. Smaller chunks answer sooner, larger ones hear more context.
        left_chunks (`int`, *optional*, defaults to 4): earlier chunks a chunk sees in the encoder, -1 for all.
        max_streams (`int`, *optional*, defaults to 16): streams at a time; memory is set aside for each.
        use_vad (`bool`, *optional*, defaults to `True`): whether voice activity detection finds the segments. Without
            it all audio is transcribed, in segments of `endpoints.max_segment` seconds.
        endpoints ([`EndpointSettings`], *optional*): when segments begin and end.
        preview_chunks (`int`, *optional*, defaults to 0): decode a preview of the text every so many chunks, from a
            copy of the state; 0 for none.
        guards (`bool`, `dict` or [`GuardSettings`], *optional*): as the pipeline's, whose own setting is the default.
        return_confidence (`bool`, *optional*): whether final updates have a confidence, as the pipeline's, whose own
            setting is the default. Needs the extra `g2p`.
        generate_kwargs (`dict`, *optional*): arguments of `generate`, such as `num_beams`, over the pipeline's own.

    Attributes:
        seconds (`dict[str, float]`): time spent so far in "vad", "features", "encoder", "prefill" and "decode".
        clock (`Callable`): what measures it, `time.perf_counter`.

    Raises:
        ValueError: settings that do not fit each other or the model.
    """

    def __init__(
        self,
        pipeline: EntropyASRPipeline,
        chunk_ms: int = 640,
        left_chunks: int = 4,
        max_streams: int = 16,
        use_vad: bool = True,
        endpoints: EndpointSettings | None = None,
        preview_chunks: int = 0,
        guards: GuardSettings | dict | bool | None = None,
        return_confidence: bool | None = None,
        generate_kwargs: dict[str, Any] | None = None,
    ):
        self.pipeline, self.model, self.processor = pipeline, pipeline.model, pipeline.processor
        self._check_model()
        self.chunk_size = self._chunk_frames(chunk_ms)
        if left_chunks < -1:
            raise ValueError(f"`left_chunks` must be -1 (all) or a number of chunks, not {left_chunks}.")
        if max_streams < 1 or preview_chunks < 0:
            raise ValueError(f"`max_streams` ({max_streams}) must be 1 or more, `preview_chunks` 0 or more.")
        self.left_chunks, self.max_streams = left_chunks, max_streams
        self.use_vad = use_vad
        self.endpoints = endpoints or EndpointSettings()
        self.preview_chunks = preview_chunks
        defaults = pipeline._postprocess_params
        self.guards = GuardSettings.of(defaults.get("guards") if guards is None else guards)
        if return_confidence is None:
            return_confidence = defaults.get("return_confidence", False)
        self.return_confidence = return_confidence
        self.pipeline._check_wanted(None, return_confidence)
        self.generate_kwargs = self._merge_generate_kwargs(generate_kwargs or {})
        self._check_generation()
        self.clock: Callable[[], float] = time.perf_counter
        self.seconds: dict[str, float] = defaultdict(float)
        self.streams: list[Stream] = []
        self._prefixes: dict[str | None, StreamSlots] = {}
        longest = max(len(self._prompt_ids(language, None)[0]) for language in (None, *LANGUAGES))
        room = longest + self._max_audio_tokens() + self.chunk_size  # a chunk may be padded by less than its size
        self._slots = StreamSlots(max_streams, room)

    def _check_model(self) -> None:
        if self.model.config.audio_config.model_type != "entropy_asr_encoder":
            raise ValueError(
                f"Streaming needs this project's causal encoder: a `{self.model.config.audio_config.model_type}` "
                "encoder cannot go on from chunk to chunk."
            )
        if self.processor.sampling_rate != SAMPLING_RATE:
            raise ValueError(
                f"Streaming works at {SAMPLING_RATE} Hz, the processor at {self.processor.sampling_rate}."
            )
        check_language_model(self.model.model.language_model.config)
        if not self.model.config.phoneme_head_trained:
            warnings.warn(
                "The phoneme head was never trained: updates have no `phonemes`, and only voice activity "
                "detection guards against silence."
            )

    def _merge_generate_kwargs(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments of `generate` that were given, and the pipeline's where none was."""
        if misplaced := [name for name in OWN_ARGUMENTS if name in given]:
            raise ValueError(
                f"`{misplaced[0]}` is no argument of `generate`: give it beside `generate_kwargs`, or to `join`."
            )
        defaults = self.pipeline._forward_params
        return {name: value for name, value in defaults.items() if name not in OWN_ARGUMENTS} | given

    def _check_generation(self) -> None:
        """Tell now, and not when the first segment ends, what the pipeline refuses and what a stream cannot honour."""
        config, others = self.pipeline._generation_config(self.generate_kwargs)
        refused = [name for name in UNSTREAMABLE if name in others or getattr(config, name, None) is not None]
        refused += ["use_cache=False"] if config.use_cache is False else []
        if refused:
            raise ValueError(
                f"`{refused[0]}` cannot be honoured in streams: they decode from the state that they have gathered."
            )

    @property
    def _features_per_frame(self) -> int:
        ratio = 1
        for _, stride, _ in self.model.config.audio_length_stages:
            ratio *= stride
        return ratio

    def _chunk_frames(self, chunk_ms: int) -> int:
        """Encoder frames of a chunk; whole audio tokens only, since a token is prefilled once."""
        frame_ms = self.processor.feature_extractor.frame_shift * self._features_per_frame
        token_ms = frame_ms * self.model.config.adaptor_stacking
        if chunk_ms <= 0 or chunk_ms % token_ms:
            raise ValueError(f"`chunk_ms` must be a multiple of {token_ms:g} ms, one audio token, not {chunk_ms}.")
        return round(chunk_ms / frame_ms)

    @property
    def chunk_samples(self) -> int:
        """Samples of a chunk."""
        return self.chunk_size * self._features_per_frame * self.processor.feature_extractor.hop_samples

    def _max_audio_tokens(self) -> int:
        num_samples = round(self.endpoints.max_segment * SAMPLING_RATE)
        return int(self.processor.num_audio_tokens(self.processor.feature_extractor.num_frames(num_samples)))

    def _prompt_ids(self, language: str | None, hotwords: list[str] | None) -> tuple[list[int], list[int]]:
        """Token ids of the prompt before the speech, which hints do not change, and after it."""
        parts = self.processor.prompt(language, hotwords or ()).split(self.processor.audio_token)
        before, after = (self.processor.tokenizer(part, add_special_tokens=False).input_ids for part in parts)
        return before, after

    # streams

    def join(
        self,
        language: str | None = None,
        hotwords: list[str] | HotwordIndex | None = None,
        hotword_tolerance: float | None = None,
        sampling_rate: int = SAMPLING_RATE,
    ) -> Stream:
        """Add a stream.

        Args:
            language: in any form that [`language_code`] understands; by default the pipeline's setting, and without
                one, or with "auto", the model decides.
            hotwords: words to listen for, or an index of them: those that the phoneme head heard in a segment are
                hints to the model when it is decoded. By default the pipeline's; `[]` for none. A list needs the
                extra `g2p`.
            hotword_tolerance: also takes words that are nearly heard, see [`HotwordIndex.search`]; by default the
                pipeline's setting, and 0 without one.
            sampling_rate: of its samples, in Hz.

        Raises:
            RuntimeError: `max_streams` are there already.
            ValueError: an unknown language, an impossible rate, or segments longer than the model can take.
            ImportError: a list of hotwords without the extra `g2p`.
        """
        taken = {stream.slot for stream in self.streams}
        free = [slot for slot in range(self._slots.num_slots) if slot not in taken]
        if not free:
            raise RuntimeError(f"All {self._slots.num_slots} streams are taken (`max_streams`).")
        if (
            isinstance(sampling_rate, bool)
            or not isinstance(sampling_rate, int)
            or not 1000 <= sampling_rate <= 768000
        ):
            raise ValueError(f"`sampling_rate` must be between 1000 and 768000 Hz, not {sampling_rate!r}.")
        defaults = self.pipeline._forward_params
        language = language_code(defaults.get("language") if language is None else language, optional=True)
        hotwords = defaults.get("hotwords") if hotwords is None else hotwords
        if hotword_tolerance is None:
            hotword_tolerance = defaults.get("hotword_tolerance", 0.0)
        check_tolerance(hotword_tolerance)
        index = self._find_index(hotwords)
        room = 0 if index is None else HINT_TOKENS
        self._check_length(sum(map(len, self._prompt_ids(language, None))) + room)
        segmenter = SpeechSegmenter(self.endpoints, self.use_vad)
        stream = Stream(free[0], segmenter, language, index, sampling_rate)
        stream.hotword_tolerance = hotword_tolerance
        # A new list: one that is being sorted looks empty to another thread, which may push meanwhile.
        self.streams = sorted([*self.streams, stream], key=lambda stream: stream.slot)
        return stream

    def _find_index(self, hotwords: list[str] | HotwordIndex | None) -> HotwordIndex | None:
        """Index of hotwords, or `None` where there is no word to listen for."""
        index = None if hotwords is None else self.pipeline._as_index(hotwords)
        return None if index is None or len(index) == 0 else index

    def _check_length(self, num_text: int) -> None:
        config, _ = self.pipeline._generation_config(self.generate_kwargs)
        most = self.pipeline._max_audio_tokens(num_text, config.max_new_tokens)
        if self._max_audio_tokens() > most:
            seconds = self.endpoints.max_segment * most / self._max_audio_tokens()
            raise ValueError(
                f"`max_segment` ({self.endpoints.max_segment} s) must be at most {seconds:.1f} s: the model has no "
                "room for longer ones with this prompt and transcript length."
            )

    def leave(self, stream: Stream) -> None:
        """Remove a stream; what it had not said to the end is dropped.

        Raises:
            ValueError: the stream is not in the batch.
        """
        self._check_joined(stream)
        self.streams.remove(stream)
        self._slots.clear(stream.slot)

    def _check_joined(self, stream: Stream) -> None:
        if stream not in self.streams:
            raise ValueError("The stream is not in this batch: it has left it, or it is another's.")

    def push(self, stream: Stream, samples: Any) -> None:
        """Queue audio of a stream; `step` works on it.

        Args:
            stream: from `join`.
            samples: `(num_samples,)` array or tensor at the stream's rate: floats in [-1, 1] or integer PCM.

        Raises:
            AudioError: not audio, or not finite; the stream stays as it was.
            ValueError: the stream was finished, or is not in the batch; it stays as it was.
        """
        self._check_joined(stream)
        if stream.is_finished:
            raise ValueError("The stream is finished: nothing can be pushed to it any more.")
        if len(samples):
            if np.ndim(samples) != 1:
                raise ValueError(f"`samples` must have one axis, got shape {tuple(np.shape(samples))}: mix it down.")
            stream.push(load_audio(samples))

    def finish(self, stream: Stream) -> None:
        """No more audio will come: what was said last ends now.

        Raises:
            ValueError: the stream is not in the batch.
        """
        self._check_joined(stream)
        stream.finish()

    @property
    def has_work(self) -> bool:
        """Whether `step` has something to do."""
        return any(stream.has_work or self._is_due(stream) for stream in self.streams)

    def is_done(self, stream: Stream) -> bool:
        """Whether all updates of a finished stream have been given."""
        return stream.is_finished and not stream.has_work and not stream.segments

    # work

    @torch.no_grad()
    def step(self) -> list[tuple[Stream, StreamingUpdate]]:
        """Hear and encode at most one chunk of each stream, decode the segments that end; returns what is new."""
        with self._timed("vad"):
            for stream in self.streams:
                if stream.has_work:
                    stream.listen(self.chunk_samples, self._new_segment)
        due = [stream for stream in self.streams if self._is_due(stream)]
        if due:
            self._encode(due)
        ended = [stream for stream in due if self._has_ended(stream)]
        previewed = [stream for stream in due if stream not in ended and self._wants_preview(stream)]
        texts = self._decode(ended + previewed)
        for stream in ended:
            self._judge(stream, texts[stream])
        updates = [(stream, self._update(stream, texts.get(stream))) for stream in due]
        for stream in ended:
            stream.segments.popleft()
            self._slots.clear(stream.slot)
        return updates

    def _new_segment(self, number: int, start: int) -> _Segment:
        return _Segment(number, start, EntropyASRFeatureStream(self.processor.feature_extractor))

    def _is_due(self, stream: Stream) -> bool:
        """Whether the first segment has a whole chunk, or has ended."""
        if not stream.segments:
            return False
        segment = stream.segments[0]
        return segment.has_ended or segment.features.num_ready >= self.chunk_size * self._features_per_frame

    def _has_ended(self, stream: Stream) -> bool:
        segment = stream.segments[0]
        return segment.has_ended and segment.features.num_ready == 0

    def _wants_preview(self, stream: Stream) -> bool:
        return self.preview_chunks > 0 and stream.segments[0].num_chunks % self.preview_chunks == 0

    def _update(self, stream: Stream, text: str | None) -> StreamingUpdate:
        segment, is_final = stream.segments[0], self._has_ended(stream)
        num_samples = segment.num_samples if is_final else segment.num_chunks * self.chunk_samples
        end = segment.start + num_samples
        return StreamingUpdate(
            is_final=is_final,
            segment=segment.number,
            start=segment.start / SAMPLING_RATE,
            end=end / SAMPLING_RATE,
            phonemes=self._phonemes(segment),
            text=text,
            heard=(segment.heard if is_final else end) / SAMPLING_RATE,
            flags=segment.flags if is_final else (),
            confidence=segment.confidence if is_final else None,
        )

    def _phonemes(self, segment: _Segment) -> str:
        trained = self.model.config.phoneme_head_trained
        return self.processor.phoneme_tokenizer.decode(segment.phonemes) if trained else ""

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = self.clock()
        yield
        self.seconds[part] += self.clock() - start

    def _encode(self, streams: list[Stream]) -> None:
        """Features, encoder, phonemes, adaptor and prefill of the next chunk of each of these streams."""
        with self._timed("features"):
            chunks = [self._next_features(stream.segments[0]) for stream in streams]
        chunks = [(stream, features) for stream, features in zip(streams, chunks, strict=True) if len(features)]
        if not chunks:
            return
        streams = [stream for stream, _ in chunks]
        with self._timed("encoder"):
            tokens, counts = self._encode_features(streams, [features for _, features in chunks])
        with self._timed("prefill"):
            self._prefill(streams, tokens, counts)

    def _next_features(self, segment: _Segment) -> torch.Tensor:
        whole = self.chunk_size * self._features_per_frame
        if segment.features.num_ready >= whole:
            return segment.features.take(whole)
        return segment.features.take_rest()

    def _encode_features(self, streams: list[Stream], chunks: list[torch.Tensor]) -> tuple[torch.Tensor, list[int]]:
        """One chunk of each stream through encoder and adaptor.

        Returns:
            Embeddings `(num_streams, num_tokens, hidden_size)`, and how many of each row are real.
        """
        segments = [stream.segments[0] for stream in streams]
        lengths = torch.tensor([len(features) for features in chunks])
        batch = torch.nn.utils.rnn.pad_sequence(chunks, batch_first=True).to(self.model.device)
        mask = (torch.arange(batch.shape[1])[None, :] < lengths[:, None]).to(self.model.device)
        cache = EntropyASREncoderCache.stack([segment.encoder_cache for segment in segments])
        encoded = self.model.model.audio_tower(
            batch, attention_mask=mask, chunk_size=self.chunk_size, left_chunks=self.left_chunks, cache=cache
        )
        logits = self.model.phoneme_head(encoded.last_hidden_state)
        log_probs, phonemes = logits.float().log_softmax(-1).cpu(), logits.argmax(-1).tolist()
        tokens = self.model.model.adaptor(encoded.last_hidden_state, encoded.attention_mask)
        num_frames = output_length(lengths, self.model.config.audio_length_stages).tolist()
        counts = self.processor.num_audio_tokens(lengths).tolist()
        rows = zip(segments, cache.unstack(), phonemes, log_probs, num_frames, counts, strict=True)
        for segment, own_cache, frame_phonemes, frame_log_probs, count, num_tokens in rows:
            segment.encoder_cache = own_cache
            segment.add_frames(frame_phonemes[:count], self.model.config.phoneme_blank_token_id)
            segment.log_probs.append(frame_log_probs[:count].clone())
            segment.num_chunks += 1
            segment.num_audio_tokens += num_tokens
        return tokens, counts

    def _prefill(self, streams: list[Stream], tokens: torch.Tensor, counts: list[int]) -> None:
        """Append the chunks' embeddings to the language model's state; before the first one comes the prefix."""
        language_model = self.model.model.language_model
        for stream in streams:
            if self._slots.lengths[stream.slot] == 0:
                self._slots.copy_from(stream.slot, self._prefix(stream.language))
        slots = [stream.slot for stream in streams]
        self._slots.prefill(language_model, slots, tokens.to(language_model.dtype), counts)

    def _prefix(self, language: str | None) -> StreamSlots:
        """Keys and values of what precedes the speech; computed once."""
        if language not in self._prefixes:
            ids, _ = self._prompt_ids(language, None)
            embeds = self.model.get_input_embeddings()(torch.tensor([ids], device=self.model.device))
            prefix = StreamSlots(1, len(ids))
            prefix.prefill(self.model.model.language_model, [0], embeds, [len(ids)])
            self._prefixes[language] = prefix
        return self._prefixes[language]

    def _decode(self, streams: list[Stream]) -> dict[Stream, str]:
        """Texts of the streams' segments as far as they were heard, from copies of their states; "" for no speech."""
        groups: dict[int, list[tuple[Stream, list[int]]]] = defaultdict(list)
        texts: dict[Stream, str] = {}
        with self._timed("decode"):
            for stream in streams:
                if self.guards.no_speech and self._is_speech_absent(stream.segments[0]):
                    texts[stream], stream.segments[0].flags = "", (NO_SPEECH,)
                    continue
                before, after = self._prompt_ids(stream.language, self._hints(stream))
                audio = [self.processor.audio_token_id] * stream.segments[0].num_audio_tokens
                groups[len(after)].append((stream, [*before, *audio, *after]))
            for group in groups.values():
                ready, prompts = zip(*group, strict=True)
                texts.update(zip(ready, self._generate(ready, prompts), strict=True))
        return texts

    def _is_speech_absent(self, segment: _Segment) -> bool:
        config, samples = self.model.config, np.concatenate(segment.samples)
        blank = config.phoneme_blank_token_id
        log_probs = torch.cat(segment.log_probs) if config.phoneme_head_trained else None
        return is_speech_absent(log_probs, samples, SAMPLING_RATE, self.guards, blank)

    def _judge(self, stream: Stream, text: str) -> None:
        """Confidence of the first segment's transcript, and the flag of a low one."""
        segment = stream.segments[0]
        if self.return_confidence and NO_SPEECH in segment.flags:
            segment.confidence = 1.0
        elif self.return_confidence:
            log_probs, tokenizer = torch.cat(segment.log_probs), self.processor.phoneme_tokenizer
            confidence, found = judge_transcript(log_probs, text, tokenizer, self.guards, stream.language)
            segment.confidence, segment.flags = confidence, (*segment.flags, *found)

    def _hints(self, stream: Stream) -> list[str] | None:
        """Hotwords that were heard in the first segment."""
        if stream.hotwords is None:
            return None
        symbols = self.processor.phoneme_tokenizer.convert_ids_to_tokens(stream.segments[0].phonemes)
        return stream.hotwords.find_hints(symbols, stream.hotword_tolerance)

    def _generate(self, streams: Sequence[Stream], prompts: Sequence[list[int]]) -> list[str]:
        """Decode streams whose prompts end in as many tokens behind the speech: only these are to be computed yet."""
        audio_tokens = torch.tensor([stream.segments[0].num_audio_tokens for stream in streams])
        length = max(map(len, prompts))
        missing = [length - len(prompt) for prompt in prompts]
        config, others = self.pipeline._generation_config(self.generate_kwargs)
        ids = [[config.pad_token_id] * count + prompt for count, prompt in zip(missing, prompts, strict=True)]
        mask = [[0] * count + [1] * len(prompt) for count, prompt in zip(missing, prompts, strict=True)]
        prompt_tokens = torch.tensor([len(prompt) for prompt in prompts])
        new_tokens = self.pipeline._max_new_tokens(audio_tokens, prompt_tokens, config, self.guards)
        new_tokens = new_tokens.to(self.model.device)
        others = self.pipeline._bound_rows(config, others, new_tokens)
        cache = self._slots.copy_to_batch([stream.slot for stream in streams])
        if config.num_beams is not None and config.num_beams > 1:
            cache.batch_repeat_interleave(config.num_beams)
        sequences = self.model.generate(
            input_ids=torch.tensor(ids, device=self.model.device),
            attention_mask=torch.tensor(mask, device=self.model.device),
            generation_config=config,
            **{CACHE: cache},
            **others,
        )
        new = sequences[:, length:]
        for stream, is_cut in zip(streams, rows_at_bound(new, new_tokens, config).tolist(), strict=True):
            stream.segments[0].flags = (LENGTH_LIMIT,) if is_cut else ()
        return [self.processor.decode(row).strip() for row in new.tolist()]


class StreamingTranscriber:
    r"""
    Recognises one stream: push samples, get updates.

    Args:
        pipeline ([`EntropyASRPipeline`]): from [`load_pipeline`] or `transformers.pipeline`.
        language (`str`, *optional*): "en" or "zh"; by default the pipeline's setting, see [`StreamingBatch.join`].
        hotwords (`list[str]` or [`HotwordIndex`], *optional*): words to listen for, see [`StreamingBatch.join`].
        hotword_tolerance (`float`, *optional*): see [`StreamingBatch.join`].
        sampling_rate (`int`, *optional*, defaults to 16000): of the samples, in Hz.
        kwargs: settings of [`StreamingBatch`]: `chunk_ms`, `left_chunks`, `use_vad`, `endpoints`, ...

    Example:

    ```python
    >>> stream = StreamingTranscriber(load_pipeline("path/or/hub-id"), language="en")
    >>> for samples in microphone:
    ...     for update in stream.push(samples):
    ...         print(update.text if update.is_final else update.phonemes)
    >>> stream.finish()
    [StreamingUpdate(is_final=True, ...)]
    ```
    """

    def __init__(
        self,
        pipeline: EntropyASRPipeline,
        language: str | None = None,
        hotwords: list[str] | HotwordIndex | None = None,
        hotword_tolerance: float | None = None,
        sampling_rate: int = SAMPLING_RATE,
        **kwargs,
    ):
        self.batch = StreamingBatch(pipeline, max_streams=1, **kwargs)
        self._request = {
            "language": language,
            "hotwords": hotwords,
            "hotword_tolerance": hotword_tolerance,
            "sampling_rate": sampling_rate,
        }
        self._stream = self.batch.join(**self._request)

    def push(self, samples: Any) -> list[StreamingUpdate]:
        """Hear `(num_samples,)` samples, floats in [-1, 1] or integer PCM, any number of them.

        Returns:
            What is new, oldest first; often nothing.
        """
        self.batch.push(self._stream, samples)
        return self._run()

    def finish(self) -> list[StreamingUpdate]:
        """End the stream: the last updates."""
        self.batch.finish(self._stream)
        return self._run()

    def reset(self) -> None:
        """Begin a new stream."""
        self.batch.leave(self._stream)
        self._stream = self.batch.join(**self._request)

    def _run(self) -> list[StreamingUpdate]:
        updates = []
        while self.batch.has_work:
            updates += [update for _, update in self.batch.step()]
        return updates


__all__ = ["Stream", "StreamingBatch", "StreamingTranscriber", "StreamingUpdate"]
