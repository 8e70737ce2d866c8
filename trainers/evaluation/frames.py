# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Encoder frames of any checkpoint: full and CTC models of this project, and speech encoders of transformers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor
from entropy_asr.modeling.components_entropy_asr import encode_audio
from entropy_asr.modeling.encoder_rules_entropy_asr import encoder_length_stages
from entropy_asr.modeling.phoneme_head_entropy_asr import EntropyASRPhonemeHead
from entropy_asr.modeling.processing_entropy_asr import extract_features
from entropy_asr.modeling.speech_models_entropy_asr import encoder_half, load_own_extractor, load_speech_model


@dataclass
class EncodedUtterance:
    """Valid frames of one utterance.

    Attributes:
        frames: The encoder's output, `(T, D)` float32 on the CPU.
        layers: Input of the first layer and output of each, `(T, D)`: one more than there are layers.
        adapted: The adaptor's output, `(A, H)`, of full models where layers are asked for.
    """

    frames: torch.Tensor
    layers: list[torch.Tensor]
    adapted: torch.Tensor | None = None


@dataclass
class SpeechEncoder:
    """The encoder of a checkpoint with what goes before and beside it.

    Attributes:
        name: How reports call it.
        audio_tower: The encoder.
        feature_extractor: Its own.
        length_stages: See [`~encoder_rules_entropy_asr.output_length`].
        phoneme_head: Of models of this project; None for others.
        blank: The CTC blank.
        full_model, processor: Where the checkpoint is a full model.
    """

    name: str
    audio_tower: PreTrainedModel
    feature_extractor: SequenceFeatureExtractor
    length_stages: list
    phoneme_head: EntropyASRPhonemeHead | None = None
    blank: int = 0
    full_model: EntropyASRForConditionalGeneration | None = None
    processor: EntropyASRProcessor | None = None

    @torch.no_grad()
    def encode(self, waveforms: list[np.ndarray], layers: bool = False) -> list[EncodedUtterance]:
        """Frames of a batch of 16 kHz mono waveforms, each `(num_samples,)` float32."""
        device = self.audio_tower.device
        features, mask = (tensor.to(device) for tensor in extract_features(self.feature_extractor, waveforms))
        options = {"output_hidden_states": True} if layers else {}
        encoded = encode_audio(self.audio_tower, self.length_stages, features, mask, **options)
        hidden_states = encoded.hidden_states if layers else ()
        adapted = self._adapted(encoded) if layers and self.full_model is not None else [None] * len(waveforms)
        return [
            EncodedUtterance(
                frames=encoded.last_hidden_state[row][valid].float().cpu(),
                layers=[layer[row][valid].float().cpu() for layer in hidden_states],
                adapted=adapted[row],
            )
            for row, valid in enumerate(encoded.attention_mask.bool())
        ]

    def _adapted(self, encoded) -> list[torch.Tensor]:
        """Valid places of the adaptor's output, `(A, H)` an utterance."""
        adaptor = self.full_model.model.adaptor
        output, mask = (
            adaptor(encoded.last_hidden_state, encoded.attention_mask),
            adaptor.token_mask(encoded.attention_mask),
        )
        return [row[valid.bool()].float().cpu() for row, valid in zip(output, mask, strict=True)]

    @torch.no_grad()
    def phoneme_log_probs(self, waveform: np.ndarray) -> torch.Tensor:
        """Log-probabilities of the phoneme head, `(T, V)`.

        Raises:
            ValueError: the checkpoint has none.
        """
        if self.phoneme_head is None:
            raise ValueError(
                f"{self.name} has no phoneme head: align with a checkpoint of this project (`--aligner`)."
            )
        frames = self.encode([waveform])[0].frames
        return self.phoneme_head(frames.to(self.audio_tower.device, self.audio_tower.dtype)).float().log_softmax(-1)


def load_speech_encoder(path: str, device: str | None = None, name: str | None = None) -> SpeechEncoder:
    """Load the encoder of a checkpoint, in float32.

    Args:
        path: Folder or Hub id: a full model, CTC model or encoder of this project, or any speech model of transformers
            whose strided stages are known.
        device: A GPU if there is one by default.
        name: How reports call it; the last part of `path` by default.

    Raises:
        OSError: there is no such checkpoint, or it has no feature extractor.
        ValueError: a model whose encoder's strided stages are not known.
    """
    if device is None:
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    model = load_speech_model(path, torch.float32).eval().to(device)
    full = model if isinstance(model, EntropyASRForConditionalGeneration) else None
    processor = EntropyASRProcessor.from_pretrained(path) if full else None
    extractor = processor.feature_extractor if processor else load_own_extractor(path)
    name = name or Path(path).resolve().name
    audio_tower = encoder_half(model)
    if not hasattr(model, "phoneme_head"):
        return SpeechEncoder(name, audio_tower, extractor, encoder_length_stages(audio_tower.config))
    return SpeechEncoder(
        name=name,
        audio_tower=audio_tower,
        feature_extractor=extractor,
        length_stages=model.config.audio_length_stages,
        phoneme_head=model.phoneme_head if full is None or full.config.phoneme_head_trained else None,
        blank=model.config.phoneme_blank_token_id if full else model.config.pad_token_id,
        full_model=full,
        processor=processor,
    )


def at_same_times(frames: torch.Tensor, num_frames: int) -> torch.Tensor:
    """The frames `(T, D)` nearest to `num_frames` evenly spaced moments of the same audio, `(num_frames, D)`."""
    moments = (torch.arange(num_frames) + 0.5) / num_frames
    return frames[(moments * len(frames)).long().clamp(max=len(frames) - 1)]
