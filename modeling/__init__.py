# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Everything inference needs; importing it registers the classes with transformers' auto classes."""

# First of all: transformers imports torchaudio too, and passes on what that says of a torch that does not fit it.
from . import torchaudio_entropy_asr  # noqa: F401


# isort: split
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForCTC,
    AutoModelForMultimodalLM,
    AutoModelForSpeechSeq2Seq,
    AutoProcessor,
    AutoTokenizer,
)

from .audio import AudioError, audio_blocks, is_url, load_audio
from .configuration_entropy_asr import (
    EntropyASRConfig,
    EntropyASRCTCConfig,
    EntropyASREncoderConfig,
    EntropyASRFireRedEncoderConfig,
    EntropyASRWhisperEncoderConfig,
)
from .encoder_cache_entropy_asr import EntropyASREncoderCache
from .feature_extraction_entropy_asr import EntropyASRFeatureExtractor, EntropyASRFeatureStream
from .hotwords_entropy_asr import HotwordIndex, HotwordMatch
from .language_entry_entropy_asr import GraphemeToPhoneme, Language
from .languages_entropy_asr import register_language
from .modeling_entropy_asr import EntropyASRForConditionalGeneration, EntropyASRModel
from .optional_parts_entropy_asr import is_here
from .pipeline_entropy_asr import EntropyASRPipeline, load_pipeline
from .processing_entropy_asr import EntropyASRProcessor
from .results_entropy_asr import join_texts
from .streaming_entropy_asr import StreamingBatch, StreamingUpdate
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer
from .vad_entropy_asr import EndpointSettings, detect_speech


for auto_class in (AutoModel, AutoModelForSpeechSeq2Seq, AutoModelForMultimodalLM):
    auto_class.register(EntropyASRConfig, EntropyASRForConditionalGeneration, exist_ok=True)
for config_class in (EntropyASRConfig, EntropyASRCTCConfig):
    AutoFeatureExtractor.register(config_class, EntropyASRFeatureExtractor, exist_ok=True)
AutoProcessor.register(EntropyASRConfig, EntropyASRProcessor, exist_ok=True)
# Found by its name in a saved tokenizer configuration. Not under a configuration that is saved beside it: transformers
# would then take the code in that folder instead of this class.
AutoTokenizer.register(EntropyASREncoderConfig, EntropyASRPhonemeTokenizer, exist_ok=True)

# What is saved carries its code, so that it loads with `trust_remote_code=True` where this package is not installed.
for saved_class in (
    EntropyASRConfig,
    EntropyASRCTCConfig,
    EntropyASREncoderConfig,
    EntropyASRWhisperEncoderConfig,
    EntropyASRFireRedEncoderConfig,
    EntropyASRFeatureExtractor,
    EntropyASRPhonemeTokenizer,
    EntropyASRProcessor,
):
    saved_class.register_for_auto_class()

# What is optional.
if is_here("modeling_entropy_asr_encoder"):
    from .modeling_entropy_asr_encoder import EntropyASREncoder

    AutoModel.register(EntropyASREncoderConfig, EntropyASREncoder, exist_ok=True)
    EntropyASREncoder.register_for_auto_class("AutoModel")
if is_here("modeling_entropy_asr_whisper"):
    from .feature_extraction_entropy_asr_whisper import EntropyASRWhisperFeatureExtractor
    from .modeling_entropy_asr_whisper import EntropyASRWhisperEncoder

    AutoModel.register(EntropyASRWhisperEncoderConfig, EntropyASRWhisperEncoder, exist_ok=True)
    EntropyASRWhisperEncoder.register_for_auto_class("AutoModel")
    # Found by its name in what a processor or a folder of features says.
    AutoFeatureExtractor.register(EntropyASRWhisperEncoderConfig, EntropyASRWhisperFeatureExtractor, exist_ok=True)
    EntropyASRWhisperFeatureExtractor.register_for_auto_class()
if is_here("modeling_entropy_asr_firered"):
    from .modeling_entropy_asr_firered import EntropyASRFireRedEncoder

    AutoModel.register(EntropyASRFireRedEncoderConfig, EntropyASRFireRedEncoder, exist_ok=True)
    EntropyASRFireRedEncoder.register_for_auto_class("AutoModel")
if is_here("modeling_entropy_asr_ctc"):
    from .modeling_entropy_asr_ctc import EntropyASRForCTC

    AutoModelForCTC.register(EntropyASRCTCConfig, EntropyASRForCTC, exist_ok=True)
if is_here("streaming_transcriber_entropy_asr"):
    from .streaming_transcriber_entropy_asr import StreamingTranscriber
if is_here("pipeline_registration_entropy_asr"):
    from .pipeline_registration_entropy_asr import register_pipeline

    register_pipeline()

__all__ = [
    "AudioError",
    "EndpointSettings",
    "EntropyASRCTCConfig",
    "EntropyASRConfig",
    "EntropyASREncoder",
    "EntropyASREncoderCache",
    "EntropyASREncoderConfig",
    "EntropyASRFeatureExtractor",
    "EntropyASRFeatureStream",
    "EntropyASRFireRedEncoder",
    "EntropyASRFireRedEncoderConfig",
    "EntropyASRForCTC",
    "EntropyASRForConditionalGeneration",
    "EntropyASRModel",
    "EntropyASRPhonemeTokenizer",
    "EntropyASRPipeline",
    "EntropyASRProcessor",
    "EntropyASRWhisperEncoder",
    "EntropyASRWhisperEncoderConfig",
    "EntropyASRWhisperFeatureExtractor",
    "GraphemeToPhoneme",
    "HotwordIndex",
    "HotwordMatch",
    "Language",
    "StreamingBatch",
    "StreamingTranscriber",
    "StreamingUpdate",
    "audio_blocks",
    "detect_speech",
    "is_url",
    "join_texts",
    "load_audio",
    "load_pipeline",
    "register_language",
]
