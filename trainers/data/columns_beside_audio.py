# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Columns of text and figures changed, added and looked at without touching the audio beside them."""

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Value


def lacks_audio(rows: Dataset) -> np.ndarray:
    """Which rows `(num_rows,)` have neither samples nor encoded audio, by the columns' validity: audio is not read."""
    name = next((name for name in ("samples", "audio") if name in rows.column_names), None)
    if name is None:
        return np.zeros(len(rows), dtype=bool)
    missing = []
    for chunk in rows.data.column(name).chunks:
        null = pc.is_null(chunk)
        if pa.types.is_struct(chunk.type):
            null = pc.or_(null, pc.and_(pc.is_null(chunk.field("bytes")), pc.is_null(chunk.field("path"))))
        missing.append(null.to_numpy(zero_copy_only=False))
    missing = np.concatenate(missing) if missing else np.zeros(0, dtype=bool)
    return missing if rows._indices is None else missing[rows._indices.column(0).to_numpy()]


def replace_columns(rows: Dataset, **columns: list) -> Dataset:
    """Rows with other values in columns of text; those that stay as they are are not touched, nor is the audio."""
    table = rows.with_format("arrow")
    changed = {name: values for name, values in columns.items() if table[name][:].to_pylist() != values}
    if not changed:
        return rows
    order = rows.column_names
    features = datasets.Features({name: Value("string") for name in changed})
    rest = rows.remove_columns(list(changed))
    return add_columns(rest, Dataset.from_dict(changed, features=features)).select_columns(order)


def add_columns(rows: Dataset, columns: Dataset) -> Dataset:
    """Rows with further columns that were computed from them; audio stays where it is.

    Rows that were selected from others are a list of places, and `concatenate_datasets` would first write all of them
    anew, audio and all: hundreds of GB for a thousand hours. So the columns are laid beside everything that was
    selected from, and the same places are selected again.

    Args:
        rows: Any rows.
        columns: As many rows, of small columns.
    """
    places = None if rows._indices is None else rows._indices.column(0).to_numpy()
    # A row that was selected twice may have two values.
    if places is None or len(np.unique(places)) < len(places):
        return datasets.concatenate_datasets([rows, columns], axis=1)
    everything = Dataset(rows.data, info=rows.info.copy(), split=rows.split, fingerprint=rows._fingerprint)
    spread = np.zeros(len(everything), dtype=np.int64)  # what is not selected gets the columns of any row
    spread[places] = np.arange(len(places))
    columns = columns.select(spread).flatten_indices()
    return datasets.concatenate_datasets([everything, columns], axis=1).select(places)
