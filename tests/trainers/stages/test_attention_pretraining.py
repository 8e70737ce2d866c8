# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The conventional first stage: loss over characters, masks, evaluation, and what goes on to the next stage."""

import doctest
import json
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from small_models import small_whisper, small_whisper_config
from stage_trainers import attention_trainer
from training_helpers import GradientRecorder, make_rows, relative_difference, stage_section, trainer_arguments
from transformers import AutoModelForCausalLM, AutoTokenizer, WhisperFeatureExtractor, WhisperModel

from entropy_asr.modeling import EntropyASREncoder, EntropyASRFeatureExtractor
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.stages import attention_pretraining
from entropy_asr.trainers.stages.attention_pretraining import (
    AttentionModelSection,
    AttentionPretrainingConfig,
    AttentionPretrainingTrainer,
    CharacterCollator,
    character_tokenizer,
)
from entropy_asr.trainers.stages.sft import SFTModelSection


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return make_rows("en zh none en zh en none en")


def batch_of(trainer, rows) -> dict[str, torch.Tensor]:
    dataset = SpeechDataset(rows)
    batch = trainer.data_collator([dataset[index] for index in range(len(rows))])
    batch.pop("durations")
    return batch


def test_examples_of_the_docstrings_run():
    assert doctest.testmod(attention_pretraining).failed == 0


def test_characters_come_back_as_they_were(rows):
    tokenizer = character_tokenizer(rows["text"][:])
    for text in {*rows["text"], "去 on"}:
        ids = tokenizer(text).input_ids
        assert len(ids) == len(text)
        assert tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True) == text
    assert tokenizer("é").input_ids == [tokenizer.unk_token_id]


def test_labels_are_the_characters_and_an_end(rows, tmp_path):
    trainer = attention_trainer(rows, tmp_path)
    for labels, text in zip(batch_of(trainer, rows)["labels"], rows["text"], strict=True):
        kept = labels[labels != -100]
        assert kept[-1] == trainer.processing_class.eos_token_id
        assert trainer.processing_class.decode(kept[:-1]) == text


def test_loss_of_a_batch_is_that_of_its_rows_alone(rows, tmp_path):
    """Padding of audio and of text changes nothing, and every character counts the same."""
    trainer = attention_trainer(rows, tmp_path)
    trainer.model.eval()
    dataset, losses, count = SpeechDataset(rows), 0.0, 0
    with torch.no_grad():
        whole = trainer.compute_loss(trainer.model, batch_of(trainer, rows)).item()
        for index in range(len(rows)):
            batch = trainer.data_collator([dataset[index]])
            batch.pop("durations")
            length = batch["labels"].shape[1]
            losses += trainer.compute_loss(trainer.model, batch).item() * length
            count += length
    assert whole == pytest.approx(losses / count, rel=1e-5)


def test_label_smoothing_is_honoured(rows, tmp_path):
    plain, smooth = (
        attention_trainer(rows, tmp_path / str(share), label_smoothing_factor=share) for share in (0.0, 0.1)
    )
    plain.model.eval()
    with torch.no_grad():
        batch = batch_of(plain, rows)
        labels = batch["labels"]
        expected, outputs = plain.compute_loss(plain.model, dict(batch), return_outputs=True)
        uniform = -outputs.logits.log_softmax(-1).mean(-1)[labels != -100].mean()
        loss = smooth.compute_loss(plain.model, dict(batch))
    assert loss.item() == pytest.approx(0.9 * expected.item() + 0.1 * uniform.item(), rel=1e-5)


def test_decoder_sees_no_later_character_and_hears_the_audio(rows, tmp_path):
    trainer = attention_trainer(rows, tmp_path)
    model = trainer.model.eval()
    batch = batch_of(trainer, rows.select([0, 3]))
    speech = {name: batch[name] for name in ("input_features", "attention_mask")}
    ids = torch.randint(4, len(trainer.processing_class), (2, 6))
    other = ids.clone()
    other[:, 4:] = 4
    with torch.no_grad():
        logits, later = (model(**speech, decoder_input_ids=inputs).logits for inputs in (ids, other))
        silent = model(**{**speech, "input_features": -speech["input_features"]}, decoder_input_ids=ids).logits
    torch.testing.assert_close(logits[:, :4], later[:, :4])
    assert (logits[:, 4:] - later[:, 4:]).abs().max() > 1e-3
    assert (logits - silent).abs().max() > 1e-4


def test_gradient_accumulation_gives_the_gradient_of_one_batch(rows, tmp_path):
    gradients = []
    for size, accumulation in ((8, 1), (2, 4)):
        recorder = GradientRecorder()
        settings = {"max_grad_norm": 0.0, "learning_rate": 0.0, "num_train_epochs": 1}
        trainer = attention_trainer(
            rows,
            tmp_path / str(size),
            callbacks=[recorder],
            max_batch_size=size,
            gradient_accumulation_steps=accumulation,
            **settings,
        )
        # Dropout of the encoder would be drawn differently.
        trainer.model.encoder.train = lambda mode=True: None
        trainer.model.encoder.eval()
        trainer.train()
        gradients += recorder.steps
    assert relative_difference(*gradients) < 1e-5


def test_learns_and_evaluates_by_generation(tmp_path):
    rows = make_rows("en zh en zh")
    trainer = attention_trainer(
        rows, tmp_path, max_steps=150, learning_rate=5e-3, max_new_tokens=20, per_device_eval_batch_size=3
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert before["eval_wer"] > 0.9
    assert after["eval_wer"] < 0.5 and after["eval_cer"] < 0.5
    assert after["eval_loss"] < before["eval_loss"] / 4


def test_stage_gives_an_encoder_that_the_next_stage_joins(components, tmp_path):
    section = stage_section("attention_pretraining", components, max_steps=2)
    section["data"]["eval"] = section["data"]["train"]
    section["training"] |= {"eval_strategy": "steps", "eval_steps": 2, "max_new_tokens": 4}
    run_section("attention_pretraining", section, tmp_path, 7)
    assert any("eval_wer" in entry for entry in json.loads((tmp_path / "stage.json").read_text())["history"])
    joined = SFTModelSection(encoder=str(tmp_path), language_model=str(components / "language_model"))
    model, processor = joined.build()
    encoder = EntropyASREncoder.from_pretrained(tmp_path)
    for name, tensor in model.model.audio_tower.state_dict().items():
        assert torch.equal(tensor, encoder.state_dict()[name])
    own = EntropyASRFeatureExtractor.from_pretrained(tmp_path)
    assert processor.feature_extractor.cmvn_mean == own.cmvn_mean != EntropyASRFeatureExtractor().cmvn_mean
    decoder = AutoModelForCausalLM.from_pretrained(tmp_path / "decoder")
    assert decoder.config.vocab_size == len(AutoTokenizer.from_pretrained(tmp_path / "decoder"))


def test_decoder_learns_first_above_frozen_layers_of_whisper_and_is_gone_on_with(components, tmp_path):
    """As a recipe does it from a public encoder, whose first layer is taken."""
    small_whisper("WhisperForConditionalGeneration").save_pretrained(tmp_path / "whisper")
    WhisperFeatureExtractor(feature_size=80).save_pretrained(tmp_path / "whisper")
    section = stage_section("attention_pretraining", components, max_steps=1)
    sizes = {"num_layers": 1, "intermediate_size": 24, "pruning_rows": 2, "decoder_layers": 1}
    section["model"] = {"path": str(tmp_path / "whisper"), **sizes}
    section["training"] |= {"freeze": ["encoder"], "chunk_sizes": [8], "left_chunks": [4]}
    run_section("attention_pretraining", section, tmp_path / "head", 7)
    public = small_whisper("WhisperForConditionalGeneration").get_encoder().state_dict()
    tower = load_file(tmp_path / "head" / "model.safetensors")
    assert torch.equal(tower["conv1.weight"], public["conv1.weight"]) and not any("layers.1." in key for key in tower)
    # Pruned to half of its neurons, it is gone on with below.
    assert {len(tensor) for name, tensor in tower.items() if ".fc1." in name} == {24}

    section = stage_section("attention_pretraining", components, max_steps=1, learning_rate=1e-9)
    section["model"] = {"path": str(tmp_path / "head"), "decoder": str(tmp_path / "head" / "decoder")}
    run_section("attention_pretraining", section, tmp_path / "whole", 7)
    decoders = [load_file(tmp_path / name / "decoder" / "model.safetensors") for name in ("head", "whole")]
    assert all(torch.allclose(tensor, decoders[1][name], atol=1e-6) for name, tensor in decoders[0].items())
    assert not torch.equal(load_file(tmp_path / "whole" / "model.safetensors")["conv1.weight"], tower["conv1.weight"])

    section["data"]["train"][0]["max_rows"] = 1
    with pytest.raises(ValueError, match="other characters"):
        run_section("attention_pretraining", section, tmp_path / "other", 7)


@pytest.mark.parametrize("name", ["encoder", "full"])
def test_encoder_of_a_model_of_ours_can_be_trained(components, name):
    encoder = AttentionModelSection(path=str(components / name)).build_encoder()
    assert type(encoder) is EntropyASREncoder


def test_encoder_of_transformers_can_be_trained(rows, tmp_path):
    config = small_whisper_config(encoder_layers=1, max_source_positions=50, num_mel_bins=20)
    WhisperModel(config).save_pretrained(tmp_path / "whisper")
    WhisperFeatureExtractor(feature_size=20, chunk_length=1).save_pretrained(tmp_path / "whisper")
    tokenizer = character_tokenizer(rows["text"][:])
    section = AttentionModelSection(path=str(tmp_path / "whisper"), decoder_layers=1)
    trainer = AttentionPretrainingTrainer(
        section.build_model(tokenizer),
        trainer_arguments(AttentionPretrainingConfig, tmp_path, max_steps=2, max_new_tokens=3),
        CharacterCollator(section.build_feature_extractor(rows), tokenizer=tokenizer),
        train_dataset=rows,
        eval_dataset=rows,
    )
    trainer.train()
    assert "eval_cer" in trainer.evaluate()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "tiny", "encoder": {"hidden_sise": 3}}, "did you mean.*hidden_size"),
        ({"path": "x", "encoder": {"hidden_size": 3}}, "has its own"),
        ({}, "exactly one"),
    ],
)
def test_model_section_that_cannot_be_meant_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        AttentionModelSection(**arguments)


def test_finished_stage_holds_no_path_of_this_machine(components, tmp_path):
    section = stage_section("attention_pretraining", components, max_steps=1)
    run_section("attention_pretraining", section, tmp_path, 7)
    for file in ("config.json", "decoder/config.json"):
        assert str(Path(tmp_path)) not in (tmp_path / file).read_text()
