# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hallucination rate of transcripts as an `evaluate` metric."""

import warnings
from dataclasses import fields

import datasets
import evaluate

# `evaluate.load` copies the modules that are named here, not those that they name in turn.
from .detection import Detection, Thresholds, detect
from .units import can_simplify, has_ideographs


REASONS = ("empty_reference", "unsupported", "burst", "loop")

_DESCRIPTION = """\
Share of transcripts with text that nobody said: any text where the reference is empty, more than 35 % of characters
that the reference does not support, a burst of inserted words, or a loop. English, Chinese and mixtures. Scores raw
output: do not collapse loops before. An output of symbols alone ("♪♪♪") is text that nobody said; one of pauses alone
("...") is empty. An operational definition of the entropy-asr project.
"""

_INPUTS = """
Args:
    predictions: transcripts, strings.
    references: what was said, strings; empty (or without any word) for audio without speech.
    return_utterances: also return, for each utterance, its reasons, the spans in the raw transcript and its scores.
    unsupported (0.35), burst_words (2), burst_characters (4), loop_repeats (3), long_loop_repeats (2),
    long_loop_units (4), loop_units (8), length_ratio (1.5), overlap (0.1): thresholds, see `detection.Thresholds`.
Returns:
    `hallucination_rate`; its parts `empty_reference_rate`, `unsupported_rate`, `burst_rate`, `loop_rate`, shares of
    all utterances; `nim4_rate`, the papers' rule; `nonspeech_rate`, share of non-empty transcripts among utterances
    with an empty reference (None if there are none); `mean_unsupported`; counts `num_utterances`, `num_hallucinated`,
    `num_nonspeech`; on request `utterances`.
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
            reference_urls=["https://arxiv.org/abs/2604.18105"],
        )

    def _compute(self, predictions, references, return_utterances: bool = False, **thresholds) -> dict:
        known = {item.name for item in fields(Thresholds)}
        if unknown := sorted(set(thresholds) - known):
            raise ValueError(f"Unknown arguments {', '.join(unknown)}; thresholds are {', '.join(sorted(known))}.")
        limits = Thresholds(**thresholds)
        warn_of_scripts(references, predictions)
        found = [detect(*pair, limits) for pair in zip(references, predictions, strict=True)]
        result = summarize(found)
        if return_utterances:
            result["utterances"] = [describe(*item) for item in zip(found, predictions, strict=True)]
        return result


def warn_of_scripts(references: list[str], predictions: list[str]) -> None:
    """Say so where the script in which Chinese is written may cause flags: the result depends on a package."""
    if not can_simplify() and any(map(has_ideographs, references)) and any(map(has_ideographs, predictions)):
        warnings.warn(
            "Traditional and simplified characters count as different here. `pip install opencc-python-reimplemented` "
            "makes them the same."
        )


def summarize(found: list[Detection]) -> dict:
    """Rates and counts over all utterances."""
    count = len(found)
    if not count:
        raise ValueError("No transcripts were given.")
    nonspeech = [item for item in found if item.nonspeech]
    return {
        "hallucination_rate": sum(bool(item.reasons) for item in found) / count,
        **{f"{reason}_rate": sum(reason in item.reasons for item in found) / count for reason in REASONS},
        "nim4_rate": sum(item.nim4 for item in found) / count,
        "nonspeech_rate": sum(bool(item.reasons) for item in nonspeech) / len(nonspeech) if nonspeech else None,
        "mean_unsupported": sum(item.unsupported for item in found) / count,
        "num_utterances": count,
        "num_hallucinated": sum(bool(item.reasons) for item in found),
        "num_nonspeech": len(nonspeech),
    }


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
        "nim4": found.nim4,
    }
