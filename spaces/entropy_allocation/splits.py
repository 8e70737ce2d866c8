# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which rows train a probe and which ones test it, and how far the mean over several such splits may be off.

Rows of one speaker, or of one utterance, depend on each other: a probe that is tested on speakers it was trained on
is tested on what it may know by heart. So whole groups are held out. Where groups are too few or too uneven, rows are
split by what is finer (utterances, then runs of neighbouring rows), and the result says so: runs leave rows of one
utterance on both sides, and figures from them are too good.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


TEST_SHARE = 0.25
VALIDATION_SHARE = 0.2
# Groups are chosen so that their share of rows is near the wanted one, and at most this part of it away: 15 % to 35 %
# of all rows are tested on, however large the largest speaker.
SHARE_TOLERANCE = 0.4
# Random orders of groups that are tried for such a share. What is possible at all is nearly always met by a few.
ATTEMPTS = 50
# With fewer groups than this a test set is two or three of them, and the figure is about these.
MIN_GROUPS = 8
MIN_VALIDATION_GROUPS = 4
# Runs of neighbouring rows where there are no groups to split by.
RUNS = 40
ROW = "row"


@dataclass
class Splits:
    """Training and test rows of a number of random splits.

    Attributes:
        rows: Row numbers `(train, test)` of each split.
        split_by: What is never on both sides: a name of [`split_rows`]'s groupings; "row" where only single rows are.
        reason: Why it is nothing coarser; None where it is the coarsest.
    """

    rows: list[tuple[np.ndarray, np.ndarray]]
    split_by: str
    reason: str | None

    @property
    def test_shares(self) -> list[float]:
        """Share of rows that each split tests on, 0 to 1."""
        return [len(test) / (len(train) + len(test)) for train, test in self.rows]


def split_rows(groupings: Mapping[str, np.ndarray], num_rows: int, num_splits: int) -> Splits:
    """Random splits by the coarsest grouping that can be split, or else by runs of neighbouring rows.

    Args:
        groupings: By name the group of each row, `(N,)`, the coarsest first: `{"speaker": ..., "utterance": ...}`.
        num_rows: N.
        num_splits: Number of splits. The first ones are the same, however many there are.

    Raises:
        ValueError: fewer than `MIN_GROUPS` rows.
    """
    if num_rows < MIN_GROUPS:
        raise ValueError(f"{num_rows} rows are too few to train and test a probe: {MIN_GROUPS} are needed.")
    reasons: list[str] = []
    for name, groups in groupings.items():
        try:
            return Splits(split_by_group(groups, num_splits, name), name, " ".join(reasons) or None)
        except ValueError as error:
            reasons.append(str(error))
    return Splits(split_by_group(_runs(num_rows), num_splits, ROW), ROW, " ".join(reasons) or None)


def split_by_group(groups: np.ndarray, num_splits: int, name: str = "group") -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers for training and for testing; the test rows are whole groups, about a quarter of all rows.

    As long as there are groups that no split has tested, the next one tests some of these: test sets that have no
    speaker in common make the mean over splits surer, and their scatter a fair measure of its error.

    Args:
        groups: Group of each row, `(N,)`.
        num_splits: Number of splits.
        name: What a group is, for errors.

    Raises:
        ValueError: fewer than `MIN_GROUPS` groups, or sizes of which no choice makes up 15 % to 35 % of the rows.
    """
    numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    if len(sizes) < MIN_GROUPS:
        raise ValueError(f"{len(sizes)} {name}{'s' * (len(sizes) != 1)}: {MIN_GROUPS} are needed to split by {name}.")
    rng, untested, splits = np.random.default_rng(0), np.ones(len(sizes), dtype=bool), []
    for _ in range(num_splits):
        chosen = _choose_groups(sizes, untested, TEST_SHARE, rng)
        if chosen is None:
            untested[:] = True
            chosen = _choose_groups(sizes, untested, TEST_SHARE, rng)
        if chosen is None:
            raise ValueError(
                f"The largest of {len(sizes)} {name}s has {sizes.max() / len(groups):.0%} of the rows: no choice of "
                f"whole {name}s makes a test set of about a quarter."
            )
        untested[chosen] = False
        in_test = np.isin(numbers, chosen)
        splits.append((np.flatnonzero(~in_test), np.flatnonzero(in_test)))
    return splits


def validation_rows(groupings: Mapping[str, np.ndarray], train: np.ndarray, seed: int) -> np.ndarray:
    """Which training rows choose penalty and epoch: `(len(train),)`, True for about a fifth of these row numbers.

    By the coarsest grouping that allows it, even where the test is by a finer one: what chooses must not be more like
    the training rows than the test rows are. Single rows among their neighbours would not do: frames side by side are
    alike.
    """
    rng = np.random.default_rng([seed, 1])
    for groups in [*groupings.values(), None]:
        # Of runs there are always enough.
        own = _runs(len(train)) if groups is None else groups[train]
        numbers, sizes = np.unique(own, return_inverse=True, return_counts=True)[1:]
        if len(sizes) >= MIN_VALIDATION_GROUPS:
            chosen = _choose_groups(sizes, np.ones(len(sizes), dtype=bool), VALIDATION_SHARE, rng)
            if chosen is not None:
                return np.isin(numbers, chosen)
    raise ValueError(f"{len(train)} training rows are too few to choose by.")


def _runs(num_rows: int) -> np.ndarray:
    """Numbers of up to `RUNS` runs of neighbouring rows, `(N,)`."""
    return np.arange(num_rows) * min(RUNS, num_rows) // num_rows


def _choose_groups(sizes: np.ndarray, allowed: np.ndarray, share: float, rng: np.random.Generator) -> list[int] | None:
    """Random groups that together have about that share of all rows; None where no choice comes near.

    A group of more rows than that is never chosen, and one that is taken must bring the share nearer.

    Args:
        sizes: Rows of each group, `(G,)`.
        allowed: True for groups that may be chosen, `(G,)`.
        share: Wanted share, 0 to 1.
        rng: Chooses.
    """
    wanted, candidates = share * sizes.sum(), np.flatnonzero(allowed)
    least, most = (1 - SHARE_TOLERANCE) * wanted, (1 + SHARE_TOLERANCE) * wanted
    if sizes[candidates].sum() < least:
        return None
    for _ in range(ATTEMPTS):
        chosen, taken = [], 0
        for group in rng.permutation(candidates):
            with_it = taken + sizes[group]
            if with_it <= most and abs(with_it - wanted) < abs(taken - wanted):
                chosen.append(group)
                taken = with_it
            if taken >= wanted:
                break
        if taken >= least:
            return chosen
    return None


def standard_error(values: np.ndarray, test_shares: list[float]) -> float | None:
    """Standard error of the mean of figures from random splits of the same rows; None for a single split.

    Splits overlap, so their figures agree more than figures of other data would: s / sqrt(J) goes to 0 with the
    number of splits J, and the true error does not. This is the corrected resampled variance of Nadeau and Bengio
    (2003), Inference for the Generalization Error, Machine Learning 52: (1 / J + n_test / n_train) s^2.

    Args:
        values: The figures, `(J,)`.
        test_shares: Share of rows that each split tests on.
    """
    if len(values) < 2:
        return None
    share = float(np.mean(test_shares))
    return float(np.sqrt((1 / len(values) + share / (1 - share)) * np.var(values, ddof=1)))
