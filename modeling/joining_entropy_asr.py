# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Parts become one model: a speech encoder and a phoneme head, or an encoder and a language model."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import logging

from .components_entropy_asr import CTC_MODEL, SPEECH_MODELS, Weights, as_dtype
from .configuration_entropy_asr import EntropyASRConfig, EntropyASRCTCConfig
from .processing_entropy_asr import EntropyASRProcessor
from .prompts_entropy_asr import AUDIO_TOKEN, TURN_END
from .speech_models_entropy_asr import assemble, load_feature_extractor, load_speech_model, phoneme_part, take_encoder


logger = logging.get_logger(__name__)


def part_config(config: PreTrainedConfig) -> dict[str, Any]:
    """A component's configuration, without the folder it was loaded from and the dtype that it had there."""
    return {name: value for name, value in config.to_dict().items() if name not in ("_name_or_path", "dtype")}


def with_prefix(weights: Weights, prefix: str) -> Weights:
    """Weights of a part, by their names in the whole."""
    return {f"{prefix}.{name}": weight for name, weight in weights.items()}


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


@dataclass
class PromptVocabulary:
    """What a joined model has to know of its prompt's tokenizer; None where that is not known.

    Args:
        tokenizer: with the special tokens of the prompt.
        audio_token_id: id of the audio placeholder.
        size: to which embeddings are filled up where they are fewer.
        turn_end: token that ends a turn.
    """

    tokenizer: PreTrainedTokenizerBase | None
    audio_token_id: int
    size: int | None
    turn_end: int | None


def prompt_vocabulary(
    tokenizer: str | PreTrainedTokenizerBase | None,
    language_model: str | PreTrainedModel,
    audio_token_id: int | None,
    size: int | None,
) -> PromptVocabulary:
    """What is given of a prompt's tokenizer, and the rest by that; see [`PromptVocabulary`].

    Raises:
        ValueError: neither a tokenizer nor a placeholder, or one that is another in the tokenizer.
    """
    if tokenizer is None and audio_token_id is not None:
        return PromptVocabulary(None, audio_token_id, size, None)
    tokenizer = _prompt_tokenizer(tokenizer, language_model)
    found = tokenizer.convert_tokens_to_ids(AUDIO_TOKEN)
    if audio_token_id not in (None, found):
        raise ValueError(f"`audio_token_id` is {audio_token_id}, but {found} in the tokenizer.")
    size = len(tokenizer) if size is None else size
    return PromptVocabulary(tokenizer, found, size, tokenizer.convert_tokens_to_ids(TURN_END))


def _prompt_tokenizer(
    tokenizer: str | PreTrainedTokenizerBase | None, language_model: str | PreTrainedModel
) -> PreTrainedTokenizerBase:
    """A language model's tokenizer with the special tokens of the prompt; by default from where the model was loaded.

    Raises:
        ValueError: no tokenizer was given, and the model does not say where it was loaded from.
    """
    if tokenizer is None:
        tokenizer = language_model if isinstance(language_model, str) else language_model.name_or_path
    if not tokenizer:
        raise ValueError("`tokenizer` missing: pass the language model's, or `audio_token_id`.")
    tokenizer = AutoTokenizer.from_pretrained(tokenizer) if isinstance(tokenizer, str) else tokenizer
    return EntropyASRProcessor.prepare_tokenizer(tokenizer)


def build_joined_model(
    model_class: type[PreTrainedModel],
    encoder: str | PreTrainedModel,
    language_model: str | PreTrainedModel,
    vocabulary: PromptVocabulary,
    *,
    eos_token_id: int | None,
    num_layers: int | None,
    dtype: torch.dtype | str | None,
    config_kwargs: dict[str, Any],
) -> PreTrainedModel:
    """A full model of parts that may have to be loaded; as [`EntropyASRForConditionalGeneration.from_components`]."""
    extractor_path = encoder if isinstance(encoder, str) and isinstance(language_model, str) else None
    encoder, language_model, dtype, parts = _loaded_parts(encoder, language_model, num_layers, dtype)
    all_ends, begun_as = transcript_ends(language_model, vocabulary.turn_end)
    model = join_full(
        model_class,
        encoder,
        take_language_model(language_model, vocabulary.size, begun_as),
        audio_token_id=vocabulary.audio_token_id,
        num_layers=num_layers,
        dtype=dtype,
        copy_weights=extractor_path is None,
        config_kwargs=config_kwargs,
    )
    model.config.public_parts = parts or None
    pad = getattr(vocabulary.tokenizer, "pad_token_id", None)
    model.generation_config.update(
        eos_token_id=all_ends if eos_token_id is None else eos_token_id,
        pad_token_id=language_model.generation_config.pad_token_id if pad is None else pad,
        # The placeholder stands for audio: generated, it would ask for embeddings that are not there.
        suppress_tokens=[vocabulary.audio_token_id],
    )
    if vocabulary.tokenizer is not None and extractor_path is not None:
        extractor = load_feature_extractor(extractor_path)
        model.processor = EntropyASRProcessor.from_components(extractor, vocabulary.tokenizer, model.config)
    return model


def _loaded_parts(
    encoder: str | PreTrainedModel, language_model: str | PreTrainedModel, num_layers: int | None, dtype
) -> tuple[PreTrainedModel, PreTrainedModel, torch.dtype, dict]:
    """Both parts of a joined model, its dtype, and its `public_parts`: those that are loaded here."""
    parts = {}
    if isinstance(language_model, str):
        path = language_model
        language_model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype or "auto")
        parts["language_model"] = public_part(language_model, path)
    dtype = as_dtype(dtype, language_model.dtype)
    if isinstance(encoder, str):
        path, encoder = encoder, load_speech_model(encoder, dtype)
        # One of this project's was trained here: it is no public part.
        if encoder.config.model_type not in SPEECH_MODELS:
            parts["encoder"] = public_part(encoder, path, num_layers)
    return encoder, language_model, dtype, parts


def public_part(model: PreTrainedModel, path: str, num_layers: int | None = None) -> dict[str, Any]:
    """Where a model was loaded from, as an entry of `public_parts`.

    Args:
        model: the model.
        path: what it was loaded by: folder or Hub id.
        num_layers: how many of its layers were taken.
    """
    entry = {"path": os.path.abspath(path) if os.path.isdir(path) else path}
    revision = getattr(model.config, "_commit_hash", None)
    entry |= {"revision": revision} if revision else {}
    return entry | ({"num_layers": num_layers} if num_layers is not None else {})


__all__ = [
    "build_joined_model",
    "join_ctc",
    "prompt_vocabulary",
    "public_part",
    "take_language_model",
    "transcript_ends",
    "with_prefix",
]
