# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The one place that tells kinds of speech models apart, and what runs any of them.

Own classes are built directly: as remote code, their configuration may exist twice and no auto class knows it. They
are imported when they are asked for: a Space takes along those that its checkpoint needs.
"""

from importlib import import_module

import torch
from transformers import AutoModel, WhisperFeatureExtractor
from transformers.configuration_utils import PreTrainedConfig
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.modeling_utils import PreTrainedModel

from .configuration_entropy_asr import EntropyASRConfig, EntropyASRCTCConfig
from .encoder_rules_entropy_asr import encoder_rules, output_length
from .modeling_entropy_asr_base import EntropyASREncoderOutput
from .optional_parts_entropy_asr import needed_for


# Weights by their names.
Weights = dict[str, torch.Tensor]
# Files of weights: all of a model, and of a thin checkpoint, by the name of a variant. So who knows nothing of thin
# checkpoints finds no weights, and says so.
VARIANT = "thin"
WHOLE_WEIGHTS, THIN_WEIGHTS = "model.safetensors", f"model.{VARIANT}.safetensors"
# This project's encoders by `model_type`, each as the file and the class; transformers' own are built by AutoModel.
ENCODER_CLASSES = {
    "entropy_asr_encoder": "modeling_entropy_asr_encoder.EntropyASREncoder",
    "entropy_asr_whisper_encoder": "modeling_entropy_asr_whisper.EntropyASRWhisperEncoder",
    "entropy_asr_firered_encoder": "modeling_entropy_asr_firered.EntropyASRFireRedEncoder",
}
# Their feature extractors, where these are not the common one, likewise.
EXTRACTOR_CLASSES = {
    "entropy_asr_whisper_encoder": "feature_extraction_entropy_asr_whisper.EntropyASRWhisperFeatureExtractor",
}
# Its models with an encoder in them; each is entered where it is defined.
SPEECH_MODELS: dict[str, type[PreTrainedModel]] = {}
CTC_MODEL, FULL_MODEL = EntropyASRCTCConfig.model_type, EntropyASRConfig.model_type


def own_class(place: str) -> type:
    """A class of [`ENCODER_CLASSES`] or [`EXTRACTOR_CLASSES`].

    Raises:
        ImportError: a Space was published without it.
    """
    module, name = place.split(".")
    with needed_for(name):
        return getattr(import_module(f".{module}", __package__), name)


def build_audio_tower(audio_config: PreTrainedConfig) -> PreTrainedModel:
    """The speech encoder of a configuration: ours, or that of any transformers model (its encoder half)."""
    place = ENCODER_CLASSES.get(audio_config.model_type)
    if place is not None:
        return own_class(place)(audio_config)
    audio_tower = AutoModel.from_config(audio_config)
    return audio_tower.get_encoder() if audio_config.is_encoder_decoder else audio_tower


def encode_audio(
    audio_tower: PreTrainedModel,
    length_stages: list,
    input_features: torch.Tensor,
    input_features_mask: torch.Tensor | None = None,
    **kwargs,
) -> EntropyASREncoderOutput:
    """Run any speech encoder and say which of its frames are valid.

    Args:
        audio_tower (`PreTrainedModel`): the encoder.
        length_stages (`list`): its strided stages, see [`output_length`].
        input_features (`torch.Tensor`): what the encoder takes: `(batch_size, frames, channels)` features, those of
            transformers' Whisper `(batch_size, channels, frames)`, or `(batch_size, samples)`.
        input_features_mask (`torch.Tensor` of shape `(batch_size, frames)`, *optional*): 1 for real audio.

    Raises:
        ValueError: when the encoder's output is shorter than the length formula says.
    """
    rules = encoder_rules(audio_tower.config)
    if rules.streams:
        return audio_tower(input_features, attention_mask=input_features_mask, return_dict=True, **kwargs)
    inputs = {"attention_mask": input_features_mask} if rules.takes_mask else {}
    inputs[audio_tower.main_input_name] = input_features.to(audio_tower.dtype)
    output = audio_tower(**inputs, return_dict=True, **kwargs)
    hidden_states = output.last_hidden_state
    batch_size, num_frames = hidden_states.shape[:2]
    if input_features_mask is None:
        lengths = hidden_states.new_full((batch_size,), num_frames, dtype=torch.long)
    else:
        lengths = output_length(input_features_mask.long().sum(-1), length_stages)
        if not torch.compiler.is_compiling() and int(lengths.max()) > num_frames:
            raise ValueError(
                f"The `{audio_tower.config.model_type}` encoder gave {num_frames} frames where `audio_length_stages` "
                f"{length_stages} promise {int(lengths.max())}."
            )
    mask = torch.arange(num_frames, device=hidden_states.device)[None, :] < lengths[:, None]
    return EntropyASREncoderOutput(
        last_hidden_state=hidden_states,
        attention_mask=mask,
        hidden_states=output.hidden_states,
        attentions=output.attentions,
    )


def streamable_extractor(
    extractor: SequenceFeatureExtractor, audio_config: PreTrainedConfig | None = None
) -> SequenceFeatureExtractor:
    """The feature extractor of what an encoder becomes when it is joined: in place of Whisper's, one that streams.

    Args:
        extractor: the encoder's own.
        audio_config: of the encoder; where it is transformers' Whisper, the extractor stays.
    """
    stays = audio_config is not None and not encoder_rules(audio_config).streams
    if stays or not isinstance(extractor, WhisperFeatureExtractor):
        return extractor
    return own_class(EXTRACTOR_CLASSES["entropy_asr_whisper_encoder"]).from_whisper(extractor)


def as_dtype(dtype: torch.dtype | str | None, default: torch.dtype) -> torch.dtype:
    """A dtype that was asked for, also by name; the default for None and "auto".

    Raises:
        ValueError: no floating-point dtype of torch.
    """
    if dtype is None or dtype == "auto":
        return default
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f"`dtype` must be a floating-point dtype of torch, not {dtype!r}.")
    return found


__all__ = ["SPEECH_MODELS", "build_audio_tower", "encode_audio", "streamable_extractor"]
