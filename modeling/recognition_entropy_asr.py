# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recognition of a batch of utterances: encode once, look for hotwords in the phonemes, generate.

An utterance that the model cannot take costs itself: it leaves the batch with the reason, and the others go on.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .decoding_entropy_asr import DecodingRequest, GenerationSettings, Transcript, TranscriptDecoder
from .guards_entropy_asr import NO_SPEECH
from .languages_entropy_asr import language_code
from .modeling_entropy_asr import EntropyASRSpeechOutput
from .optional_parts_entropy_asr import needed_for


@dataclass
class BatchedUtterance:
    """One utterance on its way through a batch.

    Args:
        name: what errors call it.
        waveform: its samples, `(num_samples,)` at the processor's rate.
        seconds: its length.
        log_probs: log-probabilities `(T, V)` of the phoneme head, on the CPU.
        context: what was said before it, which is a hint too.
        hints: hotwords that were found in it.
        transcript: what was recognised.
        languages: probability of each language by its code, where that was asked for and there is speech.
        error: why it was not, in words that name it.
    """

    name: str
    waveform: np.ndarray
    seconds: float
    log_probs: torch.Tensor | None = None
    context: str = ""
    hints: list[str] = field(default_factory=list)
    transcript: Transcript = field(default_factory=Transcript)
    languages: dict[str, float] | None = None
    error: str | None = None


class BatchRecognizer:
    """Recognises batches of utterances.

    Args:
        decoder ([`TranscriptDecoder`]): model, processor and what is asked of them.
    """

    def __init__(self, decoder: TranscriptDecoder):
        self.decoder = decoder
        self.model, self.processor = decoder.model, decoder.processor

    def __call__(
        self, utterances: list[BatchedUtterance], inputs: dict[str, torch.Tensor], request: DecodingRequest
    ) -> list[BatchedUtterance]:
        """Recognise a batch.

        Args:
            utterances: B utterances, each of which gets its transcript or its error.
            inputs: what the processor makes of them: `input_features` `(B, F, M)`, `input_features_mask` `(B, F)`,
                `input_ids` and `attention_mask` `(B, L)`.
            request: language, hotwords, guards, adapter and arguments of `generate`.

        Returns:
            The utterances.
        """
        settings = self.decoder.generation_settings(request.generate_kwargs)
        accepted, inputs = self._accepted(utterances, inputs, settings)
        if accepted:
            with self.decoder.adapters.active(request.adapter):
                self._recognize(accepted, inputs, settings, request)
        return utterances

    def _recognize(
        self,
        utterances: list[BatchedUtterance],
        inputs: dict[str, torch.Tensor],
        settings: GenerationSettings,
        request: DecodingRequest,
    ) -> None:
        """Give each utterance its transcript, or the reason why it has none."""
        speech = self.model.encode_speech(inputs["input_features"], inputs["input_features_mask"])
        self._describe(utterances, speech, request)
        inputs = self._with_hints(utterances, inputs, speech, request)
        self._generate(utterances, inputs, speech, settings, request)

    def _accepted(
        self, utterances: list[BatchedUtterance], inputs: dict[str, torch.Tensor], settings: GenerationSettings
    ) -> tuple[list[BatchedUtterance], dict[str, torch.Tensor]]:
        """Utterances whose lengths the model takes, and their inputs; the others get their errors."""
        self._check_lengths(utterances, inputs, settings)
        kept = [number for number, utterance in enumerate(utterances) if utterance.error is None]
        if len(kept) < len(utterances):
            inputs = {name: values[kept] for name, values in inputs.items()}
        return [utterances[number] for number in kept], inputs

    def _check_lengths(
        self, utterances: list[BatchedUtterance], inputs: dict[str, torch.Tensor], settings: GenerationSettings
    ) -> None:
        audio_tokens = (inputs["input_ids"] == self.processor.audio_token_id).sum(-1)  # (B,)
        text_tokens = inputs["attention_mask"].sum(-1) - audio_tokens
        lengths = zip(utterances, audio_tokens.tolist(), text_tokens.tolist(), strict=True)
        max_new_tokens = settings.config.max_new_tokens
        for utterance, num_audio, num_text in lengths:
            reason = self.decoder.length_error(utterance.seconds, num_audio, num_text, max_new_tokens)
            utterance.error = None if reason is None else f"{utterance.name}: {reason}"

    def _describe(
        self, utterances: list[BatchedUtterance], speech: EntropyASRSpeechOutput, request: DecodingRequest
    ) -> None:
        """Phoneme log-probabilities of each utterance, and whether there is speech in it."""
        log_probs = speech.phoneme_logits.float().log_softmax(-1).cpu()
        frame_mask = speech.frame_mask.bool().cpu()
        for utterance, row, mask in zip(utterances, log_probs, frame_mask, strict=True):
            utterance.log_probs = row[mask]
            absent = self.decoder.is_speech_absent(utterance.log_probs, utterance.waveform, request.guards)
            utterance.transcript = Transcript("", (NO_SPEECH,) if absent else ())

    def _with_hints(
        self,
        utterances: list[BatchedUtterance],
        inputs: dict[str, torch.Tensor],
        speech: EntropyASRSpeechOutput,
        request: DecodingRequest,
    ) -> dict[str, torch.Tensor]:
        """Inputs whose prompts have context and the hotwords that were found; without any they stay as they are."""
        told = [[utterance.context] if utterance.context else [] for utterance in utterances]
        if request.hotwords is not None and len(request.hotwords):
            found = self.processor.find_hints(
                speech.phoneme_logits, speech.frame_mask, request.hotwords, request.hotword_tolerance
            )
            for utterance, hints in zip(utterances, found, strict=True):
                utterance.hints = [] if NO_SPEECH in utterance.transcript.flags else hints
            told = [[*context, *hints] for context, hints in zip(told, found, strict=True)]
        if not any(told):
            return inputs
        counts = speech.audio_token_mask.sum(-1).tolist()
        prompts = self.processor.tokenize_prompts(counts, request.language, told)
        return inputs | {name: tokens.to(inputs["input_ids"].device) for name, tokens in prompts.items()}

    def _generate(
        self,
        utterances: list[BatchedUtterance],
        inputs: dict[str, torch.Tensor],
        speech: EntropyASRSpeechOutput,
        settings: GenerationSettings,
        request: DecodingRequest,
    ) -> None:
        """Transcripts of the utterances with speech, of whom hints may have made a prompt too long."""
        self._check_lengths(utterances, inputs, settings)
        kept = [
            number
            for number, utterance in enumerate(utterances)
            if utterance.error is None and NO_SPEECH not in utterance.transcript.flags
        ]
        if not kept:
            return
        rows = torch.tensor(kept, device=inputs["input_ids"].device)
        prompts = self._embedded_prompts(inputs, speech, rows)
        audio_tokens = (prompts["input_ids"] == self.processor.audio_token_id).sum(-1)
        spoken = [utterances[number] for number in kept]
        language = language_code(request.language, optional=True)
        asked, languages = self.decoder.listening(
            settings,
            request,
            [language] * len(spoken),
            [utterance.hints for utterance in spoken],
            [utterance.log_probs for utterance in spoken],
        )
        transcripts = self.decoder.generate(prompts, audio_tokens, asked, request.guards)
        for utterance, transcript in zip(spoken, transcripts, strict=True):
            utterance.transcript = transcript
        if settings.wants_hypotheses:
            self._rescore(spoken, prompts, settings, request)
        if request.return_language:
            for utterance, probabilities in zip(spoken, languages.probabilities(), strict=True):
                utterance.languages = probabilities

    def _rescore(
        self,
        utterances: list[BatchedUtterance],
        prompts: dict[str, Any],
        settings: GenerationSettings,
        request: DecodingRequest,
    ) -> None:
        """Score the utterances' hypotheses; the best one becomes the transcript."""
        with needed_for("`num_return_sequences`"):
            from .rescoring_entropy_asr import rescored
        found = rescored(
            self.model,
            self.processor.phoneme_tokenizer,
            [row[mask.bool()] for row, mask in zip(prompts["inputs_embeds"], prompts["attention_mask"], strict=True)],
            [utterance.log_probs for utterance in utterances],
            [utterance.transcript.hypotheses for utterance in utterances],
            request.rescoring_weight,
            request.language,
            settings.own_processors,
        )
        for utterance, hypotheses in zip(utterances, found, strict=True):
            utterance.transcript = Transcript(hypotheses[0].text, hypotheses[0].flags, hypotheses)

    def _embedded_prompts(
        self, inputs: dict[str, torch.Tensor], speech: EntropyASRSpeechOutput, rows: torch.Tensor
    ) -> dict[str, Any]:
        """What `generate` takes for some rows of a batch, with the speech already in the prompts' embeddings."""
        input_ids = inputs["input_ids"][rows]
        chosen = EntropyASRSpeechOutput(
            audio_embeddings=speech.audio_embeddings[rows], audio_token_mask=speech.audio_token_mask[rows]
        )
        return {
            "input_ids": input_ids,
            "attention_mask": inputs["attention_mask"][rows],
            "inputs_embeds": self.model.embed_prompt(input_ids, chosen),
        }


__all__ = ["BatchRecognizer", "BatchedUtterance"]
