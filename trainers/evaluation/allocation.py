# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NSE, PAI, CSAI and text CKA of one encoder over the utterances of a data set."""

import logging
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import datasets
import evaluate
import numpy as np
import torch
from tqdm.auto import tqdm

from entropy_asr.modeling.audio import AudioError
from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer
from entropy_asr.spaces.entropy_allocation.moments import FrameMoments
from entropy_asr.spaces.entropy_allocation.text_cka import text_cka, text_cka_chance

from ..data.decoding import read_samples
from .frames import EncodedUtterance, SpeechEncoder, at_same_times
from .report_options import ReportOptions
from .shares import Shares


logger = logging.getLogger(__name__)

SAMPLING_RATE = 16000
# Frames of an utterance by which encoders are compared with one another: those nearest to so many moments of it.
MOMENTS = 32
SHUFFLES, SEED = 20, 0
ALONE = Shares()


@dataclass
class Utterance:
    """What was said, its phonemes (symbols), and the sound, `(num_samples,)` float32 at 16 kHz."""

    waveform: np.ndarray
    text: str
    language: str
    phonemes: list[str]


@dataclass
class Allocation:
    """Figures of one encoder, and what further comparisons need.

    Attributes:
        figures: As the report has them.
        moments: Of each utterance, frames at up to `MOMENTS` moments, `(M, D)` float32.
    """

    figures: dict[str, Any]
    moments: list[np.ndarray] = field(default_factory=list)


@cache
def metric_folder() -> str:
    """Where the metric lies, for `evaluate.load`."""
    return str(Path(str(resources.files("entropy_asr.spaces"))) / "entropy_allocation")


def read_utterances(
    rows: datasets.Dataset, max_rows: int | None, shares: Shares = ALONE, max_samples: int | None = None
) -> tuple[list[Utterance], dict[str, Any]]:
    """Utterances with text; what has none, or cannot be read, is left out with a warning.

    Args:
        rows: Rows of a source.
        max_rows: Evenly spaced ones, so many; None: all.
        shares: Processes that all read them; the first speaks for them.
        max_samples: Longest one that all encoders take; None: any.

    Returns:
        The utterances, and facts about them.

    Raises:
        ValueError: none is left.
    """
    count = len(rows) if max_rows is None else min(max_rows, len(rows))
    rows = rows.select(np.unique(np.linspace(0, len(rows) - 1, count).astype(int)))
    tokenizer, utterances = EntropyASRPhonemeTokenizer(), []
    for index, row in enumerate(tqdm(rows, desc="utterances", unit="utt", disable=shares.index > 0)):
        if row["language"] == NON_SPEECH or not row["text"].strip():
            continue
        try:
            phonemes = tokenizer.phonemize_batch([row["text"]], [row["language"]])[0]
            if not phonemes or tokenizer.unk_token in phonemes:
                raise ValueError(f"{row['text']!r} cannot be read as phonemes")
            samples = read_samples(row)
            if max_samples is not None and len(samples) > max_samples:
                raise AudioError(f"longer than the {max_samples / SAMPLING_RATE:g} s of an encoder's features")
            utterances.append(Utterance(samples, row["text"], row["language"], phonemes))
        except (AudioError, ValueError) as error:
            logger.log(logging.WARNING if shares.index == 0 else logging.DEBUG, "Row %d is left out: %s", index, error)
    if not utterances:
        raise ValueError(f"None of {len(rows)} rows has speech that could be used.")
    seconds = sum(len(utterance.waveform) for utterance in utterances) / SAMPLING_RATE
    return utterances, {
        "num_utterances": len(utterances),
        "left_out": len(rows) - len(utterances),
        "seconds": round(seconds, 1),
        "languages": sorted({utterance.language for utterance in utterances}),
    }


def measure_allocation(
    encoder: SpeechEncoder,
    utterances: list[Utterance],
    meanings: np.ndarray | None,
    options: ReportOptions,
    shares: Shares = ALONE,
) -> Allocation:
    """NSE, PAI, CSAI of an encoder's output, and text CKA of its layers; the same in all processes.

    Args:
        encoder: What is measured.
        utterances: The same for all encoders.
        meanings: An embedding of each transcript, `(N, D)`; None: no CSAI.
        options: `pca_size`, `ridge`, `batch_size`.
        shares: Processes that share the utterances; each of them must call it.
    """
    asked = ["nse", "pai", *(["csai"] if meanings is not None else [])]
    metric = evaluate.load(metric_folder(), device=options.device, metrics=asked)
    pooled, found, num_frames = [], Allocation({}), 0
    starts = shares.own(range(0, len(utterances), options.batch_size))
    for start in tqdm(starts, desc=f"{encoder.name}: frames", unit="batch", disable=shares.index > 0):
        own = slice(start, start + options.batch_size)
        encoded = encoder.encode([item.waveform for item in utterances[own]], layers=encoder.full_model is not None)
        semantics = {} if meanings is None else {"semantics": meanings[own]}
        metric.add_batch(
            predictions=[item.frames for item in encoded],
            phonemes=[utterance.phonemes for utterance in utterances[own]],
            **semantics,
        )
        num_frames += sum(len(item.frames) for item in encoded)
        found.moments += [_moments(item.frames) for item in encoded]
        pooled += [_pooled_layers(item) for item in encoded]
    choices = {"pca_size": options.pca_size, "ridge": options.ridge, "distributed": shares.count > 1}
    figures = metric.compute(metrics=asked, table=True, **choices)
    found.moments, pooled = shares.joined(found.moments), shares.joined(pooled)
    num_frames = sum(shares.joined([num_frames]))
    seconds = sum(len(utterance.waveform) for utterance in utterances) / SAMPLING_RATE
    figures |= {"frames_per_second": num_frames / seconds, "dimension": found.moments[0].shape[1]}
    if encoder.full_model is not None:
        figures["text_cka"] = _text_cka(encoder, pooled, utterances)
    found.figures = figures
    return found


def _moments(frames: torch.Tensor) -> np.ndarray:
    return at_same_times(frames, min(MOMENTS, len(frames))).numpy()


def _pooled_layers(encoded: EncodedUtterance) -> list[np.ndarray]:
    """Means over frames: what goes into the first layer, what comes out of each, and of the adaptor."""
    layers = [*encoded.layers, *([encoded.adapted] if encoded.adapted is not None else [])]
    return [layer.mean(0).numpy() for layer in layers]


def _text_cka(encoder: SpeechEncoder, pooled: list[list[np.ndarray]], utterances: list[Utterance]) -> dict[str, Any]:
    """Linear CKA of layers and adaptor with the mean text embedding of the encoder's own language model."""
    table, tokenizer = encoder.full_model.get_input_embeddings(), encoder.processor.tokenizer
    ids = tokenizer([item.text for item in utterances], add_special_tokens=False, split_special_tokens=True).input_ids
    with torch.no_grad():
        text = torch.stack([table(torch.tensor(row, device=table.weight.device)).float().mean(0) for row in ids])
    layers = [np.stack(layer) for layer in zip(*pooled, strict=True)]
    text = text.cpu().numpy()
    *values, adaptor = text_cka(layers, text)
    chance = text_cka_chance(layers[-1], text, SHUFFLES, SEED)
    return {"layers": values, "adaptor": adaptor, "chance": chance, "num_utterances": len(utterances)}


def compare_encoders(moments: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """CKA of every pair of encoders, by frames `(num_moments, D)` of the same moments of the same utterances."""
    joined = FrameMoments()
    for utterance in zip(*moments.values(), strict=True):
        count = min(map(len, utterance))
        joined.update(*(at_same_times(torch.from_numpy(frames), count) for frames in utterance))
    biased, debiased = joined.cka_matrices()
    return {"names": list(moments), "num_frames": joined.count, "biased": biased, "debiased": debiased}
