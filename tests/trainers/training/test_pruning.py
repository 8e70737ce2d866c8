"""What someone sees who makes a pretrained encoder's feed-forward networks smaller."""

import copy

import pytest
import torch
from transformers.feature_extraction_utils import BatchFeature

from entropy_asr.modeling.configuration_entropy_asr import EntropyASREncoderConfig, EntropyASRWhisperEncoderConfig
from entropy_asr.modeling.modeling_entropy_asr_encoder import EntropyASREncoder
from entropy_asr.modeling.modeling_entropy_asr_whisper import EntropyASRWhisperEncoder
from entropy_asr.trainers.training.pruning import prune_feed_forward


SIZES = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "num_mel_bins": 8}


def speech(num_utterances=8):
    generator = torch.Generator().manual_seed(3)
    return [
        BatchFeature({"input_features": torch.randn(1, 40 + 6 * index, 8, generator=generator)})
        for index in range(num_utterances)
    ]


@pytest.fixture(params=[EntropyASREncoder, EntropyASRWhisperEncoder])
def encoder(request):
    torch.manual_seed(1)
    config = {EntropyASREncoder: EntropyASREncoderConfig, EntropyASRWhisperEncoder: EntropyASRWhisperEncoderConfig}
    return request.param(config[request.param](intermediate_size=48, **SIZES)).eval()


def outputs(encoder, inputs):
    with torch.no_grad():
        return torch.cat([encoder(**utterance).last_hidden_state[0] for utterance in inputs])


def test_neurons_that_say_what_others_say_go_without_loss(encoder):
    half = encoder.config.intermediate_size // 2
    for module in encoder.modules():
        layers = [layer for layer in module.children() if isinstance(layer, torch.nn.Linear)]
        if {48} <= {layer.out_features for layer in layers}:
            with torch.no_grad():
                layers[0].weight[half:] = layers[0].weight[:half]
                layers[0].bias[half:] = layers[0].bias[:half]
    before = outputs(encoder, speech())
    lost = prune_feed_forward(encoder, half, speech())
    assert lost < 1e-4
    torch.testing.assert_close(outputs(encoder, speech()), before, rtol=0, atol=5e-3)


def test_chosen_neurons_lose_less_than_the_first_ones(encoder):
    first = copy.deepcopy(encoder)
    before = outputs(encoder, speech())
    prune_feed_forward(encoder, 16, speech())
    for module in first.modules():
        layers = [layer for layer in module.children() if isinstance(layer, torch.nn.Linear)]
        if {48} <= {layer.out_features for layer in layers}:
            with torch.no_grad():
                layers[1].weight[:, 16:] = 0
    error = (outputs(encoder, speech()) - before).square().mean()
    assert error < 0.5 * (outputs(first, speech()) - before).square().mean()


def test_it_is_saved_and_loaded_at_its_new_size(encoder, tmp_path):
    num_parameters = encoder.num_parameters()
    prune_feed_forward(encoder, 16, speech())
    encoder.save_pretrained(tmp_path)
    loaded = type(encoder).from_pretrained(tmp_path).eval()
    assert loaded.config.intermediate_size == 16
    assert loaded.num_parameters() < num_parameters
    torch.testing.assert_close(outputs(loaded, speech()), outputs(encoder, speech()), rtol=0, atol=0)


@pytest.mark.parametrize("size", [0, 48, 100])
def test_a_size_that_prunes_nothing_is_refused(encoder, size):
    with pytest.raises(ValueError, match=f"from 1 to below the encoder's 48, not {size}"):
        prune_feed_forward(encoder, size, iter(int, 1))  # speech without end: nobody listens


def test_without_speech_nothing_is_chosen(encoder):
    with pytest.raises(ValueError, match="no utterance"):
        prune_feed_forward(encoder, 16, [])


def test_an_encoder_of_other_networks_is_refused():
    encoder = EntropyASRWhisperEncoder(EntropyASRWhisperEncoderConfig(intermediate_size=48, **SIZES))
    for layer in encoder.layers:
        layer.fc2.bias = None
    with pytest.raises(ValueError, match="`entropy_asr_whisper_encoder` has no feed-forward networks"):
        prune_feed_forward(encoder, 16, speech())
