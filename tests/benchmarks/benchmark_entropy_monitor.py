# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What logging NSE and CKA costs in encoder pretraining, as a share of the step time.

    python tests/benchmarks/benchmark_entropy_monitor.py --data_dir ../shared/data [--steps 40] [--pairs 3]

Pretraining of the tiny preset on real recordings (batches of 48 s), without and with the monitor in turns. With it,
every tenth step measures; at the default interval of 500 steps it is one step in 500. Printed for each pair of runs
and as medians: seconds of a step without the monitor, of a step with it that does not measure, of one measurement, and
the monitor's share of the step time at the default interval: measurement / (500 steps) + slower other steps.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from transformers import TrainerCallback, logging

from entropy_asr.modeling import EntropyASRFeatureExtractor, EntropyASRPhonemeTokenizer
from entropy_asr.trainers.data.collation import CTCCollator
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import decode_ahead
from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.stages.encoder_pretraining import (
    EncoderModelSection,
    EncoderPretrainingConfig,
    EncoderPretrainingTrainer,
)
from entropy_asr.trainers.training.entropy_monitor import EntropyMonitor


INTERVAL = EncoderPretrainingConfig("unused").entropy_steps
MEASURED_INTERVAL = 10


class StepClock(TrainerCallback):
    """Seconds of each step, all callbacks and the next batch included."""

    def __init__(self):
        self.marks: list[float] = []

    def on_step_begin(self, args, state, control, **kwargs):
        self.marks.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Of the steps that measure nothing; the first ones, which are slow, left out."""
        steps = [end - start for start, end in zip(self.marks, self.marks[1:], strict=False)]
        return [step for number, step in enumerate(steps, 1) if number % MEASURED_INTERVAL and number > 3]


def run(rows: Dataset, steps: int, monitored: bool) -> tuple[float, float]:
    """Median seconds of a step that measures nothing, and mean seconds of a measurement."""
    torch.manual_seed(0)
    clock = StepClock()
    with tempfile.TemporaryDirectory() as folder:
        args = EncoderPretrainingConfig(
            folder,
            max_steps=steps + 1,
            max_batch_duration=48.0,
            entropy_steps=MEASURED_INTERVAL if monitored else 0,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_steps=1000,
            use_cpu=True,
        )
        trainer = EncoderPretrainingTrainer(
            EncoderModelSection(preset="tiny").build(len(EntropyASRPhonemeTokenizer())),
            args,
            data_collator=CTCCollator(EntropyASRFeatureExtractor()),
            train_dataset=rows,
            callbacks=[clock],
        )
        trainer.train()
    monitors = [callback for callback in trainer.callback_handler.callbacks if isinstance(callback, EntropyMonitor)]
    measurements = sum("nse" in entry for entry in trainer.state.log_history)
    return statistics.median(clock.seconds()), sum(monitor.seconds for monitor in monitors) / max(1, measurements)


def compare(rows: Dataset, steps: int) -> tuple[float, ...]:
    """A run without and one with the monitor: what [`report`] names."""
    plain, _ = run(rows, steps, monitored=False)
    other, measurement = run(rows, steps, monitored=True)
    measuring = measurement / (INTERVAL * plain)
    return plain, other, measurement, measuring, measuring + other / plain - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=3)
    args = parser.parse_args()
    logging.set_verbosity_error()
    source = DataSource(path=str(args.data_dir / "librispeech_subset"), max_duration=16.0)
    with tempfile.TemporaryDirectory() as cache:
        rows = add_phoneme_ids(decode_ahead(load_source(source), cache), EntropyASRPhonemeTokenizer())
        found = []
        for _ in range(args.pairs):
            found.append(compare(rows, args.steps))
            print(json.dumps(report(found[-1])), flush=True)
    print("medians", json.dumps(report([statistics.median(column) for column in zip(*found, strict=True)])))


def report(values) -> dict[str, float]:
    plain, other, measurement, measuring, share = values
    return {
        "threads": torch.get_num_threads(),
        "step_s": round(plain, 4),
        "step_with_monitor_s": round(other, 4),
        "measurement_s": round(measurement, 3),
        f"measuring_percent_every_{INTERVAL}": round(100 * measuring, 3),
        "total_percent": round(100 * share, 2),
    }


if __name__ == "__main__":
    main()
