# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rollouts whose sequences share speech: each utterance is encoded once for all hypotheses of its group."""

import copy
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRModel, EntropyASRProcessor

from .modules import keep_in_evaluation, specialize


class SharesSpeech:
    """Goes before the class of a backbone whose sequences share speech; see [`SharedSpeech`]."""

    def get_audio_features(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None, **kwargs
    ) -> BaseModelOutputWithPooling:
        """As of the backbone, of shared speech: audio tokens of each sequence.

        Features are `(num_utterances, num_frames, num_mel_bins)`, and their mask is `(num_utterances, num_frames)`.
        """
        return self.shared_speech.encode(super().get_audio_features, input_features, input_features_mask, **kwargs)


class SharedSpeech:
    """Lets sequences of a batch share the encoding of an utterance.

    Inside [`of`], a backbone is given the features of each utterance once, however many sequences there are.

    Args:
        backbone: The model whose sequences share speech; becomes one of [`SharesSpeech`].
        processor: Knows how many audio tokens an utterance has.
    """

    def __init__(self, backbone: EntropyASRModel, processor: EntropyASRProcessor):
        self._num_audio_tokens = processor.num_audio_tokens
        self._utterances: list[int] | None = None
        self.encodings: list[torch.Tensor] | None = None
        specialize(backbone, SharesSpeech)
        backbone.shared_speech = self

    @contextmanager
    def of(self, utterances: torch.Tensor, encodings: list[torch.Tensor] | None = None):
        """Inside, sequence i is of utterance `utterances[i]`, a row of the features.

        Args:
            utterances: Of shape `(num_sequences,)`.
            encodings: Audio tokens of each utterance, of shape `(num_tokens, hidden_size)`; where they are given,
                features are not encoded again. Afterwards `self.encodings` has them.
        """
        self._utterances, self.encodings = utterances.tolist(), encodings
        try:
            yield
        finally:
            self._utterances = None

    def encode(
        self,
        encode: Callable,
        input_features: torch.Tensor,
        input_features_mask: torch.Tensor | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPooling:
        """Audio tokens of the sequences of a batch.

        Args:
            encode: Encodes features and their mask, as `get_audio_features` of a backbone.
            input_features: Features of each utterance, or outside of [`of`] of each sequence,
                `(num_utterances, num_frames, num_mel_bins)`.
            input_features_mask: Their mask `(num_utterances, num_frames)`.
            **kwargs: For `encode`.
        """
        if self._utterances is None:
            return encode(input_features, input_features_mask, **kwargs)
        if self.encodings is None:
            lengths = self._num_audio_tokens(input_features_mask.long().sum(-1)).tolist()
            encoded = encode(input_features, input_features_mask, **kwargs)
            self.encodings = list(encoded.pooler_output.split(lengths))
        spoken = torch.cat([self.encodings[utterance] for utterance in self._utterances])
        return BaseModelOutputWithPooling(pooler_output=spoken)


@dataclass
class SpokenPrompts:
    """Different utterances of a generation batch and their prompts.

    Attributes:
        features: Of shape `(num_utterances, ...)`, as the encoder takes them.
        mask: 1 for feature frames of real audio, of shape `(num_utterances, num_frames)`.
        prompt_ids: Token ids of each utterance's prompt.
        chunks: `chunk_size` and `left_chunks` that all of them have, wherever they are encoded.
        encodings: Audio tokens of each utterance, where they may be used again.
    """

    features: torch.Tensor
    mask: torch.Tensor
    prompt_ids: list[list[int]]
    chunks: dict[str, int]
    encodings: list[torch.Tensor] | None = None

    def inputs_of(self, utterances: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor, list | None]:
        """Features of the utterances that some sequences are of, which of these each one is of, and their encodings.

        Args:
            utterances: `(num_sequences,)`, the number of each one's utterance.
        """
        different, positions = torch.unique(utterances, return_inverse=True)
        inputs = {"input_features": self.features[different], "input_features_mask": self.mask[different]}
        encodings = None if self.encodings is None else [self.encodings[index] for index in different.tolist()]
        return inputs, positions, encodings


def copied_model(model: EntropyASRForConditionalGeneration) -> EntropyASRForConditionalGeneration:
    """A model of the same weights and nothing else: trainers leave methods behind that know the model they had."""
    copied = type(model)(copy.deepcopy(model.config)).to(model.dtype)
    copied.load_state_dict(model.state_dict())
    return copied


def silence_dropout(model: EntropyASRForConditionalGeneration) -> None:
    """Switch off what TRL's `disable_dropout` leaves random: the network that samples must be the one that scores.

    The encoder stays in evaluation mode, in which encoders of other kinds do not mask their input either; it gets
    gradients all the same.
    """
    keep_in_evaluation(model.model.audio_tower)
    for module in model.modules():
        if isinstance(vars(module).get("attention_dropout"), float):
            module.attention_dropout = 0.0
