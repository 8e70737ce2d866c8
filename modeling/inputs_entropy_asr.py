# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a pipeline may be given: one item, or several in any of the containers that people keep audio in.

transformers' pipelines know lists, generators and PyTorch's data sets, and take everything else for one item. Since a
column of a Hugging Face data set is no list any more, `pipe(dataset["audio"])` would be one item that cannot be read.
"""

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from numbers import Real
from types import GeneratorType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset
from transformers.pipelines.pt_utils import KeyDataset

from .audio import AudioError


class LazyItems(Dataset):
    """A sequence that is read item by item, as a PyTorch data set."""

    def __init__(self, items: Sequence):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def in_order(inputs: Iterable[Any]) -> Iterator[Any]:
    """The items of a data set or generator; a data set that is read by position need not know where it ends."""
    if isinstance(inputs, Sized) and not isinstance(inputs, IterableDataset):
        return (inputs[index] for index in range(len(inputs)))
    return iter(inputs)


def as_pipeline_inputs(inputs: Any) -> tuple[Any, bool]:
    """Give items in containers that a pipeline does not know a form that it does.

    Args:
        inputs: one item for [`load_audio`], or several: a list, a tuple, an array of objects or paths, a column of a
            Hugging Face data set, such a data set with one column of audio, a table's column, any other sequence or
            iterator. Audio that a data set would decode is read by this package, which needs no torchcodec for it.

    Returns:
        A list, a PyTorch data set, a generator, or the one item; and whether results are to be put into a list.

    Raises:
        AudioError: what is not clearly one item or several.
    """
    _refuse_ambiguous(inputs)
    if isinstance(inputs, list):
        return inputs, True
    if isinstance(inputs, KeyDataset):
        return KeyDataset(_undecoded(inputs.dataset, inputs.key), inputs.key), False
    if _is_table(inputs):  # where PyTorch is there, one that is streamed is PyTorch's as well
        return _container(inputs[_audio_column(inputs)])
    if isinstance(inputs, Dataset | GeneratorType) or _is_one_item(inputs):
        return inputs, False
    return _container(inputs)


def _container(inputs: Iterable) -> tuple[Any, bool]:
    """Several items: read one by one where they may be many, put into a list where they lie in memory."""
    if hasattr(inputs, "source") and hasattr(inputs, "column_name"):  # a column of a Hugging Face data set
        inputs = _undecoded(inputs.source, inputs.column_name)[inputs.column_name]
        return (LazyItems(inputs), True) if isinstance(inputs, Sequence) else ((item for item in inputs), False)
    if isinstance(inputs, Iterator) or not isinstance(inputs, Sized):
        return (item for item in inputs), False
    return list(inputs), True


def _is_one_item(inputs: Any) -> bool:
    if isinstance(inputs, np.ndarray):
        return inputs.dtype.kind not in "OU" or inputs.ndim != 1
    known = str | bytes | bytearray | memoryview | os.PathLike | Mapping | torch.Tensor
    return isinstance(inputs, known) or hasattr(inputs, "read") or not isinstance(inputs, Iterable)


def _refuse_ambiguous(inputs: Any) -> None:
    if isinstance(inputs, tuple) and len(inputs) == 2 and sum(isinstance(part, Real) for part in inputs) == 1:
        raise AudioError(
            "a pair of samples and a number is no item: if the number is their rate, give "
            '{"array": samples, "sampling_rate": rate}'
        )
    if isinstance(inputs, Mapping) and any(map(_is_table, inputs.values())):
        raise AudioError(f"a data set of several splits is no input: give one of {', '.join(map(repr, inputs))}")
    if isinstance(inputs, set | frozenset):
        raise AudioError("a set has no order in which results could be given: give a list")
    if isinstance(inputs, DataLoader):
        raise AudioError("a `DataLoader` gives batches, not items: give its data set, and `batch_size`")
    if hasattr(inputs, "iloc") and getattr(inputs, "ndim", 1) == 2:
        raise AudioError(f"a table is no input: give its column of audio, one of {', '.join(map(repr, inputs))}")


def _is_table(inputs: Any) -> bool:
    """Whether this is a Hugging Face data set (this package does not need theirs)."""
    return hasattr(inputs, "column_names") and hasattr(inputs, "cast_column")


def _audio_column(dataset: Any) -> str:
    features = dataset.features or {}
    found = [name for name, feature in features.items() if type(feature).__name__ == "Audio"]
    if len(found) != 1:
        names = ", ".join(map(repr, dataset.column_names or features)) or "not known yet"
        raise AudioError(
            f"a data set with {len(found) or 'no'} columns of audio is no input: give a column, "
            f'`dataset["audio"]` (its columns: {names})'
        )
    return found[0]


def _undecoded(dataset: Any, column: str) -> Any:
    """The data set with a column of audio as it is stored: its own decoder needs FFmpeg and may not be installed."""
    feature = (getattr(dataset, "features", None) or {}).get(column) if _is_table(dataset) else None
    if type(feature).__name__ != "Audio" or not feature.decode or _is_transformed(dataset):
        return dataset
    stored = copy.copy(feature)
    stored.decode = False
    return dataset.cast_column(column, stored)


def _is_transformed(dataset: Any) -> bool:
    """Whether rows go through a function of the user's, which may expect decoded audio."""
    return (getattr(dataset, "format", None) or {}).get("type") == "custom"


__all__ = ["LazyItems", "as_pipeline_inputs", "in_order"]
