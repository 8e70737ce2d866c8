# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whether a model and a data set are those of before, told without reading all of them."""

import hashlib
import os
from pathlib import Path

import numpy as np


# Of each file, this much of its beginning and of its end, and pieces in between: of weights, their names, shapes, and
# values all over, since a stage may have trained a part in the middle alone.
SAMPLE_BYTES, PIECES, PIECE_BYTES = 2**16, 2048, 2**10


def model_identity(name: str) -> str:
    """A Hub id as it is; of a folder or file on disk a hash of names, sizes and samples, wherever it lies.

    Args:
        name: Hub id, folder or file.
    """
    path = Path(name)
    if not path.exists():
        return name
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(path.iterdir()):
        if file.is_file() and (file == path or _is_of_model(file.name)):
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode() + _sample(file))
    return digest.hexdigest()


def contents_of(name: str) -> str:
    """A Hub id as it is; of a data set on disk a hash of its files' names and sizes, wherever it lies.

    Args:
        name: Hub id, folder or file.
    """
    path = Path(name)
    if not path.exists():
        return name
    if path.is_file():
        return _hash([f"{path.stat().st_size}"])
    lines = []
    for folder, _, files in os.walk(path):
        inside = Path(folder).relative_to(path)
        lines += [f"{inside / file}\0{os.stat(os.path.join(folder, file)).st_size}" for file in files]
    return _hash(sorted(lines))


def _is_of_model(name: str) -> bool:
    """Whether a file says something of what is computed, as cards, results and logs do not."""
    is_setting = name.endswith(".json") and ("config" in name or "token" in name)
    return is_setting or name.endswith((".safetensors", ".bin", ".jinja"))


def _sample(file: Path) -> bytes:
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= 2 * SAMPLE_BYTES + PIECES * PIECE_BYTES:
            return stream.read()
        first = stream.read(SAMPLE_BYTES)
        stream.seek(size - SAMPLE_BYTES)
        last = stream.read()
    spans = np.memmap(file, np.uint8, "r")[: size // PIECES * PIECES].reshape(PIECES, -1)
    return b"".join([first, spans[:, :PIECE_BYTES].tobytes(), last])


def _hash(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
