# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Length-bucketed, duration-limited batches that can be resumed exactly.

How this differs from the usual dynamic bucketing (lhotse's `DynamicBucketingSampler`):

- The number of batches is the same in every epoch: `Trainer` derives its steps per epoch, and the place where a
  checkpoint resumes, from one call of `len`. So batch sizes come from each bucket's longest utterance, not from the
  utterances that happen to meet.
- A bucket's remainder starts the next bucket's first batch, so an epoch has one short batch and not one a bucket.
- Each item carries a draw, the seed of that row's augmentation, so that neither the number of `DataLoader` workers nor
  a resumed run changes the data.
"""

import logging
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from accelerate.data_loader import BatchSamplerShard, SkipBatchSampler
from torch.utils.data import BatchSampler, DataLoader, Sampler
from transformers import TrainerCallback


logger = logging.getLogger(__name__)


class EpochOrder(Sampler[int]):
    """Order in which one epoch visits the utterances: bucket by bucket from short to long, shuffled inside a bucket.

    Args:
        buckets: Bucket of each utterance, of shape `(num_utterances,)`. None: no shuffling, `ranks` alone decides.
        ranks: Position of each utterance when sorted by duration, of shape `(num_utterances,)`.
        seed: Seed of all epochs' orders.
    """

    def __init__(self, buckets: np.ndarray | None, ranks: np.ndarray, seed: int):
        self.buckets = buckets
        self.ranks = ranks
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch whose order the next iteration gives."""
        self.epoch = epoch

    def permutation(self, epoch: int) -> np.ndarray:
        """Utterance indices in the order of `epoch`, of shape `(num_utterances,)`."""
        if self.buckets is None:
            return np.argsort(self.ranks)
        keys = np.random.default_rng([self.seed, epoch, 0]).random(len(self.buckets))
        return np.lexsort((keys, self.buckets))

    def __iter__(self) -> Iterator[int]:
        return iter(self.permutation(self.epoch).tolist())

    def __len__(self) -> int:
        return len(self.ranks)


class EpochBatchSampler(BatchSampler):
    """Batch sampler whose batches depend on the epoch, which its `sampler` holds: accelerate looks for it there."""

    sampler: EpochOrder

    @property
    def epoch(self) -> int:
        """Epoch that the next iteration gives."""
        return self.sampler.epoch

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch that decides order and draws."""
        self.sampler.set_epoch(epoch)


class DurationBatchSampler(EpochBatchSampler):
    """Batch sampler that yields lists of `(index, draw)` with a bounded padded duration.

    `draw` is a pure function of `(seed, epoch, index)`: `np.random.default_rng(draw)` gives the generator of that
    row's augmentation. Iterating twice at one epoch gives the same batches; call [`set_epoch`] between epochs.
    `batch_size` is None, which is how accelerate's `BatchSamplerShard` knows that sizes vary, and `sampler` holds the
    epoch, which is where accelerate looks for `set_epoch` behind its own wrappers.

    Args:
        durations: Duration of each utterance in seconds, of shape `(num_utterances,)`.
        max_batch_duration: Bound, in seconds, on longest duration * number of utterances of a batch (padding counts).
            An utterance that is longer gets a batch of its own, and one warning says how many there are. Durations
            are taken as given: speed perturbation and silence padding lengthen some rows afterwards.
        max_batch_size: Largest number of utterances in a batch. None: no bound.
        num_buckets: Number of duration buckets with about equal total duration. More buckets pad less and mix less.
        shuffle: Shuffle inside buckets and shuffle the batches, differently in each epoch. False: every epoch has the
            same batches, from short to long.
        curriculum_epochs: Number of first epochs whose batches go from short to long.
        seed: Seed of orders and draws.
        drop_last: Drop the one batch of an epoch that stays unfilled. Under several processes accelerate then also
            drops the last batches that not every process would get.

    Raises:
        ValueError: A duration is not a positive finite number, or a bound is not positive.
    """

    def __init__(
        self,
        durations: Sequence[float] | np.ndarray,
        max_batch_duration: float,
        max_batch_size: int | None = None,
        num_buckets: int = 30,
        shuffle: bool = True,
        curriculum_epochs: int = 0,
        seed: int = 0,
        drop_last: bool = False,
    ):
        self.durations = np.asarray(durations, dtype=np.float64)
        _check_bounds(self.durations, max_batch_duration, max_batch_size, num_buckets, curriculum_epochs)
        self.max_batch_duration = max_batch_duration
        self.max_batch_size = max_batch_size
        self.shuffle = shuffle
        self.curriculum_epochs = curriculum_epochs
        self.seed = seed
        self.drop_last = drop_last
        self.batch_size = None
        by_duration = np.argsort(self.durations, kind="stable")
        ranks = np.argsort(by_duration, kind="stable")
        buckets = self._buckets(by_duration, num_buckets) if shuffle else None
        self.sampler = EpochOrder(buckets, ranks, seed)
        self._boundaries = self._batch_boundaries(by_duration, buckets)
        self._warn_about_long_utterances()

    def __len__(self) -> int:
        """Number of batches, the same in every epoch."""
        return len(self._boundaries) - 1

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.epoch
        draws = np.random.default_rng([self.seed, epoch, 1]).integers(0, 2**63, size=len(self.durations))
        for batch in self._batches(epoch):
            yield list(zip(batch.tolist(), draws[batch].tolist(), strict=True))

    def _batches(self, epoch: int) -> list[np.ndarray]:
        order = self.sampler.permutation(epoch)
        batches = [order[start:end] for start, end in pairwise(self._boundaries)]
        if not self.shuffle or epoch < self.curriculum_epochs:
            return batches
        return [batches[i] for i in np.random.default_rng([self.seed, epoch, 2]).permutation(len(batches))]

    def _buckets(self, by_duration: np.ndarray, num_buckets: int) -> np.ndarray:
        """Bucket of each utterance. Equal durations share a bucket; too long utterances have one each."""
        ordered = self.durations[by_duration]
        elapsed = np.cumsum(ordered)
        targets = np.arange(1, num_buckets) / num_buckets * elapsed[-1]
        edges = np.unique(ordered[np.searchsorted(elapsed, targets).clip(max=len(ordered) - 1)])
        buckets = np.searchsorted(edges, self.durations, side="right")
        too_long = np.flatnonzero(self.durations > self.max_batch_duration)
        # Otherwise one long utterance would shrink the batches of all its neighbours to a single item.
        buckets[too_long] = num_buckets + np.argsort(np.argsort(self.durations[too_long], kind="stable"))
        return buckets

    def _batch_boundaries(self, by_duration: np.ndarray, buckets: np.ndarray | None) -> list[int]:
        """Positions in any epoch's order where batches begin and end, of shape `(num_batches + 1,)`.

        Buckets stand at the same positions in every epoch, so a bound taken from each bucket's longest utterance
        holds however the utterances of a bucket are shuffled.
        """
        ceilings = self.durations[by_duration]
        if buckets is not None:
            last_of_bucket = np.searchsorted(buckets[by_duration], buckets[by_duration], side="right") - 1
            ceilings = ceilings[last_of_bucket]
        boundaries = [0]
        for position in range(1, len(ceilings)):
            if not self._fits(position - boundaries[-1] + 1, ceilings[position]):
                boundaries.append(position)
        num_left = len(ceilings) - boundaries[-1]
        if self.drop_last and self._fits(num_left + 1, ceilings[-1]):
            return boundaries
        return [*boundaries, len(ceilings)]

    def _fits(self, size: int, longest: float) -> bool:
        within_size = self.max_batch_size is None or size <= self.max_batch_size
        return within_size and size * longest <= self.max_batch_duration

    def _warn_about_long_utterances(self) -> None:
        too_long = np.flatnonzero(self.durations > self.max_batch_duration)
        if len(too_long):
            longest = int(self.durations.argmax())
            logger.warning(
                f"{len(too_long)} of {len(self.durations)} utterances are longer than max_batch_duration="
                f"{self.max_batch_duration:g} s and get a batch of their own; the longest is index {longest} with "
                f"{self.durations[longest]:.1f} s. Set max_duration on their source to leave them out."
            )


class EvaluationBatchSampler(DurationBatchSampler):
    """Batches from short to long, the same every time; under several processes those of a step are equally large.

    `Trainer` gathers the outputs of a step, which works for equal sizes alone. Rows are given in the order of their
    durations; the last batches are filled up with the last row, so outputs gathered beyond the number of rows are
    repeats.

    Args:
        durations: Duration of each utterance in seconds, of shape `(num_utterances,)`.
        max_batch_duration: Bound, in seconds, on longest duration * number of utterances of a batch.
        max_batch_size: Largest number of utterances in a batch. None: no bound.
        num_processes: Number of processes; their batches follow one another.

    Raises:
        ValueError: A duration is not a positive finite number, or a bound is not positive.
    """

    def __init__(
        self,
        durations: Sequence[float] | np.ndarray,
        max_batch_duration: float,
        max_batch_size: int | None = None,
        num_processes: int = 1,
    ):
        durations = np.asarray(durations, dtype=np.float64)
        _check_bounds(durations, max_batch_duration, max_batch_size, 1, 0)
        by_duration = self.order(durations)
        filled = np.append(by_duration, np.repeat(by_duration[-1], -len(durations) % num_processes))
        # One row of each process: the sampler above decides how many of these make a step.
        self._rows_of_steps = filled.reshape(-1, num_processes)
        self.num_processes = num_processes
        super().__init__(durations[self._rows_of_steps[:, -1]], max_batch_duration, max_batch_size, shuffle=False)

    @staticmethod
    def order(durations: Sequence[float] | np.ndarray) -> np.ndarray:
        """Row numbers `(num_rows,)` in the order in which their outputs are gathered; `durations` are in seconds."""
        return np.argsort(np.asarray(durations, dtype=np.float64), kind="stable")

    def __len__(self) -> int:
        """Number of batches of all processes."""
        return super().__len__() * self.num_processes

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in self._batches(self.epoch):
            for batch in self._rows_of_steps[step].reshape(self.num_processes, -1).tolist():
                yield [(index, 0) for index in batch]

    def _warn_about_long_utterances(self) -> None:
        """Nothing to say: a long utterance is evaluated in a batch of its own."""


def _check_bounds(
    durations: np.ndarray,
    max_batch_duration: float,
    max_batch_size: int | None,
    num_buckets: int,
    curriculum_epochs: int,
) -> None:
    if durations.ndim != 1 or not len(durations):
        raise ValueError(f"durations must be a non-empty list of seconds, got shape {durations.shape}.")
    wrong = np.flatnonzero(~(np.isfinite(durations) & (durations > 0)))
    if len(wrong):
        raise ValueError(
            f"durations must be positive and finite: {len(wrong)} are not, the first is index {wrong[0]} with "
            f"{durations[wrong[0]]}."
        )
    if not max_batch_duration > 0:
        raise ValueError(f"max_batch_duration must be positive, got {max_batch_duration}.")
    if max_batch_size is not None and max_batch_size < 1:
        raise ValueError(f"max_batch_size must be None or at least 1, got {max_batch_size}.")
    if num_buckets < 1:
        raise ValueError(f"num_buckets must be at least 1, got {num_buckets}.")
    if curriculum_epochs < 0:
        raise ValueError(f"curriculum_epochs must not be negative, got {curriculum_epochs}.")


class GroupBatchSampler(EpochBatchSampler):
    """Batch sampler for reinforcement: each utterance as often as it gets hypotheses, in one piece.

    It yields lists of `(index, draw)`; all of a generation batch has one draw, a pure function of the seed, the epoch
    and the batch's place in it.

    A generation batch holds the utterances of all processes. It is given several times over, because `Trainer` takes a
    batch for each forward although hypotheses are generated once for several of them. Utterances that do not fill the
    last generation batch of an epoch are left out of that epoch.

    Args:
        num_rows: Number of utterances.
        group_size: Hypotheses of an utterance.
        batch_size: Hypotheses of a generation batch in one process.
        num_processes: Number of processes; their batches follow one another.
        repeats: How often a generation batch is given.
        shuffle: Shuffle the utterances, differently in each epoch.
        seed: Seed of orders and draws.

    Raises:
        ValueError: A generation batch is no whole number of groups, or there are too few utterances for one.
    """

    def __init__(
        self,
        num_rows: int,
        group_size: int,
        batch_size: int,
        num_processes: int = 1,
        repeats: int = 1,
        shuffle: bool = True,
        seed: int = 0,
    ):
        if batch_size * num_processes % group_size:
            raise ValueError(
                f"{num_processes} * {batch_size} hypotheses are no whole number of groups of {group_size}."
            )
        self.num_utterances = batch_size * num_processes // group_size
        if num_rows < self.num_utterances:
            raise ValueError(f"A generation batch takes {self.num_utterances} utterances, there are {num_rows}.")
        self.group_size = group_size
        self.batch_size = batch_size
        self.num_processes = num_processes
        self.repeats = repeats
        self.drop_last = True
        ranks = np.arange(num_rows)
        self.sampler = EpochOrder(np.zeros(num_rows, dtype=int) if shuffle else None, ranks, seed)

    def __len__(self) -> int:
        """Number of batches of all processes, the same in every epoch."""
        return len(self.sampler) // self.num_utterances * self.repeats * self.num_processes

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = self.sampler.permutation(self.epoch)
        starts = range(0, len(order) - self.num_utterances + 1, self.num_utterances)
        draws = np.random.default_rng([self.sampler.seed, self.epoch, 1]).integers(0, 2**63, size=len(starts))
        for start, draw in zip(starts, draws.tolist(), strict=True):
            rows = order[start : start + self.num_utterances].repeat(self.group_size)
            for _ in range(self.repeats):
                for batch in rows.reshape(self.num_processes, self.batch_size).tolist():
                    yield [(index, draw) for index in batch]


def set_sampler_epoch(dataloader: DataLoader, epoch: int) -> None:
    """Sets the epoch of the [`EpochBatchSampler`] behind a dataloader's wrappers.

    `DataLoaderShard.set_epoch` looks two levels deep; resuming under several processes nests three
    (`SkipBatchSampler`, `BatchSamplerShard`, the sampler), and the resumed epoch would have the first epoch's order.

    Raises:
        ValueError: The dataloader has no [`EpochBatchSampler`].
    """
    sampler = dataloader.batch_sampler
    while isinstance(sampler, SkipBatchSampler | BatchSamplerShard):
        sampler = sampler.batch_sampler
    if not isinstance(sampler, EpochBatchSampler):
        raise ValueError(
            f"The dataloader batches with {type(sampler).__name__}, "
            "not with DurationBatchSampler or GroupBatchSampler."
        )
    sampler.set_epoch(epoch)


class SamplerEpochCallback(TrainerCallback):
    """Gives the sampler the epoch when training starts or resumes, where accelerate's forwarding does not reach."""

    def on_epoch_begin(self, args, state, control, train_dataloader: DataLoader, **kwargs) -> None:
        set_sampler_epoch(train_dataloader, int(state.epoch))
