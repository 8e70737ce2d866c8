"""Encoders that hear chunks inside of models that know nothing of them."""

import pytest
import torch
from training_helpers import small_encoder
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from entropy_asr.trainers.evaluation.encoder_chunks import EncoderChunks


def test_outside_of_a_batch_an_encoder_hears_as_it_did():
    torch.manual_seed(0)
    encoder = small_encoder().audio_tower.eval()
    features = torch.randn(1, 80, 80)
    before = encoder(features).last_hidden_state
    chunks = EncoderChunks(encoder)
    with chunks.of({"chunk_size": 2, "left_chunks": 0}):
        drawn = encoder(features).last_hidden_state
        given = encoder(features, chunk_size=0).last_hidden_state
    assert torch.equal(drawn, encoder(features, chunk_size=2, left_chunks=0).last_hidden_state)
    assert not torch.allclose(drawn, before)
    assert torch.equal(given, before)
    with pytest.raises(RuntimeError), chunks.of({"chunk_size": 2, "left_chunks": 0}):
        raise RuntimeError
    assert torch.equal(encoder(features).last_hidden_state, before)
    with chunks.of({"chunk_size": 2, "left_chunks": 0}):
        chunks.remove()
        assert torch.equal(encoder(features).last_hidden_state, before)


def test_encoder_without_chunk_masks_is_refused():
    config = WhisperConfig(d_model=8, encoder_layers=1, encoder_attention_heads=1, encoder_ffn_dim=8)
    with pytest.raises(ValueError, match="only the encoder of this project takes chunk sizes, not `whisper`"):
        EncoderChunks(WhisperEncoder(config))
