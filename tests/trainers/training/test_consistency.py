# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""CR-CTC against an independent derivation, and what it becomes without its parts; views and chunks of batches."""

import itertools
import math

import numpy as np
import pytest
import torch
from small_models import small_parakeet_config
from training_helpers import AUGMENTATION, GradientRecorder, make_rows, small_encoder, trainer_arguments

from entropy_asr.modeling import (
    EntropyASRCTCConfig,
    EntropyASRFeatureExtractor,
    EntropyASRForCTC,
    EntropyASRPhonemeTokenizer,
)
from entropy_asr.trainers import EncoderPretrainingConfig, EncoderPretrainingTrainer
from entropy_asr.trainers.data.augmentation import AugmentationConfig, SpeechAugmenter
from entropy_asr.trainers.data.collation import CTCCollator
from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.recipes.recipe import check_section
from entropy_asr.trainers.training.consistency import consistency_loss, cr_ctc_loss


@pytest.fixture(scope="module")
def rows():
    return add_phoneme_ids(make_rows(), EntropyASRPhonemeTokenizer())


def random_batch(seed: int, batch_size: int = 3, num_frames: int = 5, vocab_size: int = 4):
    """Logits of two views in float64, lengths, and labels that fit into them."""
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(0, 2, (2 * batch_size, num_frames, vocab_size)), requires_grad=True)
    lengths = rng.integers(3, num_frames + 1, batch_size)
    labels = [rng.integers(1, vocab_size, rng.integers(0, 3)).tolist() for _ in range(batch_size)]
    return logits, lengths, labels


def probability_of(labels: list[int], posteriors: torch.Tensor) -> torch.Tensor:
    """Sum over every path (all vocab_size ** num_frames of them) that collapses to the labels."""
    num_frames, vocab_size = posteriors.shape
    total = posteriors.new_zeros(())
    for path in itertools.product(range(vocab_size), repeat=num_frames):
        if [symbol for symbol, _ in itertools.groupby(path) if symbol] == labels:
            total = total + torch.stack([posteriors[t, symbol] for t, symbol in enumerate(path)]).prod()
    return total


def by_hand(logits, lengths, labels, weight):
    """Issue's definition, utterance by utterance, from probabilities: no shared function, no log_softmax, no KL op."""
    batch_size = len(labels)
    exponentials = logits.exp()
    posteriors = exponentials / exponentials.sum(-1, keepdim=True)
    total = logits.new_zeros(())
    for index, (length, row) in enumerate(zip(lengths, labels, strict=True)):
        views = posteriors[index, :length], posteriors[batch_size + index, :length]
        for own, other in (views, views[::-1]):
            total = total - 0.5 * probability_of(row, own).log()
            target = other.detach()
            total = total + 0.5 * weight * (target * (target.log() - own.log())).sum()
    return total


def loss_of(logits, lengths, labels, weight, dtype=torch.float64):
    """The project's loss with the CTC part of torch, as the model computes it."""
    mask = torch.arange(logits.shape[1])[None] < torch.tensor(lengths).repeat(2)[:, None]
    log_probs = logits.log_softmax(-1).transpose(0, 1)
    targets = torch.tensor(list(itertools.chain(*labels, *labels)))
    target_lengths = [len(row) for row in labels] * 2
    ctc = torch.nn.functional.ctc_loss(
        log_probs, targets, torch.tensor(lengths).repeat(2), torch.tensor(target_lengths), reduction="sum"
    )
    return cr_ctc_loss(ctc, logits.to(dtype), mask, weight)[0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weight", [0.0, 0.2, 1.0])
def test_loss_and_gradient_equal_an_independent_derivation(seed, weight):
    logits, lengths, labels = random_batch(seed)
    expected = by_hand(logits, lengths, labels, weight)
    [expected_gradient] = torch.autograd.grad(expected, logits)
    loss = loss_of(logits, lengths, labels, weight)
    [gradient] = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-6, atol=1e-6)


def test_without_weight_and_with_equal_views_it_is_the_ctc_loss():
    logits, lengths, labels = random_batch(3)
    first = logits.detach()[: len(labels)]
    views = torch.cat([first, first])
    log_probs = first.log_softmax(-1).transpose(0, 1)
    targets, target_lengths = torch.tensor(list(itertools.chain(*labels))), [len(row) for row in labels]
    ctc = torch.nn.functional.ctc_loss(
        log_probs, targets, torch.tensor(lengths), torch.tensor(target_lengths), reduction="sum"
    )
    for weight in (0.0, 1.0):  # equal views have nothing to disagree about
        assert loss_of(views, lengths, labels, weight).item() == pytest.approx(ctc.item(), abs=1e-6)


def test_consistency_closed_form_and_padding():
    """Two frames of two symbols, of which the second is padding: KL both ways between (p, 1-p) and (q, 1-q)."""
    p, q = 0.8, 0.3
    rows = [[[math.log(x), math.log(1 - x)], [seed, -3.0 * seed]] for seed, x in ((5.0, p), (-2.0, q))]
    mask = torch.tensor([[True, False], [True, False]])
    kl = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    kl += q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
    assert consistency_loss(torch.tensor(rows), mask).item() == pytest.approx(kl, rel=1e-6)
    with pytest.raises(ValueError, match="two views"):
        consistency_loss(torch.zeros(3, 2, 2), torch.ones(3, 2))


def test_half_precision_logits_are_compared_in_float32():
    """Views that are nearly alike: their difference is lost where posteriors are rounded to 8 bits."""
    first = 4 * torch.randn(2, 50, 200)
    logits = torch.cat([first, first + 0.05 * torch.randn(2, 50, 200)]).bfloat16()
    log_probs = logits.double().log_softmax(-1)
    one, two = log_probs[:2], log_probs[2:]
    exact = ((two.exp() - one.exp()) * (two - one)).sum().item()  # KL both ways
    loss = consistency_loss(logits, torch.ones(4, 50, dtype=torch.bool))
    assert loss.dtype == torch.float32 and exact > 0.1
    assert loss.item() == pytest.approx(exact, rel=1e-4)


# Batches and training


def augmenter() -> SpeechAugmenter:
    return SpeechAugmenter(AugmentationConfig(**AUGMENTATION), make_rows("none none", seed=1))


def collated(rows, indices=range(6), **kwargs):
    dataset = SpeechDataset(rows)
    return CTCCollator(EntropyASRFeatureExtractor(), augmenter(), **kwargs)([dataset[i, 50 + i] for i in indices])


def test_views_share_the_waveform_and_are_masked_independently(rows):
    one, two = collated(rows), collated(rows, views=2)
    size = len(one["labels"])
    assert torch.equal(two["labels"], one["labels"])
    assert torch.equal(two["durations"], one["durations"])
    assert torch.equal(two["attention_mask"], torch.cat([one["attention_mask"]] * 2))
    first, second = two["input_features"][:size], two["input_features"][size:]
    assert torch.equal(first, one["input_features"])
    different = first != second
    assert all(rows.any() for rows in different)
    # Where they differ, one of them is masked (0): nothing else was drawn twice.
    assert ((first == 0) | (second == 0))[different].all()


def train(rows, output_dir, collator=None, resumed=None, **kwargs):
    recorder = GradientRecorder()
    settings = {"max_grad_norm": 0.0, "max_steps": 1, "learning_rate": 0.0, "max_batch_size": 12}
    settings |= {"consistency_ramp_steps": 0, **kwargs}
    trainer = EncoderPretrainingTrainer(
        small_encoder(dropout=0.0),
        trainer_arguments(EncoderPretrainingConfig, output_dir, **settings),
        data_collator=collator or CTCCollator(EntropyASRFeatureExtractor()),
        train_dataset=rows,
        eval_dataset=rows,
        callbacks=[recorder],
    )
    trainer.train(resume_from_checkpoint=resumed)
    return trainer, recorder.steps[0]


def test_training_on_two_equal_views_has_the_gradient_of_ctc(rows, tmp_path):
    """No dropout and masks that hide nothing, so consistency is 0 and halves of the same CTC loss add up."""

    class HidesNothing(SpeechAugmenter):
        def spec_augment(self, features, rng):
            return features

    collator = CTCCollator(EntropyASRFeatureExtractor(), HidesNothing(AugmentationConfig(num_frequency_masks=1)))
    plain, expected = train(rows, tmp_path / "1", collator)
    doubled, gradient = train(rows, tmp_path / "2", collator, consistency_weight=0.2)
    for name, tensor in expected.items():
        torch.testing.assert_close(gradient[name], tensor, rtol=1e-4, atol=1e-6)
    logs = [trainer.state.log_history[0] for trainer in (plain, doubled)]
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-5)
    assert logs[1]["consistency_loss"] == 0 and "consistency_loss" not in logs[0]


def test_consistency_is_logged_as_its_part_of_the_loss_and_grows_with_its_weight(rows, tmp_path):
    collator = CTCCollator(EntropyASRFeatureExtractor(), augmenter())
    logs = []
    for weight in (1e-9, 0.2, 0.4):
        trainer, _ = train(rows, tmp_path / str(weight), collator, consistency_weight=weight)
        logs.append(trainer.state.log_history[0])
    assert logs[2]["consistency_loss"] == pytest.approx(2 * logs[1]["consistency_loss"], rel=1e-3)
    assert logs[1]["consistency_loss"] > 0
    assert logs[1]["loss"] - logs[0]["loss"] == pytest.approx(logs[1]["consistency_loss"], abs=1e-3)


def test_consistency_comes_in_along_a_line(rows, tmp_path):
    """Of the same weights (learning rate 0) the term is as large as its weight."""
    collator = CTCCollator(EntropyASRFeatureExtractor(), augmenter())
    settings = {"consistency_weight": 0.2, "max_steps": 5}
    logs = [
        train(rows, tmp_path / str(ramp), collator, consistency_ramp_steps=ramp, **settings)[0].state.log_history
        for ramp in (0, 4)
    ]
    whole, ramped = ([entry["consistency_loss"] for entry in history if "loss" in entry] for history in logs)
    assert [part / all_of_it for part, all_of_it in zip(ramped, whole, strict=True)] == pytest.approx(
        [0.0, 0.25, 0.5, 0.75, 1.0], rel=1e-3
    )


def test_consistency_of_a_resumed_run_is_a_mean_over_its_own_steps(rows, tmp_path):
    collator = CTCCollator(EntropyASRFeatureExtractor(), augmenter())
    settings = {"consistency_weight": 0.2, "logging_steps": 2, "save_strategy": "steps", "save_steps": 2}
    runs = [
        train(rows, tmp_path, collator, checkpoint, max_steps=4, **settings)[0]
        for checkpoint in (None, str(tmp_path / "checkpoint-2"))
    ]
    whole, resumed = ([log["consistency_loss"] for log in run.state.log_history if "loss" in log] for run in runs)
    assert len(whole) == 2 and resumed == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize(
    "augmentation",
    [
        None,
        AugmentationConfig(gain_db=3.0),
        AugmentationConfig(num_time_masks=5, time_mask_share=0.0),
        AugmentationConfig(num_frequency_masks=2, frequency_mask_width=0),
    ],
)
def test_two_equal_views_are_refused(augmentation, rows, tmp_path):
    collator = CTCCollator(EntropyASRFeatureExtractor(), augmentation and SpeechAugmenter(augmentation))
    with pytest.raises(ValueError, match=r"consistency_weight=0\.2: without masks both views"):
        train(rows, tmp_path, collator, consistency_weight=0.2)


@pytest.mark.parametrize("stage", ["encoder", "phoneme_head"])
def test_two_equal_views_are_refused_before_rows_are_loaded(stage, tmp_path):
    section = {
        "data": {"train": [{"path": "nowhere"}]},
        "augmentation": {"speed_factors": [1.1]},
        "model": {"path": "nowhere"},
        "training": {"max_steps": 1, "use_cpu": True, "consistency_weight": 0.2},
    }
    with pytest.raises(ValueError, match=r"stages\.mine\.training: consistency_weight=0\.2: without masks"):
        check_section(stage, section, tmp_path, 0, "stages", "mine")


def test_evaluation_has_one_view_and_the_plain_ctc_loss(rows, tmp_path):
    collator = CTCCollator(EntropyASRFeatureExtractor(), augmenter())
    plain, _ = train(rows, tmp_path / "1", collator)
    doubled, _ = train(rows, tmp_path / "2", collator, consistency_weight=0.2, chunk_sizes=[4])
    assert plain.evaluate()["eval_loss"] == pytest.approx(doubled.evaluate()["eval_loss"], rel=1e-6)


def test_gradient_accumulation_gives_the_gradient_of_one_batch(rows, tmp_path):
    rows = rows.select(range(8))
    collator = CTCCollator(EntropyASRFeatureExtractor(), augmenter())
    settings = {"consistency_weight": 0.2, "learning_rate": 0.0}
    _, whole = train(rows, tmp_path / "1", collator, max_batch_size=8, **settings)
    _, parts = train(rows, tmp_path / "4", collator, max_batch_size=2, gradient_accumulation_steps=4, **settings)
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=1e-3, atol=1e-6)


def test_chunks_are_drawn_for_each_batch_by_its_draw_alone(rows):
    dataset = SpeechDataset(rows)
    collator = CTCCollator(EntropyASRFeatureExtractor(), chunk_sizes=[0, 0, 4, 16], left_chunks=[1, -1])
    draws = [collator.draw_chunks([{**dataset[0], "draw": draw}]) for draw in range(2000)]
    sizes = [draw["chunk_size"] for draw in draws]
    assert sizes.count(0) / 2000 == pytest.approx(0.5, abs=0.05)
    assert sizes.count(4) / 2000 == pytest.approx(0.25, abs=0.05)
    assert sum(draw["left_chunks"] == 1 for draw in draws) / 2000 == pytest.approx(0.5, abs=0.05)
    assert draws == [collator.draw_chunks([{**dataset[0], "draw": draw}]) for draw in range(2000)]
    assert collator([dataset[0, 7]])["chunk_size"] == draws[7]["chunk_size"]
    assert "chunk_size" not in collator.evaluation()([dataset[0, 7]])


def test_drawn_chunk_reaches_the_encoder(rows, tmp_path):
    """The loss of a batch is that of the model under the same mask, and another one under full context."""
    trainer, _ = train(rows, tmp_path, chunk_sizes=[2], left_chunks=[1])
    [batch] = list(trainer.get_train_dataloader())
    batch = trainer._prepare_inputs(batch)
    trainer.model.eval()
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model, dict(batch)).item()
        num_labels = int((batch["labels"] != -100).sum())
        assert (batch.pop("chunk_size"), batch.pop("left_chunks")) == (2, 1)
        chunked = trainer.model(**batch, chunk_size=2, left_chunks=1).loss.item() / num_labels
        full = trainer.model(**batch).loss.item() / num_labels
    assert loss == pytest.approx(chunked, rel=1e-6)
    assert abs(loss - full) > 1e-4


def test_chunks_are_refused_for_an_encoder_without_chunk_masks(rows, tmp_path):
    model = EntropyASRForCTC(EntropyASRCTCConfig(audio_config=small_parakeet_config().to_dict(), vocab_size=10))
    arguments = trainer_arguments(EncoderPretrainingConfig, tmp_path, chunk_sizes=[16])
    with pytest.raises(ValueError, match="not `parakeet_encoder`"):
        EncoderPretrainingTrainer(model, arguments, CTCCollator(EntropyASRFeatureExtractor()), train_dataset=rows)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"consistency_weight": -0.1}, "consistency_weight"),
        ({"consistency_ramp_steps": -1}, "consistency_ramp_steps"),
        ({"chunk_sizes": [-1]}, "chunk_sizes"),
        ({"chunk_sizes": [8], "left_chunks": [-2]}, "left_chunks"),
        ({"chunk_sizes": [8], "left_chunks": []}, "left_chunks"),
        ({"left_chunks": [4]}, "give chunk_sizes too"),
        ({"chunk_sizes": [0], "left_chunks": [4]}, "give chunk_sizes too"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(argument, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        trainer_arguments(EncoderPretrainingConfig, tmp_path, **argument)
