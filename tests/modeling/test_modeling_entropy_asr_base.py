# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which frames see which, of chunks, in padding and in streams."""

import pytest
import torch

from entropy_asr.modeling.modeling_entropy_asr_base import create_chunk_mask


@pytest.mark.parametrize(
    ("chunk_size", "left_chunks", "rows"),
    [
        (0, -1, ["11111", "11111", "11111", "11111", "11111"]),
        (0, 1, ["11111", "11111", "11111", "11111", "11111"]),
        (2, -1, ["11000", "11000", "11110", "11110", "11111"]),
        (2, 0, ["11000", "11000", "00110", "00110", "00001"]),
        (2, 1, ["11000", "11000", "11110", "11110", "00111"]),
        (1, 2, ["10000", "11000", "11100", "01110", "00111"]),
        (9, 0, ["11111", "11111", "11111", "11111", "11111"]),
    ],
)
def test_chunk_mask_truth_table(chunk_size, left_chunks, rows):
    positions = torch.arange(5)
    mask = create_chunk_mask(positions, positions, torch.ones(1, 5), chunk_size, left_chunks)
    assert mask.shape == (1, 1, 5, 5)
    assert ["".join(str(int(key)) for key in row) for row in mask[0, 0]] == rows


def test_padded_keys_are_seen_by_nobody_but_themselves():
    positions = torch.arange(4)
    mask = create_chunk_mask(positions, positions, torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]]))
    assert mask[0, 0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]
    assert mask[1, 0].all()


def test_mask_of_a_stream_is_the_last_rows_of_the_full_mask():
    full = create_chunk_mask(torch.arange(7), torch.arange(7), torch.ones(1, 7), 2, 1)
    streamed = create_chunk_mask(torch.arange(4, 6), torch.arange(2, 6), torch.ones(1, 4), 2, 1)
    assert torch.equal(streamed, full[:, :, 4:6, 2:6])
