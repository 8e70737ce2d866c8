# Copyright 2026 The entropy-asr authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Configurations of the speech encoder, of its phoneme CTC model and of the full encoder-adaptor-LLM model."""

import copy
from typing import TYPE_CHECKING

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec
from transformers.models.auto import modeling_auto
from transformers.utils import TRANSFORMERS_DYNAMIC_MODULE_NAME, auto_docstring

from .encoder_rules_entropy_asr import LengthStage, encoder_length_stages, encoder_rules
from .languages_entropy_asr import default_phonemes


if TYPE_CHECKING:
    # transformers saves with a checkpoint the files that the saved classes' files name in relative imports. Any model
    # saves its configuration, so naming here the other entry points, and what is imported by its name in a string,
    # gives every checkpoint all the code it needs.
    from .feature_extraction_entropy_asr import EntropyASRFeatureExtractor as EntropyASRFeatureExtractor
    from .feature_extraction_entropy_asr_whisper import (
        EntropyASRWhisperFeatureExtractor as EntropyASRWhisperFeatureExtractor,
    )
    from .modeling_entropy_asr import EntropyASRForConditionalGeneration as EntropyASRForConditionalGeneration
    from .modeling_entropy_asr_ctc import EntropyASRForCTC as EntropyASRForCTC
    from .modeling_entropy_asr_encoder import EntropyASREncoder as EntropyASREncoder
    from .modeling_entropy_asr_firered import EntropyASRFireRedEncoder as EntropyASRFireRedEncoder
    from .modeling_entropy_asr_whisper import EntropyASRWhisperEncoder as EntropyASRWhisperEncoder
    from .pipeline_entropy_asr import EntropyASRPipeline as EntropyASRPipeline
    from .processing_entropy_asr import EntropyASRProcessor as EntropyASRProcessor
    from .streaming_transcriber_entropy_asr import StreamingTranscriber as StreamingTranscriber
    from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer as EntropyASRPhonemeTokenizer

# Of a new vocabulary.
NUM_PHONEMES = len(default_phonemes())
# Where a checkpoint's own code has its classes, for `trust_remote_code=True`. All auto classes give the model that can
# `generate`.
_MODEL_AUTO_MAP = {
    "AutoConfig": "configuration_entropy_asr.EntropyASRConfig",
    "AutoModel": "modeling_entropy_asr.EntropyASRForConditionalGeneration",
    "AutoModelForMultimodalLM": "modeling_entropy_asr.EntropyASRForConditionalGeneration",
    "AutoModelForSpeechSeq2Seq": "modeling_entropy_asr.EntropyASRForConditionalGeneration",
}
_CTC_AUTO_MAP = {
    "AutoConfig": "configuration_entropy_asr.EntropyASRCTCConfig",
    "AutoModelForCTC": "modeling_entropy_asr_ctc.EntropyASRForCTC",
}
# The stock speech recognition pipeline loads no processor, so that no model with a prompt can run in it.
_CUSTOM_PIPELINES = {
    "automatic-speech-recognition": {
        "impl": "pipeline_entropy_asr.EntropyASRPipeline",
        "pt": ["AutoModelForSpeechSeq2Seq"],
        "type": "multimodal",
    }
}

# Whether this file came with a checkpoint (`trust_remote_code=True`) or is part of the installed package.
_IS_REMOTE_CODE = __name__.startswith(f"{TRANSFORMERS_DYNAMIC_MODULE_NAME}.")


@auto_docstring(custom_intro="Configuration of the causal Conformer encoder [`EntropyASREncoder`].")
@strict
class EntropyASREncoderConfig(PreTrainedConfig):
    r"""
    num_mel_bins (`int`, *optional*, defaults to 80):
        Filterbank channels of one input frame (10 ms).
    conv_kernel_size (`int`, *optional*, defaults to 33):
        Width in frames of the causal depthwise convolution of each Conformer block.
    subsampling_channels (`int`, *optional*, defaults to 32):
        Channels of the two strided convolutions that take 100 Hz features to 25 Hz frames.
    chunk_size (`int`, *optional*, defaults to 0):
        Attention chunk in encoder frames of 40 ms; a frame sees its whole chunk. 0 gives full context.
    left_chunks (`int`, *optional*, defaults to -1):
        Number of earlier chunks a frame sees when `chunk_size` is set; -1 sees all of them.

    The defaults have the sizes of FireRedASR-AED-L's encoder, and the 600M parameters that the paper states. Stated
    deviations from that ([`EntropyASRFireRedEncoderConfig`]): rotary instead of relative positions, a depthwise
    convolution that is causal and half as wide, causal subsampling.
    """

    model_type = "entropy_asr_encoder"
    base_config_key = "audio_config"

    num_mel_bins: int = 80
    hidden_size: int = 1280
    intermediate_size: int = 5120
    num_hidden_layers: int = 16
    num_attention_heads: int = 20
    hidden_act: str = "silu"
    conv_kernel_size: int = 33
    subsampling_channels: int = 32
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    max_position_embeddings: int = 30000
    rope_parameters: dict | None = None
    chunk_size: int = 0
    left_chunks: int = -1

    def __post_init__(self, **kwargs):
        if self.rope_parameters is None:
            self.rope_parameters = {"rope_type": "default", "rope_theta": 10000.0}
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Part of `@strict` validation: refuses shapes and masks that cannot be built."""
        if self.hidden_size % (2 * self.num_attention_heads) != 0:
            raise ValueError(
                f"`hidden_size` ({self.hidden_size}) must be a multiple of twice `num_attention_heads` "
                f"({self.num_attention_heads}): rotary positions turn pairs of channels."
            )
        if self.rope_parameters["rope_type"] != "default" or len(self.rope_parameters) > 2:
            raise ValueError(
                f"`rope_parameters` ({self.rope_parameters}) can only be `rope_type` 'default' and a `rope_theta`: "
                "the encoder's rotary positions have no scaling."
            )
        _check_chunks(self.chunk_size, self.left_chunks)


@auto_docstring(custom_intro="Configuration of [`EntropyASRWhisperEncoder`]: Whisper's encoder, made to stream.")
@strict
class EntropyASRWhisperEncoderConfig(PreTrainedConfig):
    r"""
    num_mel_bins (`int`, *optional*, defaults to 80):
        Filterbank channels of one input frame (10 ms): 128 since Whisper's large-v3.
    max_position_embeddings (`int`, *optional*, defaults to 1500):
        Frames of 20 ms that there are positions for: 30 s.
    chunk_size (`int`, *optional*, defaults to 0):
        Attention chunk in encoder frames of 20 ms; a frame sees its whole chunk. 0 gives full context.
    left_chunks (`int`, *optional*, defaults to -1):
        Number of earlier chunks a frame sees when `chunk_size` is set; -1 sees all of them.

    The defaults are the encoder of Whisper-base (20M parameters).
    """

    model_type = "entropy_asr_whisper_encoder"
    base_config_key = "audio_config"

    num_mel_bins: int = 80
    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 6
    num_attention_heads: int = 8
    hidden_act: str = "gelu"
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    max_position_embeddings: int = 1500
    chunk_size: int = 0
    left_chunks: int = -1

    def validate_architecture(self):
        """Part of `@strict` validation: refuses shapes and masks that cannot be built."""
        _check_heads(self.hidden_size, self.num_attention_heads)
        _check_chunks(self.chunk_size, self.left_chunks)


@auto_docstring(custom_intro="Configuration of [`EntropyASRFireRedEncoder`]: FireRedASR's encoder, made to stream.")
@strict
class EntropyASRFireRedEncoderConfig(PreTrainedConfig):
    r"""
    num_mel_bins (`int`, *optional*, defaults to 80):
        Filterbank channels of one input frame (10 ms).
    conv_kernel_size (`int`, *optional*, defaults to 33):
        Width in frames of the depthwise convolution of each Conformer block; odd, half of it looks ahead.
    subsampling_channels (`int`, *optional*, defaults to 32):
        Channels of the two strided convolutions that take 100 Hz features to 25 Hz frames.
    chunk_size (`int`, *optional*, defaults to 0):
        Chunk in encoder frames of 40 ms; a frame sees its whole chunk. 0 gives full context.
    left_chunks (`int`, *optional*, defaults to -1):
        Number of earlier chunks a frame attends to when `chunk_size` is set; -1 sees all of them.

    The defaults are the encoder of FireRedASR-AED-L (711M parameters).
    """

    model_type = "entropy_asr_firered_encoder"
    base_config_key = "audio_config"

    num_mel_bins: int = 80
    hidden_size: int = 1280
    intermediate_size: int = 5120
    num_hidden_layers: int = 16
    num_attention_heads: int = 20
    hidden_act: str = "silu"
    conv_kernel_size: int = 33
    subsampling_channels: int = 32
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.1
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    chunk_size: int = 0
    left_chunks: int = -1

    def validate_architecture(self):
        """Part of `@strict` validation: refuses shapes and masks that cannot be built."""
        _check_heads(self.hidden_size, self.num_attention_heads)
        if self.conv_kernel_size % 2 == 0:
            raise ValueError(
                f"`conv_kernel_size` ({self.conv_kernel_size}) must be odd: as many frames on both sides."
            )
        if self.num_mel_bins < 7:
            raise ValueError(f"`num_mel_bins` ({self.num_mel_bins}) must be at least 7, what one frame is made of.")
        _check_chunks(self.chunk_size, self.left_chunks)


def _check_heads(hidden_size: int, num_heads: int) -> None:
    """Refuse sizes that heads, or pairs of sine and cosine, cannot be cut out of."""
    if hidden_size % num_heads != 0 or hidden_size % 2 != 0:
        raise ValueError(
            f"`hidden_size` ({hidden_size}) must be even and a multiple of `num_attention_heads` ({num_heads})."
        )


def _check_chunks(chunk_size: int, left_chunks: int) -> None:
    """Refuse masks that cannot be built."""
    if chunk_size < 0:
        raise ValueError(f"`chunk_size` ({chunk_size}) must be 0 (full context) or a number of frames.")
    if left_chunks < -1:
        raise ValueError(f"`left_chunks` ({left_chunks}) must be -1 (all) or a number of chunks.")


_AUDIO_SPEC = SubConfigSpec(config_class=AutoConfig, model_type="entropy_asr_encoder")


@auto_docstring(custom_intro="Configuration of [`EntropyASRForCTC`]: a speech encoder and its phoneme CTC head.")
@strict
class EntropyASRCTCConfig(PreTrainedConfig):
    r"""
    audio_config (`dict` or `PreTrainedConfig`, *optional*):
        The speech encoder: an [`EntropyASREncoderConfig`], an [`EntropyASRWhisperEncoderConfig`], an
        [`EntropyASRFireRedEncoderConfig`] or the configuration of any encoder transformers knows.
    audio_length_stages (`list[list[int]]`, *optional*):
        `[kernel, stride, padding]` of each strided stage of the encoder; derived for known encoders.
    vocab_size (`int`, *optional*, defaults to 279):
        Size of the phoneme vocabulary, blank included; the built-in one's by default.
    pad_token_id (`int`, *optional*, defaults to 0):
        The CTC blank.
    ctc_loss_reduction (`str`, *optional*, defaults to `"mean"`):
        `"mean"`: mean over utterances of the loss per label; `"sum"`: sum over utterances.
    auto_map (`dict`, *optional*):
        Classes in the code that is saved with a checkpoint.
    """

    model_type = "entropy_asr_ctc"
    sub_configs_defaults = {"audio_config": _AUDIO_SPEC}

    audio_config: dict | PreTrainedConfig | None = None
    audio_length_stages: list | None = None
    vocab_size: int = NUM_PHONEMES
    pad_token_id: int | None = 0
    ctc_loss_reduction: str = "mean"
    initializer_range: float = 0.02
    auto_map: dict | None = None

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.auto_map = self.auto_map or dict(_CTC_AUTO_MAP)
        if self.audio_length_stages is None:
            self.audio_length_stages = [list(stage) for stage in encoder_length_stages(self.audio_config)]

    def validate_architecture(self):
        """Part of `@strict` validation: refuses a blank outside the vocabulary and unknown reductions."""
        if self.pad_token_id is None or not 0 <= self.pad_token_id < self.vocab_size:
            raise ValueError(f"`pad_token_id` ({self.pad_token_id}) is the CTC blank: 0 to {self.vocab_size - 1}.")
        if self.ctc_loss_reduction not in ("mean", "sum"):
            raise ValueError(f"`ctc_loss_reduction` ({self.ctc_loss_reduction!r}) must be 'mean' or 'sum'.")

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Feature frames per logit frame."""
        ratio = 1
        for _, stride, _ in self.audio_length_stages:
            ratio *= stride
        return ratio


@auto_docstring(custom_intro="Configuration of [`EntropyASRForConditionalGeneration`]: encoder, adaptor, LLM.")
@strict
class EntropyASRConfig(PreTrainedConfig):
    r"""
    audio_config (`dict` or `PreTrainedConfig`, *optional*):
        The speech encoder: an [`EntropyASREncoderConfig`], an [`EntropyASRWhisperEncoderConfig`], an
        [`EntropyASRFireRedEncoderConfig`] or the configuration of any encoder transformers knows.
    text_config (`dict` or `PreTrainedConfig`, *optional*):
        The language model, Qwen3-1.7B by default.
    audio_length_stages (`list[list[int]]`, *optional*):
        `[kernel, stride, padding]` of each strided stage of the encoder; derived for known encoders.
    adaptor_stacking (`int`, *optional*):
        Encoder frames concatenated into one audio token; by default 4, and 8 for encoders of 50 frames a second that
        are this project's own.
    adaptor_intermediate_size (`int`, *optional*):
        Width of the adaptor's hidden layer; the language model's `hidden_size` by default.
    adaptor_hidden_act (`str`, *optional*, defaults to `"relu"`):
        Activation of the adaptor.
    phoneme_vocab_size (`int`, *optional*, defaults to 279):
        Size of the phoneme CTC head, blank included; the built-in phoneme vocabulary's by default.
    phoneme_blank_token_id (`int`, *optional*, defaults to 0):
        The CTC blank of the phoneme head.
    phoneme_head_trained (`bool`, *optional*, defaults to `True`):
        Whether the phoneme head has been trained. Joined from an encoder that brings none, it has not, and what rests
        on it (hotwords, times, confidence) is refused. Checkpoints without this field are taken to be trained.
    audio_token_id (`int`, *optional*, defaults to 151669):
        Placeholder that stands for one audio token in `input_ids`.
    public_parts (`dict`, *optional*):
        Public models that the model was joined from, `"encoder"` and `"language_model"`: of each the `path` (Hub id or
        folder) and, where they are known, its `revision`, the `num_layers` taken, the `sha256` of its weights.
    thin_adapters (`int`, *optional*):
        Of a thin checkpoint, which lacks the weights that these parts give: how many adapters it holds. None: all
        weights are there.
    auto_map (`dict`, *optional*):
        Classes in the code that is saved with a checkpoint.
    """

    model_type = "entropy_asr"
    sub_configs_defaults = {
        "audio_config": _AUDIO_SPEC,
        "text_config": SubConfigSpec(
            config_class=AutoConfig,
            model_type="qwen3",
            init_kwargs={
                "vocab_size": 151936,
                "hidden_size": 2048,
                "intermediate_size": 6144,
                "num_hidden_layers": 28,
                "num_attention_heads": 16,
                "num_key_value_heads": 8,
                "head_dim": 128,
                "max_position_embeddings": 40960,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
                "tie_word_embeddings": True,
            },
        ),
    }
    # TRL's GRPO reads `image_token_id` from any multimodal configuration.
    attribute_map = {"image_token_id": "audio_token_id"}
    keys_to_ignore_at_inference = ["past_key_values", "cache"]

    audio_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    audio_length_stages: list | None = None
    adaptor_stacking: int | None = None
    adaptor_intermediate_size: int | None = None
    adaptor_hidden_act: str = "relu"
    phoneme_vocab_size: int = NUM_PHONEMES
    phoneme_blank_token_id: int = 0
    phoneme_head_trained: bool = True
    audio_token_id: int = 151669
    public_parts: dict | None = None
    thin_adapters: int | None = None
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True
    auto_map: dict | None = None

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.auto_map = self.auto_map or dict(_MODEL_AUTO_MAP)
        # Given this entry, `pipeline` asks for `trust_remote_code=True`. The installed package has its pipeline class
        # in transformers' table of tasks (`register_pipeline`), so there only the saved file has the entry.
        self.custom_pipelines = copy.deepcopy(_CUSTOM_PIPELINES) if _IS_REMOTE_CODE else {}
        if self.audio_length_stages is None:
            self.audio_length_stages = [list(stage) for stage in encoder_length_stages(self.audio_config)]
        if self.adaptor_stacking is None:
            self.adaptor_stacking = encoder_rules(self.audio_config).adaptor_stacking
        if self.adaptor_intermediate_size is None:
            self.adaptor_intermediate_size = self.text_config.hidden_size

    def to_dict(self) -> dict:
        """As saved: with the pipeline class for those who load the checkpoint's own code."""
        return {**super().to_dict(), "custom_pipelines": copy.deepcopy(_CUSTOM_PIPELINES)}

    def validate_architecture(self):
        """Part of `@strict` validation: checks that the parts fit each other."""
        if self.adaptor_stacking < 1:
            raise ValueError(f"`adaptor_stacking` ({self.adaptor_stacking}) must be at least 1.")
        if not 0 <= self.phoneme_blank_token_id < self.phoneme_vocab_size:
            raise ValueError(
                f"`phoneme_blank_token_id` ({self.phoneme_blank_token_id}) must be below `phoneme_vocab_size` "
                f"({self.phoneme_vocab_size})."
            )
        if not 0 <= self.audio_token_id < self.text_config.vocab_size:
            raise ValueError(
                f"`audio_token_id` ({self.audio_token_id}) must be inside the language model's vocabulary "
                f"({self.text_config.vocab_size})."
            )

    @property
    def audio_token_stages(self) -> list[LengthStage]:
        """Strided stages from feature frames to audio tokens: the encoder's, then the adaptor's stacking."""
        stacking = self.adaptor_stacking
        return [*map(tuple, self.audio_length_stages), (stacking, stacking, stacking - 1)]

    @classmethod
    def paper(cls, **kwargs) -> "EntropyASRConfig":
        """The paper's 2.3B system: an encoder of FireRedASR-AED-L's sizes (600M), adaptor of 4 frames, Qwen3-1.7B."""
        return cls(**kwargs)

    @classmethod
    def tiny(cls, vocab_size: int = 4096, audio_token_id: int = 3, phoneme_vocab_size: int = NUM_PHONEMES, **kwargs):
        """At most 12M parameters: trains and transcribes on two CPU cores.

        Args:
            vocab_size (`int`): vocabulary of the language model's tokenizer.
            audio_token_id (`int`): id of its audio placeholder.
            phoneme_vocab_size (`int`): phoneme vocabulary, blank included.
        """
        audio_config = {
            "model_type": "entropy_asr_encoder",
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 5,
            "num_attention_heads": 4,
            "conv_kernel_size": 15,
            "subsampling_channels": 16,
            "hidden_dropout": 0.0,
            "attention_dropout": 0.0,
        }
        text_config = {
            "model_type": "qwen3",
            "vocab_size": vocab_size,
            "hidden_size": 256,
            "intermediate_size": 768,
            "num_hidden_layers": 5,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            "tie_word_embeddings": True,
        }
        return cls(
            audio_config=kwargs.pop("audio_config", audio_config),
            text_config=kwargs.pop("text_config", text_config),
            phoneme_vocab_size=phoneme_vocab_size,
            audio_token_id=audio_token_id,
            **kwargs,
        )


def _register() -> None:
    """Make the classes known by name to what reads transformers' tables: pipelines, serving, TRL.

    Runs on import, also as remote code: `AutoConfig.register` alone does not fill the name tables.
    """
    for config_class in (
        EntropyASREncoderConfig,
        EntropyASRWhisperEncoderConfig,
        EntropyASRFireRedEncoderConfig,
        EntropyASRCTCConfig,
        EntropyASRConfig,
    ):
        AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    full_model = "EntropyASRForConditionalGeneration"
    for table, model_type, name in (
        (modeling_auto.MODEL_MAPPING_NAMES, "entropy_asr", full_model),
        (modeling_auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES, "entropy_asr", full_model),
        (modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES, "entropy_asr", full_model),
        (modeling_auto.MODEL_FOR_CTC_MAPPING_NAMES, "entropy_asr_ctc", "EntropyASRForCTC"),
        (modeling_auto.MODEL_MAPPING_NAMES, "entropy_asr_encoder", "EntropyASREncoder"),
        (modeling_auto.MODEL_MAPPING_NAMES, "entropy_asr_whisper_encoder", "EntropyASRWhisperEncoder"),
        (modeling_auto.MODEL_MAPPING_NAMES, "entropy_asr_firered_encoder", "EntropyASRFireRedEncoder"),
    ):
        table.setdefault(model_type, name)


_register()

__all__ = [
    "EntropyASRCTCConfig",
    "EntropyASRConfig",
    "EntropyASREncoderConfig",
    "EntropyASRFireRedEncoderConfig",
    "EntropyASRWhisperEncoderConfig",
]
