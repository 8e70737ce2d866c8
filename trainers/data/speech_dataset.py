# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rows as PyTorch's loaders index them."""

import logging
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset

from entropy_asr.modeling.audio import AudioError

from .decoding import read_samples


logger = logging.getLogger(__name__)

# Rows that are looked at for one to take an unreadable one's place.
MAX_REPLACEMENTS = 1000


class SpeechDataset(torch.utils.data.Dataset):
    """Map-style view of rows for a `DataLoader` with [`~batching.DurationBatchSampler`].

    Indexed by `index` or `(index, draw)`. A row is a dictionary with `samples` as float32 waveform of shape
    `(num_samples,)`, the other columns, `index`, and `draw` (0 where none was given). Reads the Arrow memory directly:
    `dataset[index]` would build a Python list of every sample.

    Args:
        rows: Rows of [`~sources.load_sources`] or [`~decoding.decode_ahead`].
        replace_unreadable: In the place of a row whose audio cannot be decoded give the next one that can be and is no
            longer, with a warning: the damaged file of a large corpus must not end a run. False: raise.

    Raises:
        AudioError: when indexed, where the audio cannot be decoded and is not to be replaced.
    """

    def __init__(self, rows: Dataset, replace_unreadable: bool = False):
        self.rows = rows
        self.replace_unreadable = replace_unreadable
        self._table = rows.with_format("arrow")
        self._samples = self._table.select_columns("samples") if "samples" in rows.column_names else None
        self._other_columns = [name for name in rows.column_names if name != "samples"]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        index, draw = key if isinstance(key, tuple) else (key, 0)
        try:
            return self._row(index, draw)
        except AudioError as error:
            if not self.replace_unreadable:
                raise
            logger.warning(f"Row {index} is replaced by another one: {error}")
            return self._row_in_place_of(index, draw, error)

    def _row_in_place_of(self, index: int, draw: int, error: AudioError) -> dict[str, Any]:
        """The next row, in the order of indices, that is readable and no longer: the batch keeps its bounds."""
        longest = self._duration(index)
        for step in range(1, min(len(self), MAX_REPLACEMENTS)):
            other = (index + step) % len(self)
            if self._duration(other) > longest:
                continue
            try:
                return self._row(other, draw)
            except AudioError:
                continue
        raise error

    def _duration(self, index: int) -> float:
        return self._table.select_columns("duration")[index].column(0)[0].as_py()

    def _row(self, index: int, draw: int) -> dict[str, Any]:
        table: pa.Table = self._table[index]
        row = {name: table.column(name)[0].as_py() for name in self._other_columns}
        samples = read_samples(row) if self._samples is None else read_samples({"samples": _row_samples(table)})
        row.pop("audio", None)
        return {**row, "samples": samples, "index": index, "draw": draw}

    def integer_samples(self, index: int) -> np.ndarray:
        """Stored samples of a decoded row: int16, of shape `(num_samples,)`, a read-only view of the file."""
        return _row_samples(self._samples[index])


def _row_samples(table: pa.Table) -> np.ndarray:
    return table.column("samples")[0].values.to_numpy()
