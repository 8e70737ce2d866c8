# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The entropy allocation report: how training shares the uncertainty of transcripts out, checkpoint by checkpoint.

What arXiv 2604.08003 shows of its models, for any list of checkpoints: NSE, PAI and CSAI over the stages of one or
several recipes (its figures 1 and 3), the linear CKA of each layer with the language model's text embeddings (its
figure 4), and the ledger of H(Y) (its appendix C). All checkpoints are measured on the same utterances.
"""

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from tqdm.auto import tqdm

from entropy_asr.modeling.ledger_entropy_asr import UtteranceLedger, utterance_ledger
from entropy_asr.modeling.processing_entropy_asr import window_samples
from entropy_asr.spaces.entropy_allocation.embedders import PACKAGED, embed_texts

from ..data.data_source import DataSource
from ..data.sources import load_source
from ..runs.stage_records import command_line, versions
from .allocation import ALONE, Allocation, Utterance, compare_encoders, measure_allocation, read_utterances
from .frame_probes import check_aligner, measure_frame_probes
from .frames import SpeechEncoder, load_speech_encoder
from .ledger_summary import summarize_ledgers
from .report_options import ReportOptions
from .shares import Shares


logger = logging.getLogger(__name__)

DEFINITIONS = (
    "NSE, PAI and CSAI as arXiv 2604.08003 defines them: of whole utterances, PAI and CSAI in bits. What it leaves "
    "open (the size of the PCA, the ridge, the text embedder) stands beside the figures. Chance is what utterances "
    "paired at random give: a figure means nothing without it."
)


def write_report(
    models: Sequence[str] | Mapping[str, Sequence[str]],
    dataset_paths: list[str],
    output_dir: Path,
    options: ReportOptions | None = None,
    shares: Shares = ALONE,
) -> dict[str, Any]:
    """Measure checkpoints on data sets; writes `report.json`, `report.md` and plots, after each data set anew.

    Args:
        models: Folders or Hub ids, in the order in which they came about; or several such lists, each with the name of
            its recipe.
        dataset_paths: Hub ids, folders or parquet files.
        output_dir: Where the files go.
        options: What is measured.
        shares: Processes that share the work, each of which must call it; the first writes.

    Returns:
        What `report.json` holds.

    Raises:
        ValueError: models or data sets of one name, an aligner that is compared itself, or no utterance with text.
    """
    from .report_plots import require_matplotlib
    from .report_text import save_report

    options = options or ReportOptions()
    require_matplotlib()
    recipes = {"": list(models)} if isinstance(models, Sequence) else {name: list(m) for name, m in models.items()}
    named = name_models([path for paths in recipes.values() for path in paths])
    loaded = _load_rows(dataset_paths, options)
    aligner = check_aligner(options, list(named), loaded)
    encoders = [load_speech_encoder(path, options.device, name) for path, name in named.items()]
    report: dict[str, Any] = {
        "definitions": DEFINITIONS,
        "command": command_line(),
        "versions": versions(),
        "options": asdict(options),
        "recipes": {recipe: [named[path] for path in paths] for recipe, paths in recipes.items()},
        "datasets": {},
    }
    output_dir.mkdir(parents=True, exist_ok=True)
    for name, rows in loaded.items():
        report["datasets"][name] = measure_dataset(rows, encoders, options, aligner, shares)
        if shares.index == 0:
            save_report(report, output_dir)
    return report


def name_models(paths: list[str]) -> dict[str, str]:
    """Names of models by their paths: the last part, with the folder before where that is not enough.

    Raises:
        ValueError: names that are still not different.
    """
    # Not resolved: a link may give a folder a better name.
    paths = list(dict.fromkeys(paths))
    last = [Path(os.path.abspath(path)).name for path in paths]
    names = [
        name if last.count(name) == 1 else f"{Path(os.path.abspath(path)).parent.name}/{name}"
        for path, name in zip(paths, last, strict=True)
    ]
    if len(set(names)) < len(names):
        raise ValueError(f"Models must have different names, got {names}.")
    return dict(zip(paths, names, strict=True))


def _load_rows(paths: list[str], options: ReportOptions) -> dict[str, datasets.Dataset]:
    shared = {"config": options.dataset_config, "text_column": options.text_column, "language": options.language}
    sources = [DataSource(path, options.split, extra_columns=["speaker_id", "alignment"], **shared) for path in paths]
    loaded = {source.name: load_source(source) for source in sources}
    if len(loaded) < len(sources):
        raise ValueError(f"Several data sets have one name: {[source.name for source in sources]}.")
    return loaded


def measure_dataset(
    rows: datasets.Dataset,
    encoders: list[SpeechEncoder],
    options: ReportOptions,
    aligner: SpeechEncoder | None = None,
    shares: Shares = ALONE,
) -> dict[str, Any]:
    """All figures of all models on one data set, in all processes."""
    # What an encoder would not hear to its end is left out for all of them: they are compared.
    windows = [window for encoder in encoders if (window := window_samples(encoder.feature_extractor))]
    utterances, facts = read_utterances(rows, options.max_rows, shares, min(windows, default=None))
    meanings = None
    # An embedder that knows no word of a language would give figures all the same.
    if options.embedder in PACKAGED and facts["languages"] != ["en"]:
        facts["csai_left_out"] = f"the embedder {options.embedder} reads English alone"
    elif options.embedder is not None:
        meanings = embed_texts(options.embedder, [item.text for item in utterances], options.device)
    result: dict[str, Any] = {"data": facts, "models": {}}
    measured: dict[str, Allocation] = {}
    for encoder in encoders:
        found = measure_allocation(encoder, utterances, meanings, options, shares)
        figures = dict(found.figures)
        if same := _same_frames(found, measured):
            figures["same_frames_as"] = same
        if encoder.full_model is not None and options.ledger_rows:
            figures["ledger"] = measure_ledger(encoder, utterances[: options.ledger_rows], shares)
        measured[encoder.name] = found
        result["models"][encoder.name] = figures
    if options.frame_probes:
        # A probe is trained on frames of all rows: each encoder's by one process.
        own = {item.name: measure_frame_probes(item, rows, aligner, options) for item in shares.own(encoders)}
        for name, probes in shares.joined(list(own.items())):
            result["models"][name]["frame_probes"] = probes
    result["cka"] = compare_encoders({name: found.moments for name, found in measured.items()})
    return result


def _same_frames(found: Allocation, earlier: dict[str, Allocation]) -> str | None:
    """The model with the very same frames, where there is one: the encoder was frozen in between."""
    digest = _digest(found)
    return next((name for name, other in earlier.items() if _digest(other) == digest), None)


def _digest(found: Allocation) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(item).tobytes() for item in found.moments)).hexdigest()


def measure_ledger(encoder: SpeechEncoder, utterances: list[Utterance], shares: Shares = ALONE) -> dict[str, Any]:
    """How H(Y) of some utterances is shared out, see [`~ledger_summary.summarize_ledgers`]; or why it is not known."""
    if encoder.phoneme_head is None:
        return {"left_out": "no trained phoneme head"}
    ledgers = [
        _ledger_of(encoder, item)
        for item in tqdm(shares.own(utterances), f"{encoder.name}: ledger", unit="utt", disable=shares.index > 0)
    ]
    found = [ledger for ledger in shares.joined(ledgers) if ledger is not None]
    return summarize_ledgers(found) if found else {"left_out": "no text in the phonemes of its head"}


def _ledger_of(encoder: SpeechEncoder, item: Utterance) -> UtteranceLedger | None:
    """None, with a warning, where the model's own phonemes do not spell the text."""
    try:
        return utterance_ledger(encoder.full_model, encoder.processor, item.waveform, item.text, item.language)
    except ValueError as error:
        logger.warning("%s: %r is left out of the ledger: %s", encoder.name, item.text, error)
        return None
