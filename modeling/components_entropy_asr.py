# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The one place that tells kinds of speech models apart: builds, loads, splits and joins them.

Own classes are built directly: as remote code, their configuration may exist twice and no auto class knows it.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, WhisperFeatureExtractor
from transformers.configuration_utils import PreTrainedConfig
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

from .adapters_entropy_asr import adapter_base
from .configuration_entropy_asr import EntropyASRConfig, EntropyASRCTCConfig
from .encoder_rules_entropy_asr import encoder_rules, output_length
from .feature_extraction_entropy_asr_whisper import EntropyASRWhisperFeatureExtractor
from .firered_checkpoint_entropy_asr import is_firered, read_encoder, read_feature_extractor
from .modeling_entropy_asr_base import EntropyASREncoderOutput, EntropyASRStreamingEncoder
from .modeling_entropy_asr_encoder import EntropyASREncoder
from .modeling_entropy_asr_firered import EntropyASRFireRedEncoder
from .modeling_entropy_asr_whisper import EntropyASRWhisperEncoder


logger = logging.get_logger(__name__)

# Weights by their names.
Weights = dict[str, torch.Tensor]
# This project's encoders by `model_type`; transformers' own are built by AutoModel.
ENCODER_CLASSES: dict[str, type[EntropyASRStreamingEncoder]] = {
    "entropy_asr_encoder": EntropyASREncoder,
    "entropy_asr_whisper_encoder": EntropyASRWhisperEncoder,
    "entropy_asr_firered_encoder": EntropyASRFireRedEncoder,
}
# Encoders of transformers whose weights one of this project's takes: configuration and weights for it, from the
# configuration, the weights and the number of layers to take.
CONVERSIONS: dict[str, Callable[[PreTrainedConfig, Weights, int], tuple[PreTrainedConfig, Weights]]] = {
    "whisper": EntropyASRWhisperEncoder.part_of_whisper,
}


@dataclass(frozen=True)
class PublishedLayout:
    """Checkpoints that have no configuration of transformers, read as an encoder of this project; by folder or Hub id.

    Args:
        is_in: whether there is one.
        read_encoder: configuration and weights of the encoder.
        read_feature_extractor: its features.
    """

    is_in: Callable[[str], bool]
    read_encoder: Callable[[str], tuple[PreTrainedConfig, Weights]]
    read_feature_extractor: Callable[[str], SequenceFeatureExtractor]


PUBLISHED_LAYOUTS = (PublishedLayout(is_firered, read_encoder, read_feature_extractor),)
# This project's models with an encoder in them; each is entered where it is defined.
SPEECH_MODELS: dict[str, type[PreTrainedModel]] = {}
CTC_MODEL, FULL_MODEL = EntropyASRCTCConfig.model_type, EntropyASRConfig.model_type


def build_audio_tower(audio_config: PreTrainedConfig) -> PreTrainedModel:
    """The speech encoder of a configuration: ours, or that of any transformers model (its encoder half)."""
    encoder_class = ENCODER_CLASSES.get(audio_config.model_type)
    if encoder_class is not None:
        return encoder_class(audio_config)
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


def published_layout(path: str) -> PublishedLayout | None:
    """How to read a folder or Hub repository that has no configuration of transformers; None where it is not known."""
    return next((layout for layout in PUBLISHED_LAYOUTS if layout.is_in(path)), None)


def load_speech_model(path: str, dtype: torch.dtype | str = "auto", **hub_kwargs) -> PreTrainedModel:
    """Load a speech model by the class its configuration names, so that a model of ours keeps its head.

    Args:
        path: folder or Hub id; also of adapters, which are merged, and of a [`PublishedLayout`], of which the encoder
            is loaded.
        dtype: of the weights; what they were saved with by default.
        **hub_kwargs: `revision`, `token` and the like, of transformers.
    """
    layout = None
    try:
        config = AutoConfig.from_pretrained(adapter_base(path) or path, **hub_kwargs)
    except (OSError, ValueError):
        layout = published_layout(path)
        if layout is None:
            raise
    if layout is not None:
        config, weights = layout.read_encoder(path)
        saved = next(iter(weights.values())).dtype
        return assemble(ENCODER_CLASSES[config.model_type], config, weights, as_dtype(dtype, saved))
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
    return EntropyASRWhisperFeatureExtractor.from_whisper(extractor)


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
    encoder_class = ENCODER_CLASSES.get(part.config.model_type)
    return (
        encoder_half(model)
        if encoder_class is None
        else assemble(encoder_class, part.config, part.weights, model.dtype)
    )


def part_config(config: PreTrainedConfig) -> dict[str, Any]:
    """A component's configuration, without the folder it was loaded from and the dtype that it had there."""
    return {name: value for name, value in config.to_dict().items() if name not in ("_name_or_path", "dtype")}


def with_prefix(weights: Weights, prefix: str) -> Weights:
    """Weights of a part, by their names in the whole."""
    return {f"{prefix}.{name}": weight for name, weight in weights.items()}


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


def join_ctc(
    model_class: type[PreTrainedModel],
    encoder: str | PreTrainedModel,
    vocab_size: int | None,
    num_layers: int | None,
    dtype: torch.dtype | str | None,
    config_kwargs: dict[str, Any],
) -> PreTrainedModel:
    """A CTC model on a speech encoder; arguments as of [`EntropyASRForCTC.from_encoder`]."""
    encoder = load_speech_model(encoder, dtype or "auto") if isinstance(encoder, str) else encoder
    head = getattr(encoder, "phoneme_head", None)
    if head is not None and vocab_size not in (None, head.output.out_features):
        raise ValueError(f"The model knows {head.output.out_features} phonemes, the tokenizer {vocab_size}.")
    dtype = as_dtype(dtype, encoder.dtype)
    is_whole = encoder.config.model_type == CTC_MODEL and dtype == encoder.dtype
    if is_whole and num_layers is None and not config_kwargs:
        return encoder
    part = take_encoder(encoder, num_layers)
    weights = with_prefix(part.weights, "audio_tower")
    if head is not None:
        vocab_size = head.output.out_features
        weights |= with_prefix(head.state_dict(), "phoneme_head")
    if vocab_size is not None:
        config_kwargs = {**config_kwargs, "vocab_size": vocab_size}
    config = EntropyASRCTCConfig(audio_config=part_config(part.config), **config_kwargs)
    return assemble(model_class, config, weights, dtype)


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


@dataclass
class LanguagePart:
    """A language model as a part of another model: configuration, and weights by their names inside the full model."""

    config: dict[str, Any]
    weights: Weights
    is_tied: bool


def take_language_model(
    language_model: PreTrainedModel, vocab_size: int | None = None, ends: dict[int, list[int]] | None = None
) -> LanguagePart:
    """A causal language model with room for tokens that its tokenizer has got; says so once.

    A new token's embedding is the mean of all, as in transformers' resizing, whose covariance of them takes seconds.
    Such a token is never the likeliest one: its score is the mean of all scores. So what ends a transcription begins
    as what ended the model's answers.

    Args:
        language_model: the model, which stays as it is.
        vocab_size: size to which embeddings are filled up where they are fewer.
        ends: by new tokens, the tokens whose mean they begin as in place of that of all.
    """
    weights = with_prefix(language_model.base_model.state_dict(), "model.language_model")
    weights |= with_prefix(language_model.get_output_embeddings().state_dict(), "lm_head")
    config = part_config(language_model.config)
    embeddings = language_model.get_input_embeddings()
    tables = {module.weight.data_ptr() for module in (embeddings, language_model.get_output_embeddings())}
    num_tokens = embeddings.num_embeddings
    if vocab_size is not None and vocab_size > num_tokens:
        for name, weight in weights.items():
            if weight.data_ptr() in tables and len(weight) == num_tokens:
                weights[name] = _with_new_rows(weight, vocab_size, ends or {})
        config["vocab_size"] = vocab_size
        new = vocab_size - num_tokens
        logger.warning(f"The language model has got embeddings for {new} new tokens, which have to be learned.")
    return LanguagePart(config, weights, language_model.config.tie_word_embeddings)


def transcript_ends(language_model: PreTrainedModel, end: int | None) -> tuple[int | list[int] | None, dict]:
    """Tokens that end transcriptions, and, where the language model does not know its prompt's, what that begins as.

    Args:
        language_model: with the tokens that end its answers in its generation configuration.
        end: end of a turn in the tokenizer; None where that is not known.

    Returns:
        `eos_token_id`, and `ends` of [`take_language_model`].
    """
    own = language_model.generation_config.eos_token_id
    if end is None or own is None or end < language_model.get_input_embeddings().num_embeddings:
        return own if end is None else end, {}
    own = own if isinstance(own, list) else [own]
    return [end, *own], {end: own}


@torch.no_grad()
def _with_new_rows(table: torch.Tensor, num_rows: int, ends: dict[int, list[int]]) -> torch.Tensor:
    """A table of embeddings filled up to so many rows; arguments as of [`take_language_model`]."""
    num_old = len(table)
    # In pieces that fit into a cache: down the columns of a whole table this takes minutes.
    mean = sum(rows.float().sum(0) for rows in table.split(4096)) / num_old
    rows = mean.repeat(num_rows - num_old, 1)
    for token, others in ends.items():
        if token >= num_old and others:
            rows[token - num_old] = table[others].mean(0, dtype=torch.float32)
    return torch.cat([table, rows.to(table.dtype)])


def join_full(
    model_class: type[PreTrainedModel],
    encoder: PreTrainedModel,
    language: LanguagePart,
    *,
    audio_token_id: int,
    num_layers: int | None,
    dtype: torch.dtype,
    copy_weights: bool,
    config_kwargs: dict[str, Any],
) -> PreTrainedModel:
    """A full model of a speech model and a causal language model.

    Args:
        model_class: the full model's class.
        encoder: any speech model; a trained phoneme head is taken too.
        language: the language model, with a vocabulary that holds the placeholder.
        audio_token_id: the placeholder.
        num_layers: how many layers of the encoder to take.
        dtype: of the joined model.
        copy_weights: whether the parts go on being used by themselves.
        config_kwargs: fields of [`EntropyASRConfig`].
    """
    part = take_encoder(encoder, num_layers)
    phoneme_head, fixed = phoneme_part(encoder)
    config = EntropyASRConfig(
        audio_config=part_config(part.config),
        text_config=language.config,
        audio_token_id=audio_token_id,
        tie_word_embeddings=language.is_tied,
        **{**fixed, "phoneme_head_trained": phoneme_head is not None, **config_kwargs},
    )
    weights = with_prefix(part.weights, "model.audio_tower") | language.weights
    if phoneme_head is not None:
        weights |= with_prefix(phoneme_head.state_dict(), "phoneme_head")
    trained = config.phoneme_head_trained
    model = assemble(model_class, config, weights, dtype, copy_weights)
    model.config.phoneme_head_trained = trained
    return model


__all__ = [
    "SPEECH_MODELS",
    "build_audio_tower",
    "encode_audio",
    "encoder_half",
    "extract_encoder",
    "join_ctc",
    "join_full",
    "load_feature_extractor",
    "load_own_extractor",
    "load_speech_model",
    "streamable_extractor",
    "take_encoder",
    "take_language_model",
    "transcript_ends",
]
