# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Trainers of a few thousand parameters, and the encoders they swap in."""

from pathlib import Path

import torch
from training_helpers import make_rows, small_encoder, trainer_arguments

from entropy_asr.modeling import EntropyASRFeatureExtractor, EntropyASRPhonemeTokenizer
from entropy_asr.trainers.data.collation import TranscriptionCollator
from entropy_asr.trainers.stages.attention_pretraining import (
    AttentionModelSection,
    AttentionPretrainingConfig,
    AttentionPretrainingTrainer,
    CharacterCollator,
    character_tokenizer,
)
from entropy_asr.trainers.stages.grpo import ASRGRPOConfig, ASRGRPOTrainer
from entropy_asr.trainers.stages.iterative_async_sft import IterativeAsyncSFTConfig, IterativeAsyncSFTTrainer
from entropy_asr.trainers.stages.sft import SFTModelSection
from entropy_asr.trainers.training.snapshots import EncoderSnapshots


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "conv_kernel_size": 5,
    "subsampling_channels": 4,
}


def publish(store: EncoderSnapshots, step: int, kind: str = "drift", seed: int | None = None, **details):
    """Publish an encoder of random weights, without moving the random state that training goes on from."""
    with torch.random.fork_rng():
        model = small_encoder()
    generator = torch.Generator().manual_seed(step if seed is None else seed)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=0.3)

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        EntropyASRFeatureExtractor().save_pretrained(folder)
        EntropyASRPhonemeTokenizer().save_pretrained(folder)

    return store.publish(step, kind, save, **details)


def sft_trainer(
    trainer_class, config_class, components, output_dir, rows, augmenter=None, callbacks=None, lora=None, **kwargs
):
    """A trainer of one of the supervised stages, on the full model."""
    model, processor = SFTModelSection(path=str(components / "full")).build()
    return trainer_class(
        model,
        trainer_arguments(config_class, output_dir, **kwargs),
        processing_class=processor,
        data_collator=TranscriptionCollator(processor.feature_extractor, augmenter),
        train_dataset=rows,
        eval_dataset=rows,
        callbacks=callbacks,
        peft_config=lora,
    )


def swap_trainer(components, folder, rows=None, callbacks=None, **kwargs) -> IterativeAsyncSFTTrainer:
    model, processor = SFTModelSection(path=str(components / "full")).build()
    settings = {"max_steps": 6, "learning_rate": 1e-2, "max_batch_size": 4, "final_steps": 2, "swap_interval": 1}
    settings |= {"swap_poll_seconds": 0.02, "snapshot_dir": str(folder / "store"), **kwargs}
    return IterativeAsyncSFTTrainer(
        model,
        trainer_arguments(IterativeAsyncSFTConfig, folder / "out", **settings),
        processing_class=processor,
        train_dataset=rows or make_rows("en zh none en zh en none en"),
        callbacks=callbacks,
    )


def grpo_trainer(components, output_dir, rows, lora=None, model=None, sharper=1.0, **kwargs):
    """A trainer whose encoder has dropout that must be silenced."""
    loaded, processor = SFTModelSection(path=str(components / "full")).build()
    model = model or loaded
    with torch.no_grad():
        # Untrained networks are nearly indifferent to what they hear.
        model.model.adaptor.linear2.weight.mul_(sharper)
        for layer in model.model.language_model.layers:
            layer.self_attn.v_proj.weight.mul_(sharper)
    settings = {"num_generations": 4, "per_device_train_batch_size": 8, "max_completion_length": 5, "max_steps": 1}
    # The monitor encodes too, and not what is trained on.
    settings["entropy_steps"] = 0
    return ASRGRPOTrainer(
        model,
        trainer_arguments(ASRGRPOConfig, output_dir, **{**settings, **kwargs}),
        processing_class=processor,
        train_dataset=rows,
        eval_dataset=rows,
        peft_config=lora,
    )


def attention_trainer(rows, output_dir, callbacks=None, **kwargs) -> AttentionPretrainingTrainer:
    torch.manual_seed(1)
    tokenizer = character_tokenizer(rows["text"][:])
    section = AttentionModelSection(preset="tiny", encoder=SMALL, decoder_layers=1, decoder_dropout=0.0)
    return AttentionPretrainingTrainer(
        section.build_model(tokenizer),
        trainer_arguments(AttentionPretrainingConfig, output_dir, **kwargs),
        CharacterCollator(EntropyASRFeatureExtractor(), tokenizer=tokenizer),
        train_dataset=rows,
        eval_dataset=rows,
        callbacks=callbacks,
    )
