# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Gaussian information between blocks of one covariance matrix, in bits (arXiv 2604.08003, appendix B)."""

import math

import numpy as np


class GaussianBlocks:
    """Covariance (ddof 0) of the concatenated blocks u, P and C over utterances, plus a ridge on its diagonal.

    Every block below, conditional ones too, is cut from that one ridged matrix.

    Args:
        blocks: Rows of u, P and, for CSAI, C: `(N, k)` each.
        ridge: What is added to the diagonal.

    Example:
        >>> GaussianBlocks([u, p, c], 1e-3).csai()
    """

    def __init__(self, blocks: list[np.ndarray], ridge: float):
        joined = np.concatenate(blocks, axis=1)
        centred = joined - joined.mean(0)
        self.num_rows, self.ridge = joined.shape[0], ridge
        self.covariance = centred.T @ centred / len(joined) + ridge * np.eye(joined.shape[1])
        ends = np.cumsum([block.shape[1] for block in blocks])
        self._columns = [np.arange(end - block.shape[1], end) for end, block in zip(ends, blocks, strict=True)]

    def pai(self) -> float:
        """I(u; P), not clipped."""
        u, p = self._columns[:2]
        matrix = self.covariance
        return self._bits(*(matrix[np.ix_(part, part)] for part in (u, p, np.concatenate([u, p]))))

    def csai(self) -> float:
        """I(u; C | P), not clipped."""
        u, p, c = self._columns
        return self._bits(*(self._given(part, p) for part in (u, c, np.concatenate([u, c]))))

    def _given(self, kept: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Schur complement: covariance of some columns once others are known."""
        matrix = self.covariance
        across = matrix[np.ix_(known, kept)]
        try:
            explained = np.linalg.solve(matrix[np.ix_(known, known)], across)
        except np.linalg.LinAlgError as error:
            raise self._singular() from error
        return matrix[np.ix_(kept, kept)] - across.T @ explained

    def _bits(self, first: np.ndarray, second: np.ndarray, both: np.ndarray) -> float:
        determinants = [np.linalg.slogdet(matrix) for matrix in (first, second, both)]
        if not all(sign > 0 and math.isfinite(value) for sign, value in determinants):
            raise self._singular()
        first_log, second_log, both_log = (float(value) for _, value in determinants)
        return (first_log + second_log - both_log) / (2 * math.log(2))

    def _singular(self) -> ValueError:
        return ValueError(
            f"The covariance of {len(self.covariance)} components over {self.num_rows} utterances is singular with "
            f"ridge {self.ridge:g}: give a larger `ridge`, a smaller `pca_size` or more utterances."
        )


def standardized(rows: np.ndarray) -> np.ndarray:
    """Rows `(N, D)` with mean 0 and variance 1 (ddof 0) in every column; constant columns become 0."""
    centred = rows - rows.mean(0)
    spread = centred.std(0)
    return centred / np.where(spread > 0, spread, 1.0)


def expected_chance(size_u: int, size_p: int, num_rows: int) -> float:
    """Bits that independent u and P of so many components seem to share over N utterances, to first order."""
    return size_u * size_p / (2 * num_rows * math.log(2))
