# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whisper's encoder made to stream: transformers' outputs, batches, chunks, caches, joining."""

import pytest
import torch
import transformers
from huggingface_hub.errors import StrictDataclassClassValidationError
from small_models import build_tokenizer, small_text_config, small_whisper, small_whisper_encoder_config
from streams_of_ages import check_streams_of_different_ages

from entropy_asr.modeling import (
    EntropyASREncoderCache,
    EntropyASRForConditionalGeneration,
    EntropyASRForCTC,
    EntropyASRPhonemeTokenizer,
    EntropyASRWhisperEncoder,
    EntropyASRWhisperEncoderConfig,
    EntropyASRWhisperFeatureExtractor,
)
from entropy_asr.modeling.speech_models_entropy_asr import extract_encoder


@pytest.fixture(scope="module")
def whisper() -> transformers.WhisperModel:
    return small_whisper()


@pytest.fixture(scope="module")
def encoder(whisper) -> EntropyASRWhisperEncoder:
    return extract_encoder(whisper).eval()


def stream(encoder, features, chunk_size, left_chunks) -> torch.Tensor:
    """Frames of features `(B, T, F)` that are given a chunk at a time, with the features that it waits for."""
    cache, chunks, step = EntropyASREncoderCache(), [], 2 * chunk_size
    for start in range(0, features.shape[1], step):
        ahead = features[:, start + step : start + step + 1]
        output = encoder(
            features[:, start : start + step],
            chunk_size=chunk_size,
            left_chunks=left_chunks,
            cache=cache,
            look_ahead=ahead if ahead.shape[1] else None,
        )
        chunks.append(output.last_hidden_state)
    return torch.cat(chunks, dim=1)


@torch.no_grad()
def test_equals_transformers_whisper_on_thirty_seconds(whisper, encoder):
    features = torch.randn(2, 3000, 80)
    expected = whisper.get_encoder()(features.transpose(1, 2)).last_hidden_state
    assert (encoder(features).last_hidden_state - expected).abs().max() < 1e-4


@torch.no_grad()
def test_first_layers_of_whisper(whisper):
    encoder = extract_encoder(whisper, num_layers=1).eval()
    assert len(encoder.layers) == encoder.config.num_hidden_layers == 1
    features, half = torch.randn(1, 3000, 80), whisper.get_encoder()
    expected = half(features.transpose(1, 2), output_hidden_states=True).hidden_states[1]
    # Behind the layers that were taken comes the norm that stood behind all.
    assert (encoder(features).last_hidden_state - half.layer_norm(expected)).abs().max() < 1e-4


@pytest.mark.parametrize("num_layers", [0, 3, -1, True])
def test_layers_that_whisper_has_not_are_refused(whisper, num_layers):
    with pytest.raises(ValueError, match="`num_layers` must be between 1 and the encoder's 2"):
        EntropyASRForCTC.from_encoder(whisper, num_layers=num_layers)


@torch.no_grad()
@pytest.mark.parametrize("chunk_size", [0, 5])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_batch_of_eight_equals_each_alone(encoder, implementation, chunk_size):
    encoder.set_attn_implementation(implementation)
    lengths = [61, 7, 40, 33, 1, 100, 2, 99]
    features = torch.randn(8, 104, 80)
    mask = (torch.arange(104)[None, :] < torch.tensor(lengths)[:, None]).long()
    batch = encoder(features, attention_mask=mask, chunk_size=chunk_size)
    assert batch.attention_mask.sum(-1).tolist() == [-(-length // 2) for length in lengths]
    for row, length in enumerate(lengths):
        alone = encoder(features[row : row + 1, :length], chunk_size=chunk_size).last_hidden_state[0]
        assert (batch.last_hidden_state[row, : len(alone)] - alone).abs().max() < 1e-5
    encoder.set_attn_implementation("sdpa")


@torch.no_grad()
@pytest.mark.parametrize("chunk_size", [1, 4, 16])
@pytest.mark.parametrize("left_chunks", [-1, 0, 2])
@pytest.mark.parametrize("num_features", [96, 101])
def test_streaming_equals_one_pass_under_the_same_mask(encoder, chunk_size, left_chunks, num_features):
    features = torch.randn(2, num_features, 80)
    full = encoder(features, chunk_size=chunk_size, left_chunks=left_chunks).last_hidden_state
    streamed = stream(encoder, features, chunk_size, left_chunks)
    assert streamed.shape == full.shape == (2, -(-num_features // 2), 32)
    assert (streamed - full).abs().max() < 1e-5


@torch.no_grad()
def test_a_chunk_depends_on_exactly_one_feature_behind_it(encoder):
    features = torch.randn(1, 64, 80)
    expected = encoder(features, chunk_size=8).last_hidden_state[:, :8]
    for first_changed, depends in ((16, True), (17, False)):
        changed = features.clone()
        changed[:, first_changed:] = 0
        difference = (encoder(changed, chunk_size=8).last_hidden_state[:, :8] - expected).abs().max()
        assert (difference > 1e-3) == depends
    assert encoder.num_look_ahead == 1


def test_streams_of_different_ages_share_a_batch(encoder):
    check_streams_of_different_ages(encoder, chunk_features=6, lengths=[6 * 5, 6 * 4, 6 * 2 + 3, 6 * 3 + 1])


def test_thirty_seconds_are_encoded_and_more_is_refused(encoder):
    with torch.no_grad():
        assert encoder(torch.randn(1, 3000, 80)).last_hidden_state.shape[1] == 1500
        # Padding may be behind the last position.
        mask = (torch.arange(3100) < 3000)[None].long()
        assert encoder(torch.randn(1, 3100, 80), attention_mask=mask).attention_mask.sum() == 1500
        with pytest.raises(ValueError, match="longer than the 1504 frames"):
            encoder(torch.randn(1, 3100, 80))


def test_features_of_another_layout_are_refused_by_name(encoder):
    with pytest.raises(ValueError, match=r"`input_features` must have the shape .* 80\), not \(1, 80, 3000\)"):
        encoder(torch.randn(1, 80, 3000))
    with pytest.raises(ValueError, match="full context cannot be streamed"):
        encoder(torch.randn(1, 8, 80), cache=EntropyASREncoderCache())
    features = torch.randn(1, 8, 80)
    with pytest.raises(ValueError, match="`look_ahead` has 2 feature frames, not 1"):
        encoder(features, chunk_size=4, cache=EntropyASREncoderCache(), look_ahead=features[:, :2])


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        encoder = EntropyASRWhisperEncoder(small_whisper_encoder_config()).train()
        if checkpointing:
            encoder.activation_checkpointing_enable()
        encoder(torch.randn(2, 40, 80), chunk_size=4).last_hidden_state.square().sum().backward()
        gradients.append({name: parameter.grad for name, parameter in encoder.named_parameters()})
    assert all(gradient is not None for gradient in gradients[0].values())
    assert all((gradients[1][name] - gradient).abs().max() < 1e-4 for name, gradient in gradients[0].items())


def test_positions_are_whispers_and_are_not_trained(whisper):
    encoder = EntropyASRWhisperEncoder(small_whisper_encoder_config())
    table = whisper.get_encoder().embed_positions.weight
    assert torch.allclose(encoder.embed_positions.weight[:1500], table, atol=1e-6)
    assert "embed_positions.weight" not in encoder.state_dict()
    assert not any(name.startswith("embed_positions") for name, _ in encoder.named_parameters())


def test_hidden_states_and_attentions_are_given(encoder):
    encoder.set_attn_implementation("eager")
    output = encoder(torch.randn(1, 20, 80), output_hidden_states=True, output_attentions=True)
    encoder.set_attn_implementation("sdpa")
    assert len(output.hidden_states) == 3 and len(output.attentions) == 2


def test_saved_encoder_loads_equal(encoder, tmp_path):
    encoder.save_pretrained(tmp_path)
    loaded = transformers.AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is EntropyASRWhisperEncoder
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize("kind", ["WhisperModel", "WhisperForConditionalGeneration"])
def test_ctc_model_from_a_folder_of_whisper(kind, tmp_path):
    whisper = small_whisper(kind)
    whisper.save_pretrained(tmp_path)
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(tmp_path)
    model = EntropyASRForCTC.from_encoder(str(tmp_path), num_layers=1).eval()
    assert model.config.audio_config.model_type == "entropy_asr_whisper_encoder"
    assert model.config.vocab_size == len(EntropyASRPhonemeTokenizer()) and len(model.audio_tower.layers) == 1
    weights = whisper.get_encoder().state_dict()
    for name, weight in model.audio_tower.state_dict().items():
        if name != "embed_positions.weight":
            assert torch.equal(weight, weights[name]), name
    features, mask = torch.randn(2, 50, 80), torch.tensor([[1] * 50, [1] * 30 + [0] * 20])
    output = model(features, attention_mask=mask, labels=torch.tensor([[1, 2], [3, -100]]))
    assert output.logits.shape == (2, 25, model.config.vocab_size) and output.attention_mask.sum(-1).tolist() == [
        25,
        15,
    ]
    model.save_pretrained(tmp_path / "ctc")
    again = EntropyASRForCTC.from_pretrained(tmp_path / "ctc").eval()
    assert torch.equal(again(features, attention_mask=mask).logits, output.logits)
    # Its own weights stay as they are when the source is trained on.
    assert EntropyASRForCTC.from_encoder(model) is model


def test_weights_of_a_model_that_was_given_are_copied(whisper):
    model = EntropyASRForCTC.from_encoder(whisper)
    before = whisper.get_encoder().conv1.weight.clone()
    torch.nn.init.zeros_(model.audio_tower.conv1.weight)
    assert torch.equal(whisper.get_encoder().conv1.weight, before)


def test_one_line_joins_folders_of_whisper_and_of_a_language_model(tmp_path, waveforms):
    """In the language model's dtype, with a tokenizer that has no audio token, and a processor to go with it."""
    small_whisper().save_pretrained(tmp_path / "whisper")
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(tmp_path / "whisper")
    torch.manual_seed(1)
    language_model = transformers.Qwen3ForCausalLM(small_text_config(vocab_size=297)).to(torch.bfloat16)
    language_model.save_pretrained(tmp_path / "llm")
    build_tokenizer([]).save_pretrained(tmp_path / "llm")
    model = EntropyASRForConditionalGeneration.from_components(str(tmp_path / "whisper"), str(tmp_path / "llm")).eval()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.config.adaptor_stacking == 8 and not model.config.phoneme_head_trained
    processor = model.processor
    assert isinstance(processor.feature_extractor, EntropyASRWhisperFeatureExtractor)
    assert processor.audio_token_id == model.config.audio_token_id < model.config.text_config.vocab_size
    assert processor.seconds_per_frame == 0.02
    model.save_pretrained(tmp_path / "joined")
    loaded = transformers.AutoModel.from_pretrained(tmp_path / "joined", dtype=torch.float32)
    loaded_processor = transformers.AutoProcessor.from_pretrained(tmp_path / "joined")
    assert type(loaded_processor.feature_extractor) is EntropyASRWhisperFeatureExtractor
    inputs = loaded_processor(waveforms[:3])
    assert loaded.generate(**inputs, max_new_tokens=4, do_sample=False).shape[0] == 3


def test_configuration_that_cannot_be_built_is_refused():
    with pytest.raises(StrictDataclassClassValidationError, match="`hidden_size` \\(30\\)"):
        EntropyASRWhisperEncoderConfig(hidden_size=30, num_attention_heads=4)
    with pytest.raises(StrictDataclassClassValidationError, match="`left_chunks` \\(-2\\)"):
        EntropyASRWhisperEncoderConfig(left_chunks=-2)
