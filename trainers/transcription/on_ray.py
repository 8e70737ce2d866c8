# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Transcribing a corpus through Ray Data: shards go to whichever worker of a cluster is free (extra: ray).

What travels is the numbers of shards; each worker reads its rows and writes its parts itself, as [`~engine`] does. So
a worker or a machine that is lost costs the pieces it was at: Ray starts it again, and a shard goes on where it ended.
"""

from collections.abc import Callable
from typing import Any

import ray
import ray.data

from .engine import CorpusTranscriber


# Blocks of shards for each worker: few enough for a driver to keep track of, enough for the last to end together.
BLOCKS_PER_WORKER = 32


class ShardWorker:
    """A worker, with a model of its own.

    Args:
        make: Gives the transcriber, in the worker's process.
    """

    def __init__(self, make: Callable[[], CorpusTranscriber]):
        self.transcriber = make()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do these shards."""
        self.transcriber.transcribe(int(shard) for shard in batch["shard"])
        return batch


def transcribe_on_ray(
    make: Callable[[], CorpusTranscriber], shards: list[int], num_workers: int | None = None, uses_gpus: bool = True
) -> None:
    """Do these shards on a cluster: that of `RAY_ADDRESS`, or one that is started here.

    Args:
        make: Gives the transcriber; goes to the workers, so Ray must be able to send it.
        shards: Their numbers.
        num_workers: Number of workers; None: one for each GPU, or for each processor where there is none.
        uses_gpus: Whether a worker takes a GPU, where there are some.
    """
    was_running = ray.is_initialized()
    if not was_running:
        ray.init(logging_level="ERROR", include_dashboard=False, log_to_driver=False)
    try:
        resources = ray.cluster_resources()
        num_gpus = int(resources.get("GPU", 0)) if uses_gpus else 0
        num_workers = min(num_workers or num_gpus or int(resources["CPU"]), len(shards))
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items(
            [{"shard": shard} for shard in shards],
            override_num_blocks=min(len(shards), BLOCKS_PER_WORKER * num_workers),
        )
        done = rows.map_batches(
            ShardWorker,
            fn_constructor_args=(make,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=num_workers),
            num_gpus=1 if num_gpus else 0,
        )
        for _ in done.iter_rows():
            pass
    finally:
        if not was_running:
            ray.shutdown()
