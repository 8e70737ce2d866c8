# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the supervised stages share: they differ in what is frozen and in their rows, not in how they train.

TRL's `SFTTrainer` computes loss, token accuracy and entropy over the transcription; evaluation here is by generation.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer
from trl.models import unwrap_model_for_generation

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor

from .augmentation import AugmentationConfig
from .base import SpeechArguments, SpeechTrainerMixin
from .collation import TranscriptionCollator
from .evaluation import score_transcripts
from .settings import read_sections
from .stage import DataSection, run_trainer, start_stage, write_record


@dataclass
class ASRSFTConfig(SpeechArguments, SFTConfig):
    """Arguments of the supervised stages: those of TRL's `SFTConfig` and [`~base.SpeechArguments`], and:

    Args:
        language_prompt_probability: Share of training examples whose prompt names the language, so that a request for
            a language is honoured at inference.
        max_new_tokens: Longest transcription generated in evaluation, in tokens.
    """

    language_prompt_probability: float = field(default=0.3, metadata={"help": "Share of prompts with a language."})
    max_new_tokens: int = field(default=128, metadata={"help": "Longest transcription in evaluation."})
    # Unlike TRL: small models and CPUs are the default, recipes for GPUs switch these on.
    bf16: bool | None = field(default=False, metadata={"help": "Compute in bfloat16 where it is safe."})
    gradient_checkpointing: bool = field(default=False, metadata={"help": "Save memory by computing twice."})
    # Rows become model inputs in the collator.
    dataset_kwargs: dict[str, Any] | None = field(
        default_factory=lambda: {"skip_prepare_dataset": True}, metadata={"help": "Must stay as it is."}
    )
    max_length: int | None = field(default=None, metadata={"help": "Must stay None: nothing is cut."})

    def __post_init__(self):
        super().__post_init__()
        if self.dataset_kwargs != {"skip_prepare_dataset": True}:
            raise ValueError("dataset_kwargs has no effect here: rows become model inputs in the collator.")
        if self.max_length is not None:
            raise ValueError("max_length would cut transcriptions: bound the audio with data.max_duration instead.")
        if not 0 <= self.language_prompt_probability <= 1:
            raise ValueError(f"language_prompt_probability is a share, got {self.language_prompt_probability}.")


class ASRSFTTrainer(SpeechTrainerMixin, SFTTrainer):
    """Next-token training of [`EntropyASRForConditionalGeneration`] on speech; evaluation reports `wer` and `cer`.

    Args:
        model: The model to train.
        args: [`ASRSFTConfig`] of the stage.
        processing_class: The model's [`EntropyASRProcessor`].
        train_dataset: Rows of [`~sources.load_sources`].
        data_collator: [`~collation.TranscriptionCollator`], by default without augmentation; its processor and share
            of languages in prompts are set here.
        **kwargs: As for TRL's `SFTTrainer`, `peft_config` among them.
    """

    def __init__(self, model, args: ASRSFTConfig, *, processing_class: EntropyASRProcessor, **kwargs):
        collator = kwargs.pop("data_collator", None) or TranscriptionCollator(processing_class.feature_extractor)
        share = args.language_prompt_probability
        collator = replace(collator, processor=processing_class, language_prompt_probability=share)
        kwargs.setdefault("compute_metrics", self._recognition_metrics)
        if args.ddp_find_unused_parameters is None:
            args.ddp_find_unused_parameters = False
        super().__init__(model, args, processing_class=processing_class, data_collator=collator, **kwargs)

    def get_eval_dataloader(self, eval_dataset=None):
        """As in [`~base.SpeechTrainerMixin`]; remembers the rows, whose texts the metrics compare with."""
        named = isinstance(eval_dataset, str)
        rows = self.eval_dataset[eval_dataset] if named else eval_dataset
        self._evaluated_rows = self.eval_dataset if rows is None else rows
        return super().get_eval_dataloader(eval_dataset)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """Loss and greedy transcription of a batch: `(loss, generated ids, row numbers)`."""
        row_numbers = inputs.pop("row_numbers")
        prompts = {"input_ids": inputs.pop("prompt_ids"), "attention_mask": inputs.pop("prompt_mask")}
        speech = {name: inputs[name] for name in ("input_features", "input_features_mask")}
        loss, _, _ = super().prediction_step(model, inputs, prediction_loss_only=True, ignore_keys=ignore_keys)
        if prediction_loss_only:
            return loss, None, None
        # Not through _prepare_inputs: what the loss needs from the batch is already taken out there.
        prompts = {name: tensor.to(self.args.device) for name, tensor in {**prompts, **speech}.items()}
        with torch.no_grad(), unwrap_model_for_generation(model, self.accelerator) as unwrapped:
            generated = unwrapped.generate(
                **prompts, max_new_tokens=self.args.max_new_tokens, do_sample=False, use_cache=True
            )
        return loss, generated[:, prompts["input_ids"].shape[1] :], row_numbers.to(self.args.device)

    def _recognition_metrics(self, prediction) -> dict[str, float]:
        processor = self.processing_class
        ids = np.where(prediction.predictions < 0, processor.end_of_text_id, prediction.predictions)
        # Several processes may have seen a row twice to have even batches.
        hypotheses = dict(zip(prediction.label_ids.reshape(-1).tolist(), processor.batch_decode(ids), strict=True))
        rows = self._evaluated_rows.select_columns(["text", "language"])[sorted(hypotheses)]
        score = score_transcripts(rows["text"], [hypotheses[row] for row in sorted(hypotheses)], rows["language"])
        rates = {"wer": score.wer, "cer": score.cer, "nonempty_share": score.nonempty_share}
        return {name: rate for name, rate in rates.items() if rate is not None}


@dataclass
class SFTModelSection:
    """Section `model` of a supervised stage.

    Args:
        path: A full model to go on with (folder or Hub id). Otherwise, to join two checkpoints:
        encoder: A CTC model of stage 1, or any speech encoder of transformers, with its feature extractor.
        language_model: A causal language model with its tokenizer.
    """

    path: str | None = None
    encoder: str | None = None
    language_model: str | None = None

    def __post_init__(self):
        joins = self.encoder is not None and self.language_model is not None
        if (self.path is not None) == joins or (self.path is not None and (self.encoder or self.language_model)):
            raise ValueError("model: give either `path`, or both `encoder` and `language_model`.")

    def build(self) -> tuple[EntropyASRForConditionalGeneration, EntropyASRProcessor]:
        """The model to train, in float32, and its processor."""
        if self.path is not None:
            model = EntropyASRForConditionalGeneration.from_pretrained(self.path, dtype=torch.float32)
            return model, EntropyASRProcessor.from_pretrained(self.path)
        return join_components(self.encoder, self.language_model)


def join_components(
    encoder: str, language_model: str
) -> tuple[EntropyASRForConditionalGeneration, EntropyASRProcessor]:
    """Full model and processor from a saved speech encoder and a saved language model with their preprocessors."""
    tokenizer = EntropyASRProcessor.prepare_tokenizer(AutoTokenizer.from_pretrained(language_model))
    model = EntropyASRForConditionalGeneration.from_components(
        encoder,
        language_model,
        audio_token_id=tokenizer.convert_tokens_to_ids("<|audio|>"),
        vocab_size=len(tokenizer),
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
    )
    model.generation_config.update(pad_token_id=tokenizer.pad_token_id, do_sample=False)
    return model, EntropyASRProcessor.from_components(encoder, tokenizer, model.config)


def sft_sections(config_class: type) -> dict[str, type]:
    """Sections of a supervised stage that is trained with these arguments."""
    return {
        "data": DataSection,
        "augmentation": AugmentationConfig,
        "model": SFTModelSection,
        "lora": LoraConfig,
        "training": config_class,
    }


def run_sft(
    trainer_class: type, sections: dict[str, type], stage: str, section: dict[str, Any], output_dir: Path, seed: int
) -> None:
    """Run a supervised stage from its settings; see [`~recipe.run_stage`]."""
    settings = read_sections(section, sections, output_dir, seed, stage)
    data, args = settings.data, settings.training
    start_stage(output_dir, seed)

    model, processor = settings.model.build()
    with args.main_process_first(desc="data"):
        train_rows, eval_rows, augmenter = data.train_rows(), data.eval_rows(), data.augmenter(settings.augmentation)
    trainer = trainer_class(
        model,
        args,
        processing_class=processor,
        data_collator=TranscriptionCollator(processor.feature_extractor, augmenter),
        train_dataset=train_rows,
        eval_dataset=eval_rows,
        peft_config=settings.lora if "lora" in section else None,
    )
    results = run_trainer(trainer, output_dir)
    trained = trainer.accelerator.unwrap_model(trainer.model)
    if "lora" in section:
        # The next stage starts from a plain model; adapters stay in the checkpoints.
        trained = trained.merge_and_unload()
    # Training has no use for the cache and switches it off; generation without it is several times slower.
    trained.generation_config.use_cache = True
    trained.config.use_cache = trained.config.get_text_config().use_cache = True
    if trainer.is_world_process_zero():
        trained.save_pretrained(output_dir)
        processor.save_pretrained(output_dir)
        write_record(output_dir, stage, section, {"seed": seed, **results})
    trainer.accelerator.wait_for_everyone()
