# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Processes share all work, in its order."""

import pytest

from entropy_asr.trainers.evaluation.shares import Shares


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("num_items", [0, 1, 5, 6])
def test_all_items_are_somebodys_in_their_order(count, num_items):
    shares = [Shares(index, count).own(list(range(num_items))) for index in range(count)]
    assert sum(shares, []) == list(range(num_items))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_alone_has_all_and_asks_nobody():
    assert Shares().joined(Shares().own([1, 2, 3])) == [1, 2, 3]
