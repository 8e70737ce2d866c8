# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Errors of an encoder, counted and drawn again."""

import numpy as np
import pytest

from entropy_asr.trainers.data.phoneme_errors import PhonemeErrors, count_errors


def counted(pairs):
    counts = np.zeros((8, 8), dtype=np.int64)
    for said, heard in pairs:
        count_errors(counts, said, heard)
    return counts


def test_each_kind_of_error_is_counted_where_it_happened():
    counts = counted([([1, 2, 3], [1, 4, 3]), ([1, 2], [2]), ([5], [5, 6]), ([], [7])])
    assert counts[2, 4] == 1 and counts[1, 0] == 1 and counts[0, 6] == counts[0, 7] == 1
    assert [counts[phoneme, phoneme] for phoneme in (1, 2, 3, 5)] == [1, 1, 1, 1]
    assert counts[0, 0] == 6
    assert PhonemeErrors(counts).rate == pytest.approx(4 / 6)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_errors_are_drawn_as_often_and_of_the_kinds_that_were_counted(share):
    said, heard = [1, 2, 3] * 10, [1, 3] + [1, 2, 3] * 4 + [4, 2, 3] + [1, 2, 3] * 4 + [6]
    errors = PhonemeErrors(counted([(said, heard)]))
    assert errors.rate == pytest.approx(3 / 30)
    rng = np.random.default_rng(0)
    drawn = counted([(said, errors.draw(said, share * errors.rate, rng)) for _ in range(500)])
    assert PhonemeErrors(drawn).rate == pytest.approx(share * errors.rate, rel=0.1)
    # One substitution, one deletion and one insertion in thirty phonemes.
    for kind in ((1, 4), (2, 0), (0, 6)):
        assert drawn[kind] == pytest.approx(share * 500, rel=0.15)
    assert drawn[3, 3] > 0.98 * 10 * 500


def test_nothing_counted_nothing_misheard():
    assert PhonemeErrors(np.zeros((8, 8), dtype=np.int64)).draw([1, 2, 3], 0.3, np.random.default_rng(0)) == [1, 2, 3]
    errors = PhonemeErrors(counted([([1, 2, 3], [1, 4, 3])]))
    assert errors.draw([1, 2, 3] * 50, 0.0, np.random.default_rng(0)) == [1, 2, 3] * 50
