# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NSE, PAI and CSAI of an evaluation set, with what they would be by chance and how sure they are.

How this differs from arXiv 2604.08003, which leaves these open: PCA sizes and ridge are arguments that every result
names; beside each figure stand its chance level, a bootstrap interval, the unclipped value and on request a table of
the figure over other sizes and ridges.
"""

import math
import time
from dataclasses import dataclass

import numpy as np

from .chance import bootstrap, canonical_order, chance_level
from .information import GaussianBlocks, expected_chance, standardized
from .phoneme_bags import phoneme_bags
from .pooling import Components, components
from .request import Request
from .summaries import Summary


# Utterances for each component in a default PCA size, at least: three blocks of that size share them.
ROWS_PER_COMPONENT = 4
# Bits that a default PCA size may give to frames and phonemes that have nothing to do with each other.
CHANCE_BITS = 1.0
TABLE_SIZES = (0.25, 0.5, 1.0, 2.0)
TABLE_RIDGES = (0.1, 1.0, 10.0)


def nse_figures(summaries: list[Summary], request: Request) -> tuple[float, dict]:
    """Mean NSE over utterances, and its details."""
    start = time.perf_counter()
    values = np.array([summary.nse for summary in summaries])
    # Sums of the same numbers in another order differ by rounding alone, draws would not.
    ordered = values[canonical_order(np.array([summary.pooled for summary in summaries]))]
    value = float(values.mean())
    details = {
        "num_utterances": len(values),
        "dimension": len(summaries[0].pooled) // 2,
        "standard_deviation": float(values.std()),
        **bootstrap(lambda rows: float(ordered[rows].mean()), value, len(values), request.num_bootstrap, request.seed),
        "seconds": round(time.perf_counter() - start, 2),
    }
    return value, details | ({"values": values.tolist()} if request.per_utterance else {})


@dataclass
class Blocks:
    """Components of pooled frames u, phoneme bags P and, if there are any, semantics C, in canonical order."""

    u: Components
    p: Components
    c: Components | None
    num_rows: int

    @classmethod
    def of(cls, summaries: list[Summary]) -> "Blocks":
        """From summaries that have phonemes.

        Raises:
            ValueError: fewer than 2 utterances, or a block that is the same in all of them.
        """
        if len(summaries) < 2:
            raise ValueError(f"Information needs two utterances or more, got {len(summaries)}.")
        order = canonical_order(np.array([summary.pooled for summary in summaries]))
        summaries = [summaries[row] for row in order]
        rows = {
            "frames": np.array([summary.pooled for summary in summaries]),
            "phonemes": phoneme_bags([summary.phonemes for summary in summaries])[0],
        }
        if summaries[0].semantics is not None:
            rows["semantics"] = np.array([summary.semantics for summary in summaries])
        found = {name: components(vectors) for name, vectors in rows.items()}
        for name, block in found.items():
            if not block.num_varying:
                raise ValueError(f"The {name} of all {len(summaries)} utterances are the same.")
        return cls(found["frames"], found["phonemes"], found.get("semantics"), len(summaries))

    def by_name(self) -> dict[str, Components]:
        """Those that there are."""
        return {"u": self.u, "P": self.p} | ({} if self.c is None else {"C": self.c})

    def sizes(self, asked: tuple[int, int, int] | None) -> tuple[dict[str, int], str]:
        """Components to use of each block, and the reason in words.

        Raises:
            ValueError: more were asked for than there are utterances or columns.
        """
        blocks = self.by_name()
        if asked is None:
            limit = self.default_size()
            sizes = {name: min(limit, block.num_varying) for name, block in blocks.items()}
            rule = (
                f"default for {self.num_rows} utterances: the largest k with k^2 / (2 N ln 2) of at most "
                f"{CHANCE_BITS:g} bit, k of at most (N - 1) / {ROWS_PER_COMPONENT} and of the components that vary"
            )
        else:
            sizes = {}
            for (name, block), size in zip(blocks.items(), asked, strict=False):
                if size > min(self.num_rows, block.num_columns):
                    raise ValueError(
                        f"`pca_size` {size} is more than {name} gives: {self.num_rows} utterances of "
                        f"{block.num_columns} columns."
                    )
                sizes[name] = min(size, block.num_varying)
            rule = "as asked for, without components of zero variance"
        same = min(size for name, size in sizes.items() if name != "u")
        return {name: size if name == "u" else same for name, size in sizes.items()}, rule

    def default_size(self) -> int:
        """The largest PCA size that this number of utterances supports with sense."""
        by_chance = math.floor(math.sqrt(2 * math.log(2) * CHANCE_BITS * self.num_rows))
        return max(1, min(by_chance, (self.num_rows - 1) // ROWS_PER_COMPONENT))

    def cut(self, sizes: dict[str, int]) -> list[np.ndarray]:
        """Scores of the first components of each block, `(N, k)`."""
        return [block.scores[:, : sizes[name]] for name, block in self.by_name().items()]


def information_figures(blocks: Blocks, name: str, request: Request) -> tuple[float, dict]:
    """PAI or CSAI, clipped at 0, and its details.

    Args:
        blocks: What is measured.
        name: "pai" or "csai".
        request: PCA sizes, ridge, number of shuffles and draws.

    Raises:
        ValueError: PCA sizes that the data do not give, or a singular covariance.
    """
    start = time.perf_counter()
    sizes, rule = blocks.sizes(request.pca_size)
    cut = blocks.cut(sizes)
    value = _information(cut, name, request.ridge)
    num_rows = blocks.num_rows
    chance = chance_level(
        lambda order: _information([cut[0][order], *cut[1:]], name, request.ridge),
        num_rows,
        request.num_shuffles,
        request.seed,
    )
    details = {
        "num_utterances": num_rows,
        "pca_size": sizes,
        "pca_rule": rule,
        "columns": {block: found.num_columns for block, found in blocks.by_name().items()},
        "varying_components": {block: found.num_varying for block, found in blocks.by_name().items()},
        "ridge": request.ridge,
        "unclipped": value,
        "chance": chance,
        "expected_chance": expected_chance(sizes["u"], sizes["P"], num_rows),
        "above_chance": value - chance["mean"],
        **_interval(cut, name, value, request),
    }
    if request.table:
        details["table"] = _table(blocks, name, request, sizes)
    return max(0.0, value), details | {"seconds": round(time.perf_counter() - start, 2)}


def _interval(cut: list[np.ndarray], name: str, value: float, request: Request) -> dict:
    """Details of the bootstrap; without a ridge there may be none, and `interval_left_out` says why."""
    try:
        return bootstrap(
            lambda rows: _information([standardized(block[rows]) for block in cut], name, request.ridge),
            value,
            len(cut[0]),
            request.num_bootstrap,
            request.seed,
        )
    except ValueError as error:
        # Drawn utterances repeat: there are fewer different ones, and maybe fewer than components.
        return {"interval": None, "interval_left_out": f"Of utterances drawn with replacement: {error}"}


def _information(cut: list[np.ndarray], name: str, ridge: float) -> float:
    blocks = GaussianBlocks(cut, ridge)
    return blocks.pai() if name == "pai" else blocks.csai()


def _table(blocks: Blocks, name: str, request: Request, sizes: dict[str, int]) -> list[dict]:
    """The figure over other PCA sizes (of all blocks alike) and ridges, each with its chance level."""
    most = min(block.num_varying for block in blocks.by_name().values())
    chosen = sorted({min(most, max(1, round(share * sizes["P"]))) for share in TABLE_SIZES})
    rows = []
    for size in chosen:
        cut = blocks.cut(dict.fromkeys(sizes, size))
        for ridge in sorted({share * (request.ridge or 1e-3) for share in TABLE_RIDGES}):
            value = _information(cut, name, ridge)
            chance = chance_level(
                lambda order, cut=cut, ridge=ridge: _information([cut[0][order], *cut[1:]], name, ridge),
                blocks.num_rows,
                request.num_shuffles,
                request.seed,
            )
            rows.append({"pca_size": size, "ridge": ridge, name: max(0.0, value), "chance": chance["mean"]})
    return rows
