# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stage 1: the encoder learns sounds, with CTC on phoneme labels (paper, "Stages")."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from datasets import Dataset, IterableDataset, concatenate_datasets
from rapidfuzz.distance import Levenshtein
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, Trainer, TrainingArguments
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, PredictionOutput

from entropy_asr.modeling.configuration_entropy_asr import EntropyASRConfig, EntropyASRCTCConfig
from entropy_asr.modeling.ctc_entropy_asr import ctc_collapse
from entropy_asr.modeling.feature_extraction_entropy_asr import EntropyASRFeatureExtractor
from entropy_asr.modeling.modeling_entropy_asr_ctc import EntropyASRForCTC
from entropy_asr.modeling.processing_entropy_asr import extract_features
from entropy_asr.modeling.speech_models_entropy_asr import load_feature_extractor
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer

from ..data.augmentation import AugmentationConfig, SpeechAugmenter
from ..data.collation import CTCCollator
from ..data.phoneme_labels import add_phoneme_ids, measure_cmvn, some_waveforms
from ..data.section import DataSection
from ..runs.settings import SettingsError, typed
from ..training.base import SpeechArguments, SpeechTrainerMixin
from ..training.consistency import cr_ctc_loss, ramped_weight
from ..training.drift import DriftMonitor
from ..training.pruning import prune_feed_forward
from ..training.stage_run import StageRun, TrainingStage


logger = logging.getLogger(__name__)

# Rows that neurons are chosen by where no number is given.
PRUNING_ROWS = 300


@dataclass
class EncoderPretrainingConfig(SpeechArguments, TrainingArguments):
    """Arguments of [`EncoderPretrainingTrainer`]: those of `TrainingArguments` and [`~base.SpeechArguments`], and:

    > Consistency

    Args:
        consistency_weight: Weight of CR-CTC's consistency term (icefall's zipformer: 0.2); each utterance is then
            encoded in two independently masked views, which doubles a batch's memory. 0: plain CTC on one view.
        consistency_ramp_steps: First steps, in which that weight rises in a line from 0: an encoder that knows nothing
            yet would agree with itself on silence. 0: the whole weight from the first step on.

    > Encoders for the stages that train meanwhile (see [`~drift.DriftMonitor`])

    Args:
        snapshot_dir: Store to publish encoders in, on a file system that those stages see too; at the end the
            finished encoder. None: nothing is published.
        drift_reference_step: Step whose encoder is the first reference.
        drift_interval: Steps between two comparisons with the reference.
        drift_threshold: CKA to the reference below which an encoder is published and becomes the reference.
        drift_rows: Largest number of evaluation rows, evenly spaced, whose frames are compared.
        keep_snapshots: Number of newest snapshots that are kept, besides those in use and the final one. None: all.
    """

    consistency_weight: float = field(default=0.0, metadata={"help": "Weight of CR-CTC's consistency term."})
    consistency_ramp_steps: int = field(default=2000, metadata={"help": "First steps, in which that weight rises."})
    snapshot_dir: str | None = field(default=None, metadata={"help": "Store to publish encoders in."})
    drift_reference_step: int = field(default=1, metadata={"help": "Step of the first reference."})
    drift_interval: int = field(default=10_000, metadata={"help": "Steps between two comparisons."})
    drift_threshold: float = field(default=0.975, metadata={"help": "CKA below which an encoder is published."})
    drift_rows: int = field(default=1000, metadata={"help": "Largest number of rows compared on."})
    keep_snapshots: int | None = field(default=None, metadata={"help": "Number of snapshots kept; None: all."})

    def __post_init__(self):
        super().__post_init__()
        if not self.consistency_weight >= 0:
            raise ValueError(f"consistency_weight must not be negative, got {self.consistency_weight}.")
        if self.consistency_ramp_steps < 0:
            raise ValueError(f"consistency_ramp_steps must not be negative, got {self.consistency_ramp_steps}.")
        for name in ("drift_reference_step", "drift_interval", "drift_rows", "keep_snapshots"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 < self.drift_threshold <= 1:
            raise ValueError(f"drift_threshold is a CKA between 0 and 1, got {self.drift_threshold}.")
        if self.label_smoothing_factor:
            raise ValueError(
                f"CTC has no label smoothing: leave label_smoothing_factor={self.label_smoothing_factor} 0."
            )


class EncoderPretrainingTrainer(SpeechTrainerMixin, Trainer):
    """Trains [`EntropyASRForCTC`] on rows with `phoneme_ids` ([`add_phoneme_ids`]) and a [`~collation.CTCCollator`].

    The loss is the sum over utterances divided by the number of labels of the whole optimizer step, so that gradient
    accumulation, several devices and mixed lengths give the gradient of one big batch. Evaluation reports `per`, the
    phoneme error rate of greedy decoding; rows without `phoneme_ids` get them. `predict(rows)` gives, in the order of
    the rows, the best phoneme of each frame (0, blank, where there is none; [`ctc_collapse`] makes phonemes of them)
    and the rows' phonemes (-100 behind their end).
    """

    _tag_names = ["entropy-asr", "encoder-pretraining"]

    def __init__(
        self,
        model: EntropyASRForCTC,
        args: EncoderPretrainingConfig,
        data_collator: CTCCollator,
        *positional,
        **kwargs,
    ):
        check_views(args, None if data_collator.augmenter is None else data_collator.augmenter.config)
        model.config.ctc_loss_reduction = "sum"
        kwargs.setdefault("compute_metrics", self._phoneme_error_metrics)
        kwargs.setdefault("preprocess_logits_for_metrics", best_phonemes)
        collator = replace(
            data_collator,
            views=2 if args.consistency_weight else 1,
            chunk_sizes=args.chunk_sizes,
            left_chunks=args.left_chunks,
        )
        super().__init__(model, args, collator, *positional, **kwargs)
        self._consistency: float | torch.Tensor = 0.0
        # Step that it is summed up from; None until a batch is added.
        self._consistency_since: int | None = None
        self.drift_monitor = None
        if args.snapshot_dir is not None:
            self.drift_monitor = DriftMonitor(self, self._drift_rows())
            self.add_callback(self.drift_monitor)

    def get_eval_dataloader(self, eval_dataset=None) -> DataLoader:
        """As in [`~base.SpeechTrainerMixin`], with the labels of rows that have none."""
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        rows = self.eval_dataset[rows] if isinstance(rows, str) else rows
        return super().get_eval_dataloader(self._labelled(rows) if isinstance(rows, Dataset) else rows)

    def _shared_rows(self, rows, args=None):
        """Rows with labels too: those that have none get them of the built-in phonemes."""
        rows = super()._shared_rows(rows, args)
        return rows if rows is None or isinstance(rows, dict) else self._labelled(rows)

    def _labelled(self, rows: Dataset | IterableDataset) -> Dataset | IterableDataset:
        """Rows with labels; those that have some keep them."""
        if "phoneme_ids" in rows.column_names:
            return rows
        # Rows are looked at before `Trainer` has the tokenizer.
        return add_phoneme_ids(rows, getattr(self, "processing_class", None) or EntropyASRPhonemeTokenizer())

    def _drift_rows(self) -> Dataset:
        if self.eval_dataset is None:
            raise ValueError("snapshot_dir: encoders are compared on evaluation rows; give eval_dataset.")
        several = isinstance(self.eval_dataset, dict)
        return concatenate_datasets(list(self.eval_dataset.values())) if several else self.eval_dataset

    def train(self, *args, **kwargs):
        """As in `Trainer`; then the finished encoder is published, where encoders are."""
        output = super().train(*args, **kwargs)
        self.publish_final_snapshot()
        return output

    def publish_final_snapshot(self) -> None:
        """Publish the finished encoder, unless it is there. All processes must call it."""
        if self.drift_monitor is not None:
            self.drift_monitor.publish("final")

    def save_encoder(self, folder: Path, weights: dict[str, torch.Tensor]) -> None:
        """Save the model as the stages that train meanwhile take it.

        Args:
            folder: Where to.
            weights: All weights of the model.
        """
        self.accelerator.unwrap_model(self.model).save_pretrained(folder, state_dict=weights)
        self.save_preprocessors(folder)

    def save_preprocessors(self, folder: Path) -> None:
        """Save what a model needs besides its weights: feature extractor, phoneme tokenizer."""
        self.data_collator.feature_extractor.save_pretrained(folder)
        (self.processing_class or EntropyASRPhonemeTokenizer()).save_pretrained(folder)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As in `Trainer`, with what the model needs besides."""
        super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            self.save_preprocessors(Path(output_dir or self.args.output_dir))

    def _save_checkpoint(self, model, trial) -> None:
        """As in `Trainer`, with the state of the drift monitor; that first: the trainer's state says it is whole."""
        if self.drift_monitor is None:
            super()._save_checkpoint(model, trial)
            return
        folder = Path(self._get_output_dir(trial=trial))
        if self.args.should_save:
            checkpoint = folder / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            checkpoint.mkdir(parents=True, exist_ok=True)
            self.drift_monitor.save_state(checkpoint)
        super()._save_checkpoint(model, trial)
        self.drift_monitor.collect_garbage(folder)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and self.drift_monitor is not None:
            self.drift_monitor.load_state(Path(checkpoint))

    def _in_row_order(self, output: PredictionOutput) -> PredictionOutput:
        output = super()._in_row_order(output)
        return output._replace(predictions=np.maximum(output.predictions, 0))

    def _phoneme_error_metrics(self, prediction) -> dict[str, float]:
        num_rows = len(self._evaluated_rows)
        return phoneme_error_metrics(prediction.predictions[:num_rows], prediction.label_ids[:num_rows])

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the consistency term's part of the loss (of this process) since the last log."""
        if "loss" in logs and self._consistency_since is not None:
            steps = max(1, self.state.global_step - self._consistency_since)
            logs["consistency_loss"] = round(float(self._consistency) / steps, 6)
            self._consistency, self._consistency_since = 0.0, None
        super().log(logs, start_time)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """CTC or CR-CTC loss per label of the optimizer step."""
        labels = inputs["labels"]
        # Evaluation batches have one view and the plain CTC loss.
        views = len(inputs["input_features"]) // len(labels)
        outputs = model(**{**inputs, "labels": labels.repeat(views, 1)})
        # DDP averages gradients over processes, and every process divides by the labels of all of them.
        scale = 1
        if num_items_in_batch is None:
            num_items_in_batch = (labels != -100).sum()
        elif self.args.average_tokens_across_devices:
            scale = self.accelerator.num_processes
        num_items_in_batch = torch.as_tensor(num_items_in_batch).clamp(min=1)
        loss = outputs.loss
        if views == 2:
            args = self.args
            weight = ramped_weight(args.consistency_weight, self.state.global_step, args.consistency_ramp_steps)
            loss, consistency = cr_ctc_loss(outputs.loss, outputs.logits, outputs.attention_mask, weight)
            if self._consistency_since is None:
                self._consistency_since = self.state.global_step
            self._consistency = self._consistency + scale * consistency.detach() / num_items_in_batch
        loss = scale * loss / num_items_in_batch
        if not return_outputs:
            return loss
        # No logits of padded frames: best_phonemes sees them as blank.
        logits = outputs.logits.masked_fill(~outputs.attention_mask[..., None].bool(), float("-inf"))
        return loss, {"logits": logits}


def check_views(args: EncoderPretrainingConfig, augmentation: AugmentationConfig | None) -> None:
    """Refuse to pull two views of an utterance together that are equal.

    Raises:
        SettingsError: a consistency term is asked for without masks.
    """
    if args.consistency_weight and (augmentation is None or not augmentation.masks_features):
        raise SettingsError(
            f"consistency_weight={args.consistency_weight}: without masks both views of an utterance are equal, and "
            "there is nothing to make consistent: give the augmentation time or frequency masks "
            "(`num_time_masks`, `num_frequency_masks`), or leave consistency_weight 0.",
            ("training", "consistency_weight"),
        )


def check_settings(settings: SimpleNamespace) -> None:
    """Refuse sections that do not go together, before any rows are loaded; see [`check_views`]."""
    check_views(settings.training, settings.augmentation)


def best_phonemes(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Best phoneme of each frame `(B, T)` of logits `(B, T, V)`; blank (0) where a frame is padding."""
    return logits.argmax(-1)


def phoneme_error_metrics(frames: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """`per`: edit distance over reference length, summed over utterances, in [0, inf).

    Args:
        frames: Best phoneme of each frame `(N, T)`, -100 or blank where padded.
        labels: Phonemes `(N, L)`, -100 where padded.
    """
    pairs = [
        (reference[reference >= 0].tolist(), ctc_collapse(hypothesis.tolist()))
        for reference, hypothesis in zip(labels, frames, strict=True)
    ]
    errors = sum(Levenshtein.distance(reference, hypothesis) for reference, hypothesis in pairs)
    return {"per": errors / max(1, sum(len(reference) for reference, _ in pairs))}


@dataclass
@typed
class EncoderModelSection:
    """Section `model` of this stage.

    Args:
        preset: "paper" or "tiny": an encoder of that size, at random weights. None: `path` says which.
        path: A CTC model of this project to go on with, or a speech encoder (folder or Hub id) that gets a phoneme
            head: of transformers, or FireRedASR's as it is published. Whisper's and FireRedASR's are made to stream.
        num_layers: Take the first so many layers of the encoder in `path`, all by default.
        intermediate_size: Leave so many neurons in each of its feed-forward networks, those that rows to train on need
            most ([`~pruning.prune_feed_forward`]); all by default.
        pruning_rows: Largest number of those rows, evenly spaced. None: 300.
    """

    preset: str | None = None
    path: str | None = None
    num_layers: int | None = None
    intermediate_size: int | None = None
    pruning_rows: int | None = None

    def __post_init__(self):
        for name in ("num_layers", "intermediate_size"):
            if getattr(self, name) is not None and self.path is None:
                raise ValueError(f"model: `{name}` cuts the encoder of `path`; a preset has its own.")
        if self.pruning_rows is not None and self.pruning_rows < 1:
            raise ValueError(f"model: `pruning_rows` must be at least 1, not {self.pruning_rows}.")
        if self.pruning_rows is not None and self.intermediate_size is None:
            raise ValueError("model: `pruning_rows` are those that `intermediate_size` prunes by: give that too.")
        if (self.preset is None) == (self.path is None):
            raise ValueError("model: give exactly one of `preset` and `path`.")
        if self.preset not in (None, "paper", "tiny"):
            raise ValueError(f"model: `preset` is 'paper' or 'tiny', not {self.preset!r}.")

    def build(self, phoneme_vocab_size: int) -> EntropyASRForCTC:
        """The model to train."""
        if self.path is not None:
            return EntropyASRForCTC.from_encoder(
                self.path, phoneme_vocab_size, num_layers=self.num_layers, dtype=torch.float32
            )
        preset = getattr(EntropyASRConfig, self.preset)()
        config = EntropyASRCTCConfig(audio_config=preset.audio_config.to_dict(), vocab_size=phoneme_vocab_size)
        return EntropyASRForCTC(config)

    def prune(
        self, encoder: PreTrainedModel, extractor: SequenceFeatureExtractor, rows: Dataset | IterableDataset
    ) -> None:
        """Make an encoder's feed-forward networks as small as asked for, in place."""
        if self.intermediate_size is None:
            return
        inputs = (
            BatchFeature({"input_features": extract_features(extractor, [waveform])[0]})
            for waveform in some_waveforms(rows, self.pruning_rows or PRUNING_ROWS)
        )
        lost = prune_feed_forward(encoder, self.intermediate_size, inputs)
        logger.info(
            f"{self.intermediate_size} neurons a network; at most {lost:.1%} of its output's variance is lost."
        )

    def build_feature_extractor(self, rows: Dataset | IterableDataset) -> SequenceFeatureExtractor:
        """The encoder's own feature extractor; for a preset one whose normalisation is measured on the rows."""
        if self.path is not None:
            return load_feature_extractor(self.path)
        return measure_cmvn(EntropyASRFeatureExtractor(), rows)


def build(run: StageRun) -> EncoderPretrainingTrainer:
    """The trainer of this stage."""
    settings, tokenizer = run.settings, EntropyASRPhonemeTokenizer()
    with settings.training.main_process_first(desc="data"):
        rows, eval_rows, augmenter = phoneme_rows(settings, tokenizer)
    extractor = settings.model.build_feature_extractor(rows)
    model = settings.model.build(len(tokenizer))
    settings.model.prune(model.audio_tower, extractor, rows)
    return EncoderPretrainingTrainer(
        model,
        settings.training,
        data_collator=CTCCollator(extractor, augmenter),
        train_dataset=rows,
        eval_dataset=eval_rows,
    )


def phoneme_rows(
    settings: SimpleNamespace, tokenizer: EntropyASRPhonemeTokenizer
) -> tuple[Dataset | IterableDataset, Dataset | None, SpeechAugmenter]:
    """Rows to train on and to evaluate on, with their phonemes, and what augments them."""
    data = settings.data
    rows = add_phoneme_ids(data.train_rows(), tokenizer, data.num_proc, data.bad_rows)
    eval_rows = data.eval_rows()
    if eval_rows is not None:
        eval_rows = add_phoneme_ids(eval_rows, tokenizer, data.num_proc, data.bad_rows)
    return rows, eval_rows, data.augmenter(settings.augmentation)


def save(trainer: EncoderPretrainingTrainer, run: StageRun) -> None:
    """Save the CTC model; the finished encoder is published first, where encoders are."""
    # Also where the run was killed right after its last checkpoint.
    trainer.publish_final_snapshot()
    trainer.save_model(str(run.output_dir))


STAGE = TrainingStage(
    {
        "data": DataSection,
        "augmentation": AugmentationConfig,
        "model": EncoderModelSection,
        "training": EncoderPretrainingConfig,
    },
    build,
    save,
    check_settings,
)
