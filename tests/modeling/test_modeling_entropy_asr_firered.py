# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""FireRedASR's encoder made to stream: the published computation, batches, chunks, caches, pipelines and streams."""

import numpy as np
import published_firered as published
import pytest
import torch
import transformers
from huggingface_hub.errors import StrictDataclassClassValidationError
from small_models import build_model, small_config, small_firered_encoder_config
from streams_of_ages import check_streams_of_different_ages

from entropy_asr.modeling import (
    EntropyASREncoderCache,
    EntropyASRFeatureExtractor,
    EntropyASRFireRedEncoder,
    EntropyASRFireRedEncoderConfig,
    EntropyASRPipeline,
    EntropyASRProcessor,
    StreamingTranscriber,
)
from entropy_asr.modeling.configuration_entropy_asr import EntropyASRCTCConfig
from entropy_asr.modeling.speech_models_entropy_asr import load_speech_model


LENGTHS = [61, 7, 40, 33, 1, 100, 2, 99]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint of the published layout."""
    folder = tmp_path_factory.mktemp("published") / "FireRedASR-AED-L"
    published.write_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(folder) -> EntropyASRFireRedEncoder:
    return load_speech_model(str(folder)).eval()


def padded_features() -> tuple[torch.Tensor, torch.Tensor]:
    """Features of eight lengths, with noise where they are padded, and their mask."""
    features = torch.randn(8, 104, 80)
    return features, (torch.arange(104)[None, :] < torch.tensor(LENGTHS)[:, None]).long()


def stream(encoder, features, chunk_size, left_chunks, chunks_a_call=1) -> torch.Tensor:
    """Frames of features `(B, T, F)` that are given some chunks at a time, with the features that they wait for."""
    cache, frames, step = EntropyASREncoderCache(), [], 4 * chunk_size * chunks_a_call
    for start in range(0, features.shape[1], step):
        ahead = features[:, start + step : start + step + 3]
        ahead = torch.nn.functional.pad(ahead, (0, 0, 0, 3 - ahead.shape[1]))
        settings = {"chunk_size": chunk_size, "left_chunks": left_chunks, "cache": cache, "look_ahead": ahead}
        frames.append(encoder(features[:, start : start + step], **settings).last_hidden_state)
    return torch.cat(frames, dim=1)


@torch.no_grad()
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("sizes", [{}, {"idim": 40, "d_model": 24, "n_head": 3, "kernel_size": 33, "n_layers_enc": 3}])
def test_equals_the_published_computation_with_padding(sizes, implementation, tmp_path):
    args, weights = published.arguments(**sizes), published.write_checkpoint(tmp_path, **sizes)
    encoder = load_speech_model(str(tmp_path)).eval()
    encoder.set_attn_implementation(implementation)
    features, mask = padded_features()
    features = features[..., : args.idim]
    expected, counts = published.encode(weights, args, features * mask[..., None], LENGTHS)
    output = encoder(features, attention_mask=mask)
    assert output.attention_mask.sum(-1).tolist() == counts == [-(-length // 4) for length in LENGTHS]
    assert output.last_hidden_state.shape == expected.shape
    for row, count in enumerate(counts):
        assert (output.last_hidden_state[row, :count] - expected[row, :count]).abs().max() < 1e-4


@torch.no_grad()
def test_equals_the_published_computation_far_from_the_start(encoder):
    features, args = torch.randn(1, 1202, 80), published.arguments()
    expected, _ = published.encode(published.random_weights(args), args, features, [1202])
    assert (encoder(features).last_hidden_state - expected).abs().max() < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("chunk_size", [0, 5])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_batch_of_eight_equals_each_alone(encoder, implementation, chunk_size):
    encoder.set_attn_implementation(implementation)
    features, mask = padded_features()
    batch = encoder(features, attention_mask=mask, chunk_size=chunk_size)
    for row, length in enumerate(LENGTHS):
        alone = encoder(features[row : row + 1, :length], chunk_size=chunk_size).last_hidden_state[0]
        assert batch.attention_mask[row].sum() == len(alone)
        assert (batch.last_hidden_state[row, : len(alone)] - alone).abs().max() < 1e-5
    encoder.set_attn_implementation("sdpa")


@torch.no_grad()
@pytest.mark.parametrize("chunk_size", [1, 2, 4, 16])
@pytest.mark.parametrize("left_chunks", [-1, 0, 2])
@pytest.mark.parametrize("num_features", [96, 102])
def test_streaming_equals_one_pass_under_the_same_mask(encoder, chunk_size, left_chunks, num_features):
    features = torch.randn(2, num_features, 80)
    full = encoder(features, chunk_size=chunk_size, left_chunks=left_chunks).last_hidden_state
    assert full.shape == (2, -(-num_features // 4), 32)
    for chunks_a_call in (1, 3):
        streamed = stream(encoder, features, chunk_size, left_chunks, chunks_a_call)
        assert streamed.shape == full.shape
        assert (streamed - full).abs().max() < 1e-5


@torch.no_grad()
def test_a_chunk_depends_on_exactly_three_features_behind_it(encoder):
    """Though the depthwise convolution of full context looks ahead."""
    features = torch.randn(1, 64, 80)
    for chunk_size, first_changed, depends in ((8, 34, True), (8, 35, False), (0, 35, True)):
        changed = features.clone()
        changed[:, first_changed:] = 0
        frames = [encoder(x, chunk_size=chunk_size).last_hidden_state[:, :8] for x in (features, changed)]
        assert ((frames[0] - frames[1]).abs().max() > 1e-3) == depends
    assert encoder.num_look_ahead == 3


@torch.no_grad()
def test_one_chunk_as_long_as_the_utterance_is_full_context(encoder):
    features = torch.randn(1, 60, 80)
    expected = encoder(features).last_hidden_state
    for chunk_size in (15, 40):
        assert (encoder(features, chunk_size=chunk_size).last_hidden_state - expected).abs().max() < 1e-5


def test_streams_of_different_ages_share_a_batch(encoder):
    check_streams_of_different_ages(encoder, chunk_features=12, lengths=[12 * 5, 12 * 4, 12 * 2 + 3, 12 * 3 + 1])


@torch.no_grad()
def test_dropout_is_where_the_published_encoder_has_it(folder):
    """Two rates: one behind attention and on what enters the layers, one in feed-forwards and convolutions."""
    features = torch.randn(1, 40, 80)
    for rates in ({"hidden_dropout": 0.5}, {"activation_dropout": 0.5}):
        encoder = EntropyASRFireRedEncoder(small_firered_encoder_config(**rates)).train()
        assert not torch.equal(encoder(features).last_hidden_state, encoder(features).last_hidden_state)
    encoder = EntropyASRFireRedEncoder(small_firered_encoder_config()).train()
    assert torch.equal(encoder(features).last_hidden_state, encoder(features).last_hidden_state)


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        encoder = EntropyASRFireRedEncoder(small_firered_encoder_config()).train()
        if checkpointing:
            encoder.activation_checkpointing_enable()
        encoder(torch.randn(2, 40, 80), chunk_size=4).last_hidden_state.square().sum().backward()
        gradients.append({name: parameter.grad for name, parameter in encoder.named_parameters()})
    assert all(gradient is not None for gradient in gradients[0].values())
    assert all((gradients[1][name] - gradient).abs().max() < 1e-4 for name, gradient in gradients[0].items())


def test_half_precision_and_autocast_stay_near(encoder):
    features, mask = padded_features()
    expected = encoder(features, attention_mask=mask)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        cast = encoder(features, attention_mask=mask).last_hidden_state
    half = EntropyASRFireRedEncoder(encoder.config).eval().to(torch.bfloat16)
    half.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        small = half(features, attention_mask=mask).last_hidden_state
    assert small.dtype == torch.bfloat16
    valid = expected.attention_mask
    for frames in (cast, small):
        assert (frames[valid].float() - expected.last_hidden_state[valid]).abs().mean() < 0.03


def test_hidden_states_and_attentions_are_given(encoder):
    encoder.set_attn_implementation("eager")
    output = encoder(torch.randn(1, 20, 80), output_hidden_states=True, output_attentions=True)
    encoder.set_attn_implementation("sdpa")
    assert len(output.hidden_states) == 3 and len(output.attentions) == 2
    assert output.attentions[0].sum(-1).allclose(torch.ones(1, 4, 5))


def test_saved_encoder_loads_equal(encoder, tmp_path):
    encoder.save_pretrained(tmp_path)
    loaded = transformers.AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is EntropyASRFireRedEncoder
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in encoder.state_dict().items())


def test_what_relative_positions_do_not_allow_is_refused(encoder):
    with pytest.raises(ValueError, match="does not support Flash Attention 2"):
        encoder.set_attn_implementation("flash_attention_2")
    with pytest.raises(ValueError, match=r"`input_features` must have the shape .* 80\), not \(1, 80, 300\)"):
        encoder(torch.randn(1, 80, 300))
    features = torch.randn(1, 8, 80)
    with pytest.raises(ValueError, match="`look_ahead` has 2 feature frames, not 3"):
        encoder(features, chunk_size=2, cache=EntropyASREncoderCache(), look_ahead=features[:, :2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": 30, "num_attention_heads": 4}, "`hidden_size` \\(30\\)"),
        ({"conv_kernel_size": 32}, "`conv_kernel_size` \\(32\\) must be odd"),
        ({"num_mel_bins": 6}, "`num_mel_bins` \\(6\\)"),
        ({"left_chunks": -2}, "`left_chunks` \\(-2\\)"),
    ],
)
def test_configuration_that_cannot_be_built_is_refused(settings, message):
    with pytest.raises(StrictDataclassClassValidationError, match=message):
        EntropyASRFireRedEncoderConfig(**settings)


def test_defaults_have_the_size_of_the_published_encoder():
    """Its users count 710543968 parameters; frames of 40 ms, as our own encoder's."""
    with torch.device("meta"):
        encoder = EntropyASRFireRedEncoder(EntropyASRFireRedEncoderConfig())
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 710_543_968
    config = EntropyASRCTCConfig(audio_config=EntropyASRFireRedEncoderConfig())
    assert config.inputs_to_logits_ratio == 4


def test_streams_have_the_frames_and_the_transcript_of_the_pipeline(tokenizer, waveforms):
    model = build_model(small_config(small_firered_encoder_config(chunk_size=8, left_chunks=2)))
    processor = EntropyASRProcessor.from_components(EntropyASRFeatureExtractor(), tokenizer, model.config)
    pipe = EntropyASRPipeline(model=model, processor=processor)
    assert processor.seconds_per_frame == 0.04 and model.config.adaptor_stacking == 4
    samples, frames, limits = np.concatenate([waveforms[0], waveforms[2]])[:38000], [], {"max_new_tokens": 12}
    features = processor.feature_extractor(samples, return_tensors="pt")["input_features"]
    with torch.no_grad():
        expected = model.model.audio_tower(features).last_hidden_state[0]
    model.model.audio_tower.register_forward_hook(
        lambda module, args, output: frames.append(output.last_hidden_state[0][output.attention_mask[0]])
    )
    stream = StreamingTranscriber(pipe, chunk_ms=320, left_chunks=2, use_vad=False, generate_kwargs=limits)
    updates = sum((stream.push(samples[start : start + 3170]) for start in range(0, 38000, 3170)), [])
    updates += stream.finish()
    assert len(frames) > 6 and (torch.cat(frames) - expected).abs().max() < 1e-5
    assert updates[-1].is_final and updates[-1].text == pipe(samples, **limits)["text"]
