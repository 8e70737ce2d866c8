# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Supervised stages: what is trained and what stays, the loss, evaluation by generation, adapters."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from stage_trainers import sft_trainer
from text_only_script import text_only_gradient
from training_helpers import (
    GradientRecorder,
    changed_modules,
    make_rows,
    relative_difference,
    same_tensors,
    small_encoder,
    snapshot,
    stage_section,
    trainer_arguments,
)
from transformers import AutoProcessor

from entropy_asr.modeling import (
    EntropyASRFeatureExtractor,
    EntropyASRForConditionalGeneration,
    EntropyASRPipeline,
    EntropyASRProcessor,
)
from entropy_asr.modeling.ledger_entropy_asr import utterance_ledger
from entropy_asr.modeling.pipeline_entropy_asr import load_pipeline
from entropy_asr.trainers import AlignmentConfig, AlignmentTrainer, JointSFTConfig, JointSFTTrainer
from entropy_asr.trainers.data.collation import TranscriptionCollator
from entropy_asr.trainers.evaluation.error_rates import evaluate_recognition
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.runs.settings import SettingsError
from entropy_asr.trainers.stages.sft import SFTModelSection, text_only


TEXT_ONLY_SCRIPT = Path(__file__).parents[1] / "text_only_script.py"
LORA = {"r": 4, "lora_alpha": 8, "target_modules": ".*language_model.*(q|v)_proj"}


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return make_rows("en zh none en zh en none en")


def load(components) -> tuple[EntropyASRForConditionalGeneration, EntropyASRProcessor]:
    return SFTModelSection(path=str(components / "full")).build()


# What a stage starts from


def save_newer_encoder(folder, seed: int = 5, **features):
    encoder = small_encoder()
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter))
    encoder.save_pretrained(folder)
    EntropyASRFeatureExtractor(**features).save_pretrained(folder)
    return encoder


def test_a_full_model_goes_on_with_a_newer_encoder(components, tmp_path):
    encoder = save_newer_encoder(tmp_path / "encoder")
    model, _ = SFTModelSection(path=str(components / "full"), encoder=str(tmp_path / "encoder")).build()
    assert same_tensors(model.model.audio_tower.state_dict(), encoder.audio_tower.state_dict())
    assert same_tensors(model.phoneme_head.state_dict(), encoder.phoneme_head.state_dict())
    before, _ = load(components)
    assert changed_modules(model, before.state_dict()) == {"model.audio_tower", "phoneme_head"}


def test_an_encoder_that_does_not_fit_is_refused(components, tmp_path):
    save_newer_encoder(tmp_path / "other_features", cmvn_mean=[1.0] * 80, cmvn_std=[2.0] * 80)
    with pytest.raises(SettingsError, match="other_features takes other features"):
        SFTModelSection(path=str(components / "full"), encoder=str(tmp_path / "other_features")).build()
    headless = small_encoder().audio_tower
    headless.save_pretrained(tmp_path / "headless")
    EntropyASRFeatureExtractor().save_pretrained(tmp_path / "headless")
    model, processor = load(components)
    model.config.phoneme_head_trained = False
    model.save_pretrained(tmp_path / "untrained")
    processor.save_pretrained(tmp_path / "untrained")
    for folder in ("headless", "untrained"):
        with pytest.raises(SettingsError, match="no trained phoneme head"):
            SFTModelSection(path=str(components / "full"), encoder=str(tmp_path / folder)).build()


# Loss


def gradient(components, output_dir, rows, **kwargs):
    recorder = GradientRecorder()
    settings = {"num_train_epochs": 1, "max_grad_norm": 0.0, "learning_rate": 0.0, "freeze": ["model.audio_tower"]}
    trainer = sft_trainer(
        JointSFTTrainer, JointSFTConfig, components, output_dir, rows, callbacks=[recorder], **settings, **kwargs
    )
    trainer.train()
    return trainer, recorder.steps


def test_gradient_accumulation_gives_the_gradient_of_one_batch(components, tmp_path, rows):
    whole, [gradient_of_one] = gradient(components, tmp_path / "1", rows, max_batch_size=8)
    parts, [accumulated] = gradient(components, tmp_path / "4", rows, max_batch_size=2, gradient_accumulation_steps=4)
    assert relative_difference(gradient_of_one, accumulated) < 1e-6
    losses = [trainer.state.log_history[0]["loss"] for trainer in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_text_alone_is_a_document_and_nothing_but_the_transcript():
    found = text_only(torch.tensor([[-100, -100, 7, 8, 9], [-100, 5, -100, -100, -100]]), start=2)
    assert found["input_ids"].tolist() == [[2, 7, 8, 9], [2, 5, 2, 2]]
    assert found["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert found["labels"].tolist() == [[-100, 7, 8, 9], [-100, 5, -100, -100]]


def check_text_only_gradients(whole, *others):
    for gradient, loss in others:
        assert relative_difference(whole[0], gradient) < 1e-5
        assert loss == pytest.approx(whole[1], rel=1e-5)


def test_text_alone_counts_the_same_in_a_batch_and_in_steps_that_accumulate(components, tmp_path):
    whole = text_only_gradient(components, tmp_path / "1", max_batch_size=8)
    parts = text_only_gradient(components, tmp_path / "4", max_batch_size=2, gradient_accumulation_steps=4)
    check_text_only_gradients(whole, parts)
    without, _ = text_only_gradient(components, tmp_path / "0", max_batch_size=8, text_only_share=0.0)
    assert relative_difference(whole[0], without) > 0.01


@pytest.mark.slow
def test_text_alone_counts_the_same_in_two_processes(components, tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launcher, str(TEXT_ONLY_SCRIPT), str(components), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert result.returncode == 0, result.stderr[-4000:]
    whole = text_only_gradient(components, tmp_path / "1", max_batch_size=8)
    check_text_only_gradients(whole, *(torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2)))


def test_parameters_that_the_text_leaves_out_may_not_be_looked_for(tmp_path):
    settings = {"text_only_share": 0.5, "ddp_find_unused_parameters": True}
    with pytest.raises(ValueError, match="ddp_find_unused_parameters.*text_only_share"):
        trainer_arguments(JointSFTConfig, tmp_path, **settings)


def test_loss_of_the_trainer_is_the_loss_of_the_model(components, tmp_path, rows):
    """TRL computes it in chunks, without the logits."""
    trainer = sft_trainer(AlignmentTrainer, AlignmentConfig, components, tmp_path, rows, max_batch_size=8)
    [batch] = list(trainer.get_train_dataloader())
    inputs = trainer._prepare_inputs(batch)
    trainer.model.eval()
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model, dict(inputs))
        own = load(components)[0].eval()(**inputs).loss
    torch.testing.assert_close(loss, own, rtol=1e-6, atol=0)


def test_text_alone_is_predicted_too_where_that_is_asked_for(components, tmp_path, rows):
    """The ledger's prior: what the language model expects of a transcript, from the start of a document."""
    prior = {}
    for share in (0.0, 1.0):
        trainer = sft_trainer(
            JointSFTTrainer,
            JointSFTConfig,
            components,
            tmp_path / str(share),
            rows,
            max_batch_size=8,
            max_steps=16,
            text_only_share=share,
            learning_rate=1e-2,
        )
        trainer.train()
        model, processor = trainer.accelerator.unwrap_model(trainer.model).eval(), trainer.processing_class
        noise = np.random.default_rng(0).normal(size=16000).astype(np.float32)
        ledgers = [utterance_ledger(model, processor, noise, text) for text in rows["text"] if text]
        prior[share] = sum(sum(ledger.prior) for ledger in ledgers)
    assert prior[1.0] < 0.8 * prior[0.0]


# Evaluation


def test_evaluation_equals_transcribing_with_the_pipeline(components, tmp_path, rows):
    """After some training, so that transcripts differ from row to row; in steps, and in batches of three."""
    trainer = sft_trainer(
        JointSFTTrainer,
        JointSFTConfig,
        components,
        tmp_path,
        rows,
        max_steps=40,
        learning_rate=1e-2,
        eval_strategy="steps",
        eval_steps=40,
        per_device_eval_batch_size=3,
        max_new_tokens=12,
    )
    trainer.train()
    [logged] = [entry for entry in trainer.state.log_history if "eval_wer" in entry]
    pipeline = EntropyASRPipeline(model=trainer.model.eval(), processor=trainer.processing_class)
    score = evaluate_recognition(pipeline, rows, batch_size=2, progress=False, max_new_tokens=12)
    assert len({transcript["hypothesis"] for transcript in score.transcripts}) > 1
    assert logged["eval_wer"] == pytest.approx(score.wer)
    assert logged["eval_cer"] == pytest.approx(score.cer)
    assert logged["eval_nonempty_share"] == pytest.approx(score.nonempty_share)
    assert logged["step"] == 40 and logged["eval_loss"] > 0
    again = trainer.evaluate({"clean": rows, "noisy": rows.select([0, 1])})
    assert again["eval_clean_wer"] == pytest.approx(score.wer)
    assert "eval_noisy_cer" in again


def test_collator_of_the_caller_is_left_alone(components, tmp_path, rows):
    model, processor = load(components)
    collator = TranscriptionCollator(processor.feature_extractor)
    arguments = trainer_arguments(JointSFTConfig, tmp_path, language_prompt_probability=0.7)
    trainer = JointSFTTrainer(model, arguments, processing_class=processor, data_collator=collator, train_dataset=rows)
    assert collator.processor is None
    assert trainer.data_collator.language_prompt_probability == 0.7


@pytest.mark.parametrize(
    "argument", [{"max_length": 100}, {"language_prompt_probability": 1.2}, {"dataset_kwargs": {}}]
)
def test_arguments_that_cannot_be_honoured_are_refused(argument, tmp_path):
    with pytest.raises(ValueError, match=next(iter(argument))):
        trainer_arguments(JointSFTConfig, tmp_path, **argument)


# Adapters


def test_lora_trains_only_adapters_and_keeps_the_frozen_encoder_in_evaluation_mode(components, tmp_path, rows):
    freeze = ["model.audio_tower", "phoneme_head"]
    trainer = sft_trainer(
        JointSFTTrainer,
        JointSFTConfig,
        components,
        tmp_path,
        rows,
        lora=LoraConfig(**LORA),
        max_steps=2,
        learning_rate=1e-2,
        freeze=freeze,
    )
    before = snapshot(trainer.model)
    trainer.train()
    changed = {name for name, tensor in trainer.model.state_dict().items() if not torch.equal(before[name], tensor)}
    assert changed and all("lora_" in name and "language_model" in name for name in changed)
    assert not trainer.model.get_base_model().model.audio_tower.training


def test_adapters_inside_a_frozen_module_are_refused(components, tmp_path, rows):
    with pytest.raises(ValueError, match=r"'model.language_model' is frozen, but adapters"):
        sft_trainer(AlignmentTrainer, AlignmentConfig, components, tmp_path, rows, lora=LoraConfig(**LORA))


def test_stage_with_lora_saves_a_plain_model_with_the_adapters_merged(components, tmp_path):
    section = {**stage_section("joint_sft", components, max_steps=2), "lora": LORA}
    run_section("joint_sft", section, tmp_path, 7)
    merged, _ = SFTModelSection(path=str(tmp_path)).build()
    before, after = load(components)[0].state_dict(), merged.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"model.language_model.layers.0.self_attn.{name}_proj.weight" for name in ("q", "v")}
    assert (tmp_path / "checkpoints" / "checkpoint-2" / "adapter_model.safetensors").is_file()


def test_adapters_and_what_they_are_merged_into_load_from_anywhere(components, tmp_path, rows, monkeypatch):
    monkeypatch.chdir(components)
    model, processor = SFTModelSection(path="full").build()
    lora = LoraConfig(**{**LORA, "init_lora_weights": False}, modules_to_save=["adaptor"])
    arguments = trainer_arguments(JointSFTConfig, tmp_path, max_steps=1, save_strategy="steps", save_steps=1)
    trainer = JointSFTTrainer(model, arguments, processing_class=processor, train_dataset=rows, peft_config=lora)
    trainer.train()
    trainer.save_model(tmp_path / "adapters")
    merged = trainer.model.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    monkeypatch.chdir(tmp_path)
    for folder in ("adapters", "merged", "checkpoint-1"):
        pipeline = load_pipeline(folder, device="cpu")
        for name, tensor in merged.state_dict().items():
            torch.testing.assert_close(pipeline.model.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)
        assert AutoProcessor.from_pretrained(folder).prompt("en") == processor.prompt("en")
        card, record = (Path(folder) / "README.md"), Path(folder) / "training.json"
        # PEFT's own card names a folder of this machine.
        assert not card.exists() or str(components) not in card.read_text()
        assert not record.exists() or json.loads(record.read_text())["base_model"] == "full"


def test_encoder_and_adaptor_can_be_trained_beside_the_adapters(components, tmp_path):
    """As in the stages that train everything: the language model by its adapters, the rest as it is."""
    lora = {**LORA, "modules_to_save": ["audio_tower", "adaptor"]}
    run_section("joint_sft", {**stage_section("joint_sft", components, max_steps=2), "lora": lora}, tmp_path, 7)
    merged, _ = SFTModelSection(path=str(tmp_path)).build()
    before, after = load(components)[0].state_dict(), merged.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    adapted = {f"model.language_model.layers.0.self_attn.{name}_proj.weight" for name in ("q", "v")}
    others = {name for name in before if name.startswith(("model.audio_tower", "model.adaptor"))}
    assert adapted <= changed <= adapted | others
    assert {name.split(".")[1] for name in changed} == {"language_model", "audio_tower", "adaptor"}


# Model section


@pytest.mark.parametrize("fields", [{}, {"encoder": "x"}, {"path": "x", "encoder": "y", "language_model": "z"}])
def test_model_section_wants_one_origin(fields):
    with pytest.raises(ValueError, match="either `path` .*, or both"):
        SFTModelSection(**fields)


def test_joined_components_keep_their_weights_and_stop_at_the_end_of_the_turn(components):
    section = SFTModelSection(encoder=str(components / "encoder"), language_model=str(components / "language_model"))
    model, processor = section.build()
    assert model.generation_config.eos_token_id == processor.end_of_text_id
    assert model.generation_config.suppress_tokens == [processor.audio_token_id]
    assert model.dtype == torch.float32
    full = load(components)[0].state_dict()
    for name, tensor in model.state_dict().items():
        assert name.startswith("model.adaptor") or torch.equal(tensor, full[name])
