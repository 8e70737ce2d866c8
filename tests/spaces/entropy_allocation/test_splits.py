# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which rows train and test a probe, and the error of a mean over splits."""

import re

import numpy as np
import pytest
import torch

from entropy_asr.spaces.entropy_allocation.probes import Examples, accessible_information
from entropy_asr.spaces.entropy_allocation.splits import split_by_group, split_rows, standard_error


def uneven_speakers(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


@pytest.mark.parametrize(
    "sizes",
    [[30] * 20, [30] * 8, [30] * 9, [300, 10, 20, 30, 40, 50, 60, 70, 80], [500, *[40] * 20], [1] * 50 + [20] * 10],
)
def test_speakers_are_kept_apart_and_about_a_quarter_of_the_rows_is_tested_on(sizes):
    groups = uneven_speakers(sizes)
    for train, test in split_by_group(groups, 5):
        assert not set(groups[train]) & set(groups[test])
        assert sorted([*train, *test]) == list(range(len(groups)))
        assert 0.15 <= len(test) / len(groups) <= 0.35


def test_first_splits_test_other_speakers_and_more_of_them_change_none():
    groups = uneven_speakers([30] * 20)
    splits = split_by_group(groups, 9)
    tested = [speaker for _, test in splits[:4] for speaker in set(groups[test])]
    assert len(tested) == len(set(tested)) == 20
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(splits, split_by_group(groups, 3), strict=False))


def test_what_speakers_do_not_allow_is_split_by_utterance_and_then_by_row():
    utterances = np.repeat(np.arange(50), 20)
    few, enough = utterances // 10, utterances // 4
    one_large = np.where(utterances < 43, 0, utterances)
    cases = [
        ({"speaker": enough, "utterance": utterances}, "speaker", None),
        ({"speaker": few, "utterance": utterances}, "utterance", "5 speakers: 8 are needed"),
        (
            {"speaker": one_large, "utterance": utterances},
            "utterance",
            "The largest of 8 speakers has 86% of the rows",
        ),
        ({"utterance": utterances * 0}, "row", "1 utterance: 8 are needed"),
        ({"speaker": few, "utterance": few}, "row", "5 speakers: 8 are needed.*5 utterances: 8 are needed"),
    ]
    for groupings, split_by, reason in cases:
        splits = split_rows(groupings, 1000, 2)
        assert splits.split_by == split_by
        assert splits.reason is None if reason is None else re.search(reason, splits.reason)
        for train, test in splits.rows:
            assert 0.15 <= len(test) / 1000 <= 0.35
            if split_by == "row":
                assert np.count_nonzero(np.diff(test) > 1) < 20  # runs of neighbours
            else:
                assert not set(groupings[split_by][train]) & set(groupings[split_by][test])
    with pytest.raises(ValueError, match="5 rows are too few"):
        split_rows({"speaker": np.arange(5)}, 5, 1)


@pytest.mark.parametrize("num_splits", [3, 20])
def test_standard_error_is_that_of_other_speakers_and_not_of_other_splits(num_splits):
    """The mean of what 30 speakers would say, over and over again with 30 others."""
    groups = np.repeat(np.arange(30), 10)
    splits = split_rows({"speaker": groups}, 300, num_splits)
    rng, means, errors = np.random.default_rng(0), [], []
    for _ in range(500):
        rows = rng.normal(size=30)[groups] + 0.1 * rng.normal(size=300)
        values = np.array([rows[test].mean() for _, test in splits.rows])
        means.append(values.mean())
        errors.append(standard_error(values, splits.test_shares))
    means, errors = np.array(means), np.array(errors)
    # Of few splits, which test different speakers, it is rather too large.
    assert 0.85 < np.sqrt((errors**2).mean()) / means.std() < (1.5 if num_splits == 3 else 1.15)
    assert (np.abs(means) < 2 * errors).mean() > 0.85


def test_standard_error_of_a_probe_does_not_go_to_zero_with_the_number_of_splits():
    rng = np.random.default_rng(0)
    groups, labels = np.repeat(np.arange(24), 20), rng.integers(0, 2, 480)
    clear = rng.uniform(0, 2, 24)[groups]  # how clearly each of them speaks
    frames = torch.from_numpy(clear[:, None] * np.eye(2)[labels] + 0.5 * rng.normal(size=(480, 2))).float()
    examples = Examples(frames, torch.from_numpy(labels), groups)
    few, many = (accessible_information(examples, ["linear"], n, control=False)["linear"] for n in (4, 24))
    assert many["standard_error"] > 0.5 * few["standard_error"] > 0
    assert accessible_information(examples, ["linear"], 1, control=False)["linear"]["standard_error"] is None
