# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Encoder pretraining on characters instead of phonemes: an ablation of the paper (`units: character` of a recipe).

All else is as in [`~encoder_pretraining`]. What goes on to later stages is the encoder alone: its head reads no
phonemes, and the full model's phoneme head is trained at the end, or not at all. The head and its characters are in
the folder `characters`.
"""

from pathlib import Path

import torch
from datasets import Dataset, Features, List, Value
from transformers import PreTrainedTokenizerFast

from ..data.augmentation import AugmentationConfig
from ..data.collation import CTCCollator
from ..data.columns_beside_audio import add_columns
from ..training.stage_run import StageRun, TrainingStage
from ..training.training_record import write_training_record
from .attention_pretraining import CharacterDataSection, character_tokenizer, save_part
from .encoder_pretraining import (
    EncoderModelSection,
    EncoderPretrainingConfig,
    EncoderPretrainingTrainer,
    check_settings,
)


CHARACTERS = "characters"
AUDIO_TOWER = "audio_tower."


class CharacterEncoderTrainer(EncoderPretrainingTrainer):
    """Trains a CTC model to write characters. Evaluation reports `cer`, blanks among the characters.

    Args:
        *args: As for [`~encoder_pretraining.EncoderPretrainingTrainer`].
        processing_class: The characters, of [`~attention_pretraining.character_tokenizer`]: its first token, padding,
            is the CTC blank.
        **kwargs: As for [`~encoder_pretraining.EncoderPretrainingTrainer`].
    """

    _tag_names = ["entropy-asr", "character-encoder"]

    def __init__(self, *args, processing_class: PreTrainedTokenizerFast, **kwargs):
        self._characters = processing_class
        super().__init__(*args, processing_class=processing_class, **kwargs)

    def _labelled(self, rows: Dataset) -> Dataset:
        return add_character_ids(rows, self._characters)

    def _phoneme_error_metrics(self, prediction) -> dict[str, float]:
        return {"cer": super()._phoneme_error_metrics(prediction)["per"]}

    def save_encoder(self, folder: Path, weights: dict[str, torch.Tensor]) -> None:
        """Save the encoder with its feature extractor, as later stages take it."""
        model = self.accelerator.unwrap_model(self.model)
        save_part(model.audio_tower, weights, AUDIO_TOWER, folder)
        self.data_collator.feature_extractor.save_pretrained(folder)


def add_character_ids(rows: Dataset, tokenizer: PreTrainedTokenizerFast) -> Dataset:
    """Adds the characters of each row's text, in the column of all CTC labels, unless it is there."""
    if "phoneme_ids" in rows.column_names:
        return rows
    ids = tokenizer(rows["text"][:], add_special_tokens=False).input_ids
    return add_columns(rows, Dataset.from_dict({"phoneme_ids": ids}, Features({"phoneme_ids": List(Value("int64"))})))


def build(run: StageRun) -> CharacterEncoderTrainer:
    """The trainer of this stage."""
    settings, data = run.settings, run.settings.data
    with settings.training.main_process_first(desc="data"):
        rows, eval_rows, augmenter = data.train_rows(), data.eval_rows(), data.augmenter(settings.augmentation)
    tokenizer = character_tokenizer(rows["text"][:])
    extractor = settings.model.build_feature_extractor(rows)
    model = settings.model.build(len(tokenizer))
    settings.model.prune(model.audio_tower, extractor, rows)
    return CharacterEncoderTrainer(
        model,
        settings.training,
        data_collator=CTCCollator(extractor, augmenter),
        train_dataset=rows,
        eval_dataset=eval_rows,
        processing_class=tokenizer,
    )


def save(trainer: CharacterEncoderTrainer, run: StageRun) -> None:
    """Save the encoder, which is published first where encoders are, and what it was trained with."""
    trainer.publish_final_snapshot()
    weights = trainer.accelerator.get_state_dict(trainer.model)
    if trainer.is_world_process_zero():
        trainer.save_encoder(run.output_dir, weights)
        model = trainer.accelerator.unwrap_model(trainer.model)
        model.save_pretrained(run.output_dir / CHARACTERS, state_dict=weights)
        trainer.processing_class.save_pretrained(run.output_dir / CHARACTERS)
        trainer.data_collator.feature_extractor.save_pretrained(run.output_dir / CHARACTERS)
        write_training_record(trainer, run.output_dir)


STAGE = TrainingStage(
    {
        "data": CharacterDataSection,
        "augmentation": AugmentationConfig,
        "model": EncoderModelSection,
        "training": EncoderPretrainingConfig,
    },
    build,
    save,
    check_settings,
)
