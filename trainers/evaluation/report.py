# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The entropy allocation report: where the encoders of checkpoints leave the uncertainty of transcripts.

All checkpoints are measured on the same audio with the same phoneme times, so that their figures can be compared. The
metrics are those of `spaces/entropy_allocation`, loaded with `evaluate` like any user does.
"""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
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
from entropy_asr.modeling.ledger_entropy_asr import summarize_ledgers, utterance_ledger
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer
from entropy_asr.spaces.entropy_allocation.moments import FrameMoments
from entropy_asr.spaces.entropy_allocation.splits import MIN_GROUPS

from ..data.data_source import DataSource
from ..data.decoding import read_samples
from ..data.sources import load_source
from ..runs.settings import typed
from ..runs.stage_records import command_line, versions
from .frames import SpeechEncoder, at_same_times, load_speech_encoder
from .phone_times import PhoneTimes, align_transcript, frame_labels, times_from_columns, word_spans


logger = logging.getLogger(__name__)

DEFINITIONS = (
    "NSE, PAI and CSAI here are operational definitions of the entropy-asr project, measured frame by frame "
    "(frame_nse, frame_pai and frame_csai of its metric), not those of arXiv 2604.08003, which measure whole "
    "utterances. Logarithms are natural, information is in nats."
)
SAMPLING_RATE = 16000
# What reports call the metric's frame-level figures, which were its only ones when the first reports were written.
REPORT_NAMES = {
    "frame_nse": "nse",
    "frame_pai": "pai",
    "frame_pai_normalized": "pai_normalized",
    "frame_csai": "csai",
    "frame_csai_ceiling": "csai_ceiling",
}


@dataclass
@typed
class ReportOptions:
    """What is measured and how.

    Args:
        split: Split of the data sets.
        text_column: Column with the transcripts.
        language: Language of all rows. None: the data sets' `language` column.
        max_rows: Utterances of each data set, evenly spaced. None: all.
        aligner: Checkpoint of this project whose phoneme head times the phonemes. None: the first of the models that
            has one. Not needed where the data set has a column `alignment`.
        probes: Probe families; the first gives the headline.
        num_seeds: Random splits of the probes' rows.
        layers: Also measure the output of every layer (linear probe, one split).
        max_probe_frames: Largest number of frames for probes; a tenth of it for each layer.
        ledger_rows: Utterances in the ledger of full models; 0 for none.
        batch_size: Utterances encoded together.
        device: A GPU if there is one by default.
    """

    split: str = "test"
    text_column: str = "text"
    language: str | None = None
    max_rows: int | None = 400
    aligner: str | None = None
    probes: list[str] = field(default_factory=lambda: ["linear", "mlp"])
    num_seeds: int = 3
    layers: bool = True
    max_probe_frames: int = 100_000
    ledger_rows: int = 50
    batch_size: int = 8
    device: str | None = None


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


@cache
def _metric_folder() -> str:
    return str(Path(str(resources.files("entropy_asr.spaces"))) / "entropy_allocation")


def write_report(
    models: list[str], dataset_paths: list[str], output_dir: Path, options: ReportOptions | None = None
) -> dict[str, Any]:
    """Measure checkpoints on data sets; writes `report.json`, `report.md` and plots, after each data set anew.

    Args:
        models: Folders or Hub ids, in the order in which they came about.
        dataset_paths: Hub ids, folders or parquet files.
        output_dir: Where the files go.
        options: What is measured.

    Returns:
        What `report.json` holds.

    Raises:
        ValueError: a data set without alignments and no aligner, or no utterance that can be aligned.
    """
    from .report_plots import draw_plots, require_matplotlib
    from .report_text import report_markdown

    options = options or ReportOptions()
    require_matplotlib()
    encoders = [load_speech_encoder(path, options.device, name) for path, name in _named(models)]
    extra = ["speaker_id", "alignment"]
    sources = [
        DataSource(
            path, options.split, text_column=options.text_column, language=options.language, extra_columns=extra
        )
        for path in dataset_paths
    ]
    loaded = {source.name: load_source(source) for source in sources}
    if len(loaded) < len(sources):
        raise ValueError(f"Several data sets have one name: {[source.name for source in sources]}.")
    aligner = _aligner(options, encoders, loaded)
    report: dict[str, Any] = {
        "definitions": DEFINITIONS,
        "command": command_line(),
        "versions": versions(),
        "options": asdict(options),
        "aligner": None if aligner is None else aligner.name,
        "models": [encoder.name for encoder in encoders],
        "datasets": {},
    }
    output_dir.mkdir(parents=True, exist_ok=True)
    for name, rows in loaded.items():
        report["datasets"][name] = measure_dataset(rows, encoders, aligner, options)
        (output_dir / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
        (output_dir / "report.md").write_text(report_markdown(report), "utf-8")
        draw_plots(report, output_dir)
    return report


def _named(models: list[str]) -> list[tuple[str, str]]:
    """Names of models: the last part of their paths, with the folder before where that is not enough."""
    # Not resolved: a link may give a folder a better name.
    last = [Path(os.path.abspath(path)).name for path in models]
    names = [
        name if last.count(name) == 1 else f"{Path(os.path.abspath(path)).parent.name}/{name}"
        for path, name in zip(models, last, strict=True)
    ]
    if len(set(names)) < len(names):
        raise ValueError(f"Models must have different names, got {names}.")
    return list(zip(models, names, strict=True))


def _aligner(options: ReportOptions, encoders: list[SpeechEncoder], loaded: dict) -> SpeechEncoder | None:
    """The checkpoint that times phonemes; None where all data sets bring their own times."""
    if all("alignment" in rows.column_names for rows in loaded.values()):
        return None
    if options.aligner is not None:
        return load_speech_encoder(options.aligner, options.device, _named([options.aligner])[0][1])
    for encoder in encoders:
        if encoder.phoneme_head is not None:
            return encoder
    raise ValueError("None of the models has a phoneme head and a data set has no column `alignment`: give `aligner`.")


def measure_dataset(
    rows: datasets.Dataset, encoders: list[SpeechEncoder], aligner: SpeechEncoder | None, options: ReportOptions
) -> dict[str, Any]:
    """All figures of all models on one data set."""
    utterances, facts = timed_utterances(rows, aligner, options.max_rows)
    result: dict[str, Any] = {"data": facts, "models": {}}
    kept: dict[str, list[torch.Tensor]] = {}
    for encoder in encoders:
        earlier = {name: (result["models"][name], frames) for name, frames in kept.items()}
        figures, kept[encoder.name] = measure_encoder(encoder, utterances, options, earlier)
        if encoder.full_model is not None and options.ledger_rows:
            figures["ledger"] = measure_ledger(encoder, utterances[: options.ledger_rows])
        result["models"][encoder.name] = figures
    result["cka"] = compare_encoders(kept)
    return result


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


def _batches(utterances: list[TimedUtterance], size: int) -> Iterator[list[TimedUtterance]]:
    for start in range(0, len(utterances), size):
        yield utterances[start : start + size]


def measure_encoder(
    encoder: SpeechEncoder,
    utterances: list[TimedUtterance],
    options: ReportOptions,
    earlier: dict[str, tuple[dict[str, Any], list[torch.Tensor]]] | None = None,
) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """NSE, PAI and CSAI of an encoder's output and of its layers; and the output, for comparisons.

    Args:
        encoder: What is measured.
        utterances: The audio with its phoneme times.
        options: What is measured and how.
        earlier: What this gave for other models. Where one has the very same frames (the encoder was frozen in
            between), its figures hold for this one too, and `same_frames_as` says so.
    """
    output = _frame_metric(options.max_probe_frames, options.device)
    layers, kept = [], []
    phonemes: dict = {}
    words: dict = {}
    for batch in tqdm(list(_batches(utterances, options.batch_size)), desc=f"{encoder.name}: frames", unit="batch"):
        encoded = encoder.encode([utterance.waveform for utterance in batch], layers=options.layers)
        while len(layers) < len(encoded[0].layers):
            limit = max(1, options.max_probe_frames // 10)
            layers.append(_frame_metric(limit, options.device))
        for utterance, item in zip(batch, encoded, strict=True):
            size = len(item.frames), utterance.seconds
            labels = {
                "reference": frame_labels(utterance.times.phonemes, phonemes, *size),
                "words": word_spans(utterance.times.words, words, *size),
                "speaker": utterance.speaker,
            }
            output.add(prediction=item.frames, **labels)
            for metric, frames in zip(layers, item.layers, strict=True):
                metric.add(prediction=frames, **labels)
            kept.append(item.frames)
    for name, (figures, frames) in (earlier or {}).items():
        if all(torch.equal(*pair) for pair in zip(frames, kept, strict=True)):
            shared = {key: value for key, value in figures.items() if key != "ledger"}
            return {"same_frames_as": name, **shared}, kept
    figures = _under_report_names(output.compute(probes=options.probes, num_seeds=options.num_seeds))
    figures["frames_per_second"] = sum(map(len, kept)) / sum(utterance.seconds for utterance in utterances)
    figures["layers"] = []
    for metric in tqdm(layers, desc=f"{encoder.name}: layers", unit="layer", disable=not layers):
        layer = _under_report_names(metric.compute(probes=["linear"], num_seeds=1, control=False))
        found = {name: layer.get(name) for name in ("nse", "pai", "csai")}
        figures["layers"].append(found | {"num_rows": _row_counts(layer["details"])})
    return figures, kept


def _frame_metric(max_rows: int, device: str | None) -> evaluate.Metric:
    """The metric with its frame-level figures alone."""
    wanted = ["frame_nse", "frame_pai", "frame_csai"]
    return evaluate.load(_metric_folder(), max_probe_frames=max_rows, device=device, metrics=wanted)


def _under_report_names(figures: dict[str, Any]) -> dict[str, Any]:
    renamed = {REPORT_NAMES.get(name, name): value for name, value in figures.items()}
    details = {REPORT_NAMES.get(name, name): value for name, value in figures["details"].items()}
    return {**renamed, "details": details}


def _row_counts(details: dict[str, Any]) -> dict[str, int]:
    """N of each metric: frames, of CSAI words."""
    counts = {name: found.get("num_frames", found.get("num_words")) for name, found in details.items()}
    return {name: count for name, count in counts.items() if count is not None}


def compare_encoders(kept: dict[str, list[torch.Tensor]]) -> dict[str, Any]:
    """CKA of every pair of models, at the moments of the frames of the slowest."""
    moments = FrameMoments()
    for utterance in zip(*kept.values(), strict=True):
        num_frames = min(map(len, utterance))
        moments.update(*(at_same_times(frames, num_frames) for frames in utterance))
    numbers = range(len(kept))
    return {
        "names": list(kept),
        "num_frames": moments.count,
        "biased": [[moments.cka(first, second) for second in numbers] for first in numbers],
        "debiased": [[moments.cka_debiased(first, second) for second in numbers] for first in numbers],
    }


def measure_ledger(encoder: SpeechEncoder, utterances: list[TimedUtterance]) -> dict[str, Any]:
    """Nats a token that language model, encoder and both remove, over some utterances."""
    ledgers = []
    for item in tqdm(utterances, desc=f"{encoder.name}: ledger", unit="utt"):
        ledgers.append(utterance_ledger(encoder.full_model, encoder.processor, item.waveform, item.text))
    return summarize_ledgers(ledgers)
