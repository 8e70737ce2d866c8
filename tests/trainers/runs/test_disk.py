# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A disk that refuses is named with its reason, whichever library has met it."""

import errno
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from file_limits import files_of_at_most
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from entropy_asr.trainers.runs.disk import named_disk_errors


def write_plainly(path: Path) -> None:
    with path.open("wb") as file:
        file.write(bytes(2**20))


NOISE = np.random.default_rng(0).random(2**18)
WRITERS = {
    "Python": (write_plainly, errno.EFBIG),
    "PyTorch": (lambda path: torch.save(torch.zeros(2**20), path), errno.EIO),
    "safetensors": (lambda path: save_file({"weight": torch.zeros(2**20)}, path), errno.EFBIG),
    "pyarrow": (
        lambda path: pq.write_table(pa.table({"a": np.random.default_rng(0).random(2**18)}), path),
        errno.EFBIG,
    ),
    "NumPy": (lambda path: np.savez(path.with_suffix(".npz"), np.zeros(2**20)), errno.EFBIG),
}


@pytest.mark.parametrize("writer", list(WRITERS))
def test_what_the_system_refuses_names_the_folder(tmp_path, writer):
    write, number = WRITERS[writer]
    with pytest.raises(OSError) as refused, named_disk_errors(tmp_path), files_of_at_most(2**16):
        write(tmp_path / "file")
    assert refused.value.errno == number and refused.value.filename == str(tmp_path)


def test_what_names_its_file_passes(tmp_path):
    with pytest.raises(FileNotFoundError) as refused, named_disk_errors(tmp_path):
        (tmp_path / "gone").read_bytes()
    assert refused.value.filename == str(tmp_path / "gone")


@pytest.mark.parametrize("load", [torch.load, load_file])
def test_what_cannot_be_read_is_no_fault_of_the_place_that_is_written(tmp_path, load):
    torch.save({"weight": torch.zeros(9)}, tmp_path / "whole")
    (tmp_path / "cut").write_bytes((tmp_path / "whole").read_bytes()[:300])
    with pytest.raises((RuntimeError, SafetensorError)), named_disk_errors(tmp_path / "elsewhere"):
        load(tmp_path / "cut")


@pytest.mark.parametrize("error", [ValueError("a value"), RuntimeError("shapes differ"), OSError("no number")])
def test_other_errors_pass(tmp_path, error):
    with pytest.raises(type(error)) as passed, named_disk_errors(tmp_path / "not" / "there"):
        raise error
    assert passed.value is error
