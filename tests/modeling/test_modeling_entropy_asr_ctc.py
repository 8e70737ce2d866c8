# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The phoneme head: its loss, and the model of an encoder that was trained before."""

import pytest
import torch
from small_models import build_encoder, padded_batch, small_encoder_config

from entropy_asr.modeling import (
    EntropyASRCTCConfig,
    EntropyASREncoder,
    EntropyASRForCTC,
)


@pytest.fixture(scope="module")
def encoder() -> EntropyASREncoder:
    return build_encoder()


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
