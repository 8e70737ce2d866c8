# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Audio a second that the stages train on, against transformers' own `Trainer` with the same model and frozen parts.

    python tests/benchmarks/benchmark_stages.py --dataset DATA/librispeech_subset DATA/speechocean762 [--threads 2]

Both train the bundled checkpoint from the same rows, without augmentation, by AdamW in float32; supervised prompts are
those of the stage. Ours has batches bounded in padded seconds, shares what prompts have in common, and computes logits
where something is predicted; the plain loop has its defaults, batches of a fixed number of rows (the mean of ours) in
random order. A run is `--steps` optimizer steps, of which the first two are not counted; runs take turns. What data
loading takes shows in ours with 1 and 2 workers beside none.
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from interleaved import Step, interleave, print_conditions, print_goal, ratio, spread
from transformers import Trainer, TrainingArguments

from entropy_asr.modeling import (
    EntropyASRForConditionalGeneration,
    EntropyASRForCTC,
    EntropyASRPhonemeTokenizer,
    EntropyASRProcessor,
)
from entropy_asr.trainers.data.collation import CTCCollator, TranscriptionCollator
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.stages.alignment import AlignmentConfig, AlignmentTrainer
from entropy_asr.trainers.stages.encoder_pretraining import EncoderPretrainingConfig, EncoderPretrainingTrainer
from entropy_asr.trainers.stages.joint_sft import JointSFTConfig, JointSFTTrainer


NOT_COUNTED = 2  # steps
SHARED = {"learning_rate": 1e-5, "report_to": "none", "save_strategy": "no", "logging_strategy": "no"}
FROZEN_ENCODER = ["model.audio_tower", "phoneme_head"]


@dataclass
class Stage:
    """What is trained, and by which of our trainers; `frozen` are the modules that are not trained."""

    trainer: Callable[..., Trainer]
    config: type[TrainingArguments]
    frozen: list[str] | None = None

    @property
    def is_encoder(self) -> bool:
        return self.trainer is EncoderPretrainingTrainer


STAGES = {
    "encoder (CTC)": Stage(EncoderPretrainingTrainer, EncoderPretrainingConfig),
    "alignment": Stage(AlignmentTrainer, AlignmentConfig, [*FROZEN_ENCODER, "model.language_model", "lm_head"]),
    "SFT, encoder frozen": Stage(JointSFTTrainer, JointSFTConfig, FROZEN_ENCODER),
    "joint SFT": Stage(JointSFTTrainer, JointSFTConfig, ["phoneme_head"]),
}


class Counting:
    """Seconds of audio that a trainer trained on, and the time that took, without its first steps."""

    audio = 0.0
    rows = 0
    started: float | None = None

    def training_step(self, model, inputs, *args, **kwargs):
        durations = inputs["durations"]
        if self.state.global_step >= NOT_COUNTED:
            self.started = time.perf_counter() if self.started is None else self.started
            self.audio += float(durations.sum())
            self.rows += len(durations)
        return super().training_step(model, inputs, *args, **kwargs)

    def speed(self) -> float:
        """Audio seconds a second."""
        return self.audio / (time.perf_counter() - self.started)


class PlainTrainer(Counting, Trainer):
    """transformers' loop; models take all that collators give but the durations."""

    def compute_loss(self, model, inputs, *args, **kwargs):
        inputs.pop("durations")
        return super().compute_loss(model, inputs, *args, **kwargs)


class Bench:
    """Runs of one stage, ours and plain.

    Args:
        args: Of the command line.
        stage: What is trained.
        rows: Rows with `phoneme_ids`.
        folder: For what trainers must be told to write to.
    """

    def __init__(self, args: argparse.Namespace, stage: Stage, rows: datasets.Dataset, folder: Path):
        self.args, self.stage, self.rows, self.folder = args, stage, rows, folder
        self.processor = EntropyASRProcessor.from_pretrained(args.model)
        model_class = EntropyASRForCTC if stage.is_encoder else EntropyASRForConditionalGeneration
        self.model = model_class.from_pretrained(args.model, dtype=torch.float32)
        extractor = self.processor.feature_extractor
        collator = TranscriptionCollator(extractor, processor=self.processor)
        self.collator = CTCCollator(extractor) if stage.is_encoder else collator
        self.batch_sizes: list[float] = []

    def settings(self, **settings) -> dict[str, Any]:
        return {"output_dir": str(self.folder), "max_steps": self.args.steps, "use_cpu": True, **SHARED, **settings}

    def ours(self, num_workers: int = 0) -> float:
        given = {"max_batch_duration": self.args.max_batch_duration, "dataloader_num_workers": num_workers}
        given |= {"entropy_steps": 0, "bf16": False}
        if self.stage.frozen is not None:
            given["freeze"] = self.stage.frozen
        kind = type("Counted", (Counting, self.stage.trainer), {})
        named = {} if self.stage.is_encoder else {"processing_class": self.processor}
        trainer = kind(
            copy.deepcopy(self.model),
            self.stage.config(**self.settings(**given)),
            data_collator=self.collator,
            train_dataset=self.rows,
            **named,
        )
        trainer.train()
        self.batch_sizes.append(trainer.rows / (self.args.steps - NOT_COUNTED))
        return trainer.speed()

    def plain(self) -> float:
        model = copy.deepcopy(self.model)
        for name in self.stage.frozen or ():
            model.get_submodule(name).requires_grad_(False)
        size = max(1, round(np.mean(self.batch_sizes)))
        args = TrainingArguments(**self.settings(per_device_train_batch_size=size, remove_unused_columns=False))
        trainer = PlainTrainer(model, args, data_collator=self.collator, train_dataset=SpeechDataset(self.rows))
        trainer.train()
        return trainer.speed()


def step(run: Callable[[], float]) -> Step:
    return lambda: (run(),)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[2] / "spaces" / "demo" / "checkpoint"
    parser.add_argument("--model", default=str(default))
    parser.add_argument("--dataset", nargs="+", required=True)
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=list(STAGES))
    parser.add_argument("--max_batch_duration", type=float, default=60.0, help="seconds of our batches, with padding")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    print_conditions(args.threads)
    loaded = [load_source(DataSource(path=path, split="train", max_duration=20)) for path in args.dataset]
    rows = add_phoneme_ids(datasets.concatenate_datasets(loaded), EntropyASRPhonemeTokenizer())
    print(f"{len(rows)} rows, batches of {args.max_batch_duration:g} s; audio seconds a second")
    print(f"{'':22} {'M trained':>9} {'rows':>5} {'plain':>16} {'ours':>16} {'1 worker':>16} {'2 workers':>16}")
    with tempfile.TemporaryDirectory() as name:
        for title in args.stages:
            measure(title, Bench(args, STAGES[title], rows, Path(name)), args.rounds)


def measure(title: str, bench: Bench, rounds: int) -> None:
    bench.ours()  # says how many rows the plain loop's batches have
    steps = {"plain": step(bench.plain), "ours": step(bench.ours)}
    steps |= {f"{number} workers": step(lambda n=number: bench.ours(n)) for number in (1, 2)}
    found = {name: values[:, 0] for name, values in interleave(steps, rounds).items()}
    # A head that is tied to embeddings has the same parameter.
    parts = [bench.model.get_submodule(name).parameters() for name in bench.stage.frozen or ()]
    frozen = sum(parameter.numel() for parameter in set(chain.from_iterable(parts)))
    trained = (bench.model.num_parameters() - frozen) / 1e6
    cells = " ".join(f"{spread(values, 1):>16}" for values in found.values())
    print(f"{title:22} {trained:9.1f} {np.mean(bench.batch_sizes):5.1f} {cells}", flush=True)
    print_goal(f"training, {title}, ours / plain", ratio(found["ours"], found["plain"]), 1)
    best = np.maximum(found["1 workers"], found["2 workers"])
    print_goal(f"training, {title}, ours without workers / with 1 or 2", ratio(found["ours"], best), 0.95)


if __name__ == "__main__":
    main()
