# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Streams through the model: each chunk is encoded once and prefilled once, each segment decoded at its end."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from .decoding_entropy_asr import DecodingRequest, GenerationSettings, Transcript, TranscriptDecoder
from .encoder_cache_entropy_asr import EntropyASREncoderCache
from .encoder_rules_entropy_asr import output_length
from .guards_entropy_asr import NO_SPEECH
from .streaming_cache_entropy_asr import CACHE, StreamSlots
from .streaming_state_entropy_asr import Stream, StreamSegment


class StreamEncoder:
    """Takes chunks of features through encoder, phoneme head, adaptor and into the language model's state.

    Args:
        decoder ([`TranscriptDecoder`]): the pipeline's.
        chunk_ms (`int`): audio encoded together, in milliseconds: whole audio tokens only, a token is prefilled once.
        left_chunks (`int`): earlier chunks a chunk sees in the encoder, -1 for all.

    Raises:
        ValueError: chunks of no whole number of audio tokens, or a negative number of chunks.
    """

    def __init__(self, decoder: TranscriptDecoder, chunk_ms: int, left_chunks: int):
        self.model, self.processor = decoder.model, decoder.processor
        ratio = 1
        for _, stride, _ in self.model.config.audio_length_stages:
            ratio *= stride
        frame_ms = self.processor.feature_extractor.frame_shift * ratio
        token_ms = frame_ms * self.model.config.adaptor_stacking
        if chunk_ms <= 0 or chunk_ms % token_ms:
            raise ValueError(f"`chunk_ms` must be a multiple of {token_ms:g} ms, one audio token, not {chunk_ms}.")
        if left_chunks < -1:
            raise ValueError(f"`left_chunks` must be -1 (all) or a number of chunks, not {left_chunks}.")
        # Encoder frames and feature frames of a chunk.
        self.chunk_size, self.left_chunks = round(chunk_ms / frame_ms), left_chunks
        self.chunk_features = self.chunk_size * ratio
        # Features behind a chunk that the encoder waits for.
        self.look_ahead = self.model.model.audio_tower.num_look_ahead
        self._prefixes: dict[tuple[str | None, str | None], StreamSlots] = {}

    @property
    def chunk_samples(self) -> int:
        """Samples of a chunk."""
        return self.chunk_features * self.processor.feature_extractor.hop_samples

    def has_chunk(self, segment: StreamSegment) -> bool:
        """Whether a segment has a whole chunk and what the encoder sees behind it, or has ended."""
        return segment.has_ended or segment.features.num_ready >= self.chunk_features + self.look_ahead

    def next_features(self, segment: StreamSegment) -> torch.Tensor:
        """Features `(num_frames, num_mel_bins)` of the next chunk, or the rest of a segment that has ended."""
        return segment.features.take(min(self.chunk_features, segment.features.num_ready))

    def _features_behind(self, segments: Sequence[StreamSegment]) -> torch.Tensor:
        """Features behind the chunks that were taken, `(S, look_ahead, num_mel_bins)`: zeros where a segment ends."""
        rows = [segment.features.peek(min(self.look_ahead, segment.features.num_ready)) for segment in segments]
        rows = [torch.nn.functional.pad(row, (0, 0, 0, self.look_ahead - len(row))) for row in rows]
        return torch.stack(rows).to(self.model.device)

    def encode(
        self, segments: Sequence[StreamSegment], chunks: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, list[int]]:
        """One chunk of each of S segments through encoder and adaptor; phonemes go to the segments.

        Args:
            segments: where each chunk belongs.
            chunks: features of each, `(num_frames, num_mel_bins)`, at most a chunk's.

        Returns:
            Embeddings `(S, num_tokens, hidden_size)`, and how many of each row are real.
        """
        lengths = torch.tensor([len(features) for features in chunks])
        batch = torch.nn.utils.rnn.pad_sequence(list(chunks), batch_first=True).to(self.model.device)
        mask = (torch.arange(batch.shape[1])[None, :] < lengths[:, None]).to(self.model.device)
        cache = EntropyASREncoderCache.stack([segment.encoder_cache for segment in segments])
        encoded = self.model.model.audio_tower(
            batch,
            attention_mask=mask,
            chunk_size=self.chunk_size,
            left_chunks=self.left_chunks,
            cache=cache,
            look_ahead=self._features_behind(segments),
        )
        logits = self.model.phoneme_head(encoded.last_hidden_state)
        log_probs, phonemes = logits.float().log_softmax(-1).cpu(), logits.argmax(-1).tolist()
        tokens = self.model.model.adaptor(encoded.last_hidden_state, encoded.attention_mask)
        num_frames = output_length(lengths, self.model.config.audio_length_stages).tolist()
        counts = self.processor.num_audio_tokens(lengths).tolist()
        blank = self.model.config.phoneme_blank_token_id
        rows = zip(segments, cache.unstack(), phonemes, log_probs, num_frames, counts, strict=True)
        for segment, own_cache, frame_phonemes, frame_log_probs, count, num_tokens in rows:
            segment.encoder_cache = own_cache
            segment.add_frames(frame_phonemes[:count], frame_log_probs[:count].clone(), blank)
            segment.num_chunks += 1
            segment.num_audio_tokens += num_tokens
        return tokens, counts

    def prefill(self, slots: StreamSlots, streams: Sequence[Stream], tokens: torch.Tensor, counts: list[int]) -> None:
        """Append the chunks' embeddings to the language model's state; before the first one comes the prefix.

        Args:
            slots: the state.
            streams: the stream of each row; all of the adapter that is active.
            tokens: embeddings `(S, num_tokens, hidden_size)`.
            counts: how many of each row are real.
        """
        language_model = self.model.model.language_model
        for stream in streams:
            if slots.lengths[stream.slot] == 0:
                slots.copy_from(stream.slot, self._prefix(stream))
        slots.prefill(language_model, [stream.slot for stream in streams], tokens.to(language_model.dtype), counts)

    def _prefix(self, stream: Stream) -> StreamSlots:
        """Keys and values of what precedes the speech; computed once for a language and an adapter."""
        choice = stream.language, stream.adapter
        if choice not in self._prefixes:
            ids, _ = self.processor.prompt_ids(stream.language)
            embeds = self.model.get_input_embeddings()(torch.tensor([ids], device=self.model.device))
            prefix = StreamSlots(1, len(ids))
            prefix.prefill(self.model.model.language_model, [0], embeds, [len(ids)])
            self._prefixes[choice] = prefix
        return self._prefixes[choice]


class StreamDecoding:
    """Decodes the first segments of streams as far as they were encoded, from copies of their states.

    Args:
        decoder ([`TranscriptDecoder`]): the pipeline's.
        request ([`DecodingRequest`]): guards and arguments of `generate`.
        return_confidence (`bool`): whether segments get a confidence.
        keeps_beginning (`bool`): whether the beginning that two texts in a row have in common is kept from then on.
    """

    def __init__(
        self, decoder: TranscriptDecoder, request: DecodingRequest, return_confidence: bool, keeps_beginning: bool
    ):
        self.decoder = decoder
        self.model, self.processor = decoder.model, decoder.processor
        self.request, self.return_confidence = request, return_confidence
        self.keeps_beginning = keeps_beginning

    def decode(self, slots: StreamSlots, streams: Sequence[Stream]) -> dict[Stream, str]:
        """Texts of the streams' segments, which get their transcripts; "" for no speech.

        Args:
            slots: the language model's state, which stays as it is.
            streams: S streams, each with a segment.
        """
        groups: dict[tuple[str | None, int, int], list[tuple[Stream, list[int], list[str]]]] = defaultdict(list)
        for stream in streams:
            segment = stream.segments[0]
            log_probs, samples = torch.cat(segment.log_probs), np.concatenate(segment.samples)
            if self.decoder.is_speech_absent(log_probs, samples, self.request.guards):
                segment.transcript, segment.languages = Transcript("", (NO_SPEECH,)), {}
                continue
            hints = self._hints(stream)
            before, after = self.processor.prompt_ids(stream.language, hints)
            audio = [self.processor.audio_token_id] * segment.num_audio_tokens
            prompt = [*before, *audio, *after, *segment.stable]
            groups[stream.adapter, len(after), len(segment.stable)].append((stream, prompt, hints))
        settings = self.decoder.generation_settings(self.request.generate_kwargs)
        for (adapter, _, num_written), group in groups.items():
            ready, prompts, hints = zip(*group, strict=True)
            with self.decoder.adapters.active(adapter):
                self._generate(slots, ready, prompts, hints, settings, num_written)
        return {stream: stream.segments[0].transcript.text for stream in streams}

    def _hints(self, stream: Stream) -> list[str]:
        """Hotwords that were found in the first segment."""
        if stream.hotwords is None:
            return []
        phonemes = stream.segments[0].phonemes
        return self.processor.find_phoneme_hints(phonemes, stream.hotwords, stream.hotword_tolerance)

    def _generate(
        self,
        slots: StreamSlots,
        streams: Sequence[Stream],
        prompts: Sequence[list[int]],
        hints: Sequence[list[str]],
        settings: GenerationSettings,
        num_written: int,
    ) -> None:
        """Decode streams whose prompts end in as many tokens behind the speech: only these are to be computed yet.

        The last `num_written` of them are what is stable of the transcripts.
        """
        length, pad = max(map(len, prompts)), settings.config.pad_token_id
        missing = [length - len(prompt) for prompt in prompts]
        ids = [[pad] * count + prompt for count, prompt in zip(missing, prompts, strict=True)]
        mask = [[0] * count + [1] * len(prompt) for count, prompt in zip(missing, prompts, strict=True)]
        cache = slots.copy_to_batch([stream.slot for stream in streams])
        if settings.config.num_beams is not None and settings.config.num_beams > 1:
            cache.batch_repeat_interleave(settings.config.num_beams)
        inputs = {
            "input_ids": torch.tensor(ids, device=self.model.device),
            "attention_mask": torch.tensor(mask, device=self.model.device),
            CACHE: cache,
        }
        audio_tokens = torch.tensor([stream.segments[0].num_audio_tokens for stream in streams])
        frames = [torch.cat(stream.segments[0].log_probs) for stream in streams]
        languages = [stream.language for stream in streams]
        first_tokens = [stream.segments[0].first_tokens for stream in streams] if num_written else [None]
        first_tokens = None if first_tokens[0] is None else torch.stack(first_tokens)
        settings, spoken = self.decoder.listening(settings, self.request, languages, hints, frames, first_tokens)
        transcripts = self.decoder.generate(inputs, audio_tokens, settings, self.request.guards, num_written)
        for stream, transcript in zip(streams, transcripts, strict=True):
            stream.segments[0].take(transcript, self.keeps_beginning)
        if spoken is not None:
            rows = zip(streams, spoken.listener.mass, spoken.probabilities(), strict=True)
            for stream, mass, probabilities in rows:
                stream.segments[0].first_tokens = mass
                stream.segments[0].languages = probabilities if self.request.return_language else {}

    def stable_text(self, segment: StreamSegment) -> str:
        """Text of a segment's stable tokens, without a part of a character at their end."""
        return self.processor.decode(list(segment.stable)).strip().rstrip("\ufffd")

    def judge(self, stream: Stream) -> None:
        """Give the first segment its confidence, where that is asked for, and the flag of a low one."""
        if not self.return_confidence:
            return
        segment = stream.segments[0]
        log_probs, transcript = torch.cat(segment.log_probs), segment.transcript
        segment.confidence, flags = self.decoder.judge(log_probs, transcript, self.request.guards, stream.language)
        segment.transcript = transcript._replace(flags=flags)


__all__ = ["StreamDecoding", "StreamEncoder"]
