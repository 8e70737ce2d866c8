# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hallucination rate of transcripts as an `evaluate` metric."""

import warnings
from collections.abc import Mapping, Sized
from dataclasses import fields
from numbers import Integral, Real

import datasets
import evaluate
import numpy as np

from .chinese_numbers import write_chinese_numbers
from .detection import Detection, Thresholds, detect
from .english_forms import american_spelling
from .sounds import can_read_chinese
from .spoken import spoken_units
from .text_normalization import write_as_spoken
from .units import can_simplify, has_ideographs


# `evaluate.load` copies the modules that are imported here, not those that they import in turn.
_COPIED_ALONG = (american_spelling, spoken_units, write_as_spoken, write_chinese_numbers)
REASONS = ("empty_reference", "unsupported", "burst", "loop")
RESAMPLES = 1000

_DESCRIPTION = """\
Share of transcripts with text that nobody said: any text where the reference is empty, text that neither the words nor
the sounds of the reference support, a burst of inserted words, or a loop. Numbers, times, amounts and spellings are
compared as they are spoken, and misheard words are errors, not hallucinations. English, Chinese and mixtures. Scores
raw output: do not collapse loops before. An output of symbols alone ("♪♪♪") is text that nobody said; one of pauses
alone ("...") is empty. Beside it the rate of the paper (arXiv 2604.08003): more than 50 % longer and unrelated.
"""

_INPUTS = """
Args:
    predictions: transcripts, strings.
    references: what was said, strings; empty (or without any word) for audio without speech.
    return_utterances: also return, for each utterance, its reasons, the spans in the raw transcript and its scores.
    confidence (0.95), seed (0): of the bootstrap intervals, from 1,000 resamples of the utterances.
    unsupported (0.35), alike (0.4), replaced (0.3), replaced_sounds (7), burst_words (2), burst_characters (4),
    loop_repeats (3), long_loop_repeats (2), long_loop_units (4), loop_units (8): thresholds of ours, see
    `detection.Thresholds`; length_ratio (1.5), overlap (0): of the paper's.
Returns:
    `hallucination_rate`; its parts `empty_reference_rate`, `unsupported_rate`, `burst_rate`, `loop_rate`, shares of
    all utterances; `paper_rate`; `hallucination_rate_interval` and `paper_rate_interval`, [low, high];
    `nonspeech_rate`, share of non-empty transcripts among utterances with an empty reference (None if there are none);
    `mean_unsupported`; counts `num_utterances`, `num_hallucinated`, `num_paper`, `num_nonspeech`,
    `num_nonspeech_nonempty`; on request `utterances`.
Raises:
    ValueError: an unknown or impossible threshold, or no transcripts.
Examples:
    >>> metric = evaluate.load("spaces/hallucination_rate")
    >>> metric.compute(predictions=["thanks for watching"], references=[""])["hallucination_rate"]
    1.0
"""


class HallucinationRate(evaluate.Metric):
    """See the description."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
            reference_urls=["https://arxiv.org/abs/2604.08003", "https://arxiv.org/abs/2604.18105"],
        )

    def _compute(self, predictions, references, return_utterances: bool = False, **settings) -> dict:
        return hallucination_rate(predictions, references, return_utterances, **settings)


def hallucination_rate(
    predictions: list[str],
    references: list[str],
    return_utterances: bool = False,
    confidence: float = 0.95,
    seed: int = 0,
    **thresholds,
) -> dict:
    """What the metric computes, without `evaluate`; see the metric's description of arguments and results.

    Example:

    ```python
    >>> result = hallucination_rate(["call 9 1 1", "thanks for watching"], ["call nine one one", ""])
    >>> result["hallucination_rate"], result["nonspeech_rate"]
    (0.5, 1.0)
    ```
    """
    known = {item.name for item in fields(Thresholds)}
    if unknown := sorted(set(thresholds) - known):
        raise ValueError(f"Unknown arguments {', '.join(unknown)}; thresholds are {', '.join(sorted(known))}.")
    if not isinstance(confidence, Real) or not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}.")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0 on, got {seed!r}.")
    limits = Thresholds(**thresholds)
    check_texts(predictions, references)
    warn_of_scripts(references, predictions)
    found = [detect(*pair, limits) for pair in zip(references, predictions, strict=True)]
    result = summarize_detections(found, confidence, seed)
    if return_utterances:
        result["utterances"] = [describe(*item) for item in zip(found, predictions, strict=True)]
    return result


def check_texts(predictions: list[str], references: list[str]) -> None:
    """Refuse what are no texts, or not as many.

    Raises:
        ValueError: says which.
    """
    for name, texts in (("predictions", predictions), ("references", references)):
        if isinstance(texts, (str, bytes, Mapping)) or not isinstance(texts, Sized):
            raise ValueError(f"`{name}` must be a list of texts, got {texts!r}.")
        if strange := [text for text in texts if not isinstance(text, str)]:
            raise ValueError(f"`{name}` must be texts, got {strange[0]!r}.")
    if len(predictions) != len(references):
        raise ValueError(f"There are {len(predictions)} `predictions` for {len(references)} `references`.")


def warn_of_scripts(references: list[str], predictions: list[str]) -> None:
    """Say so where what is installed decides about Chinese: how its script and its sounds are compared."""
    if not (any(map(has_ideographs, references)) and any(map(has_ideographs, predictions))):
        return
    if not can_simplify():
        warnings.warn(
            "Traditional and simplified characters count as different here. `pip install opencc-python-reimplemented` "
            "makes them the same."
        )
    if not can_read_chinese():
        warnings.warn(
            "Chinese is compared by its characters alone here: three homophones in a row or more count as unsupported "
            "text. `pip install pypinyin` compares by sound."
        )


def summarize_detections(found: list[Detection], confidence: float = 0.95, seed: int = 0) -> dict:
    """Rates and counts over all utterances."""
    count = len(found)
    if not count:
        raise ValueError("No transcripts were given.")
    hallucinated = sum(bool(item.reasons) for item in found)
    paper = sum(item.paper for item in found)
    nonspeech = [item for item in found if item.nonspeech]
    nonempty = sum(bool(item.reasons) for item in nonspeech)
    return {
        "hallucination_rate": hallucinated / count,
        "hallucination_rate_interval": bootstrap_interval(hallucinated, count, confidence, seed),
        **{f"{reason}_rate": sum(reason in item.reasons for item in found) / count for reason in REASONS},
        "paper_rate": paper / count,
        "paper_rate_interval": bootstrap_interval(paper, count, confidence, seed),
        "nonspeech_rate": nonempty / len(nonspeech) if nonspeech else None,
        "mean_unsupported": sum(item.unsupported for item in found) / count,
        "num_utterances": count,
        "num_hallucinated": hallucinated,
        "num_paper": paper,
        "num_nonspeech": len(nonspeech),
        "num_nonspeech_nonempty": nonempty,
    }


def bootstrap_interval(hits: int, count: int, confidence: float, seed: int) -> list[float]:
    """Percentile interval of a share over resampled utterances.

    `count` draws with replacement, of which a share `hits / count` are hits, are a binomial number: no utterance needs
    to be drawn one by one.
    """
    shares = np.random.default_rng(seed).binomial(count, hits / count, size=RESAMPLES) / count
    tail = (1 - confidence) / 2
    return [float(bound) for bound in np.quantile(shares, [tail, 1 - tail])]


def describe(found: Detection, hypothesis: str) -> dict:
    """What was found in one transcript, as plain values."""
    spans = [
        {"reason": reason, "start": start, "end": end, "text": hypothesis[start:end]}
        for reason, (start, end) in found.spans.items()
    ]
    return {
        "hallucinated": bool(found.reasons),
        "reasons": found.reasons,
        "spans": spans,
        "unsupported": found.unsupported,
        "paper": found.paper,
    }
