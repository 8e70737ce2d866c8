# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rows, models of a few thousand parameters and settings that the tests of the stages share."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, List, Value
from transformers import Qwen3Config, Qwen3ForCausalLM, Trainer, TrainerCallback

from entropy_asr.modeling import (
    EntropyASRConfig,
    EntropyASRCTCConfig,
    EntropyASREncoderConfig,
    EntropyASRFeatureExtractor,
    EntropyASRForCTC,
    EntropyASRPhonemeTokenizer,
)
from entropy_asr.trainers.data.augmentation import AugmentationConfig, SpeechAugmenter
from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.runs.clock import WallClock
from entropy_asr.trainers.stages.lm_pretraining import prompt_texts, train_tokenizer
from entropy_asr.trainers.stages.sft import join_components
from entropy_asr.trainers.training.snapshots import EncoderSnapshots


TEXTS = {
    "en": ("the red dog", "we go", "open the door", "one two three"),
    "zh": ("红狗", "我们去学校", "三"),
    "none": ("",),
}
# Stages that train on speech, all of which [`stage_section`] and [`trained_history`] know.
SPEECH_STAGES = (
    "encoder",
    "alignment",
    "iterative_async_sft",
    "joint_sft",
    "context_sft",
    "grpo",
    "phoneme_head",
    "attention_pretraining",
)
# A stage of one's own, as CONTRIBUTING.md has it.
TOY_STAGE = """
from entropy_asr.trainers.stages.joint_sft import JointSFTConfig, JointSFTTrainer
from entropy_asr.trainers.stages.sft import sft_stage


class ToyTrainer(JointSFTTrainer):
    pass


class ToyConfig(JointSFTConfig):
    pass


STAGE = sft_stage(ToyTrainer, ToyConfig)
"""
FEATURES = Features(
    {
        "samples": List(Value("int16")),
        "text": Value("string"),
        "language": Value("string"),
        "duration": Value("float64"),
        "source": Value("string"),
    }
)
LORA = {"r": 2, "lora_alpha": 4, "lora_dropout": 0.1, "target_modules": ".*language_model.*(q|v)_proj"}
AUGMENTATION = {
    "speed_factors": [0.9, 1.0, 1.1],
    "noise_probability": 0.5,
    "silence_max_seconds": 0.2,
    "gain_db": 6.0,
    "num_frequency_masks": 1,
    "num_time_masks": 1,
    "time_mask_width": 10,
}


def make_rows(languages: str = "en zh none en zh en zh en none en zh en", seed: int = 0) -> Dataset:
    """Short noisy tones of mixed lengths, one row a language."""
    rng = np.random.default_rng(seed)
    rows = []
    for index, language in enumerate(languages.split()):
        num_samples = int(rng.integers(6400, 16000))
        wave = 3000 * np.sin(np.arange(num_samples) * rng.uniform(0.05, 0.5)) + rng.normal(0, 500, num_samples)
        rows.append(
            {
                "samples": wave.astype(np.int16),
                "text": TEXTS[language][index % len(TEXTS[language])],
                "language": language,
                "duration": num_samples / 16000,
                "source": "tones",
            }
        )
    return Dataset.from_list(rows, features=FEATURES)


def labelled_rows() -> Dataset:
    """Eight rows of mixed lengths with their phonemes, two of them without speech."""
    return add_phoneme_ids(make_rows("en zh none en zh en none en"), EntropyASRPhonemeTokenizer())


def small_encoder(dropout: float = 0.1) -> EntropyASRForCTC:
    """CTC model of one layer; dropout makes it depend on the random state that a checkpoint has to keep."""
    torch.manual_seed(1)
    audio_config = EntropyASREncoderConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        conv_kernel_size=5,
        subsampling_channels=4,
        hidden_dropout=dropout,
        attention_dropout=dropout,
    )
    vocab_size = len(EntropyASRPhonemeTokenizer())
    return EntropyASRForCTC(EntropyASRCTCConfig(audio_config=audio_config.to_dict(), vocab_size=vocab_size))


def small_text_config(vocab_size: int) -> Qwen3Config:
    """Language model of one layer."""
    return Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )


def shrink_tiny(patch: pytest.MonkeyPatch) -> None:
    """Give the preset `tiny` the sizes of these models."""

    def tiny(cls, vocab_size=400):
        audio_config, text_config = small_encoder().config.audio_config, small_text_config(vocab_size)
        return cls(audio_config=audio_config.to_dict(), text_config=text_config.to_dict(), audio_token_id=3)

    patch.setattr(EntropyASRConfig, "tiny", classmethod(tiny))


def save_components(folder: Path) -> None:
    """Folders `rows`, `noise`, `encoder`, `language_model` and `full` (the two joined), ready for the stages."""
    make_rows().save_to_disk(folder / "rows")
    make_rows("none none", seed=1).save_to_disk(folder / "noise")
    small_encoder().save_pretrained(folder / "encoder")
    EntropyASRFeatureExtractor().save_pretrained(folder / "encoder")
    small_encoder().audio_tower.save_pretrained(folder / "plain_encoder")
    EntropyASRFeatureExtractor().save_pretrained(folder / "plain_encoder")
    texts = [*prompt_texts(), *(text for texts in TEXTS.values() for text in texts)] * 20
    tokenizer = train_tokenizer(iter(texts), 400)
    config = small_text_config(len(tokenizer))
    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    torch.manual_seed(2)
    Qwen3ForCausalLM(config).save_pretrained(folder / "language_model")
    tokenizer.save_pretrained(folder / "language_model")
    torch.manual_seed(3)
    model, processor = join_components(str(folder / "encoder"), str(folder / "language_model"))
    model.save_pretrained(folder / "full")
    processor.save_pretrained(folder / "full")


def stage_section(stage: str, folder: Path, **training) -> dict:
    """Settings of a stage on the rows and models of [`save_components`]: six steps, two checkpoints."""
    steps = {"max_steps": 6, "save_steps": 2, "logging_steps": 1, "report_to": "none", "use_cpu": True}
    if stage == "language_model":
        training = {"per_device_train_batch_size": 2, **steps, **training}
        data = {"transcripts": [{"path": str(folder / "rows"), "repeat": 4}], "block_size": 32}
        return {"data": data, "tokenizer": {"vocab_size": 320}, "model": {"preset": "tiny"}, "training": training}
    model = {
        "encoder": {"path": str(folder / "encoder")},
        "character_encoder": {"path": str(folder / "plain_encoder")},
        "alignment": {"encoder": str(folder / "encoder"), "language_model": str(folder / "language_model")},
        "iterative_async_sft": {"path": str(folder / "full")},
        "joint_sft": {"path": str(folder / "full")},
        "context_sft": {"path": str(folder / "full")},
        "grpo": {"path": str(folder / "full")},
        "phoneme_head": {"path": str(folder / "full")},
        "attention_pretraining": {
            "preset": "tiny",
            "encoder": {**small_encoder().config.audio_config.to_dict(), "num_hidden_layers": 1},
            "decoder_layers": 1,
        },
    }[stage]
    if stage == "grpo":
        # Hypotheses are generated every second step.
        groups = {"num_generations": 2, "per_device_train_batch_size": 4, "steps_per_generation": 2}
        training = {**groups, "max_completion_length": 4, "learning_rate": 1e-2, **steps, **training}
        data = {"train": [{"path": str(folder / "rows")}], "cache_dir": str(folder / "cache")}
        return {"data": data, "model": model, "training": training}
    return {
        "data": {
            "train": [{"path": str(folder / "rows")}],
            "noise": [{"path": str(folder / "noise")}],
            "cache_dir": str(folder / "cache"),
        },
        "augmentation": dict(AUGMENTATION),
        "model": model,
        # Four batches an epoch: six steps and the checkpoints at 2 and 4 lie in, and at the end of, an epoch.
        "training": {"max_batch_duration": 3.2, "num_buckets": 3, "learning_rate": 1e-2, **steps, **training},
    }


def trained_history(stage: str, section: dict, components: Path, output_dir: Path) -> list[dict]:
    """What each step of one of [`SPEECH_STAGES`] logs, once it has run; its encoders are there before it starts."""
    if stage == "iterative_async_sft":
        store = EncoderSnapshots(output_dir.parent / f"{output_dir.name}-store")
        store.publish(1, "final", lambda folder: shutil.copytree(components / "encoder", folder, dirs_exist_ok=True))
        section["training"]["snapshot_dir"] = str(store.folder)
    run_section(stage, section, output_dir, 7)
    record = json.loads((output_dir / "stage.json").read_text())
    return [entry for entry in record["history"] if "loss" in entry]


def snapshot(model) -> dict[str, torch.Tensor]:
    """Copies of all tensors of a model."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed_modules(model, before: dict[str, torch.Tensor]) -> set[str]:
    """Modules, as `freeze` names them, with a tensor that is no longer bit-equal."""
    after = model.state_dict()
    names = {name for name in before if not torch.equal(before[name], after[name])}
    return {".".join(name.split(".")[: 2 if name.startswith("model.") else 1]) for name in names}


def small_augmenter() -> SpeechAugmenter:
    """All of [`AUGMENTATION`], with two rows of noise."""
    return SpeechAugmenter(AugmentationConfig(**AUGMENTATION), make_rows("none none", seed=1))


def same_tensors(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two state dicts are bit-identical."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def trainer_arguments(config_class: type, output_dir: Path, **kwargs):
    """Arguments for CPU, without logs to trackers and without saving."""
    settings = {"report_to": "none", "use_cpu": True, "save_strategy": "no", "logging_steps": 1}
    return config_class(output_dir=str(output_dir), **{**settings, **kwargs})


class GradientRecorder(TrainerCallback):
    """Keeps the gradient of every optimizer step, before the step and (with max_grad_norm=0) unclipped."""

    def __init__(self):
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_pre_optimizer_step(self, args, state, control, model, **kwargs):
        named = model.named_parameters()
        self.steps.append({name: tensor.grad.clone() for name, tensor in named if tensor.grad is not None})


def die_at(step: int):
    """Replacement of `Trainer.training_step` that ends the run when it is about to take this step (counted from 0)."""
    real = Trainer.training_step

    def training_step(trainer, *args, **kwargs):
        if trainer.state.global_step == step:
            raise KeyboardInterrupt
        return real(trainer, *args, **kwargs)

    return training_step


def relative_difference(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """Norm of the difference of two gradients over the norm of the first."""
    assert first.keys() == second.keys()
    difference = sum((first[name] - second[name]).square().sum() for name in first).sqrt()
    return (difference / sum(tensor.square().sum() for tensor in first.values()).sqrt()).item()


class Killed(Exception):
    """Stands for the end of the process."""


def section_stage(name: str) -> str:
    return "joint_sft" if name == "lora" else name


def resumable_section(name: str, components: Path, workers: int = 0) -> dict:
    """Settings of a stage, or of joint SFT of adapters ("lora")."""
    section = stage_section(section_stage(name), components, dataloader_num_workers=workers)
    return {**section, "lora": LORA} if name == "lora" else section


def stop_at(step: int, how) -> type:
    """Callback that ends the run when it is about to take this step."""

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == step:
            how()

    return on_step_begin


def die():
    raise Killed


def run_and_kill(name: str, section: dict, folder: Path, monkeypatch, step: int) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(WallClock, "on_step_begin", stop_at(step, die))
        with pytest.raises(Killed):
            run_section(section_stage(name), section, folder, 7)
    assert not (folder / "stage.json").exists()
