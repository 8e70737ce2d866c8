# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Frame-level companions of PAI and CSAI: what probes read from single frames, with phonemes whose times are known.

They answer another question than the paper's figures, see the card of `spaces/entropy_allocation`. Times come from the
data set or from a neutral aligner: a checkpoint that is compared would be measured against its own opinion.
"""

import logging
from dataclasses import dataclass, replace
from typing import Any

import datasets
import evaluate
import numpy as np
from tqdm.auto import tqdm

from entropy_asr.modeling.audio import AudioError
from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer
from entropy_asr.spaces.entropy_allocation.splits import MIN_GROUPS

from ..data.decoding import read_samples
from .allocation import SAMPLING_RATE, metric_folder
from .frames import SpeechEncoder, load_speech_encoder
from .phone_times import PhoneTimes, align_transcript, frame_labels, times_from_columns, word_spans
from .report_options import ReportOptions


logger = logging.getLogger(__name__)

# Of them, those that the data allow are computed: words that are too rare give no frame_csai.
FIGURES = ["frame_nse", "frame_pai", "frame_csai"]
# Splits of rows where none were asked for.
NUM_SEEDS = 3


@dataclass
class TimedUtterance:
    """An utterance with its phoneme times; `speaker` is None where the data set does not name all speakers."""

    waveform: np.ndarray
    text: str
    language: str
    speaker: str | None
    times: PhoneTimes

    @property
    def seconds(self) -> float:
        return len(self.waveform) / SAMPLING_RATE


def check_aligner(
    options: ReportOptions, models: list[str], loaded: dict[str, datasets.Dataset]
) -> SpeechEncoder | None:
    """The checkpoint that times phonemes; None where no probes are asked for or all data sets bring their own times.

    Raises:
        ValueError: one is needed and missing, given and not needed, or one of the models that are compared.
    """
    if not options.frame_probes:
        return None
    if all("alignment" in rows.column_names for rows in loaded.values()):
        if options.aligner is not None:
            raise ValueError("`aligner` has nothing to time: all data sets have a column `alignment`. Leave it out.")
        return None
    if options.aligner is None:
        raise ValueError("Probes of frames need times of phonemes: give `aligner`, or data with a column `alignment`.")
    if options.aligner in models:
        raise ValueError(
            f"{options.aligner} is compared, so it must not time the phonemes: give an aligner that is none of the "
            "models."
        )
    return load_speech_encoder(options.aligner, options.device)


def timed_utterances(
    rows: datasets.Dataset, aligner: SpeechEncoder | None, max_rows: int | None
) -> tuple[list[TimedUtterance], dict[str, Any]]:
    """Utterances whose phonemes have times; what cannot be read or aligned is left out, with a warning."""
    count = len(rows) if max_rows is None else min(max_rows, len(rows))
    rows = rows.select(np.unique(np.linspace(0, len(rows) - 1, count).astype(int)))
    tokenizer, utterances, left_out = EntropyASRPhonemeTokenizer(), [], 0
    for index, row in enumerate(tqdm(rows, desc="phoneme times", unit="utt")):
        if row["language"] == NON_SPEECH or not row["text"].strip():
            left_out += 1
            continue
        try:
            waveform = read_samples(row)
            if row.get("alignment") is not None:
                times = times_from_columns(row["alignment"])
            else:
                times = align_transcript(aligner, tokenizer, waveform, row["text"], row["language"])
        except (AudioError, ValueError) as error:
            logger.warning("Row %d is left out: %s", index, error)
            left_out += 1
            continue
        speaker = row.get("speaker_id")
        speaker = str(speaker) if speaker not in (None, "") else None
        utterances.append(TimedUtterance(waveform, row["text"], row["language"], speaker, times))
    if not utterances:
        raise ValueError(f"None of {len(rows)} rows has speech that could be aligned.")
    speakers = {utterance.speaker for utterance in utterances}
    if None in speakers:
        utterances = [replace(utterance, speaker=None) for utterance in utterances]
    num_speakers = None if None in speakers else len(speakers)
    scores = [utterance.times.score for utterance in utterances if utterance.times.score is not None]
    return utterances, {
        "num_utterances": len(utterances),
        "left_out": left_out,
        "seconds": round(sum(utterance.seconds for utterance in utterances), 1),
        "num_speakers": num_speakers,
        # What is wanted; `split_by` beside each figure says what its rows allowed.
        "rows_split_by": "utterance" if num_speakers is None or num_speakers < MIN_GROUPS else "speaker",
        "languages": sorted({utterance.language for utterance in utterances}),
        "mean_alignment_score": float(np.mean(scores)) if scores else None,
    }


def measure_frame_probes(
    encoder: SpeechEncoder, rows: datasets.Dataset, aligner: SpeechEncoder | None, options: ReportOptions
) -> dict[str, Any]:
    """`frame_nse`, `frame_pai` and `frame_csai` of an encoder, with their details."""
    utterances, facts = timed_utterances(rows, aligner, options.max_rows)
    metric = evaluate.load(metric_folder(), device=options.device, metrics=FIGURES)
    phonemes: dict = {}
    words: dict = {}
    starts = range(0, len(utterances), options.batch_size)
    for start in tqdm(starts, desc=f"{encoder.name}: probes", unit="batch"):
        batch = utterances[start : start + options.batch_size]
        for utterance, item in zip(batch, encoder.encode([item.waveform for item in batch]), strict=True):
            size = len(item.frames), utterance.seconds
            metric.add(
                prediction=item.frames,
                reference=frame_labels(utterance.times.phonemes, phonemes, *size),
                words=word_spans(utterance.times.words, words, *size),
                speaker=utterance.speaker,
            )
    figures = metric.compute(probes=options.frame_probes, num_seeds=options.num_seeds or NUM_SEEDS)
    return {"data": facts, **figures}
