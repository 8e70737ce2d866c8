# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Streaming recognition (paper, "Inference"): every sample is encoded once, every token prefilled once.

Speech goes through the encoder in chunks, whose embeddings are appended to the language model's keys and values as
they arrive, behind a prompt prefix that is computed once. Voice activity detection ends a segment; then hints are
appended and the text is decoded, once. Until then there are the phonemes of the CTC head.

A stream's audio is cut into the same segments and chunks however its samples were portioned, so its transcript is
the one that the pipeline gives for the segment under the same chunk mask.
"""

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from .audio import load_audio
from .decoding_entropy_asr import GenerationSettings, TranscriptDecoder, check_generate_kwargs
from .encoder_rules_entropy_asr import encoder_rules
from .feature_extraction_entropy_asr import EntropyASRFeatureStream
from .guards_entropy_asr import GuardSettings
from .hotword_entries_entropy_asr import check_tolerance, check_tolerance_used
from .hotwords_entropy_asr import HotwordIndex
from .languages_entropy_asr import LANGUAGES, language_code
from .pipeline_entropy_asr import EntropyASRPipeline
from .results_entropy_asr import language_fields
from .streaming_cache_entropy_asr import StreamSlots, check_language_model
from .streaming_model_entropy_asr import StreamDecoding, StreamEncoder
from .streaming_state_entropy_asr import Stream, StreamingUpdate, StreamSegment
from .vad_entropy_asr import SAMPLING_RATE, EndpointSettings, SpeechSegmenter


# Room in the language model's positions for hints that are found in an index only when a segment has ended.
HINT_TOKENS = 256
# Settings of `generate` under which it would not go on from the keys and values that a stream has.
UNSTREAMABLE = ("cache_implementation", "past_key_values", "cache")


class StreamingBatch:
    r"""
    Recognises many streams at once through one model: chunks that are due together are computed together.

    Streams join and leave at any time; what one says, and how it is portioned, changes nothing in another's
    transcript. The object is not to be used from several threads at a time.

    What the pipeline was made with (language, hotwords, adapter, generation settings, guards) holds for streams as
    well where nothing else is given here or to `join`; only its times and the hotwords that were found are for
    recordings.

    Args:
        pipeline ([`EntropyASRPipeline`]): model, processor and device, and default settings.
        chunk_ms (`int`, *optional*, defaults to 640): audio encoded together; it must be a multiple of the 160 ms of
            an audio token. Smaller chunks answer sooner, larger ones see more context.
        left_chunks (`int`, *optional*, defaults to 4): earlier chunks a chunk sees in the encoder, -1 for all.
        max_streams (`int`, *optional*, defaults to 16): streams at a time; memory is set aside for each.
        use_vad (`bool`, *optional*, defaults to `True`): whether voice activity detection finds the segments; else all
            audio is transcribed, in segments of `endpoints.max_segment` seconds.
        endpoints ([`EndpointSettings`], *optional*): when segments begin and end.
        preview_chunks (`int`, *optional*, defaults to 0): a preview of the text every so many chunks; 0 for none.
        stable_previews (`bool`, *optional*, defaults to `True`): whether all texts, the final one too, go on from what
            two previews in a row began with alike. Otherwise each is decoded from the start, the final one as in a
            stream without previews.
        guards (`bool`, `dict` or [`GuardSettings`], *optional*): as the pipeline's, whose own setting is the default.
        return_confidence (`bool`, *optional*): whether final updates have a confidence, as the pipeline's, whose own
            setting is the default. Needs the extra `g2p`.
        return_language (`bool`, *optional*): of final updates, as the pipeline's, whose own setting is the default.
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
        stable_previews: bool = True,
        guards: GuardSettings | dict | bool | None = None,
        return_confidence: bool | None = None,
        return_language: bool | None = None,
        generate_kwargs: dict[str, Any] | None = None,
    ):
        self.pipeline, self.decoder = pipeline, pipeline.decoder
        self.processor = self.decoder.processor
        check_streamable(self.decoder)
        if max_streams < 1 or preview_chunks < 0:
            raise ValueError(f"`max_streams` ({max_streams}) must be 1 or more, `preview_chunks` 0 or more.")
        self.max_streams, self.preview_chunks = max_streams, preview_chunks
        self.use_vad = use_vad
        self.endpoints = endpoints or EndpointSettings()
        self.encoder = StreamEncoder(self.decoder, chunk_ms, left_chunks)
        if return_confidence is None:
            return_confidence = pipeline.wanted.return_confidence
        self.decoder.check_outputs(None, return_confidence)
        check_generate_kwargs(generate_kwargs or {}, ", or to `join`")
        self.request = replace(
            pipeline.request,
            guards=pipeline.request.guards if guards is None else GuardSettings.of(guards),
            return_language=pipeline.request.return_language if return_language is None else return_language,
            generate_kwargs={**pipeline.request.generate_kwargs, **(generate_kwargs or {})},
        )
        refuse_unstreamable(self.decoder.generation_settings(self.request.generate_kwargs))
        self.decoding = StreamDecoding(self.decoder, self.request, return_confidence, stable_previews)
        self.clock: Callable[[], float] = time.perf_counter
        self.seconds: dict[str, float] = defaultdict(float)
        self.streams: list[Stream] = []
        longest = max(len(self.processor.prompt_ids(language)[0]) for language in (None, *LANGUAGES))
        # A chunk may be padded by less than its size.
        room = longest + self._max_audio_tokens() + self.encoder.chunk_size
        self._slots = StreamSlots(max_streams, room)

    @property
    def chunk_samples(self) -> int:
        """Samples of a chunk."""
        return self.encoder.chunk_samples

    @property
    def guards(self) -> GuardSettings:
        """The guards of all streams."""
        return self.request.guards

    def _max_audio_tokens(self) -> int:
        num_samples = round(self.endpoints.max_segment * SAMPLING_RATE)
        return int(self.processor.num_audio_tokens(self.processor.feature_extractor.num_frames(num_samples)))

    # streams

    def join(
        self,
        language: str | None = None,
        hotwords: list[str] | HotwordIndex | None = None,
        hotword_tolerance: float | None = None,
        sampling_rate: int = SAMPLING_RATE,
        adapter: str | None = None,
    ) -> Stream:
        """Add a stream.

        Args:
            language: in any form that [`language_code`] understands; by default the pipeline's setting, and without
                one, or with "auto", the model decides.
            hotwords: words to listen for, or an index of them: those whose phonemes are found in a segment are
                hints to the model when it is decoded. By default the pipeline's; `[]` for none. A list needs the
                extra `g2p`.
            hotword_tolerance: also takes words of similar phonemes, see [`HotwordIndex.search`]; by default the
                pipeline's setting, and 0 without one.
            sampling_rate: of its samples, in Hz.
            adapter: name of the adapter that the model has for this stream, of those that the pipeline has loaded;
                by default the pipeline's setting, and none without one. Streams of one adapter share batches.

        Raises:
            RuntimeError: `max_streams` are there already.
            ValueError: an unknown language or adapter, a wrong rate, a tolerance alone, or segments that are too long.
            ImportError: a list of hotwords without the extra `g2p`.
        """
        free = sorted(set(range(self._slots.num_slots)) - {stream.slot for stream in self.streams})
        if not free:
            raise RuntimeError(f"All {self._slots.num_slots} streams are taken (`max_streams`).")
        is_number = isinstance(sampling_rate, int) and not isinstance(sampling_rate, bool)
        if not is_number or not 1000 <= sampling_rate <= 768000:
            raise ValueError(f"`sampling_rate` must be between 1000 and 768000 Hz, not {sampling_rate!r}.")
        defaults = self.request
        language = language_code(defaults.language if language is None else language, optional=True)
        hotwords = defaults.hotwords if hotwords is None else hotwords
        check_tolerance_used(hotword_tolerance, hotwords)
        hotword_tolerance = defaults.hotword_tolerance if hotword_tolerance is None else hotword_tolerance
        check_tolerance(hotword_tolerance)
        adapter = defaults.adapter if adapter is None else adapter
        self.decoder.adapters.check(adapter)
        self.pipeline.wanted.check(language)
        self.decoder.check_language(defaults.return_language, language)
        index = self._find_index(hotwords)
        room = 0 if index is None else HINT_TOKENS
        self._check_length(sum(map(len, self.processor.prompt_ids(language))) + room)
        segmenter = SpeechSegmenter(self.endpoints, self.use_vad)
        stream = Stream(free[0], segmenter, language, index, sampling_rate, hotword_tolerance, adapter)
        # A new list: one that is being sorted looks empty to another thread, which may push meanwhile.
        self.streams = sorted([*self.streams, stream], key=lambda stream: stream.slot)
        return stream

    def _find_index(self, hotwords: list[str] | HotwordIndex | None) -> HotwordIndex | None:
        """Index of hotwords, or `None` where there is no word to listen for."""
        index = None if hotwords is None else self.decoder.index_hotwords(hotwords)
        return None if index is None or len(index) == 0 else index

    def _check_length(self, num_text: int) -> None:
        config, _ = self.decoder.generation_settings(self.request.generate_kwargs)
        most = self.decoder.max_audio_tokens(num_text, config.max_new_tokens)
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
        """Take and encode at most one chunk of each stream, decode the segments that end; returns what is new."""
        with self._timed("vad"):
            for stream in self.streams:
                if stream.has_work:
                    stream.feed_segments(self.encoder.chunk_samples, self._new_segment)
        due = [stream for stream in self.streams if self._is_due(stream)]
        if due:
            self._encode(due)
        ended = [stream for stream in due if stream.segments[0].is_complete]
        previewed = [stream for stream in due if stream not in ended and self._wants_preview(stream)]
        with self._timed("decode"):
            texts = self.decoding.decode(self._slots, ended + previewed) if ended or previewed else {}
        for stream in ended:
            self.decoding.judge(stream)
        updates = [(stream, self._update(stream, texts.get(stream))) for stream in due]
        for stream in ended:
            stream.segments.popleft()
            self._slots.clear(stream.slot)
        return updates

    def _new_segment(self, number: int, start: int) -> StreamSegment:
        return StreamSegment(number, start, EntropyASRFeatureStream(self.processor.feature_extractor))

    def _is_due(self, stream: Stream) -> bool:
        return bool(stream.segments) and self.encoder.has_chunk(stream.segments[0])

    def _wants_preview(self, stream: Stream) -> bool:
        return self.preview_chunks > 0 and stream.segments[0].num_chunks % self.preview_chunks == 0

    def _update(self, stream: Stream, text: str | None) -> StreamingUpdate:
        segment = stream.segments[0]
        is_final = segment.is_complete
        end = segment.start + (segment.num_samples if is_final else segment.num_chunks * self.encoder.chunk_samples)
        # Without speech there is no text, whatever was stable before.
        stable = self.decoding.stable_text(segment) if text else ""
        style = self.pipeline.wanted.text_style
        if text is not None and style is not None:
            text, stable = style(text, stream.language), style(stable, stream.language)
        trained = self.decoder.model.config.phoneme_head_trained
        return StreamingUpdate(
            is_final=is_final,
            segment=segment.number,
            start=segment.start / SAMPLING_RATE,
            end=end / SAMPLING_RATE,
            phonemes=self.processor.phoneme_tokenizer.decode(segment.phonemes) if trained else "",
            text=text,
            end_known=(segment.end_known if is_final else end) / SAMPLING_RATE,
            stable_text=text if is_final else stable,
            revised=0 if text is None else segment.show(text),
            flags=segment.transcript.flags if is_final else (),
            confidence=segment.confidence if is_final else None,
            **(language_fields(segment.languages) if is_final else {}),
        )

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = self.clock()
        yield
        self.seconds[part] += self.clock() - start

    def _encode(self, streams: list[Stream]) -> None:
        """Features, encoder, phonemes, adaptor and prefill of the next chunk of each of these streams."""
        with self._timed("features"):
            chunks = [self.encoder.next_features(stream.segments[0]) for stream in streams]
        groups: dict[str | None, list[tuple[Stream, torch.Tensor]]] = defaultdict(list)
        for stream, features in zip(streams, chunks, strict=True):
            if len(features):
                groups[stream.adapter].append((stream, features))
        for adapter, group in groups.items():
            with self.decoder.adapters.active(adapter):
                self._encode_together(group)

    def _encode_together(self, chunks: list[tuple[Stream, torch.Tensor]]) -> None:
        """Chunks of streams of one adapter, which is active."""
        streams = [stream for stream, _ in chunks]
        with self._timed("encoder"):
            segments = [stream.segments[0] for stream in streams]
            tokens, counts = self.encoder.encode(segments, [features for _, features in chunks])
        with self._timed("prefill"):
            self.encoder.prefill(self._slots, streams, tokens, counts)


def check_streamable(decoder: TranscriptDecoder) -> None:
    """Refuse models that cannot go on from chunk to chunk, and warn of a phoneme head that was never trained.

    Raises:
        ValueError: the encoder, the language model or the sampling rate does not fit.
    """
    model, processor = decoder.model, decoder.processor
    if not encoder_rules(model.config.audio_config).streams:
        raise ValueError(
            f"Streaming needs an encoder of this project: a `{model.config.audio_config.model_type}` "
            "encoder cannot go on from chunk to chunk."
        )
    if processor.sampling_rate != SAMPLING_RATE:
        raise ValueError(f"Streaming works at {SAMPLING_RATE} Hz, the processor at {processor.sampling_rate}.")
    check_language_model(model.model.language_model.config)
    if not model.config.phoneme_head_trained:
        warnings.warn(
            "The phoneme head was never trained: updates have no `phonemes`, and only voice activity "
            "detection guards against silence."
        )


def refuse_unstreamable(settings: GenerationSettings) -> None:
    """Refuse now, and not when the first segment ends, what neither pipeline nor streams can honour.

    Raises:
        ValueError: a setting; it is named.
    """
    config, others = settings
    refused = [name for name in UNSTREAMABLE if name in others or getattr(config, name, None) is not None]
    refused += ["use_cache=False"] if config.use_cache is False else []
    refused += [] if config.num_return_sequences is None else ["num_return_sequences"]
    if refused:
        raise ValueError(
            f"`{refused[0]}` cannot be honoured in streams: they decode from the state that they have gathered."
        )


__all__ = ["Stream", "StreamingBatch", "StreamingUpdate"]
