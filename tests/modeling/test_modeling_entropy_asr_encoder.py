# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The encoder: its chunk masks, streaming against one full pass, and the phoneme CTC model."""

import pytest
import torch
from small_models import small_encoder_config

from entropy_asr.modeling import (
    EntropyASRCTCConfig,
    EntropyASREncoder,
    EntropyASREncoderCache,
    EntropyASRForCTC,
)
from entropy_asr.modeling.modeling_entropy_asr_base import create_chunk_mask


@pytest.fixture(scope="module")
def encoder() -> EntropyASREncoder:
    torch.manual_seed(0)
    return EntropyASREncoder(small_encoder_config()).eval()


def padded_batch(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Random features of these lengths, noise where they are padded, and their mask."""
    features = torch.randn(len(lengths), max(lengths), 80)
    mask = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]
    return features, mask.long()


@pytest.mark.parametrize(
    ("chunk_size", "left_chunks", "rows"),
    [
        (0, -1, ["11111", "11111", "11111", "11111", "11111"]),
        (0, 1, ["11111", "11111", "11111", "11111", "11111"]),
        (2, -1, ["11000", "11000", "11110", "11110", "11111"]),
        (2, 0, ["11000", "11000", "00110", "00110", "00001"]),
        (2, 1, ["11000", "11000", "11110", "11110", "00111"]),
        (1, 2, ["10000", "11000", "11100", "01110", "00111"]),
        (9, 0, ["11111", "11111", "11111", "11111", "11111"]),
    ],
)
def test_chunk_mask_truth_table(chunk_size, left_chunks, rows):
    positions = torch.arange(5)
    mask = create_chunk_mask(positions, positions, torch.ones(1, 5), chunk_size, left_chunks)
    assert mask.shape == (1, 1, 5, 5)
    assert ["".join(str(int(key)) for key in row) for row in mask[0, 0]] == rows


def test_padded_keys_are_seen_by_nobody_but_themselves():
    positions = torch.arange(4)
    mask = create_chunk_mask(positions, positions, torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]]))
    assert mask[0, 0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]
    assert mask[1, 0].all()


def test_mask_of_a_stream_is_the_last_rows_of_the_full_mask():
    full = create_chunk_mask(torch.arange(7), torch.arange(7), torch.ones(1, 7), 2, 1)
    streamed = create_chunk_mask(torch.arange(4, 6), torch.arange(2, 6), torch.ones(1, 4), 2, 1)
    assert torch.equal(streamed, full[:, :, 4:6, 2:6])


@pytest.mark.parametrize("chunk_size", [0, 3])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_padding_changes_nothing(encoder, implementation, chunk_size):
    encoder.set_attn_implementation(implementation)
    lengths = [61, 7, 40, 33]
    features, mask = padded_batch(lengths)
    with torch.no_grad():
        batch = encoder(features, attention_mask=mask, chunk_size=chunk_size)
        assert batch.attention_mask.sum(-1).tolist() == [16, 2, 10, 9]
        for row, length in enumerate(lengths):
            alone = encoder(features[row : row + 1, :length], chunk_size=chunk_size).last_hidden_state[0]
            assert (batch.last_hidden_state[row, : len(alone)] - alone).abs().max() < 1e-5
    encoder.set_attn_implementation("sdpa")


def test_eager_attention_equals_sdpa(encoder):
    features, mask = padded_batch([50, 21])
    with torch.no_grad():
        expected = encoder(features, attention_mask=mask, chunk_size=4, left_chunks=1).last_hidden_state
        encoder.set_attn_implementation("eager")
        eager = encoder(features, attention_mask=mask, chunk_size=4, left_chunks=1, output_attentions=True)
    encoder.set_attn_implementation("sdpa")
    assert (eager.last_hidden_state - expected).abs().max() < 1e-5
    assert eager.attentions[0][0, :, 0, 4:].abs().max() == 0  # the first frame sees its chunk only


@pytest.mark.parametrize("chunk_size", [1, 3, 8])
@pytest.mark.parametrize("left_chunks", [-1, 0, 2])
@pytest.mark.parametrize("num_features", [96, 101])
def test_streaming_equals_one_pass_under_the_same_mask(encoder, chunk_size, left_chunks, num_features):
    """101 features end inside an encoder frame and, for all chunk sizes but 1, inside a chunk."""
    settings = {"chunk_size": chunk_size, "left_chunks": left_chunks}
    features = torch.randn(2, num_features, 80)
    cache, chunks = EntropyASREncoderCache(), []
    with torch.no_grad():
        full = encoder(features, **settings).last_hidden_state
        for piece in features.split(4 * chunk_size, dim=1):
            chunks.append(encoder(piece, cache=cache, **settings).last_hidden_state)
    streamed = torch.cat(chunks, dim=1)
    assert streamed.shape == full.shape == (2, -(-num_features // 4), 32)
    assert cache.seen_frames == full.shape[1]
    assert (streamed - full).abs().max() < 1e-5


def test_calls_of_several_chunks_equal_calls_of_one(encoder):
    features = torch.randn(1, 96, 80)
    with torch.no_grad():
        full = encoder(features, chunk_size=2, left_chunks=2).last_hidden_state
        cache = EntropyASREncoderCache()
        pieces = features.split([8, 40, 24, 24], dim=1)
        chunks = [encoder(p, chunk_size=2, left_chunks=2, cache=cache).last_hidden_state for p in pieces]
    assert (torch.cat(chunks, dim=1) - full).abs().max() < 1e-5


def test_two_streams_do_not_touch_each_other(encoder):
    first, second = torch.randn(2, 1, 64, 80)
    with torch.no_grad():
        expected = encoder(first, chunk_size=4).last_hidden_state
        caches, chunks = (EntropyASREncoderCache(), EntropyASREncoderCache()), []
        for ours, other in zip(first.split(16, dim=1), second.split(16, dim=1), strict=True):
            chunks.append(encoder(ours, chunk_size=4, cache=caches[0]).last_hidden_state)
            encoder(other, chunk_size=4, cache=caches[1])
    assert (torch.cat(chunks, dim=1) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("left_chunks", [-1, 0, 2])
def test_streams_of_different_ages_share_a_batch(encoder, left_chunks):
    """Six streams begin at different chunks; one ends in the middle of a chunk."""
    settings = {"chunk_size": 3, "left_chunks": left_chunks}
    lengths = [12 * 9, 12 * 7, 12 * 4 + 5, 12 * 5, 12 * 2, 12 * 8]
    features = [torch.randn(1, length, 80) for length in lengths]
    caches = [EntropyASREncoderCache() for _ in features]
    outputs: list[list[torch.Tensor]] = [[] for _ in features]
    with torch.no_grad():
        for step in range(14):
            pieces = [(row, x[:, 12 * (step - row) : 12 * (step - row + 1)]) for row, x in enumerate(features)]
            active = [(row, piece[0]) for row, piece in pieces if step >= row and piece.shape[1]]
            if not active:
                continue
            batch = torch.nn.utils.rnn.pad_sequence([piece for _, piece in active], batch_first=True)
            mask = torch.arange(batch.shape[1])[None, :] < torch.tensor([[len(piece)] for _, piece in active])
            stacked = EntropyASREncoderCache.stack([caches[row] for row, _ in active])
            encoded = encoder(batch, attention_mask=mask, cache=stacked, **settings)
            for index, ((row, _), cache) in enumerate(zip(active, stacked.unstack(), strict=True)):
                caches[row] = cache
                outputs[row].append(encoded.last_hidden_state[index][encoded.attention_mask[index]])
        for x, parts in zip(features, outputs, strict=True):
            full = encoder(x, **settings).last_hidden_state[0]
            assert torch.cat(parts).shape == full.shape
            assert (torch.cat(parts) - full).abs().max() < 1e-5


def test_a_frame_does_not_depend_on_later_chunks(encoder):
    features = torch.randn(1, 64, 80)
    changed = features.clone()
    changed[:, 32:] = 0
    with torch.no_grad():
        full, other = (encoder(x, chunk_size=4).last_hidden_state for x in (features, changed))
        unmasked = encoder(changed, chunk_size=0).last_hidden_state - encoder(features).last_hidden_state
    assert (full[:, :8] - other[:, :8]).abs().max() == 0
    assert unmasked[:, :8].abs().max() > 1e-3


def test_full_context_cannot_be_streamed(encoder):
    with pytest.raises(ValueError, match="chunk_size"):
        encoder(torch.randn(1, 16, 80), cache=EntropyASREncoderCache())


def test_flash_attention_refuses_chunks():
    encoder = EntropyASREncoder(small_encoder_config())
    encoder.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match="Flash attention has no chunk masks"):
        encoder(torch.randn(1, 16, 80), chunk_size=2)


def build_ctc(reduction: str = "mean") -> EntropyASRForCTC:
    torch.manual_seed(0)
    config = EntropyASRCTCConfig(
        audio_config=small_encoder_config().to_dict(), vocab_size=11, ctc_loss_reduction=reduction
    )
    return EntropyASRForCTC(config).eval()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_ctc_loss_is_torchs_on_the_same_logits(reduction):
    model = build_ctc(reduction)
    features, mask = padded_batch([64, 41, 50])
    labels = torch.tensor([[1, 2, 2, 3], [4, 5, -100, -100], [6, 7, 8, -100]])
    output = model(features, attention_mask=mask, labels=labels)
    log_probs = output.logits.log_softmax(-1).transpose(0, 1)
    expected = torch.nn.functional.ctc_loss(
        log_probs, labels.clamp(min=0), torch.tensor([16, 11, 13]), torch.tensor([4, 2, 3]), reduction=reduction
    )
    assert torch.allclose(output.loss, expected, rtol=1e-6)


def test_ctc_loss_ignores_padding():
    model = build_ctc("sum")
    lengths = [64, 41, 50]
    features, mask = padded_batch(lengths)
    labels = torch.tensor([[1, 2, 2, 3], [4, 5, -100, -100], [6, 7, 8, -100]])
    batch = model(features, attention_mask=mask, labels=labels).loss
    alone = [
        model(features[row : row + 1, :length], labels=labels[row : row + 1]).loss
        for row, length in enumerate(lengths)
    ]
    assert batch.item() == pytest.approx(sum(loss.item() for loss in alone), rel=1e-5)


def test_too_many_labels_for_the_audio_count_as_zero():
    """An utterance whose labels do not fit into its frames costs nothing and teaches nothing; those beside it do."""
    model = build_ctc("sum")
    features, mask = padded_batch([64, 8])
    labels = torch.tensor([[1, 2, 2, 3, -100, -100], [1, 2, 3, 4, 5, 6]])

    def gradients(*rows: int) -> tuple[float, torch.Tensor]:
        model.zero_grad()
        loss = model(features[list(rows)], attention_mask=mask[list(rows)], labels=labels[list(rows)]).loss
        loss.backward()
        return loss.item(), torch.cat([weight.grad.flatten() for weight in model.parameters()])

    loss, gradient = gradients(0)
    assert 0 < loss < float("inf") and gradient.norm() > 0
    both, of_both = gradients(0, 1)
    assert both == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(of_both, gradient, atol=1e-4 * gradient.abs().max().item(), rtol=1e-3)
    nothing, of_nothing = gradients(1)
    assert nothing == 0.0 and not of_nothing.any()


def test_ctc_model_of_a_trained_encoder_keeps_its_weights(encoder, tmp_path):
    encoder.save_pretrained(tmp_path)
    model = EntropyASRForCTC.from_encoder(str(tmp_path), vocab_size=11).eval()
    features = torch.randn(1, 20, 80)
    with torch.no_grad():
        expected = encoder(features).last_hidden_state
        assert torch.equal(model(features).encoder_hidden_state, expected)
    assert EntropyASRForCTC.from_encoder(model, vocab_size=11) is model
    with pytest.raises(ValueError, match="11 phonemes, the tokenizer 12"):
        EntropyASRForCTC.from_encoder(model, vocab_size=12)
