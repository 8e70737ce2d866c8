# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Transcribing a corpus in one process or several, on one machine or several that see one file system.

Process r of n does shards r, r + n, r + 2n, ...: they need not speak with each other, but for the first that makes the
folder ready and makes the output of the parts once all are there. Ray hands out shards instead, as workers become free
(see [`~on_ray`]). A process that is killed leaves whole parts; the next run goes on behind them.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from ..runs.repeated import repeated
from .corpus import Corpus, UnreadableShard
from .parts import Parts, Totals
from .transcripts import Recognizer, transcribed


logger = logging.getLogger(__name__)

# How often the folder of parts is looked at, in seconds.
LOOK_SECONDS = 2.0
# Without a new part for so long, it is metadata which shards are waited for.
QUIET_SECONDS = 900.0


@dataclass
class CorpusTranscriber:
    """Transcripts of a corpus, part by part.

    Args:
        corpus: The rows.
        parts: Where the transcripts go.
        schema: Their columns.
        load: Gives what recognises; called once, where there is something to do.
        language: What it is told; None: it decides.
    """

    corpus: Corpus
    parts: Parts
    schema: pa.Schema
    load: Callable[[], Recognizer]
    language: str | None = None

    def __post_init__(self):
        self._recognizer: Recognizer | None = None

    def missing(self, process_index: int = 0, num_processes: int = 1) -> list[int]:
        """Shards of a process that are not done."""
        shards = range(process_index, self.corpus.num_shards, num_processes)
        return [shard for shard in shards if self.parts.position(shard) is not None]

    def transcribe(self, shards: Iterable[int]) -> None:
        """Do what is missing of these shards; one that cannot be read costs itself."""
        for shard in shards:
            position = self.parts.position(shard)
            if position is None:
                continue
            try:
                self._transcribe(shard, *position)
            except UnreadableShard as error:
                self.parts.fail(shard, str(error))

    def _transcribe(self, shard: int, number: int, state: dict[str, Any] | None) -> None:
        for piece in self.corpus.pieces(shard, state):
            table, totals = transcribed(piece.rows, self._recognize, self.language, self.schema)
            metadata = {"state": piece.state, "totals": vars(totals)}
            self.parts.write(shard, number, piece.is_last, table, metadata)
            number += 1

    def _recognize(self, items: list[Any]) -> list[dict[str, Any]]:
        if self._recognizer is None:
            self._recognizer = self.load()
        return list(self._recognizer(items))

    def wait(self) -> None:
        """Wait for the shards that other processes are at."""
        names, since = self.parts.names(), time.monotonic()
        while len(ended(names)) < self.corpus.num_shards:
            time.sleep(LOOK_SECONDS)
            before, names = names, self.parts.names()
            if names != before:
                since = time.monotonic()
            elif time.monotonic() - since > QUIET_SECONDS:
                since = time.monotonic()
                waited = sorted(set(range(self.corpus.num_shards)) - ended(names))
                logger.warning(
                    f"nothing new for {QUIET_SECONDS / 60:.0f} minutes; {len(waited)} shards are missing, the first "
                    f"{waited[0]}: if a process of another machine has ended, interrupt this and start all again."
                )


def ended(names: Iterable[str]) -> set[int]:
    """Shards that are done or cannot be read, by the names of parts and failures."""
    return {int(name[5:11]) for name in names if name.endswith("-end.parquet")} | {
        int(name[8:14]) for name in names if name.startswith(".failed-")
    }


@contextmanager
def progress_over_all(parts: Parts, num_shards: int, is_shown: bool = True) -> Iterator[None]:
    """Meanwhile a bar over the shards of all processes, with what is in their parts, those of earlier runs too."""
    if not is_shown:
        yield
        return
    seen: set[str] = set()
    totals = Totals()
    before = len(ended(parts.names()))  # so that the rate is that of this run
    with tqdm(total=num_shards, initial=before, unit="shard", desc="transcribing", smoothing=0.0) as bar:

        def show() -> None:
            names = parts.names()
            for name in sorted(names - seen):
                totals.add(parts.totals(name))
            seen.update(names)
            bar.set_postfix_str(str(totals), refresh=False)
            bar.n = len(ended(names))
            bar.refresh()

        with repeated(show, LOOK_SECONDS):
            yield
