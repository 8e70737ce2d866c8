# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What has to be known of each kind of speech encoder: how it shortens audio, and how padding is kept out of it.

An encoder is one entry in [`ENCODER_RULES`]: its length rule and its masking rule. One of this project's own is in
`components_entropy_asr.ENCODER_CLASSES` besides, with the class that is built.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers.configuration_utils import PreTrainedConfig


# (kernel, stride, padding) of one stage that shortens a sequence: n -> (n + padding - kernel) // stride + 1.
LengthStage = tuple[int, int, int]


def output_length(input_length, stages: list[LengthStage]):
    """Number of frames that leave a chain of strided stages.

    The one length formula of the project: the processor counts audio placeholders with it, the model masks with it.

    Args:
        input_length (`int` or integer `torch.Tensor`): frames that enter, before padding.
        stages (`list[tuple[int, int, int]]`): kernel, stride and total padding of each stage.
    """
    for kernel, stride, padding in stages:
        input_length = (input_length + padding - kernel) // stride + 1
    return input_length


def _fast_conformer_stages(audio_config: PreTrainedConfig) -> list[LengthStage]:
    """Subsampling of Parakeet, with as many zeros on both sides."""
    kernel, stride = audio_config.subsampling_conv_kernel_size, audio_config.subsampling_conv_stride
    return [(kernel, stride, (kernel - 1) // 2 * 2)] * (audio_config.subsampling_factor.bit_length() - 1)


def _causal_fast_conformer_stages(audio_config: PreTrainedConfig) -> list[LengthStage]:
    """Subsampling of Nemotron's causal encoder, which pads `kernel - 1` before and `stride - 1` after."""
    kernel, stride = audio_config.subsampling_conv_kernel_size, audio_config.subsampling_conv_stride
    return [(kernel, stride, kernel - 1 + stride - 1)] * (audio_config.subsampling_factor.bit_length() - 1)


def _adapter_stages(audio_config: PreTrainedConfig, side_padding: int) -> list[LengthStage]:
    """Strided layers behind encoders of the wav2vec 2.0 family, with as many zeros on both sides."""
    if not audio_config.add_adapter:
        return []
    stage = (audio_config.adapter_kernel_size, audio_config.adapter_stride, 2 * side_padding)
    return [stage] * audio_config.num_adapter_layers


def _waveform_stages(audio_config: PreTrainedConfig) -> list[LengthStage]:
    """Encoders of waveforms: their output frames are those of their convolutions."""
    convolutions = zip(audio_config.conv_kernel, audio_config.conv_stride, strict=True)
    return [(kernel, stride, 0) for kernel, stride in convolutions]


def _waveform_stages_with_adapter(audio_config: PreTrainedConfig) -> list[LengthStage]:
    """Encoders of waveforms with an optional adapter behind them."""
    return _waveform_stages(audio_config) + _adapter_stages(audio_config, 1)


@dataclass(frozen=True)
class EncoderRules:
    """One kind of speech encoder.

    Args:
        length_stages: gives the strided stages of a configuration, from feature frames (or samples) to output frames.
        takes_mask: whether its forward pass takes an `attention_mask` of its inputs.
        streams: whether it takes `chunk_size`, `left_chunks` and a `cache`, and masks padding by itself, so that
            padding changes nothing. Its output then has the mask of valid frames.
        adaptor_stacking: encoder frames that one audio token is made of where a configuration does not say.
    """

    length_stages: Callable[[PreTrainedConfig], list[LengthStage]]
    takes_mask: bool = True
    streams: bool = False
    adaptor_stacking: int = 4


_WAVEFORM = EncoderRules(_waveform_stages)
_WAVEFORM_WITH_ADAPTER = EncoderRules(_waveform_stages_with_adapter)
ENCODER_RULES = {
    "entropy_asr_encoder": EncoderRules(lambda audio_config: [(3, 2, 2), (3, 2, 2)], streams=True),
    # 50 frames a second: eight of them are the 160 ms of an audio token.
    "entropy_asr_whisper_encoder": EncoderRules(lambda audio_config: [(3, 2, 2)], streams=True, adaptor_stacking=8),
    # A frame is made of seven features, six of them behind its first one: as many zeros follow the last.
    "entropy_asr_firered_encoder": EncoderRules(lambda audio_config: [(3, 2, 6), (3, 2, 0)], streams=True),
    # transformers' own always sees 30 s, padding included.
    "whisper": EncoderRules(lambda audio_config: [(3, 2, 2)], takes_mask=False),
    "parakeet_encoder": EncoderRules(_fast_conformer_stages),
    "nemotron_asr_streaming_encoder": EncoderRules(_causal_fast_conformer_stages),
    "wav2vec2-bert": EncoderRules(
        lambda audio_config: _adapter_stages(audio_config, audio_config.adapter_stride // 2)
    ),
    "wav2vec2": _WAVEFORM_WITH_ADAPTER,
    "wav2vec2-conformer": _WAVEFORM_WITH_ADAPTER,
    "wavlm": _WAVEFORM_WITH_ADAPTER,
    "data2vec-audio": _WAVEFORM_WITH_ADAPTER,
    "hubert": _WAVEFORM,
    "unispeech": _WAVEFORM,
    "unispeech-sat": _WAVEFORM,
}


def _unknown_stages(audio_config: PreTrainedConfig) -> list[LengthStage]:
    raise ValueError(
        f"The strided stages of a `{audio_config.model_type}` encoder are not known. Pass `audio_length_stages="
        "[[kernel, stride, padding], ...]` (one entry a stage, total padding) to `EntropyASRConfig`."
    )


_UNKNOWN = EncoderRules(_unknown_stages)


def encoder_rules(audio_config: PreTrainedConfig | dict[str, Any]) -> EncoderRules:
    """Rules of the kind of encoder that a configuration, or what was saved of one, describes."""
    saved = isinstance(audio_config, dict)
    return ENCODER_RULES.get(audio_config["model_type"] if saved else audio_config.model_type, _UNKNOWN)


def encoder_length_stages(audio_config: PreTrainedConfig) -> list[LengthStage]:
    """Strided stages of a speech encoder, from its feature frames (or samples) to its output frames.

    A configuration that has `audio_length_stages` of its own says them itself.

    Raises:
        ValueError: for an encoder whose stages are not known; `EntropyASRConfig(audio_length_stages=...)` states them.
    """
    stated = getattr(audio_config, "audio_length_stages", None)
    if stated is not None:
        return [tuple(stage) for stage in stated]
    return encoder_rules(audio_config).length_stages(audio_config)


__all__ = ["ENCODER_RULES", "EncoderRules", "LengthStage", "encoder_length_stages", "encoder_rules", "output_length"]
