# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The area of fuzzing whose inputs are a caller's: what the two metrics are given, drawn by hypothesis."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawn_examples import draw_examples
from fuzz_areas import Area
from hypothesis import strategies as st

from entropy_asr.spaces.entropy_allocation.entropy_allocation import EntropyAllocation
from entropy_asr.spaces.entropy_allocation.request import METRICS
from entropy_asr.spaces.hallucination_rate.hallucination_rate import hallucination_rate


ODD = st.sampled_from([None, True, -1, 0, 1.5, float("nan"), 1e308, "", "x", [], {}, [None], ["a", 1], b"x"])
TEXTS = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(
    ["call 9 1 1", "thanks for watching", "今天天气很好", "3.5 % of £20", "", "♪♪♪", "a a a a a a a a", "ID 12:30"]
)
# An array as (shape, kind of values, dtype): what `repr` shows whole.
ARRAYS = st.tuples(
    st.lists(st.integers(0, 9), max_size=3),
    st.sampled_from(["normal", "normal", "normal", "zeros", "nan", "inf", "huge", "integers"]),
    st.sampled_from(["float32"] * 4 + ["float64", "float16", "int64", "uint8", "bool", "complex64", "object", "U4"]),
)
COUNT = 12


def entries(inner: st.SearchStrategy) -> st.SearchStrategy:
    """Something for each utterance, or for another number of them, or what is none."""
    return st.lists(inner, min_size=COUNT, max_size=COUNT) | st.lists(inner, max_size=5) | ODD


def of_all(value: object) -> st.SearchStrategy:
    """The same for each utterance; arrays of one shape differ by it."""
    return st.just([value] * COUNT)


FRAMES = st.just([((5 + number, 3), "normal", "float32") for number in range(COUNT)])
LABELS = st.just([((5 + number,), "integers", "int64") for number in range(COUNT)])
PHONEMES = st.lists(
    st.lists(st.sampled_from(["h", "aɪ", "t", "k", "æ"]), min_size=1, max_size=4), min_size=COUNT, max_size=COUNT
)
# What goes together; any of these is fine by itself.
VALID = st.sampled_from(
    [{}, {}, {"num_shuffles": 2, "num_bootstrap": 2}, {"metrics": ["nse"], "per_utterance": True}]
).flatmap(
    lambda options: st.sampled_from(
        [
            {"phonemes": PHONEMES},
            {"phonemes": PHONEMES, "semantics": of_all(((4,), "normal", "float64"))},
            {"texts": st.just(["call nine one one", "hello there", "今天天气很好"] * (COUNT // 3))},
            {
                "layers": of_all([((5, 4), "normal", "float32")]),
                "text_embeddings": of_all(((4,), "normal", "float32")),
            },
            {"references": LABELS},
            {"other_predictions": FRAMES},
            {},
        ]
    ).flatmap(lambda group: st.fixed_dictionaries({"predictions": FRAMES, **group}).map(lambda given: given | options))
)
WILD = {
    "predictions": entries(ARRAYS),
    "phonemes": entries(st.lists(st.sampled_from(["h", "aɪ", "", 1, None]), max_size=4) | ODD),
    "texts": entries(TEXTS),
    "languages": entries(st.sampled_from(["en", "zh", "xx", None, 3])) | st.just("en"),
    "semantics": entries(ARRAYS),
    "references": entries(ARRAYS),
    "words": entries(ARRAYS),
    "speakers": entries(st.sampled_from(["a", "b", None, 1])),
    "layers": entries(st.lists(ARRAYS, max_size=2) | ODD),
    "text_embeddings": entries(ARRAYS),
    "other_predictions": entries(ARRAYS),
    "recognized_phonemes": entries(ARRAYS),
    "metrics": st.lists(st.sampled_from([*METRICS, "wer"]), max_size=2) | ODD,
    "pca_size": st.sampled_from([1, 2, (1, 2, 3), 0, 10**9, "3"]) | ODD,
    "ridge": st.sampled_from([1e-3, 0, -1, 1e300]) | ODD,
    "num_shuffles": st.sampled_from([2, 3]) | ODD,
    "num_bootstrap": st.sampled_from([2, 3]) | ODD,
    "seed": st.integers(-1, 3) | ODD,
    "table": st.booleans() | ODD,
    "per_utterance": st.booleans() | ODD,
    "nothing": ODD,
}


def some_of(wild: dict[str, st.SearchStrategy]) -> st.SearchStrategy:
    """None, one or two of these arguments."""
    names = st.lists(st.sampled_from(sorted(wild)), max_size=2, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: wild[name] for name in chosen}))


ALLOCATION = st.builds(lambda valid, wild: valid | wild, VALID, some_of(WILD))
SPOKEN = st.lists(TEXTS, min_size=3, max_size=3)
WILD_TEXTS = {
    "predictions": st.lists(TEXTS, max_size=4) | ODD,
    "references": st.lists(TEXTS, max_size=4) | ODD,
    "return_utterances": st.booleans() | ODD,
    "confidence": st.sampled_from([0.9, 0, 1, 2]) | ODD,
    "seed": st.integers(-1, 3) | ODD,
    "unsupported": st.floats() | ODD,
    "burst_words": st.integers(-1, 5) | ODD,
    "loop_units": st.integers(-1, 5) | ODD,
    "nothing": ODD,
}
HALLUCINATION = st.builds(
    lambda valid, wild: valid | wild,
    st.fixed_dictionaries({"predictions": SPOKEN, "references": SPOKEN}),
    some_of(WILD_TEXTS),
)


def made_array(spec: Any) -> Any:
    """What a description says; other values as they are."""
    is_spec = isinstance(spec, tuple) and len(spec) == 3 and isinstance(spec[1], str)
    if not is_spec:
        return [made_array(item) for item in spec] if isinstance(spec, list) else spec
    shape, kind, dtype = spec
    rng = np.random.default_rng(sum(shape))
    values = rng.normal(size=tuple(shape))
    values = {"zeros": 0 * values, "huge": 1e300 * values, "integers": np.rint(3 * values)}.get(kind, values)
    if kind in ("nan", "inf") and values.size:
        values.flat[0] = float(kind)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = values.astype(dtype)
    return torch.from_numpy(made) if dtype in ("float16", "int64") and len(shape) == 2 else made


class Metrics(Area):
    """Arguments of `compute` of the entropy metrics and of the hallucination rate."""

    name = "metric inputs"
    expected = (ValueError, TypeError)

    def prepare(self, folder: Path, count: int, seed: int) -> None:
        super().prepare(folder, count, seed)
        half = count // 2
        self.drawn = [("entropy_allocation", value) for value in draw_examples(ALLOCATION, half, seed)]
        self.drawn += [("hallucination_rate", value) for value in draw_examples(HALLUCINATION, count - half, seed)]

    def draw(self, rng: np.random.Generator, number: int) -> tuple[str, dict[str, Any]]:
        return self.drawn[number % len(self.drawn)]

    def run(self, value: tuple[str, dict[str, Any]]) -> None:
        name, given = value
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if name == "hallucination_rate":
                result = hallucination_rate(**given)
                assert 0 <= result["hallucination_rate"] <= 1
                return
            given = {key: made_array(item) for key, item in given.items()}
            result = EntropyAllocation().compute(num_seeds=1, **given)
            assert isinstance(result, dict)

    def names(self, value: tuple[str, dict[str, Any]]) -> Sequence[str]:
        return (
            *value[1],
            "references",
            "tterance",
            "ranscripts",
            "layer",
            "Layer",
            "phoneme",
            "frames",
            "metrics",
            "PCA",
        )
