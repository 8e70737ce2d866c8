# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What CR-CTC's second view costs a training step, and how much of a batch is padding under three samplers.

    python tests/benchmarks/benchmark_training_step.py [--rounds 9] [--threads 1] [--data_dir ../shared/data]

- A step is forward, loss, backward and AdamW of the tiny encoder with its phoneme head on one batch of random
  features, masked as in training, and random labels. Beside plain CTC and CR-CTC on two views of it, plain CTC on
  twice as many utterances: what CR-CTC costs more than that is its own loss.
- Padding: our batches bounded in padded seconds, against a fixed number of utterances (the mean of ours), in random
  order and by `LengthGroupedSampler`, which is transformers' `train_sampling_strategy="group_by_length"`. Durations
  are drawn from a lognormal distribution, or are those of a data set. The largest batch decides how much memory is
  needed.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from interleaved import Step, cpu_and_wall, interleave, print_conditions, ratio, spread
from transformers.trainer_pt_utils import LengthGroupedSampler

from entropy_asr.modeling.modeling_entropy_asr_ctc import EntropyASRForCTC
from entropy_asr.trainers.data.augmentation import AugmentationConfig, SpeechAugmenter
from entropy_asr.trainers.data.batching import DurationBatchSampler
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.stages.encoder_pretraining import EncoderModelSection
from entropy_asr.trainers.training.consistency import cr_ctc_loss


FRAMES_A_SECOND, PHONEMES_A_SECOND, CHANNELS, PHONEMES = 100, 10, 80, 269
CONSISTENCY_WEIGHT = 0.2
Batch = dict[str, torch.Tensor]


def random_batch(seconds: list[float], seed: int) -> Batch:
    """Features `(batch, frames, channels)`, their mask, and labels `(batch, phonemes)`, -100 where padded."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.tensor([round(FRAMES_A_SECOND * duration) for duration in seconds])
    mask = torch.arange(int(frames.max()))[None] < frames[:, None]
    features = torch.randn(*mask.shape, CHANNELS, generator=generator) * mask[..., None]
    phonemes = torch.tensor([round(PHONEMES_A_SECOND * duration) for duration in seconds])
    labels = torch.randint(1, PHONEMES, (len(seconds), int(phonemes.max())), generator=generator)
    labels[torch.arange(labels.shape[1])[None] >= phonemes[:, None]] = -100
    return {"input_features": features, "attention_mask": mask.long(), "labels": labels}


def repeated(batch: Batch, names: Iterable[str]) -> Batch:
    """The batch with some of its tensors twice in a row."""
    return {name: torch.cat([value, value]) if name in names else value for name, value in batch.items()}


def masked(batch: Batch, seed: int) -> Batch:
    """Every row masked anew, by SpecAugment as in the paper's recipe."""
    augmenter = SpeechAugmenter(AugmentationConfig(num_frequency_masks=2, num_time_masks=10))
    rng, features = np.random.default_rng(seed), batch["input_features"].clone()
    for row, length in zip(features, batch["attention_mask"].sum(-1).tolist(), strict=True):
        row[:length] = augmenter.spec_augment(row[:length], rng)
    return {**batch, "input_features": features}


def training_loss(model: EntropyASRForCTC, batch: Batch) -> torch.Tensor:
    """Loss per label, as `EncoderPretrainingTrainer` computes it of one or two views."""
    labels = batch["labels"]
    views = len(batch["input_features"]) // len(labels)
    outputs = model(**{**batch, "labels": labels.repeat(views, 1)})
    loss = outputs.loss
    if views == 2:
        loss, _ = cr_ctc_loss(loss, outputs.logits, outputs.attention_mask, CONSISTENCY_WEIGHT)
    return loss / (labels != -100).sum()


def training_step(batch: Batch) -> Step:
    """CPU and wall seconds of a step of a model of its own."""
    torch.manual_seed(0)
    model = EncoderModelSection(preset="tiny").build(PHONEMES).train()
    model.config.ctc_loss_reduction = "sum"
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def call() -> None:
        training_loss(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()

    return cpu_and_wall(call)


def print_steps(seconds: list[float], rounds: int, seed: int) -> None:
    batch = random_batch(seconds, seed)
    two_views, twice = repeated(batch, ("input_features", "attention_mask")), repeated(batch, batch)
    batches = {"CTC": batch, "CR-CTC, two views": two_views, "CTC, twice as many utterances": twice}
    steps = {name: training_step(masked(inputs, seed)) for name, inputs in batches.items()}
    measured = interleave(steps, rounds)
    size = sum(p.numel() for p in EncoderModelSection(preset="tiny").build(PHONEMES).parameters()) / 1e6
    print(f"one training step, {len(seconds)} utterances, {sum(seconds):g} s of audio, {size:.1f}M parameters, fp32")
    print(f"{'':30} {'CPU s':>15} {'wall s':>15} {'to CTC':>7}")
    for name, values in measured.items():
        cpu, wall = values.T
        print(
            f"{name:30} {spread(cpu, 3):>15} {spread(wall, 3):>15} {ratio(cpu, measured['CTC'][:, 0]):7.2f}",
            flush=True,
        )


def in_batches(order: Iterable[int], batch_size: int) -> list[np.ndarray]:
    indices = np.array(list(order))
    return [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]


def print_padding(name: str, durations: np.ndarray, batches: list[np.ndarray]) -> None:
    """A row: share of padding of an epoch, number of batches, seconds of the largest batch with padding."""
    padded = np.array([durations[batch].max() * len(batch) for batch in batches])
    share = 1 - durations.sum() / padded.sum()
    print(f"{name:44} {100 * share:9.1f} {len(batches):8} {padded.mean():12.0f} {padded.max():12.0f}", flush=True)


def print_paddings(kind: str, durations: np.ndarray, max_batch_duration: float, seed: int) -> None:
    sampler = DurationBatchSampler(durations, max_batch_duration, seed=seed)
    ours = [np.array([index for index, _ in batch]) for batch in sampler]
    size = max(1, round(len(durations) / len(ours)))
    shuffled = np.random.default_rng(seed).permutation(len(durations))
    generator = torch.Generator().manual_seed(seed)
    grouped = LengthGroupedSampler(size, lengths=durations.tolist(), generator=generator)
    low, median, high = np.percentile(durations, [5, 50, 95])
    print(
        f"\n{kind}: {len(durations)} utterances, {durations.sum() / 3600:.1f} h, "
        f"median {median:.1f} s, 5 and 95 % {low:.1f} and {high:.1f} s"
    )
    print(f"{'':44} {'padding %':>9} {'batches':>8} {'mean batch s':>12} {'largest s':>12}")
    print_padding(f"DurationBatchSampler, {max_batch_duration:g} s", durations, ours)
    print_padding(f"LengthGroupedSampler, {size} utterances", durations, in_batches(grouped, size))
    print_padding(f"random order, {size} utterances", durations, in_batches(shuffled, size))


def lognormal_durations(number: int, seed: int) -> np.ndarray:
    """Seconds, median 6, most of them 2 to 17, as in read and spoken corpora."""
    return np.random.default_rng(seed).lognormal(np.log(6), 0.6, number).clip(0.5, 30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[5, 5.5, 6, 6.5, 7, 7.5, 8, 8], help="of the step")
    parser.add_argument("--utterances", type=int, default=20_000, help="of the lognormal distribution")
    parser.add_argument("--data_dir", type=Path, help="folder of data sets, whose durations are taken too")
    parser.add_argument("--sets", nargs="+", default=["librispeech_subset", "aishell_sample"])
    parser.add_argument("--max_batch_duration", type=float, default=120, help="seconds of a batch with its padding")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="the CPU times of several add up")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print_conditions(args.threads)
    print_steps(args.seconds, args.rounds, args.seed)
    durations = lognormal_durations(args.utterances, args.seed)
    print_paddings("lognormal durations", durations, args.max_batch_duration, args.seed)
    for name in args.sets if args.data_dir else ():
        rows = load_source(DataSource(path=str(args.data_dir / name), split="train"))
        print_paddings(name, np.array(rows["duration"]), args.max_batch_duration, args.seed)


if __name__ == "__main__":
    main()
