# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stage 1: the CTC loss and its gradient, labels, the phoneme error rate, where the model and features come from."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from small_models import small_parakeet_config, small_whisper
from training_helpers import (
    GradientRecorder,
    labelled_rows,
    relative_difference,
    small_encoder,
    stage_section,
    trainer_arguments,
)
from transformers import (
    AutoTokenizer,
    ParakeetEncoder,
    ParakeetFeatureExtractor,
    WhisperFeatureExtractor,
)

from entropy_asr.modeling import (
    EntropyASRFeatureExtractor,
    EntropyASRForCTC,
    EntropyASRPhonemeTokenizer,
    EntropyASRWhisperFeatureExtractor,
)
from entropy_asr.modeling.ctc_entropy_asr import ctc_collapse
from entropy_asr.trainers import EncoderPretrainingConfig, EncoderPretrainingTrainer
from entropy_asr.trainers.data.collation import CTCCollator
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.evaluation.frames import load_speech_encoder
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.stages.encoder_pretraining import EncoderModelSection
from entropy_asr.trainers.training.pruning import feed_forward_networks


@pytest.fixture(scope="module")
def tokenizer() -> EntropyASRPhonemeTokenizer:
    return EntropyASRPhonemeTokenizer()


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return labelled_rows()


def train(rows, output_dir, model=None, **kwargs):
    """One epoch without clipping; returns trainer and gradients."""
    recorder = GradientRecorder()
    settings = {"max_grad_norm": 0.0, "num_train_epochs": 1, "learning_rate": 0.0, **kwargs}
    trainer = EncoderPretrainingTrainer(
        model or small_encoder(dropout=0.0),
        trainer_arguments(EncoderPretrainingConfig, output_dir, **settings),
        data_collator=CTCCollator(EntropyASRFeatureExtractor()),
        train_dataset=rows,
        callbacks=[recorder],
    )
    trainer.train()
    return trainer, recorder.steps


def ctc_by_hand(model, rows: Dataset) -> list[float]:
    """CTC loss of each row alone, from its own log-probabilities."""
    model.eval()
    losses = []
    for row in (SpeechDataset(rows)[index] for index in range(len(rows))):
        features = EntropyASRFeatureExtractor()(row["samples"], sampling_rate=16000, return_tensors="pt")
        with torch.no_grad():
            logits = model(features["input_features"]).logits[0]  # (T, V)
        loss = torch.nn.functional.ctc_loss(
            logits.log_softmax(-1)[:, None],
            torch.tensor([row["phoneme_ids"]], dtype=torch.long),
            [len(logits)],
            [len(row["phoneme_ids"])],
            blank=0,
            reduction="sum",
        )
        losses.append(loss.item())
    return losses


def test_gradient_accumulation_gives_the_gradient_of_one_batch(rows, tmp_path):
    _, [whole] = train(rows, tmp_path / "1", max_batch_size=8)
    _, [accumulated] = train(rows, tmp_path / "4", max_batch_size=2, gradient_accumulation_steps=4)
    assert relative_difference(whole, accumulated) < 1e-6


def test_logged_loss_is_the_ctc_loss_per_label(rows, tmp_path):
    trainer, _ = train(rows, tmp_path, max_batch_size=2, gradient_accumulation_steps=4)
    losses = ctc_by_hand(trainer.model, rows)
    labels = sum(len(ids) for ids in rows["phoneme_ids"])
    assert trainer.state.log_history[0]["loss"] == pytest.approx(sum(losses) / labels, rel=1e-4)
    noise = [loss for loss, language in zip(losses, rows["language"], strict=True) if language == "none"]
    assert len(noise) == 2 and min(noise) > 1.0, "rows without speech must teach the blank"


def test_batch_without_any_label_has_a_finite_loss(rows, tmp_path):
    noise = rows.filter(lambda language: language == "none", input_columns="language")
    trainer, [gradient] = train(noise, tmp_path)
    assert np.isfinite(trainer.state.log_history[0]["loss"])
    assert all(tensor.isfinite().all() for tensor in gradient.values())


def test_evaluation_reports_the_phoneme_error_rate_of_greedy_decoding(rows, tmp_path):
    """On batches of mixed lengths, where padding must not add phonemes."""
    trainer, _ = train(rows, tmp_path, per_device_eval_batch_size=3, learning_rate=1e-2, num_train_epochs=4)
    metrics = trainer.evaluate(rows)
    trainer.model.eval()
    errors = 0
    for row in (SpeechDataset(rows)[index] for index in range(len(rows))):
        features = EntropyASRFeatureExtractor()(row["samples"], sampling_rate=16000, return_tensors="pt")
        with torch.no_grad():
            best = trainer.model(features["input_features"]).logits[0].argmax(-1).numpy()
        errors += edit_distance(ctc_collapse(best.tolist()), row["phoneme_ids"])
    assert metrics["eval_per"] == pytest.approx(errors / sum(len(ids) for ids in rows["phoneme_ids"]))
    assert np.isfinite(metrics["eval_loss"])


def edit_distance(first: list[int], second: list[int]) -> int:
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


def test_freeze_keeps_a_module_bit_equal(rows, tmp_path):
    model = small_encoder()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(rows, tmp_path, model=model, freeze=["audio_tower"], learning_rate=1e-2)
    after = model.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"phoneme_head"}


def test_a_checkpoint_hears_and_spells(rows, tmp_path):
    train(rows, tmp_path, save_strategy="steps", save_steps=1, entropy_steps=0)
    encoder = load_speech_encoder(str(tmp_path / "checkpoint-1"))
    assert encoder.phoneme_head is not None and encoder.feature_extractor.sampling_rate == 16000
    assert len(AutoTokenizer.from_pretrained(tmp_path / "checkpoint-1")) == len(EntropyASRPhonemeTokenizer())


def test_label_smoothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="label_smoothing_factor"):
        trainer_arguments(EncoderPretrainingConfig, tmp_path, label_smoothing_factor=0.1)


def test_another_speech_encoder_gets_a_phoneme_head_and_keeps_its_feature_extractor(tmp_path, rows, tokenizer):
    ParakeetEncoder(small_parakeet_config()).save_pretrained(tmp_path / "parakeet")
    ParakeetFeatureExtractor(feature_size=80).save_pretrained(tmp_path / "parakeet")
    section = EncoderModelSection(path=str(tmp_path / "parakeet"))
    model, extractor = section.build(len(tokenizer)), section.build_feature_extractor(rows)
    assert isinstance(extractor, ParakeetFeatureExtractor)
    batch = CTCCollator(extractor)([SpeechDataset(rows)[index] for index in range(2)])
    batch.pop("durations")
    assert model(**batch).loss.isfinite()


def test_whisper_gets_a_phoneme_head_and_features_that_stream(tmp_path, rows, tokenizer):
    small_whisper().save_pretrained(tmp_path)
    WhisperFeatureExtractor().save_pretrained(tmp_path)
    section = EncoderModelSection(path=str(tmp_path), num_layers=1)
    model, extractor = section.build(len(tokenizer)), section.build_feature_extractor(rows)
    assert isinstance(extractor, EntropyASRWhisperFeatureExtractor)
    assert (len(model.audio_tower.layers), model.dtype) == (1, torch.float32)
    batch = CTCCollator(extractor)([SpeechDataset(rows)[index] for index in range(2)])
    batch.pop("durations")
    assert model(**batch).loss.isfinite()


def test_a_stage_prunes_its_encoder_and_goes_on_from_its_checkpoint(components, tmp_path):
    section = stage_section("encoder", components, max_steps=2, learning_rate=0.0)
    whole = EntropyASRForCTC.from_pretrained(section["model"]["path"])
    size = whole.config.audio_config.intermediate_size // 2
    section["model"] |= {"intermediate_size": size, "pruning_rows": 2}
    for max_steps in (2, 4):  # the second run goes on from a checkpoint that is already pruned
        section["training"]["max_steps"] = max_steps
        run_section("encoder", section, tmp_path, 7)
        (tmp_path / "stage.json").unlink()
    trained = EntropyASRForCTC.from_pretrained(tmp_path)
    assert trained.config.audio_config.intermediate_size == size
    networks = feed_forward_networks(trained.audio_tower)
    assert networks and {first.out_features for first, _ in networks} == {size}
    # Attention is as it was: only the networks are pruned.
    kept = {name: weight for name, weight in whole.state_dict().items() if ".self_attn." in name}
    assert kept and all(torch.equal(trained.state_dict()[name], weight) for name, weight in kept.items())


@pytest.mark.parametrize("field", ["num_layers", "intermediate_size"])
def test_what_a_preset_has_is_not_cut(field):
    with pytest.raises(ValueError, match=f"`{field}` cuts the encoder of `path`"):
        EncoderModelSection(preset="tiny", **{field: 2})


def test_an_encoder_is_not_pruned_by_no_rows():
    with pytest.raises(ValueError, match="`pruning_rows` must be at least 1, not 0"):
        EncoderModelSection(path="x", pruning_rows=0)
    with pytest.raises(ValueError, match="`intermediate_size` prunes by: give that too"):
        EncoderModelSection(path="x", pruning_rows=200)


@pytest.mark.parametrize("fields", [{}, {"preset": "tiny", "path": "x"}, {"preset": "huge"}])
def test_model_section_wants_one_origin(fields):
    with pytest.raises(ValueError, match="preset"):
        EncoderModelSection(**fields)
