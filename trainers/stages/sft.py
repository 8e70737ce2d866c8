# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the supervised stages share: they differ in what is frozen and in their rows, not in how they train.

TRL's `SFTTrainer` computes loss, token accuracy and entropy over the transcription; evaluation here is by generation.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from datasets import Dataset, IterableDataset
from peft import LoraConfig, PeftModel
from torch import nn
from transformers import FeatureExtractionMixin, Trainer
from trl import SFTConfig, SFTTrainer

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRForCTC, EntropyASRProcessor
from entropy_asr.modeling.ledger_entropy_asr import document_start
from entropy_asr.modeling.speech_models_entropy_asr import extract_encoder, load_feature_extractor, load_speech_model

from ..data.augmentation import AugmentationConfig
from ..data.collation import TranscriptionCollator
from ..data.section import DataSection
from ..runs.settings import SettingsError, check_types, typed
from ..training.base import SpeechArguments, SpeechTrainerMixin, refuse_unused
from ..training.encoder_swaps import PARTS
from ..training.label_positions import LabelPositions
from ..training.recognition import RecognitionEvaluationMixin
from ..training.sharding import shares_weights, whole_state
from ..training.shared_prompts import longest_beginning, share_prompts
from ..training.snapshots import first_snapshot
from ..training.stage_run import StageRun, TrainingStage
from ..training.thin_saving import (
    AdapterArguments,
    ThinSavingMixin,
    below_adapters,
    check_adapters,
    save_with_adapters,
)
from ..training.training_record import write_training_record


IN_THE_COLLATOR = "rows become model inputs in the collator"
ONLY_TRANSCRIPTS = "the loss is always that of the transcription alone"
LIKE_DURATIONS = "utterances of like duration share a batch, within max_batch_duration"
# Arguments of TRL that would have no effect, the values that they must keep, and why.
UNUSED_ARGUMENTS = {
    "dataset_kwargs": ({"skip_prepare_dataset": True}, IN_THE_COLLATOR),
    "dataset_num_proc": (None, f"{IN_THE_COLLATOR}, in dataloader_num_workers processes"),
    "pad_to_multiple_of": ("auto", IN_THE_COLLATOR),
    "max_length": (None, "it would cut transcriptions; bound the audio with data.max_duration"),
    "truncation_mode": ("keep_start", "nothing is cut"),
    "assistant_only_loss": (False, ONLY_TRANSCRIPTS),
    "packing": (False, LIKE_DURATIONS),
    "eval_packing": (None, LIKE_DURATIONS),
    "packing_strategy": ("bfd", LIKE_DURATIONS),
    "padding_free": (False, LIKE_DURATIONS),
    "shuffle_dataset": (False, "batches are shuffled in each epoch anyway"),
    "eos_token": (None, "<|im_end|> ends a transcription, as the processor has it"),
    "pad_token": (None, "the processor's tokenizer has it"),
    "chat_template_path": (None, "the processor has the prompt that the model knows"),
    "model_init_kwargs": (None, "the model is loaded before the trainer gets it"),
    "trust_remote_code": (False, "the model is loaded before the trainer gets it"),
}


@dataclass
class ASRSFTConfig(AdapterArguments, SpeechArguments, SFTConfig):
    """Arguments of the supervised stages: those of TRL's `SFTConfig`, [`~base.SpeechArguments`] and
    [`~thin_saving.AdapterArguments`], and:

    Args:
        language_prompt_probability: Share of training examples whose prompt names the language, so that a request for
            a language is honoured at inference.
        max_new_tokens: Longest transcription generated in evaluation, in tokens.
        text_only_share: Share of the rows of a batch whose transcript is predicted a second time without prompt and
            audio, so that what is left is still a language model: it is the prior of the ledger. Not in the paper.
        share_prompts: Compute what all prompts of a batch begin with once, see [`~shared_prompts`]. None: where it is
            possible; True refuses to train where it is not.

    `dataset_text_field` is the column with the transcripts of data sets that are given to the trainer.
    """

    language_prompt_probability: float = field(default=0.3, metadata={"help": "Share of prompts with a language."})
    max_new_tokens: int = field(default=128, metadata={"help": "Longest transcription in evaluation."})
    text_only_share: float = field(default=0.0, metadata={"help": "Share of rows that are text for once."})
    share_prompts: bool | None = field(default=None, metadata={"help": "Compute common beginnings of prompts once."})
    # Unlike TRL: small models and CPUs are the default, recipes for GPUs switch these on.
    bf16: bool | None = field(default=False, metadata={"help": "Compute in bfloat16 where it is safe."})
    gradient_checkpointing: bool | None = field(default=None, metadata={"help": "Save memory by computing twice."})
    # Rows become model inputs in the collator.
    dataset_kwargs: dict[str, Any] | None = field(
        default_factory=lambda: {"skip_prepare_dataset": True}, metadata={"help": "Must stay as it is."}
    )
    max_length: int | None = field(default=None, metadata={"help": "Must stay None: nothing is cut."})

    def __post_init__(self):
        check_types(self)
        refuse_unused(self, UNUSED_ARGUMENTS)  # as given: TRL fills some of them in
        super().__post_init__()
        if self.completion_only_loss is False:
            raise ValueError("completion_only_loss=False cannot be honoured: audio has no tokens to predict.")
        if not 0 <= self.language_prompt_probability <= 1:
            raise ValueError(f"language_prompt_probability is a share, got {self.language_prompt_probability}.")
        if not 0 <= self.text_only_share <= 1:
            raise ValueError(f"text_only_share is a share, got {self.text_only_share}.")
        if self.text_only_share and self.ddp_find_unused_parameters:
            # DDP would look for them in the pass over the text, and take those of the encoder for unused.
            raise ValueError("ddp_find_unused_parameters=True does not go together with text_only_share.")


class ASRSFTTrainer(RecognitionEvaluationMixin, ThinSavingMixin, SpeechTrainerMixin, SFTTrainer):
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
        collator = replace(
            collator,
            processor=processing_class,
            language_prompt_probability=share,
            chunk_sizes=args.chunk_sizes,
            left_chunks=args.left_chunks,
        )
        kwargs.setdefault("compute_metrics", self._recognition_metrics)
        if args.ddp_find_unused_parameters is None:
            args.ddp_find_unused_parameters = False
        super().__init__(model, args, processing_class=processing_class, data_collator=collator, **kwargs)
        outer = self.accelerator.unwrap_model(self.model)
        inner = outer.get_base_model() if isinstance(outer, PeftModel) else outer
        inner.processor = processing_class
        LabelPositions(outer, inner.base_model)
        self._share_prompts(inner.model.language_model)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """TRL's loss and, where `text_only_share` asks for it, that of the same transcripts without their audio."""
        labels = inputs["labels"]
        result = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if not (self.args.text_only_share and model.training):
            return result
        loss, outputs = result if return_outputs else (result, None)
        # From all over the batch: rows may lie in it by their length.
        count = max(1, round(self.args.text_only_share * len(labels)))
        chosen = torch.linspace(0, len(labels) - 1, count).round().long()
        texts = text_only(labels[chosen.to(labels.device)], document_start(self.processing_class.tokenizer))
        alone = model(**texts, use_cache=False, fused_lm_head=True)
        # A mean over tokens, of which each step of an accumulation has its own.
        steps = 1 if num_items_in_batch is None else self.current_gradient_accumulation_steps
        text_loss = -alone.log_probs.sum() / alone.label_mask.sum() / steps
        loss = loss + self.args.text_only_share * text_loss
        return (loss, outputs) if return_outputs else loss

    def _share_prompts(self, language_model: nn.Module) -> None:
        parallelism, fsdp = self.accelerator.parallelism_config, getattr(self.accelerator.state, "fsdp_plugin", None)
        # Layers computed a second time, for their gradients, would add to the keys and values once more.
        recomputes = self.args.gradient_checkpointing or (fsdp is not None and fsdp.activation_checkpointing)
        hindrances = {
            "activation (gradient) checkpointing computes layers twice": recomputes,
            "torch_compile wants sequences in one piece": self.args.torch_compile,
            "context parallelism cuts sequences up": parallelism is not None and parallelism.cp_enabled,
            "not all layers of this language model keep what came before": longest_beginning(language_model) < 1,
        }
        found = next((hindrance for hindrance, is_there in hindrances.items() if is_there), None)
        if found and self.args.share_prompts:
            raise ValueError(f"share_prompts: {found}.")
        if found is None and self.args.share_prompts is not False:
            share_prompts(language_model, always_in_two=shares_weights(self))


def text_only(labels: torch.Tensor, start: int) -> dict[str, torch.Tensor]:
    """Inputs of a language model for transcripts alone, as documents.

    Args:
        labels: `(B, T)`, -100 where nothing is predicted.
        start: Token that documents begin with.

    Returns:
        `input_ids`, `attention_mask` and `labels`, `(B, L)`, padded on the right.
    """
    targets = [nn.functional.pad(row[row >= 0], (1, 0), value=-100) for row in labels]
    documents = [nn.functional.pad(row[1:], (1, 0), value=start) for row in targets]
    pad = partial(nn.utils.rnn.pad_sequence, batch_first=True)
    return {
        "input_ids": pad(documents, padding_value=start),
        "attention_mask": pad([torch.ones_like(row) for row in documents]),
        "labels": pad(targets, padding_value=-100),
    }


@dataclass
@typed
class SFTModelSection:
    """Section `model` of a supervised stage.

    Args:
        path: A full model to go on with (folder or Hub id). Otherwise, to join two checkpoints:
        encoder: A CTC model of stage 1, a full model, or any speech encoder of transformers, each with its feature
            extractor. Beside `path`: a CTC model whose encoder and phoneme head take the place of the full model's.
        encoder_snapshots: In place of `encoder`: folder that encoder pretraining, which goes on meanwhile, publishes
            its encoders in ([`~snapshots.EncoderSnapshots`]). The first one is waited for and taken.
        language_model: A causal language model with its tokenizer.
    """

    path: str | None = None
    encoder: str | None = None
    encoder_snapshots: str | None = None
    language_model: str | None = None

    def __post_init__(self):
        encoders = (self.encoder is not None) + (self.encoder_snapshots is not None)
        joins = encoders == 1 and self.language_model is not None
        if (self.path is not None) == joins or (self.path and (self.encoder_snapshots or self.language_model)):
            raise ValueError(
                "model: give either `path` (and `encoder` to exchange its encoder), or both `encoder` (or "
                "`encoder_snapshots`) and `language_model`."
            )

    @property
    def is_saved(self) -> bool:
        """Whether the model lies somewhere as it is: adapters can name it."""
        return self.path is not None and self.encoder is None

    def build(self, output_dir: Path | None = None) -> tuple[EntropyASRForConditionalGeneration, EntropyASRProcessor]:
        """The model to train, in float32, and its processor.

        Args:
            output_dir: Folder of the stage, where an encoder of `encoder_snapshots` is kept.
        """
        if self.path is not None:
            model = EntropyASRForConditionalGeneration.from_pretrained(self.path, dtype=torch.float32)
            processor = EntropyASRProcessor.from_pretrained(self.path)
            if self.encoder is not None:
                exchange_encoder(model, processor, self.encoder)
            return model, processor
        encoder = self.encoder
        if self.encoder_snapshots is not None:
            encoder = str(first_snapshot(self.encoder_snapshots, output_dir).folder)
        return join_components(encoder, self.language_model)


def exchange_encoder(model: EntropyASRForConditionalGeneration, processor: EntropyASRProcessor, encoder: str) -> None:
    """Put encoder and phoneme head of a CTC model into a full model, as a swap does ([`~encoder_swaps`]).

    Args:
        model: Full model, changed in place.
        processor: Its processor.
        encoder: Folder or Hub id of an [`EntropyASRForCTC`] with its feature extractor.

    Raises:
        SettingsError: the encoder takes other features or other phonemes, or has another form.
    """
    if feature_settings(load_feature_extractor(encoder)) != feature_settings(processor.feature_extractor):
        raise SettingsError(f"model.encoder {encoder} takes other features than the model it is to go into.")
    try:
        source = load_speech_model(encoder, torch.float32)
        if not (model.config.phoneme_head_trained or hasattr(source, "phoneme_head")):
            # Neither knows phonemes: the encoder alone is exchanged.
            model.model.audio_tower.load_state_dict(extract_encoder(source).state_dict())
            return
        if getattr(source, "phoneme_head", None) is None or not getattr(source.config, "phoneme_head_trained", True):
            raise ValueError("it has no trained phoneme head.")
        source = EntropyASRForCTC.from_encoder(source, model.config.phoneme_vocab_size)
        for part, place in PARTS.items():
            model.get_submodule(place).load_state_dict(source.get_submodule(part).state_dict())
        model.config.phoneme_head_trained = True
    except (RuntimeError, ValueError) as error:
        raise SettingsError(f"model.encoder {encoder} does not fit into the model: {error}") from error


def feature_settings(extractor: FeatureExtractionMixin) -> dict[str, Any]:
    """Settings of a feature extractor, without how and with what it was saved."""
    apart = ("auto_map", "processor_class", "feature_extractor_type")
    return {name: value for name, value in extractor.to_dict().items() if name not in apart}


def join_components(
    encoder: str, language_model: str
) -> tuple[EntropyASRForConditionalGeneration, EntropyASRProcessor]:
    """Full model and processor from a saved speech encoder and a saved language model with their preprocessors."""
    model = EntropyASRForConditionalGeneration.from_components(encoder, language_model, dtype=torch.float32)
    model.generation_config.update(do_sample=False)
    return model, model.processor


@dataclass
class SFTData:
    """Rows of a supervised stage, and how they become batches.

    Args:
        train_rows: Rows of [`~sources.load_sources`].
        eval_rows: The same to evaluate on; a mapping for several evaluation sets, None for none.
        collator: Makes batches of either.
    """

    train_rows: Dataset | IterableDataset
    eval_rows: Dataset | dict[str, Dataset] | None
    collator: TranscriptionCollator


def sft_sections(config_class: type) -> dict[str, type]:
    """Sections of a supervised stage that is trained with these arguments."""
    return {
        "data": DataSection,
        "augmentation": AugmentationConfig,
        "model": SFTModelSection,
        "lora": LoraConfig,
        "training": config_class,
    }


def transcription_data(settings: SimpleNamespace, processor: EntropyASRProcessor) -> SFTData:
    """What a stage trains and is evaluated on by its sections `data` and `augmentation`."""
    data = settings.data
    train_rows, eval_rows, augmenter = data.train_rows(), data.eval_rows(), data.augmenter(settings.augmentation)
    return SFTData(train_rows, eval_rows, TranscriptionCollator(processor.feature_extractor, augmenter))


def build_sft(
    trainer_class: type,
    run: StageRun,
    prepare_data: Callable[[SimpleNamespace, EntropyASRProcessor], SFTData] = transcription_data,
) -> ASRSFTTrainer:
    """The trainer of a supervised stage.

    Args:
        trainer_class: Its class.
        run: The stage's run.
        prepare_data: Makes its rows and their collator, of the settings and the processor.
    """
    settings = run.settings
    model, processor = stage_model(run)
    with settings.training.main_process_first(desc="data"):
        data = prepare_data(settings, processor)
    return trainer_class(
        model,
        settings.training,
        processing_class=processor,
        data_collator=data.collator,
        train_dataset=data.train_rows,
        eval_dataset=data.eval_rows,
        peft_config=run.given("lora"),
    )


def sft_stage(trainer_class: type, config_class: type) -> TrainingStage:
    """A supervised stage that differs from the others in its trainer and the trainer's arguments alone."""
    return TrainingStage(sft_sections(config_class), partial(build_sft, trainer_class), save_sft)


def stage_model(run: StageRun) -> tuple[EntropyASRForConditionalGeneration, EntropyASRProcessor]:
    """The model that a stage trains, and its processor.

    Raises:
        SettingsError: adapters alone are to be saved, and there are none, or nothing holds the model below them.
    """
    settings = run.settings
    if settings.training.save_adapters:
        check_adapters(run.given("lora"), settings.training.save_thin)
        if not settings.model.is_saved:
            problem = "adapters lie beside a saved model, this one is put together here: give `model: {path}` alone."
            raise SettingsError(f"save_adapters: {problem}", ("training", "save_adapters"))
    return settings.model.build(run.output_dir)


def save_sft(trainer: Trainer, run: StageRun) -> None:
    """Save a trainer's full model as the stage's result; see [`save_trained`]."""
    save_trained(trainer, trainer.processing_class, run.output_dir)


def save_trained(trainer: Trainer, processor: EntropyASRProcessor, output_dir: Path) -> None:
    """Save what a trainer of the full model has trained, with its processor, as [`~thin_saving.AdapterArguments`] say.

    Without these it is a plain model.
    """
    trained = trainer.accelerator.unwrap_model(trainer.model)
    args, is_adapted = trainer.args, isinstance(trained, PeftModel)
    apart = is_adapted and (args.save_thin or args.save_adapters)
    if is_adapted and not apart:
        # The next stage starts from a plain model; adapters stay in the checkpoints.
        trained = trained.merge_and_unload()
    plain = below_adapters(trained)
    # Training has no use for the cache and switches it off; generation without it is several times slower.
    plain.generation_config.use_cache = True
    plain.config.use_cache = plain.config.get_text_config().use_cache = True
    # Under FSDP2 no process has whole tensors, and all must take part in putting them together.
    weights = whole_state(trained) if trainer.is_fsdp_enabled else None
    if trainer.is_world_process_zero():
        if apart and args.save_thin:
            save_with_adapters(trained, output_dir)
        elif apart:
            # Rows that embeddings have got are the model's, below.
            trained.save_pretrained(output_dir, state_dict=weights, save_embedding_layers=False)
        else:
            trained.save_pretrained(output_dir, state_dict=weights)
        processor.save_pretrained(output_dir)
        write_training_record(trainer, output_dir)
