# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The processor of a pipeline's model, from what is given of it or from where the model was loaded."""

from transformers.configuration_utils import PreTrainedConfig
from transformers.feature_extraction_utils import FeatureExtractionMixin
from transformers.processing_utils import ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from .processing_entropy_asr import EntropyASRProcessor, check_processor
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


def complete_processor(
    config: PreTrainedConfig,
    processor: ProcessorMixin | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    feature_extractor: FeatureExtractionMixin | None = None,
) -> ProcessorMixin:
    """The processor of a model, from what is given of it.

    Args:
        config: the model's.
        processor: the processor; else it is looked for where model and tokenizer were loaded from.
        tokenizer, feature_extractor: take the places of the processor's own.

    Raises:
        ValueError: it is not to be found, or does not fit the model.
    """
    if processor is None:
        processor = _find_processor(config, tokenizer, feature_extractor)
    check_processor(config, processor)
    tokenizer = processor.tokenizer if tokenizer is None else tokenizer
    feature_extractor = processor.feature_extractor if feature_extractor is None else feature_extractor
    if tokenizer is not processor.tokenizer or feature_extractor is not processor.feature_extractor:
        processor = type(processor)(
            feature_extractor,
            tokenizer,
            processor.phoneme_tokenizer,
            chat_template=processor.chat_template,
            audio_token=processor.audio_token,
            audio_token_stages=processor.audio_token_stages,
        )
    return processor


def _find_processor(
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase | None,
    feature_extractor: FeatureExtractionMixin | None,
) -> ProcessorMixin:
    """The processor where a model or its tokenizer was loaded from, or the default one around both parts."""
    places = dict.fromkeys(filter(None, (config._name_or_path, getattr(tokenizer, "name_or_path", None))))
    for place in places:
        try:
            return EntropyASRProcessor.from_pretrained(place, revision=getattr(config, "_commit_hash", None))
        except (OSError, ValueError, TypeError) as error:
            places[place] = str(error).split("\n")[0]
    has_default_phonemes = config.phoneme_vocab_size == len(EntropyASRPhonemeTokenizer())
    if tokenizer is not None and feature_extractor is not None and has_default_phonemes:
        return EntropyASRProcessor.from_components(feature_extractor, tokenizer, config)
    reasons = "; ".join(f"{place}: {reason}" for place, reason in places.items())
    raise ValueError(
        f"The model's processor was not found ({reasons or 'the model does not say where it was loaded from'}). "
        "Pass it: `processor=...`, for instance `EntropyASRProcessor.from_pretrained(...)`."
    )


__all__ = ["complete_processor"]
