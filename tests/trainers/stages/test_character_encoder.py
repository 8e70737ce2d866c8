# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Encoder pretraining on characters, and the stages that go on from such an encoder."""

import json

import pytest
from datasets import concatenate_datasets
from safetensors.torch import load_file
from training_helpers import make_rows, same_tensors, stage_section, trainer_arguments
from transformers import AutoConfig

from entropy_asr.modeling import EntropyASRFeatureExtractor, EntropyASRForConditionalGeneration, EntropyASRForCTC
from entropy_asr.trainers import EncoderPretrainingConfig
from entropy_asr.trainers.data.collation import CTCCollator
from entropy_asr.trainers.recipes.recipe import check_section, run_section
from entropy_asr.trainers.stages.attention_pretraining import character_tokenizer
from entropy_asr.trainers.stages.character_encoder import CharacterEncoderTrainer, add_character_ids
from entropy_asr.trainers.stages.encoder_pretraining import EncoderModelSection
from entropy_asr.trainers.training.pruning import feed_forward_networks


def section_of(components, folder, **training) -> dict:
    settings = {"drift_reference_step": 1, "drift_interval": 2, "drift_threshold": 1.0, "eval_strategy": "steps"}
    section = stage_section("character_encoder", components, eval_steps=6, **settings, **training)
    section["training"]["snapshot_dir"] = str(folder / "store")
    section["data"]["eval"] = section["data"]["train"]
    return section


def test_labels_are_the_characters_of_each_text():
    rows = make_rows()
    tokenizer = character_tokenizer(rows["text"][:])
    labelled = add_character_ids(rows, tokenizer)
    assert [tokenizer.decode(ids) for ids in labelled["phoneme_ids"][:]] == rows["text"][:]
    assert min(min(ids, default=9) for ids in labelled["phoneme_ids"][:]) > 0, "0 is the blank"
    assert add_character_ids(labelled, tokenizer) is labelled


def test_it_learns_to_write_what_it_hears(components, tmp_path):
    rows = concatenate_datasets([make_rows("en en zh")] * 2)
    tokenizer = character_tokenizer(rows["text"][:])
    trainer = CharacterEncoderTrainer(
        EncoderModelSection(path=str(components / "plain_encoder")).build(len(tokenizer)),
        trainer_arguments(EncoderPretrainingConfig, tmp_path, max_steps=50, learning_rate=1e-2, logging_steps=50),
        CTCCollator(EntropyASRFeatureExtractor()),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tokenizer,
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_loss"] < before["eval_loss"] / 3
    assert after["eval_cer"] < 1 and "eval_per" not in after


def test_later_stages_take_the_encoder_and_no_head(components, tmp_path):
    run_section("character_encoder", section_of(components, tmp_path), tmp_path / "encoder", 7)
    history = json.loads((tmp_path / "encoder" / "stage.json").read_text())["history"]
    assert any("eval_cer" in entry for entry in history) and not any("eval_per" in entry for entry in history)
    encoder = load_file(tmp_path / "encoder" / "model.safetensors")
    head = EntropyASRForCTC.from_pretrained(tmp_path / "encoder" / "characters")
    assert same_tensors(encoder, head.audio_tower.state_dict())

    # Another stage of its kind goes on with the head.
    section = section_of(components, tmp_path / "again")
    section["model"] = {"path": str(tmp_path / "encoder" / "characters")}
    section["training"] |= {"learning_rate": 0.0, "max_steps": 1}
    run_section("character_encoder", section, tmp_path / "again", 7)
    again = EntropyASRForCTC.from_pretrained(tmp_path / "again" / "characters")
    assert same_tensors(again.phoneme_head.state_dict(), head.phoneme_head.state_dict())

    # Alignment on a snapshot, then IA-SFT, which the finished encoder comes into.
    alignment = stage_section("alignment", components, max_steps=1, save_strategy="no")
    alignment["model"] = {
        "encoder_snapshots": str(tmp_path / "store"),
        "language_model": str(components / "language_model"),
    }
    run_section("alignment", alignment, tmp_path / "alignment", 7)
    swapped = stage_section("iterative_async_sft", components, max_steps=1, save_strategy="no")
    swapped["model"] = {"path": str(tmp_path / "alignment")}
    swapped["training"] |= {"snapshot_dir": str(tmp_path / "store"), "final_steps": 1}
    run_section("iterative_async_sft", swapped, tmp_path / "ia_sft", 7)
    first, second = (
        EntropyASRForConditionalGeneration.from_pretrained(tmp_path / name) for name in ("alignment", "ia_sft")
    )
    assert not first.config.phoneme_head_trained and not second.config.phoneme_head_trained
    assert not same_tensors(first.model.audio_tower.state_dict(), encoder)
    assert same_tensors(second.model.audio_tower.state_dict(), encoder)

    # Without IA-SFT joint training exchanges the encoder by itself.
    joint = stage_section("joint_sft", components, max_steps=1, save_strategy="no", learning_rate=0.0)
    joint["model"] = {"path": str(tmp_path / "alignment"), "encoder": str(tmp_path / "encoder")}
    run_section("joint_sft", joint, tmp_path / "joint", 7)
    model = EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "joint")
    assert same_tensors(model.model.audio_tower.state_dict(), encoder)


def test_its_encoder_is_pruned(components, tmp_path):
    section = stage_section("character_encoder", components, max_steps=1)
    size = AutoConfig.from_pretrained(section["model"]["path"]).intermediate_size // 2
    section["model"] |= {"intermediate_size": size, "pruning_rows": 2}
    run_section("character_encoder", section, tmp_path, 7)
    pruned = EntropyASRForCTC.from_pretrained(tmp_path / "characters").audio_tower
    assert {first.out_features for first, _ in feed_forward_networks(pruned)} == {size}


def test_streams_are_refused(tmp_path):
    section = {
        "data": {"train": [{"path": "x", "streaming": True}]},
        "model": {"preset": "tiny"},
        "training": {"max_steps": 1, "use_cpu": True},
    }
    with pytest.raises(ValueError, match="the characters to write are those of all rows"):
        check_section("character_encoder", section, tmp_path, 0)


def test_encoder_of_phonemes_cannot_go_on_with_characters(components):
    with pytest.raises(ValueError, match="phonemes"):
        EncoderModelSection(path=str(components / "encoder")).build(30)
