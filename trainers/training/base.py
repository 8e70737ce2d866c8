# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What all speech stages share: duration-limited batches, throughput logs, frozen modules that stay frozen."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.data_loader import prepare_data_loader
from datasets import DatasetDict
from torch.utils.data import DataLoader, Sampler
from transformers import FeatureExtractionMixin, Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, PredictionOutput, seed_worker

from entropy_asr.modeling.languages_entropy_asr import language_code
from entropy_asr.modeling.processing_entropy_asr import window_samples

from ..data.batching import DurationBatchSampler, EpochBatchSampler, EvaluationBatchSampler, SamplerEpochCallback
from ..data.sources import trainer_rows
from ..data.speech_dataset import SpeechDataset
from ..data.streamed_rows import StreamBatchSampler, StreamedRows, check_stream_arguments, is_stream
from ..evaluation.encoder_chunks import EncoderChunks
from ..runs.settings import check_types
from .chunks import ChunkArguments, taken_chunks
from .entropy_monitor import EntropyMonitor, EntropyMonitorConfig, watches
from .modules import attend_in_plain_products, find_module, freeze_modules, locate_base_model
from .optimization import OptimizationArguments, OptimizationMixin
from .sharding import mark_as_sharded
from .training_record import write_checkpoint_card, write_training_record


# Arguments of transformers that nothing here would honour, and the values that they must keep.
UNUSED_ARGUMENTS = {
    "remove_unused_columns": False,
    "per_device_train_batch_size": 8,
    "auto_find_batch_size": False,
    "train_sampling_strategy": "random",
}


@dataclass
class StageArguments(ChunkArguments, OptimizationArguments):
    """Arguments of every stage that trains on speech, added to those of transformers or TRL, of
    [`~optimization.OptimizationArguments`] and [`~chunks.ChunkArguments`].

    Args:
        freeze: Modules that get no gradient and stay in evaluation mode, by name inside the model.
        entropy_steps: Steps between two logs of `nse` and `cka` of the encoder, in stages that train it; 0 for none.
            See [`~entropy_monitor.EntropyMonitor`].
        entropy_probes: Also log `eval_pai` (bits) and its chance level `eval_pai_chance` at each evaluation.
        language: Language of data sets that are given to the trainer without such a column, in any usual form.
    """

    freeze: list[str] = field(default_factory=list, metadata={"help": "Modules that are not trained."})
    entropy_steps: int = field(default=500, metadata={"help": "Steps between logs of NSE and CKA; 0 for none."})
    entropy_probes: bool = field(default=False, metadata={"help": "PAI at each evaluation."})
    language: str | None = field(default=None, metadata={"help": "Language of rows without such a column."})

    def __post_init__(self):
        check_types(self)
        if self.language is not None:
            self.language = language_code(self.language)
        super().__post_init__()


def check_evaluable(rows: Any) -> None:
    """Refuse what cannot be evaluated on or predicted: nothing, and streams."""
    if rows is None:
        raise ValueError("There is nothing to evaluate on: give the trainer an `eval_dataset`, or `evaluate` one.")
    if is_stream(rows):
        raise ValueError(
            "Rows to evaluate or predict cannot be streamed, since batches are formed of all of them: load them "
            "without `streaming`, a part of them with `max_rows`."
        )


def check_window(extractor: FeatureExtractionMixin, durations: Sequence[float]) -> None:
    """Refuse rows, by their seconds, that are longer than the fixed window of an extractor of features (Whisper's)."""
    window = window_samples(extractor)
    longest = max(durations, default=0.0)
    if window is not None and longest * extractor.sampling_rate > window:
        raise ValueError(
            f"A row to train on lasts {longest:.1f} s, and this model's feature extractor takes at most "
            f"{window / extractor.sampling_rate:g} s: leave longer ones out with `max_duration` of the data."
        )


def refuse_unused(args: Any, table: dict[str, tuple[Any, str]]) -> None:
    """Refuses arguments that would have no effect.

    Args:
        args: Arguments of a trainer.
        table: Of each such argument, the value that it must keep, and the reason.
    """
    for name, (value, reason) in table.items():
        if getattr(args, name) != value:
            raise ValueError(f"{name}={getattr(args, name)!r} cannot be honoured: {reason}. Leave it {value!r}.")


@dataclass
class SpeechArguments(StageArguments):
    """Arguments of the stages whose batches are bounded in seconds: those of [`StageArguments`], and:

    Args:
        max_batch_duration: Seconds of padded audio in one batch of one device.
        max_batch_size: Largest number of utterances in such a batch. None: no bound.
        num_buckets: Number of duration buckets; more of them pad less and mix less.
        curriculum_epochs: Number of first epochs that go from short to long utterances.
        stream_buffer: Of streamed rows, the number that is read, still encoded, before batches are formed of them.
            More of them mix better and pad less.

    `per_device_eval_batch_size` bounds the number of utterances in an evaluation batch, besides `max_batch_duration`;
    `per_device_train_batch_size` is refused.
    """

    max_batch_duration: float = field(default=120.0, metadata={"help": "Seconds of padded audio in a batch."})
    max_batch_size: int | None = field(default=None, metadata={"help": "Largest number of utterances in a batch."})
    num_buckets: int = field(default=30, metadata={"help": "Number of duration buckets."})
    curriculum_epochs: int = field(default=0, metadata={"help": "First epochs that go from short to long."})
    stream_buffer: int = field(default=2000, metadata={"help": "Streamed rows that batches are formed of."})
    # The collator builds the model's inputs itself, from columns no model knows.
    remove_unused_columns: bool = field(default=False, metadata={"help": "Must stay False: it drops the audio."})
    # Progress of long epochs is shown in steps; the paper's stages are counted in steps too.
    logging_steps: float = field(default=50, metadata={"help": "Steps (a share of all if below 1) between two logs."})

    def __post_init__(self):
        super().__post_init__()
        reason = "max_batch_duration and max_batch_size bound batches, and the collator fills them"
        refuse_unused(self, {name: (value, reason) for name, value in UNUSED_ARGUMENTS.items()})
        if self.stream_buffer < 1:
            raise ValueError(f"stream_buffer must be at least 1, got {self.stream_buffer}.")


class SpeechTrainerMixin(OptimizationMixin):
    """Goes before a trainer class; rows are those of [`~sources.load_sources`], or any that `as_rows` there takes.

    Batches are dictionaries from the collator; their entry `durations`, seconds of each utterance as trained on, feeds
    the throughput log and does not reach the model.
    """

    # Tags of model and card, the stage among them; TRL adds them to the model.
    _tag_names = ["entropy-asr"]
    # Whether rows bring audio, or what was made of it.
    _rows_have_audio = True
    # What the model calls its speech encoder.
    _encoder_name = "audio_tower"

    def __init__(self, model, args, *positional, callbacks=None, **kwargs):
        for name in {"train_dataset", "eval_dataset"} & set(kwargs):
            kwargs[name] = self._shared_rows(kwargs[name], args)
        if args.n_gpu > 1:
            raise ValueError(
                f"one process would share its batches among {args.n_gpu} GPUs (torch.nn.DataParallel), and the losses "
                "here are not made for that: start one process a GPU by --accelerate_config ddp of `entropy-asr "
                "train`, `launch` of a recipe's stage or `accelerate launch` of your own script, or give one GPU by "
                "CUDA_VISIBLE_DEVICES=0."
            )
        if not args.accelerator_config.even_batches:
            raise ValueError(
                "accelerator_config.even_batches=False: some processes would get one batch more than others, and wait "
                "for them for ever. Leave it out."
            )
        streams = is_stream(kwargs.get("train_dataset"))
        if streams and isinstance(args, SpeechArguments):
            check_stream_arguments(args)
        self._stream_sampler: StreamBatchSampler | None = None
        frozen = freeze_modules(model, args.freeze)
        # A stream has passes, which its sampler counts itself.
        callbacks = [*(callbacks or []), *([] if streams else [SamplerEpochCallback()])]
        super().__init__(model, args, *positional, callbacks=callbacks, **kwargs)
        for name, module in frozen.items():
            if any(parameter.requires_grad for parameter in module.parameters()):
                raise ValueError(f"freeze: {name!r} is frozen, but adapters were put into it.")
        locate_base_model(self.model)
        self._drawn_chunks = EncoderChunks()
        if args.chunk_sizes and self._rows_have_audio:
            self._drawn_chunks.add(find_module(self.model, self._encoder_name))
        if self.is_fsdp_enabled:
            mark_as_sharded(self.accelerator.unwrap_model(self.model))
        if args.bf16 and args.device.type == "cpu":
            attend_in_plain_products(self.accelerator.unwrap_model(self.model))
        self._watch_entropy()
        self._start_throughput(time.perf_counter())

    def _shared_rows(self, rows, args=None):
        """Rows, or each of several evaluation sets, with the columns that all stages share."""
        if isinstance(rows, dict) and not isinstance(rows, DatasetDict):
            return {name: self._shared_rows(part, args) for name, part in rows.items()}
        args = args or self.args
        column = getattr(args, "dataset_text_field", "text")
        return None if rows is None else trainer_rows(rows, column, args.language, self._rows_have_audio)

    def _watch_entropy(self) -> None:
        if self.args.entropy_probes or (self.args.entropy_steps and watches(self)):
            config = EntropyMonitorConfig(every_steps=self.args.entropy_steps, pai=self.args.entropy_probes)
            self.add_callback(EntropyMonitor(self, config))

    def _start_throughput(self, now: float) -> None:
        self._audio_seconds = 0.0
        self._padded_seconds = 0.0
        self._audio_clock = now

    def get_train_dataloader(self) -> DataLoader:
        """Length-bucketed batches limited by duration: [`~batching.DurationBatchSampler`], [`~streamed_rows`]."""
        if self.train_dataset is None:
            raise ValueError(f"{type(self).__name__} was built without a train_dataset.")
        if is_stream(self.train_dataset):
            return self._stream_dataloader()
        durations = self.train_dataset["duration"][:]
        if self._rows_have_audio:
            check_window(self.data_collator.feature_extractor, durations)
        sampler = DurationBatchSampler(
            durations,
            max_batch_duration=self.args.max_batch_duration,
            max_batch_size=self.args.max_batch_size,
            num_buckets=self.args.num_buckets,
            curriculum_epochs=self.args.curriculum_epochs,
            seed=self._data_seed(),
            drop_last=self.args.dataloader_drop_last,
        )
        loader = self._speech_loader(self.train_dataset, sampler, self.data_collator)
        self._start_throughput(time.perf_counter())
        return self.accelerator.prepare(loader)

    def _data_seed(self) -> int:
        return self.args.data_seed if self.args.data_seed is not None else self.args.seed

    def _stream_dataloader(self) -> DataLoader:
        args = self.args
        self._stream_sampler = StreamBatchSampler(
            self.train_dataset,
            buffer_size=args.stream_buffer,
            seed=self._data_seed(),
            process_index=args.process_index,
            num_processes=args.world_size,
            # What workers were given, and the batch that accelerate looks ahead.
            batches_ahead=args.dataloader_num_workers * (args.dataloader_prefetch_factor or 2) + 1,
            max_batch_duration=args.max_batch_duration,
            max_batch_size=args.max_batch_size,
            num_buckets=args.num_buckets,
        )
        loader = self._loader(StreamedRows(), self._stream_sampler, self.data_collator)
        self._start_throughput(time.perf_counter())
        # Each process has its own rows already, so as if it were the only one: nothing is dealt out among processes.
        return prepare_data_loader(
            loader, self.accelerator.device, num_processes=1, process_index=0, put_on_device=True
        )

    def get_eval_dataloader(self, eval_dataset=None) -> DataLoader:
        """Batches of similar length, in the same order every time."""
        if isinstance(eval_dataset, str):
            eval_dataset = self.eval_dataset[eval_dataset]
        rows = self.eval_dataset if eval_dataset is None else self._shared_rows(eval_dataset)
        check_evaluable(rows)
        # Metrics compare with their texts, and tell them from rows repeated to have even batches.
        self._evaluated_rows = rows
        sampler = EvaluationBatchSampler(
            rows["duration"][:],
            max_batch_duration=self.args.max_batch_duration,
            max_batch_size=self.args.per_device_eval_batch_size,
            num_processes=self.accelerator.num_processes,
        )
        return self.accelerator.prepare(self._speech_loader(rows, sampler, self.data_collator.evaluation()))

    def get_test_dataloader(self, test_dataset) -> DataLoader:
        """Batches to predict, as those to evaluate on."""
        return self.get_eval_dataloader(test_dataset)

    def predict(self, test_dataset, ignore_keys=None, metric_key_prefix: str = "test") -> PredictionOutput:
        """As in `Trainer`; the time it takes is no training time.

        Args:
            test_dataset: Rows as those evaluated on.
            ignore_keys: As in `Trainer`.
            metric_key_prefix: What the names of metrics begin with.

        Returns:
            `predictions` and `label_ids` in the order of the rows, one row each; what they are says the trainer.
        """
        start = time.perf_counter()
        output = super().predict(test_dataset, ignore_keys, metric_key_prefix)
        self._forget_metrics()
        self.shift_clock(time.perf_counter() - start)
        return self._in_row_order(output)

    def _forget_metrics(self) -> None:
        """What TRL has gathered would go into the log of the next evaluation."""
        if hasattr(self, "_metrics"):
            self._metrics["eval"].clear()

    def _in_row_order(self, output: PredictionOutput) -> PredictionOutput:
        """Outputs, gathered by duration with repeats at the end, one a row in the order of the rows."""
        by_duration = EvaluationBatchSampler.order(self._evaluated_rows["duration"][:])
        places = np.argsort(by_duration)
        predictions, labels = (None if a is None else a[places] for a in (output.predictions, output.label_ids))
        return output._replace(predictions=predictions, label_ids=labels)

    def _row_dataset(self, rows) -> torch.utils.data.Dataset:
        """What the collator gets its rows from, by `(index, draw)`."""
        return SpeechDataset(rows, replace_unreadable=True)

    def _speech_loader(self, rows, sampler: EpochBatchSampler, collator) -> DataLoader:
        return self._loader(self._row_dataset(rows), sampler, collator)

    def _loader(self, dataset: torch.utils.data.Dataset, sampler: Sampler, collator) -> DataLoader:
        args, workers = self.args, self.args.dataloader_num_workers
        # Each evaluation has a loader of its own, whose workers would stay with all others.
        persistent = args.dataloader_persistent_workers and not isinstance(sampler, EvaluationBatchSampler)
        return DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=collator,
            num_workers=workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=persistent,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=args.dataloader_multiprocessing_context,
            in_order=args.dataloader_in_order,
            worker_init_fn=partial(seed_worker, num_workers=workers, rank=args.process_index),
        )

    def _save_checkpoint(self, model, trial) -> None:
        """As in `Trainer`, with the place in the stream; that first: the trainer's state says it is whole."""
        if self._stream_sampler is not None:
            step = self.state.global_step
            checkpoint = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{step}"
            checkpoint.mkdir(parents=True, exist_ok=True)
            self._stream_sampler.save(checkpoint, step * self.args.gradient_accumulation_steps)
        super()._save_checkpoint(model, trial)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and self._stream_sampler is not None:
            self._stream_sampler.resume(Path(checkpoint))

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        """As in `Trainer`; the time it takes is no training time."""
        start, clock = time.perf_counter(), self._audio_clock
        metrics = super().evaluate(*args, **kwargs)
        # Not shifted further: of several sets each is evaluated by a call inside this one.
        self._audio_clock = clock + time.perf_counter() - start
        return metrics

    def shift_clock(self, seconds: float) -> None:
        """Leave out seconds, just spent, that are no training time, from the throughput."""
        self._audio_clock += seconds

    def training_step(self, model, inputs, *args, **kwargs):
        """As in `Trainer`; the encoder takes the batch in the chunks that its collator has drawn."""
        with self._drawn_chunks.of(taken_chunks(inputs) if isinstance(inputs, dict) else {}):
            return super().training_step(model, inputs, *args, **kwargs)

    def _prepare_inputs(self, inputs):
        durations = inputs.pop("durations")
        if self.model.training:
            self._audio_seconds += float(durations.sum())
            self._padded_seconds += float(durations.max() * len(durations))
        return super()._prepare_inputs(inputs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds audio seconds per second (of this process) and the share of padding since the last log."""
        if "loss" in logs and self._audio_seconds > 0:
            now = time.perf_counter()
            logs["audio_seconds_per_second"] = round(self._audio_seconds / (now - self._audio_clock), 2)
            logs["padding_share"] = round(1 - self._audio_seconds / self._padded_seconds, 4)
            self._start_throughput(now)
        super().log(logs, start_time)

    def log_aside(self, logs: dict[str, float]) -> None:
        """Log from a callback of a step, besides the step's own log.

        `Trainer` would take it for that and leave out the loss; TRL would give it the metrics since the last log.
        """
        should_log = self.control.should_log
        Trainer.log(self, logs)
        self.control.should_log = should_log

    def create_model_card(self, model_name: str | None = None, license: str | None = None, **kwargs) -> None:
        """Short card beside the checkpoints, in place of the text generation card of TRL.

        Args:
            model_name: Heading; by default the name of the trainer's folder.
            license: The Hub's name of a licence; by default that of the model it started from, where it is known.
            **kwargs: Further arguments of the cards of transformers and TRL; not used.
        """
        if self.is_world_process_zero():
            folder = Path(self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            write_checkpoint_card(self, folder, model_name or folder.name, license)

    def train(self, *args, **kwargs):
        """As in `Trainer`; then the record that `entropy-asr card` reads, also of models that others save below it."""
        output = super().train(*args, **kwargs)
        if self.args.should_save:
            write_training_record(self, Path(self.args.output_dir))
        return output

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As in `Trainer`, with a card and the record that `entropy-asr card` reads."""
        super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir)
            write_training_record(self, folder)
            # In the place of PEFT's, which names a folder of this machine.
            write_checkpoint_card(self, folder, folder.resolve().name)
