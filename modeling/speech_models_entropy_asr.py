# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speech models as they are published, of this project or of others: loaded, and their encoders taken out of them."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
from transformers.configuration_utils import PreTrainedConfig
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

from .adapters_entropy_asr import HUB_ARGUMENTS, find_adapters
from .components_entropy_asr import (
    CTC_MODEL,
    ENCODER_CLASSES,
    FULL_MODEL,
    SPEECH_MODELS,
    Weights,
    as_dtype,
    own_class,
    streamable_extractor,
)
from .configuration_entropy_asr import EntropyASRWhisperEncoderConfig
from .encoder_rules_entropy_asr import encoder_rules
from .firered_checkpoint_entropy_asr import is_firered, read_encoder, read_feature_extractor


def part_of_whisper(
    config: PreTrainedConfig, weights: Weights, num_layers: int
) -> tuple[EntropyASRWhisperEncoderConfig, Weights]:
    """Configuration and weights of [`EntropyASRWhisperEncoder`] from those of Whisper's encoder, of any size.

    Args:
        config (`WhisperConfig`): of the Whisper model.
        weights: of its encoder, by their names in transformers' `WhisperEncoder`.
        num_layers: the first so many layers are taken.
    """
    own_config = EntropyASRWhisperEncoderConfig(
        num_mel_bins=config.num_mel_bins,
        hidden_size=config.d_model,
        intermediate_size=config.encoder_ffn_dim,
        num_hidden_layers=num_layers,
        num_attention_heads=config.encoder_attention_heads,
        hidden_act=config.activation_function,
        hidden_dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        activation_dropout=config.activation_dropout,
        initializer_range=config.init_std,
        # Whole audio tokens: 1504 positions for 30 s.
        max_position_embeddings=-(-config.max_source_positions // 8) * 8,
    )
    # Positions are sinusoids in every size of Whisper, and computed.
    return own_config, {name: value for name, value in weights.items() if name != "embed_positions.weight"}


# Encoders of transformers whose weights one of this project's takes: configuration and weights for it, from the
# configuration, the weights and the number of layers to take.
CONVERSIONS: dict[str, Callable[[PreTrainedConfig, Weights, int], tuple[PreTrainedConfig, Weights]]] = {
    "whisper": part_of_whisper,
}


@dataclass(frozen=True)
class PublishedLayout:
    """Checkpoints that have no configuration of transformers, read as an encoder of this project: by folder or Hub id,
    and arguments of transformers' `cached_file`.

    Args:
        is_in: whether there is one.
        read_encoder: configuration and weights of the encoder.
        read_feature_extractor: its features.
    """

    is_in: Callable[..., bool]
    read_encoder: Callable[..., tuple[PreTrainedConfig, Weights]]
    read_feature_extractor: Callable[..., SequenceFeatureExtractor]


PUBLISHED_LAYOUTS = (PublishedLayout(is_firered, read_encoder, read_feature_extractor),)


def published_layout(path: str, **hub_kwargs) -> PublishedLayout | None:
    """How to read a folder or Hub repository that has no configuration of transformers; None where it is not known."""
    return next((layout for layout in PUBLISHED_LAYOUTS if layout.is_in(path, **hub_kwargs)), None)


def load_speech_model(path: str, dtype: torch.dtype | str = "auto", **hub_kwargs) -> PreTrainedModel:
    """Load a speech model by the class its configuration names, so that a model of ours keeps its head.

    Args:
        path: folder or Hub id; also of adapters, which are merged, and of a [`PublishedLayout`], of which the encoder
            is loaded.
        dtype: of the weights; what they were saved with by default.
        **hub_kwargs: `revision`, `token` and the like, of transformers.
    """
    layout = None
    place = {name: hub_kwargs[name] for name in (*HUB_ARGUMENTS, "revision") if name in hub_kwargs}
    try:
        base, _, base_kwargs = find_adapters(path, hub_kwargs)
        base_kwargs.pop("adapter_kwargs", None)
        config = AutoConfig.from_pretrained(base, **base_kwargs)
    except (OSError, ValueError):
        layout = published_layout(path, **place)
        if layout is None:
            raise
    if layout is not None:
        config, weights = layout.read_encoder(path, **place)
        saved = next(iter(weights.values())).dtype
        return assemble(own_class(ENCODER_CLASSES[config.model_type]), config, weights, as_dtype(dtype, saved))
    return SPEECH_MODELS.get(config.model_type, AutoModel).from_pretrained(path, dtype=dtype, **hub_kwargs)


def encoder_half(model: PreTrainedModel) -> PreTrainedModel:
    """The speech encoder inside a speech model: of an encoder-decoder its encoder, of a CTC model its backbone.

    Parakeet's CTC and transducer models have no backbone class: their encoder is a module with its own configuration.
    """
    # CODEPATH: a full model and a CTC model of this project; the others are of transformers.
    if model.config.model_type == FULL_MODEL:
        return model.model.audio_tower
    if model.config.model_type == CTC_MODEL:
        return model.audio_tower
    if model.config.is_encoder_decoder or "encoder_config" in model.config.sub_configs:
        return model.get_encoder()
    return model.base_model


def phoneme_part(model: PreTrainedModel) -> tuple[nn.Module | None, dict[str, Any]]:
    """Trained phoneme head of a speech model (None where it brings none), and the configuration that it fixes."""
    config = model.config
    # CODEPATH: a CTC model of this project brings its phoneme head; a speech encoder of transformers has none.
    if config.model_type == CTC_MODEL:
        fixed = {"phoneme_vocab_size": config.vocab_size, "phoneme_blank_token_id": config.pad_token_id}
    # CODEPATH: a full model brings its head where a stage has trained it; random weights would count as trained.
    elif config.model_type == FULL_MODEL and config.phoneme_head_trained:
        fixed = {
            "phoneme_vocab_size": config.phoneme_vocab_size,
            "phoneme_blank_token_id": config.phoneme_blank_token_id,
        }
    else:
        return None, {}
    return model.phoneme_head, {**fixed, "audio_length_stages": config.audio_length_stages}


def load_own_extractor(path: str) -> SequenceFeatureExtractor:
    """Feature extractor of the model in a folder (or of a Hub id) as it stands."""
    try:
        return AutoFeatureExtractor.from_pretrained(path)
    except OSError:
        layout = published_layout(path)
        if layout is None:
            raise
    return layout.read_feature_extractor(path)


def load_feature_extractor(path: str) -> SequenceFeatureExtractor:
    """Feature extractor of the encoder that joining the model in a folder (or of a Hub id) gives."""
    return streamable_extractor(load_own_extractor(path))


@dataclass
class EncoderPart:
    """A speech encoder as a part of another model: configuration, and weights by their names inside it."""

    config: PreTrainedConfig
    weights: Weights


def take_encoder(model: PreTrainedModel, num_layers: int | None = None) -> EncoderPart:
    """The speech encoder of a model, as one of this project's where it can be, or its first layers.

    Args:
        model: any speech model.
        num_layers: how many layers to take, from the first one; all by default.

    Raises:
        ValueError: layers that it does not have, or of an encoder that cannot be cut.
    """
    encoder = encoder_half(model)
    config, weights = encoder.config, encoder.state_dict()
    convert = CONVERSIONS.get(config.model_type)
    if convert is None and not encoder_rules(config).streams:
        if num_layers is not None:
            raise ValueError(f"`num_layers`: the layers of a `{config.model_type}` encoder cannot be counted here.")
        return EncoderPart(copy.deepcopy(config), weights)
    total = len(encoder.layers)
    num_layers = total if num_layers is None else num_layers
    if isinstance(num_layers, bool) or not isinstance(num_layers, int) or not 1 <= num_layers <= total:
        raise ValueError(f"`num_layers` must be between 1 and the encoder's {total}, not {num_layers!r}.")
    cut = tuple(f"layers.{index}." for index in range(num_layers, total))
    weights = {name: weight for name, weight in weights.items() if not name.startswith(cut)} if cut else weights
    if convert is not None:
        return EncoderPart(*convert(config, weights, num_layers))
    config = copy.deepcopy(config)
    config.num_hidden_layers = num_layers
    return EncoderPart(config, weights)


def extract_encoder(model: PreTrainedModel, num_layers: int | None = None) -> PreTrainedModel:
    """What [`take_encoder`] takes, as a model of its own; encoders that stay what they are are not copied."""
    part = take_encoder(model, num_layers)
    place = ENCODER_CLASSES.get(part.config.model_type)
    return encoder_half(model) if place is None else assemble(own_class(place), part.config, part.weights, model.dtype)


def assemble(
    model_class: type[PreTrainedModel],
    config: PreTrainedConfig,
    weights: Weights,
    dtype: torch.dtype,
    copy_weights: bool = True,
) -> PreTrainedModel:
    """A model with these weights; only parameters that they lack are initialised.

    Args:
        model_class: of the model.
        config: its configuration.
        weights: by their names in the model.
        dtype: of the model.
        copy_weights: whether weights of that dtype are copied: the model would be trained with what they came from.

    Raises:
        ValueError: weights that do not fit the model.
    """
    weights = {name: weight.detach().to(dtype, copy=copy_weights) for name, weight in weights.items()}
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    # What is reported as missing is what a joined model has to learn.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return model_class.from_pretrained(None, config=config, state_dict=weights, dtype=dtype)
    except RuntimeError as error:
        raise ValueError(f"The parts do not fit into one model: {error}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


__all__ = [
    "assemble",
    "encoder_half",
    "extract_encoder",
    "load_feature_extractor",
    "load_own_extractor",
    "load_speech_model",
    "phoneme_part",
    "published_layout",
    "take_encoder",
]
