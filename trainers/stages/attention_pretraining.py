# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""First stage of the conventional pipeline: the encoder learns with an attention decoder that writes characters.

This is the prevailing way that the paper (arXiv 2604.08003) argues against: it leaves the encoder's output of high
entropy and entangled with meaning. Only the encoder goes on to the next stage, as after CTC pretraining.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import (
    BartConfig,
    BartForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    SpeechEncoderDecoderModel,
    Trainer,
    TrainingArguments,
)
from trl.models import unwrap_model_for_generation

from entropy_asr.modeling.components_entropy_asr import build_audio_tower
from entropy_asr.modeling.configuration_entropy_asr import EntropyASRConfig
from entropy_asr.modeling.encoder_rules_entropy_asr import encoder_length_stages, output_length
from entropy_asr.modeling.prompts_entropy_asr import encode_texts
from entropy_asr.modeling.speech_models_entropy_asr import extract_encoder, load_speech_model

from ..data.augmentation import AugmentationConfig
from ..data.collation import FeatureCollator
from ..data.section import DataSection
from ..runs.settings import SettingsError, check_names
from ..training.base import SpeechArguments, SpeechTrainerMixin
from ..training.modules import specialize
from ..training.recognition import RecognitionEvaluationMixin
from ..training.stage_run import StageRun, TrainingStage
from .encoder_pretraining import EncoderModelSection


PAD, START, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
ENCODER = "encoder."


@dataclass
class AttentionPretrainingConfig(SpeechArguments, TrainingArguments):
    """Arguments of [`AttentionPretrainingTrainer`]: those of `TrainingArguments` and [`~base.SpeechArguments`], and:

    Args:
        max_new_tokens: Longest transcription generated in evaluation, in characters.
    """

    max_new_tokens: int = field(default=256, metadata={"help": "Longest transcription in evaluation."})
    learning_rate: float = field(default=5e-4, metadata={"help": "Peak learning rate."})


class MasksByLength:
    """Goes before the class of an encoder; tells transformers, which has no formula for it, which frames are valid."""

    # Named as in wav2vec 2.0's family, the only one that transformers asks.
    def _get_feature_vector_attention_mask(self, num_frames: int, attention_mask: torch.Tensor) -> torch.Tensor:
        lengths = output_length(attention_mask.long().sum(-1), encoder_length_stages(self.config))
        return torch.arange(num_frames, device=attention_mask.device)[None, :] < lengths[:, None]


class AttentionEncoderDecoder(SpeechEncoderDecoderModel):
    """Any speech encoder with an attention decoder over characters, from transformers' composition of the two.

    Args:
        encoder: Ours, or an encoder of transformers.
        decoder: A causal language model with cross-attention.
    """

    def __init__(self, config=None, encoder: PreTrainedModel | None = None, decoder: PreTrainedModel | None = None):
        super().__init__(config, encoder, decoder)
        specialize(self.encoder, MasksByLength)


class AttentionPretrainingTrainer(RecognitionEvaluationMixin, SpeechTrainerMixin, Trainer):
    """Trains [`AttentionEncoderDecoder`] on rows of [`~sources.load_sources`]; evaluation reports `wer` and `cer`.

    Args:
        model: The model.
        args: [`AttentionPretrainingConfig`].
        data_collator: [`CharacterCollator`], whose tokenizer is the decoder's.
        **kwargs: As for `Trainer`.
    """

    _tag_names = ["entropy-asr", "attention-pretraining"]
    _encoder_name = "encoder"
    # The loss of a batch is divided by the characters of the whole optimizer step, in compute_loss.
    model_accepts_loss_kwargs = True

    def __init__(
        self,
        model: AttentionEncoderDecoder,
        args: AttentionPretrainingConfig,
        data_collator: "CharacterCollator",
        **kwargs,
    ):
        kwargs.setdefault("compute_metrics", self._recognition_metrics)
        kwargs.setdefault("processing_class", data_collator.tokenizer)
        data_collator = replace(data_collator, chunk_sizes=args.chunk_sizes, left_chunks=args.left_chunks)
        super().__init__(model, args, data_collator=data_collator, **kwargs)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As in `Trainer`, with the encoder's feature extractor."""
        super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            self.data_collator.feature_extractor.save_pretrained(output_dir or self.args.output_dir)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Cross-entropy per character of the optimizer step."""
        labels = inputs.pop("labels")
        start, pad = self.model_start_and_pad
        decoder_input_ids = labels.masked_fill(labels == -100, pad).roll(1, dims=-1)
        decoder_input_ids[:, 0] = start
        outputs = model(**inputs, decoder_input_ids=decoder_input_ids, use_cache=False)
        loss = nn.functional.cross_entropy(
            outputs.logits.float().flatten(0, 1),
            labels.flatten(),
            ignore_index=-100,
            reduction="sum",
            label_smoothing=self.args.label_smoothing_factor,
        )
        loss = loss / ((labels != -100).sum() if num_items_in_batch is None else num_items_in_batch)
        # DDP averages gradients over processes, and every process divides by the characters of all of them.
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    @property
    def model_start_and_pad(self) -> tuple[int, int]:
        """Token that the decoder starts from, and token of padding."""
        config = self.accelerator.unwrap_model(self.model).config
        return config.decoder_start_token_id, config.pad_token_id

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """Loss and greedy transcription of a batch: `(loss, generated ids, row numbers)`."""
        row_numbers = inputs.pop("row_numbers")
        speech = {name: inputs[name].to(self.args.device) for name in ("input_features", "attention_mask")}
        loss = self._evaluation_loss(model, inputs, ignore_keys)
        if prediction_loss_only:
            return loss, None, None
        with torch.no_grad(), unwrap_model_for_generation(model, self.accelerator) as unwrapped:
            generated = unwrapped.generate(
                inputs=speech["input_features"],
                attention_mask=speech["attention_mask"],
                max_new_tokens=self.args.max_new_tokens,
                do_sample=False,
            )
        return loss, generated[:, 1:], row_numbers.to(self.args.device)

    def _decode(self, ids: np.ndarray) -> list[str]:
        ids = np.where(ids < 0, self._end_of_text_id, ids)
        return self.processing_class.batch_decode(ids, skip_special_tokens=True)

    @property
    def _end_of_text_id(self) -> int:
        return self.processing_class.pad_token_id

    def _text_ids(self, text: str) -> list[int]:
        return self.processing_class(text).input_ids


@dataclass
class CharacterCollator(FeatureCollator):
    """Features and characters.

    Args:
        tokenizer: Of [`character_tokenizer`].
        numbers: Also give row numbers, for evaluation by generation.
    """

    tokenizer: PreTrainedTokenizerFast | None = None
    numbers: bool = False

    def evaluation(self) -> "CharacterCollator":
        """The same collator without augmentation, with row numbers."""
        return replace(self, augmenter=None, chunk_sizes=[], numbers=True)

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Features and their mask, and `labels` `(batch_size, num_characters)`, padded with -100; drawn chunks."""
        end = self.tokenizer.eos_token_id
        texts = encode_texts(self.tokenizer, [row["text"] for row in rows])
        labels = [torch.tensor([*ids, end]) for ids in texts]
        padded = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)
        numbers = {"row_numbers": torch.tensor([row["index"] for row in rows])} if self.numbers else {}
        return {**self.features(rows), "labels": padded, **self.draw_chunks(rows), **numbers}


def character_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """One token for each character of the texts, blanks among them.

    Example:
        >>> tokenizer = character_tokenizer(["go on", "去"])
        >>> tokenizer.decode(tokenizer("no 去").input_ids)
        'no 去'
    """
    characters = sorted({character for text in texts for character in text})
    vocabulary = {token: index for index, token in enumerate([PAD, START, END, UNKNOWN, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )


@dataclass
class AttentionModelSection(EncoderModelSection):
    """Section `model` of this stage: that of encoder pretraining, and:

    Args:
        encoder: Fields of [`EntropyASREncoderConfig`] in place of the preset's.
        decoder_layers: Layers of the decoder; its width is the encoder's.
        decoder_dropout: Dropout of the decoder.
        decoder: A decoder to go on with: the folder `decoder` of an earlier stage, whose characters must be those of
            this one's rows. Its layers and dropout stay what they are.
    """

    encoder: dict[str, Any] = field(default_factory=dict)
    decoder_layers: int = 6
    decoder_dropout: float = 0.1
    decoder: str | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.decoder is not None and (self.decoder_layers, self.decoder_dropout) != (6, 0.1):
            raise SettingsError(
                "model: `decoder_layers` and `decoder_dropout` are of a new decoder; `decoder` has its own."
            )
        if self.encoder and self.preset is None:
            raise SettingsError(f"model: `encoder` changes a preset; {self.path} has its own.")
        if self.preset is not None:
            known = getattr(EntropyASRConfig, self.preset)().audio_config.to_dict()
            check_names(self.encoder, known, "model.encoder")

    def build_encoder(self) -> PreTrainedModel:
        """The encoder to train, in float32."""
        if self.path is not None:
            return extract_encoder(load_speech_model(self.path, torch.float32), self.num_layers)
        audio_config = getattr(EntropyASRConfig, self.preset)().audio_config
        return build_audio_tower(type(audio_config)(**{**audio_config.to_dict(), **self.encoder}))

    def build_model(self, tokenizer: PreTrainedTokenizerFast) -> AttentionEncoderDecoder:
        """Encoder and a decoder that writes the tokenizer's characters."""
        encoder = self.build_encoder()
        tokens = {"pad": tokenizer.pad_token_id, "bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id}
        model = AttentionEncoderDecoder(encoder=encoder, decoder=self.build_decoder(encoder.config, tokenizer, tokens))
        model.config.decoder_start_token_id, model.config.pad_token_id = tokens["bos"], tokens["pad"]
        model.generation_config.update(
            decoder_start_token_id=tokens["bos"],
            forced_eos_token_id=None,
            **{f"{name}_token_id": index for name, index in tokens.items()},
        )
        return model

    def build_decoder(
        self, encoder: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast, tokens: dict[str, int]
    ) -> BartForCausalLM:
        """A new decoder as wide as the encoder, or the one to go on with.

        Raises:
            SettingsError: that one writes other characters, or reads an encoder of another width.
        """
        width = encoder.hidden_size
        if self.decoder is not None:
            known = PreTrainedTokenizerFast.from_pretrained(self.decoder).get_vocab()
            decoder = BartForCausalLM.from_pretrained(self.decoder, dtype=torch.float32)
            if known != tokenizer.get_vocab() or decoder.config.d_model != width:
                raise SettingsError(
                    f"model.decoder {self.decoder} writes other characters than the rows have, or reads an encoder of "
                    "another width.",
                    ("model", "decoder"),
                )
            return decoder
        config = BartConfig(
            vocab_size=len(tokenizer),
            d_model=width,
            decoder_layers=self.decoder_layers,
            decoder_attention_heads=encoder.num_attention_heads,
            decoder_ffn_dim=4 * width,
            dropout=self.decoder_dropout,
            attention_dropout=self.decoder_dropout,
            is_decoder=True,
            add_cross_attention=True,
            **{f"{name}_token_id": index for name, index in tokens.items()},
        )
        return BartForCausalLM(config)


@dataclass
class CharacterDataSection(DataSection):
    """Section `data` of stages that write characters: as of the others, but without streams."""

    no_streams: ClassVar[dict[str, str]] = {
        **DataSection.no_streams,
        "train": "the characters to write are those of all rows",
    }


def build(run: StageRun) -> AttentionPretrainingTrainer:
    """The trainer of this stage."""
    settings, data = run.settings, run.settings.data
    with settings.training.main_process_first(desc="data"):
        rows, eval_rows, augmenter = data.train_rows(), data.eval_rows(), data.augmenter(settings.augmentation)
    tokenizer = character_tokenizer(rows["text"][:])
    extractor = settings.model.build_feature_extractor(rows)
    model = settings.model.build_model(tokenizer)
    settings.model.prune(model.encoder, extractor, rows)
    return AttentionPretrainingTrainer(
        model,
        settings.training,
        CharacterCollator(extractor, augmenter, tokenizer),
        train_dataset=rows,
        eval_dataset=eval_rows,
    )


def save(trainer: AttentionPretrainingTrainer, run: StageRun) -> None:
    """Make the folder that of a speech encoder with its feature extractor.

    The decoder and its characters go to `decoder` in it.
    """
    weights, collator = trainer.accelerator.get_state_dict(trainer.model), trainer.data_collator
    if trainer.is_world_process_zero():
        model = trainer.accelerator.unwrap_model(trainer.model)
        save_part(model.encoder, weights, ENCODER, run.output_dir)
        collator.feature_extractor.save_pretrained(run.output_dir)
        save_part(model.decoder, weights, "decoder.", run.output_dir / "decoder")
        collator.tokenizer.save_pretrained(run.output_dir / "decoder")


def save_part(part: PreTrainedModel, weights: dict[str, torch.Tensor], prefix: str, folder: Path) -> None:
    """Save a part of a model as a model of its own, with its share of the whole model's weights."""
    own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    part.save_pretrained(folder, state_dict=own)


STAGE = TrainingStage(
    {
        "data": CharacterDataSection,
        "augmentation": AugmentationConfig,
        "model": AttentionModelSection,
        "training": AttentionPretrainingConfig,
    },
    build,
    save,
)
