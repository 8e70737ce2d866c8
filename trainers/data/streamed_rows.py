# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Batches out of a stream: rows are read into a pool, the pool becomes batches, a batch's rows are decoded at last.

How this differs from iterating a `datasets.IterableDataset` in a `DataLoader`:

- Rows are read, still encoded, by the sampler of each process; loader workers only decode the batches they are handed.
  So no worker repeats rows, whatever their number, and batches that are skipped are never decoded.
- The pool is the shuffle buffer: `datasets` shuffles the shards, anew in each pass, and the
  [`~batching.DurationBatchSampler`] shuffles the pool. A buffer inside `datasets` would be lost on resuming, and would
  hold as many rows again.
- A checkpoint says where its pool begins (`IterableDataset.state_dict`): resuming reads that pool and nothing before.

`datasets` pauses for five seconds where it has read a pass to its end: small corpora are better loaded.
"""

import json
import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, IterableDataset
from datasets.distributed import split_dataset_by_node
from more_itertools import chunked, interleave_longest
from torch.utils.data import Sampler

from entropy_asr.modeling.audio import AudioError

from .batching import DurationBatchSampler
from .decoding import read_samples
from .row_checks import row_name, row_problem


logger = logging.getLogger(__name__)

# With fewer files than this their row groups are shuffled instead; from so many parts first rows are taken.
MIN_SHARDS = 10
# Rows of a pool that can take the place of a batch none of whose rows can be decoded.
NUM_STAND_INS = 4
# More rows in a row that cannot be trained on are no few damaged ones: something is wrong with the source.
MAX_ROWS_LEFT_OUT = 1000


def stream_pass(
    rows: IterableDataset, seed: int, number: int, process_index: int = 0, num_processes: int = 1
) -> IterableDataset:
    """Rows of one pass over a stream, in the order of that pass.

    Args:
        rows: Rows of [`~sources.load_sources`].
        seed: Seed of all passes' orders.
        number: Number of the pass, from 0.
        process_index: Process whose part it is; the parts of one pass are disjoint and make up all rows.
        num_processes: Number of processes. With fewer shards than that each process reads all rows and keeps its own.
    """
    # The pool is the buffer. One shard at a time: `datasets` reads several in threads, and which is faster decides the
    # order of their rows.
    rows = rows.shuffle(_seed(seed, number), buffer_size=1, max_buffer_input_shards=1)
    # By default `datasets` splits shards only where they divide evenly; here no pass has to end with that of others.
    strategy = "shards" if rows.num_shards >= num_processes else "examples"
    return split_dataset_by_node(rows, process_index, num_processes, strategy) if num_processes > 1 else rows


def first_rows(rows: IterableDataset, num_rows: int) -> Dataset:
    """The first rows of a stream, loaded: what is measured on a few rows is measured on these.

    They come from several files in turn; rows that cannot be trained on are left out.

    Raises:
        ValueError: There is none.
    """
    shards = _spread(rows).shuffle(0, buffer_size=1, max_buffer_input_shards=1)
    num_parts = min(shards.num_shards, MIN_SHARDS)
    parts = [iter(shards.shard(num_parts, index)) for index in range(num_parts)]
    kept = [row for row in islice(interleave_longest(*parts), num_rows) if row_problem(row) is None]
    if not kept:
        raise ValueError(f"None of the stream's first {num_rows} rows can be trained on.")
    return Dataset.from_list(kept, features=rows.features)


@dataclass
class StreamedBatch:
    """What the sampler hands to the loader.

    Args:
        rows: Encoded rows with their `index` in the pool and their `draw`.
        stand_ins: The shortest rows of the pool, encoded.
    """

    rows: list[dict[str, Any]]
    stand_ins: list[dict[str, Any]]


class StreamedRows(torch.utils.data.Dataset):
    """Decodes the rows of a [`StreamedBatch`], in a `DataLoader` whose batches come from [`StreamBatchSampler`].

    A row whose audio cannot be decoded is left out, with a warning that names it. Where that leaves nothing of a
    batch, a row of its pool that is no longer comes in.
    """

    def __getitems__(self, batch: StreamedBatch) -> list[dict[str, Any]]:
        """Rows as of [`~speech_dataset.SpeechDataset`].

        Raises:
            AudioError: Neither the rows nor what could take their place can be decoded.
        """
        decoded = [row for row in map(_decode, batch.rows) if row is not None]
        if not decoded:
            draw = batch.rows[0]["draw"]
            stand_ins = (_decode({**row, "draw": draw}) for row in batch.stand_ins)
            decoded = list(islice((row for row in stand_ins if row is not None), 1))
        if not decoded:
            raise AudioError(f"{row_name(batch.rows[0])}: neither this row nor others of its pool can be decoded.")
        return decoded


def _decode(row: dict[str, Any]) -> dict[str, Any] | None:
    try:
        samples = read_samples(row)
    except AudioError as error:
        logger.warning(f"A streamed row is left out of its batch: {row_name(row)}: {error}")
        return None
    return {**{name: value for name, value in row.items() if name != "audio"}, "samples": samples}


@dataclass
class StreamPosition:
    """Where a pool begins.

    Args:
        batch: Number of batches before it.
        pool: Number of pools before it.
        passes: Number of whole passes before it.
        state: State of the stream (`IterableDataset.state_dict`); None at the beginning of a pass.
    """

    batch: int = 0
    pool: int = 0
    passes: int = 0
    state: dict[str, Any] | None = None


class PoolBatchSampler(DurationBatchSampler):
    """Batches of one pool."""

    def _warn_about_long_utterances(self) -> None:
        if self.durations.max() > self.max_batch_duration:
            _warn_once(
                f"Some streamed utterances are longer than max_batch_duration={self.max_batch_duration:g} s and get a "
                "batch of their own. Set max_duration to leave them out."
            )


@cache
def _warn_once(message: str) -> None:
    logger.warning(message)


class StreamBatchSampler(Sampler):
    """Endless batch sampler that yields [`StreamedBatch`]es of this process's rows of a stream.

    The stream repeats, in another order each pass; a pool ends where a pass ends. Everything is a function of the
    seed, the process and the number of the pool, the rows' draws too. The sampler has no length, so that `Trainer`
    counts one epoch of `max_steps`.

    Args:
        rows: Rows of [`~sources.load_sources`].
        buffer_size: Number of rows of a pool.
        seed: Seed of orders and draws.
        process_index: Process whose rows these are.
        num_processes: Number of processes.
        batches_ahead: Largest number of batches that are taken before they are trained on: a checkpoint may need the
            position of as many pools.
        **bounds: `max_batch_duration`, `max_batch_size` and `num_buckets` of [`~batching.DurationBatchSampler`].

    Attributes:
        sources: Sources of the rows read so far.
        languages: Languages of the rows read so far.

    Raises:
        ValueError: When iterated: a pass has no rows, or 1000 rows in a row cannot be trained on.
    """

    def __init__(
        self,
        rows: IterableDataset,
        buffer_size: int,
        seed: int = 0,
        process_index: int = 0,
        num_processes: int = 1,
        batches_ahead: int = 1,
        **bounds,
    ):
        self.rows = _spread(rows, num_processes)
        self.buffer_size = buffer_size
        self.seed = seed
        self.process_index = process_index
        self.num_processes = num_processes
        self.bounds = bounds
        self.sources: set[str] = set()
        self.languages: set[str] = set()
        self._start = StreamPosition()
        self._recent: deque[StreamPosition] = deque(maxlen=batches_ahead + 2)

    def __iter__(self) -> Iterator[StreamedBatch]:
        # In the place of what was trained on before the checkpoint: the loader skips them by number.
        yield from repeat(StreamedBatch([], []), self._start.batch)
        number = self._start.batch
        for position, pool in self._pools():
            self._recent.append(replace(position, batch=number))
            for batch in self._batches(pool, position.pool):
                yield batch
                number += 1

    def save(self, folder: Path, num_batches: int) -> None:
        """Write where the pool begins that holds the batch after the first `num_batches`, into a checkpoint."""
        position = next((p for p in reversed(self._recent) if p.batch <= num_batches), self._start)
        seen = {"sources": sorted(self.sources), "languages": sorted(self.languages)}
        self._file(folder).write_text(json.dumps({**asdict(position), **seen}), encoding="utf-8")

    def resume(self, folder: Path) -> None:
        """Begin at the pool of a checkpoint; before that, the iteration yields as many empty batches as came before.

        A checkpoint of another number of processes has no such place: then the stream is read from its beginning.
        """
        if not self._file(folder).exists():
            logger.warning(f"{self._file(folder)} is missing: the stream is read again from its beginning.")
            return
        position = json.loads(self._file(folder).read_text(encoding="utf-8"))
        self.sources.update(position.pop("sources"))
        self.languages.update(position.pop("languages"))
        self._start = StreamPosition(**position)

    def _file(self, folder: Path) -> Path:
        return folder / f"stream-{self.process_index}-of-{self.num_processes}.json"

    def _pools(self) -> Iterator[tuple[StreamPosition, list[dict[str, Any]]]]:
        """Pools from the starting position on, and where each begins."""
        position = self._start
        while True:
            rows = stream_pass(self.rows, self.seed, position.passes, self.process_index, self.num_processes)
            if position.state is not None:
                rows.load_state_dict(position.state)
            usable = _usable(rows)
            for pool in chunked(usable, self.buffer_size):
                self.sources.update(row["source"] for row in pool)
                self.languages.update(row["language"] for row in pool)
                yield position, pool
                position = replace(position, pool=position.pool + 1, state=rows.state_dict())
            if position.state is None:
                raise ValueError(
                    f"The stream has no row for process {self.process_index} of {self.num_processes}: check the "
                    "sources' splits, bounds of durations and max_rows."
                )
            position = replace(position, passes=position.passes + 1, state=None)

    def _batches(self, pool: list[dict[str, Any]], number: int) -> Iterator[StreamedBatch]:
        durations = np.array([row["duration"] for row in pool])
        stand_ins = [{**pool[index], "index": int(index)} for index in np.argsort(durations)[:NUM_STAND_INS]]
        seed = _seed(self.seed, number, self.process_index)
        for batch in PoolBatchSampler(durations, seed=seed, **self.bounds):
            rows = [{**pool[index], "index": index, "draw": draw} for index, draw in batch]
            yield StreamedBatch(rows, stand_ins)


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def _spread(rows: IterableDataset, num_processes: int = 1) -> IterableDataset:
    """Rows of few files by row groups, which can be shuffled and split better; many files are left unopened."""
    return rows.reshard() if rows.num_shards < max(MIN_SHARDS, num_processes) else rows


def _usable(rows: IterableDataset) -> Iterator[dict[str, Any]]:
    """Rows that can be trained on, the others named in warnings."""
    left_out = 0
    for row in rows:
        problem = row_problem(row)
        if problem is None:
            left_out = 0
            # A list of integers takes 16 times the memory.
            yield {**row, "samples": np.array(row["samples"], dtype=np.int16)} if "samples" in row else row
            continue
        logger.warning(f"A streamed row is left out: {row_name(row)}: {problem}.")
        left_out += 1
        if left_out == MAX_ROWS_LEFT_OUT:
            raise ValueError(f"{left_out} streamed rows in a row cannot be trained on; the last: {problem}.")


def check_stream_arguments(args: Any) -> None:
    """Refuses arguments of [`~base.SpeechArguments`] that a stream cannot honour.

    Raises:
        ValueError: names the argument and says why.
    """
    if args.max_steps <= 0:
        raise ValueError("max_steps must be positive: nobody knows where a stream ends, so epochs cannot be counted.")
    accelerator = args.accelerator_config
    reasons = {
        "curriculum_epochs": (args.curriculum_epochs, "the shortest rows of a stream are not known before its end"),
        "dataloader_drop_last": (args.dataloader_drop_last, "rows would be lost with each pool"),
        "ignore_data_skip": (args.ignore_data_skip, "a checkpoint says where its stream goes on, at no cost"),
        "accelerator_config.dispatch_batches": (accelerator.dispatch_batches, "each process reads its own rows"),
        "accelerator_config.split_batches": (accelerator.split_batches, "each process reads its own rows"),
    }
    for name, (value, reason) in reasons.items():
        if value:
            raise ValueError(f"{name}={value} cannot be honoured for streamed rows: {reason}. Leave it out.")


def is_stream(rows: Any) -> bool:
    """Whether rows are streamed."""
    return isinstance(rows, IterableDataset)
