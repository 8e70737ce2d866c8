# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How many frames an encoder makes of audio, by its configuration alone."""

import pytest
import torch
import transformers
from small_models import small_encoder_config

from entropy_asr.modeling import (
    EntropyASRConfig,
    EntropyASRWhisperEncoderConfig,
)
from entropy_asr.modeling.components_entropy_asr import build_audio_tower
from entropy_asr.modeling.encoder_rules_entropy_asr import encoder_length_stages, output_length


def waveform_encoder(name: str, **kwargs) -> transformers.PreTrainedConfig:
    return getattr(transformers, f"{name}Config")(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8, 8),
        conv_kernel=(10, 3, 2),
        conv_stride=(5, 2, 2),
        num_feat_extract_layers=3,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        conv_pos_kernel_size=19,
        **kwargs,
    )


def wav2vec2_bert(**kwargs) -> transformers.PreTrainedConfig:
    return transformers.Wav2Vec2BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        feature_projection_input_dim=8,
        output_hidden_size=16,
        **kwargs,
    )


def fast_conformer(name: str, **kwargs) -> transformers.PreTrainedConfig:
    return getattr(transformers, name)(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_mel_bins=16,
        subsampling_conv_channels=4,
        conv_kernel_size=3,
        **kwargs,
    )


ADAPTER = {"add_adapter": True, "num_adapter_layers": 2, "output_hidden_size": 16}
ENCODERS = {
    "own": small_encoder_config(num_mel_bins=16),
    "parakeet": fast_conformer("ParakeetEncoderConfig"),
    "parakeet, factor 4": fast_conformer("ParakeetEncoderConfig", subsampling_factor=4),
    "nemotron": fast_conformer("NemotronAsrStreamingEncoderConfig"),
    "wav2vec2-bert": wav2vec2_bert(),
    "wav2vec2-bert, adapter": wav2vec2_bert(add_adapter=True, num_adapter_layers=2),
    "wav2vec2-bert, adapter of 5": wav2vec2_bert(add_adapter=True, adapter_kernel_size=5, adapter_stride=3),
    "wav2vec2": waveform_encoder("Wav2Vec2"),
    "wav2vec2, adapter": waveform_encoder("Wav2Vec2", **ADAPTER),
    "wavlm, adapter": waveform_encoder("WavLM", **ADAPTER),
    "hubert": waveform_encoder("Hubert"),
    "unispeech": waveform_encoder("UniSpeech"),
    "unispeech-sat": waveform_encoder("UniSpeechSat"),
    "data2vec-audio, adapter": waveform_encoder("Data2VecAudio", **ADAPTER),
    "wav2vec2-conformer, adapter": waveform_encoder("Wav2Vec2Conformer", **ADAPTER),
}


def encoder_input(config: transformers.PreTrainedConfig, length: int) -> torch.Tensor:
    channels = {"wav2vec2-bert": 8}.get(config.model_type, getattr(config, "num_mel_bins", None))
    return torch.randn(1, length) if channels is None else torch.randn(1, length, channels)


@pytest.mark.parametrize("name", ENCODERS)
def test_length_formula_gives_the_encoders_true_output_length(name):
    config = ENCODERS[name]
    encoder = build_audio_tower(config).eval()
    is_waveform = encoder.main_input_name == "input_values"
    lengths = range(300, 1500, 31) if is_waveform else range(16, 60)
    stages = encoder_length_stages(config)
    with torch.no_grad():
        true = [encoder(encoder_input(config, length)).last_hidden_state.shape[1] for length in lengths]
    assert [output_length(length, stages) for length in lengths] == true
    assert len(set(true)) > 3


def test_length_formula_of_whisper():
    config = transformers.WhisperConfig(
        d_model=16, encoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, num_mel_bins=8
    )
    encoder = build_audio_tower(config).eval()
    lengths = range(2, 40)
    with torch.no_grad():
        frames = [encoder.conv2(encoder.conv1(torch.randn(1, 8, length))).shape[-1] for length in lengths]
    assert [output_length(length, encoder_length_stages(config)) for length in lengths] == frames


def test_lengths_of_a_tensor_equal_those_of_its_numbers():
    stages = EntropyASRConfig().audio_token_stages
    lengths = list(range(1, 300))
    assert output_length(torch.tensor(lengths), stages).tolist() == [output_length(n, stages) for n in lengths]
    assert output_length(100, stages) == 7  # 1 s: 100 feature frames, 25 encoder frames, 6.25 audio tokens


def test_an_encoders_configuration_may_say_its_stages():
    assert encoder_length_stages(transformers.ParakeetEncoderConfig(audio_length_stages=[[5, 3, 2]])) == [(5, 3, 2)]
    assert EntropyASRConfig(audio_config=EntropyASRWhisperEncoderConfig().to_dict()).adaptor_stacking == 8
    assert EntropyASRConfig().adaptor_stacking == 4


def test_unknown_encoder_asks_for_its_stages():
    config = transformers.ASTConfig().to_dict()
    with pytest.raises(ValueError, match=r"audio-spectrogram-transformer.*audio_length_stages"):
        EntropyASRConfig(audio_config=config)
    assert EntropyASRConfig(audio_config=config, audio_length_stages=[[1, 1, 0]]).audio_length_stages == [[1, 1, 0]]
