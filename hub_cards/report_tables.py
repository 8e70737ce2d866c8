# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the plots of an entropy allocation report show, in figures: for the report's text and for cards."""

from typing import Any


READING = (
    "N: frames, those with a phoneme, words. D: dimension of a frame. PAI and CSAI: nats that a probe of the named "
    "family reads from frames of held-out speakers or utterances, mean ± standard error over splits; not above 0: "
    "nothing is accessible, or rows are too few. Control: PAI with frames shuffled among rows, the probe's own error."
)
# Of reports whose figures say by what their rows were split; earlier ones have neither ceiling nor correction.
READING_NOW = (
    " The standard error is corrected for the overlap of splits. CSAI is given of H(S|P), the most that it can be; 0 "
    "without an error: with frames words were predicted no better than from their phonemes alone."
)
# Mean posterior of aligned phonemes below which their times are doubtful.
POOR_ALIGNMENT = 0.3


def report_head(report: dict[str, Any]) -> list[str]:
    """Lines on what was measured and how."""
    lines = [report["definitions"], "", f"Measured by `{report['command']}`.", ""]
    if folders := report.get("folders"):  # what the command calls the models, where the tables call them otherwise
        lines += ["There " + ", ".join(f"`{folder}` is `{name}`" for folder, name in folders.items()) + ".", ""]
    if report["aligner"]:
        lines += [f"Phoneme times: forced alignment with the phoneme head of `{report['aligner']}`.", ""]
    return lines


def dataset_tables(result: dict[str, Any]) -> list[str]:
    """Lines on one data set: rows, metrics with their errors, ledger, CKA."""
    lines = [*_data_lines(result["data"]), "", *_metric_table(result["models"]), ""]
    return [*lines, *_ledger_table(result["models"]), *_cka_table(result["cka"])]


def _data_lines(data: dict[str, Any]) -> list[str]:
    score = data["mean_alignment_score"]
    aligned = "" if score is None else f" Mean posterior of an aligned phoneme: {score:.2f}."
    speakers = "unknown" if data["num_speakers"] is None else data["num_speakers"]
    lines = [
        f"{data['num_utterances']} utterances, {data['seconds']:.0f} s, {speakers} speakers, "
        f"{', '.join(data['languages'])}; {data['left_out']} rows left out; "
        f"probes trained and tested on different {data['rows_split_by']}s.{aligned}"
    ]
    if score is not None and score < POOR_ALIGNMENT:
        lines += [
            "",
            "**The alignment is poor: PAI and CSAI below are about unreliable labels.** Give another aligner.",
        ]
    return lines


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]


def _metric_table(models: dict[str, Any]) -> list[str]:
    header = ["model", "N: frames / phonemes / words", "D", "frames/s", "NSE"]
    header += ["probe", "PAI (nats)", "PAI / H(P)", "control", "CSAI (nats)"]
    rows = []
    for name, figures in models.items():
        if "same_frames_as" in figures:
            continue
        details = figures["details"]
        about = [name, _counts(details), str(details["nse"]["dimension"]), f"{figures['frames_per_second']:.1f}"]
        for family in (family for family in ("linear", "mlp") if family in details["pai"]):
            pai = details["pai"][family]
            share = pai["information"] / pai["entropy"]
            cells = [*about, f"{figures['nse']:.3f}", family, _with_error(pai), f"{share:.2f}"]
            rows.append([*cells, f"{pai['shuffled_control']:.3f}", _of_ceiling(details.get("csai", {}).get(family))])
    is_earlier = not any("split_by" in probe for probe in _probes(models, "pai"))
    reading = READING if is_earlier else READING + READING_NOW
    return [*_table(header, rows), "", reading, "", *_equal_frames(models), *_finer_splits(models), *_left_out(models)]


def _probes(models: dict[str, Any], metric: str) -> list[dict[str, Any]]:
    """Results of a metric's probes, of all families."""
    details = [figures["details"].get(metric, {}) for figures in models.values()]
    return [found[family] for found in details for family in ("linear", "mlp") if family in found]


def _finer_splits(models: dict[str, Any]) -> list[str]:
    """Which figures are from rows that could not be split by speaker, and why."""
    reasons = {
        f"{metric.upper()}: rows were split by {probe['split_by']}. {probe['split_reason']}"
        for metric in ("pai", "csai")
        for probe in _probes(models, metric)
        if "split_reason" in probe
    }
    return [" ".join(sorted(reasons)), ""] if reasons else []


def _counts(details: dict[str, Any]) -> str:
    counts = (details["nse"]["num_frames"], details["pai"].get("num_frames"), details.get("csai", {}).get("num_words"))
    return " / ".join("-" if count is None else str(count) for count in counts)


def _equal_frames(models: dict[str, Any]) -> list[str]:
    """Which checkpoints share an encoder: their figures are equal because it was frozen, not by chance."""
    pairs = [(name, figures["same_frames_as"]) for name, figures in models.items() if "same_frames_as" in figures]
    same = [f"`{name}` has the frames of `{other}` bit for bit (a frozen encoder)" for name, other in pairs]
    return [f"{'; '.join(same)}: NSE, PAI and CSAI were measured once.", ""] if same else []


def _left_out(models: dict[str, Any]) -> list[str]:
    reasons = {figures["details"].get("csai", {}).get("left_out") for figures in models.values()} - {None}
    return [f"CSAI was left out: {reason}" for reason in sorted(reasons)]


def _with_error(result: dict[str, Any] | None) -> str:
    if result is None:
        return "-"
    error = "" if result["standard_error"] is None else f" ± {result['standard_error']:.3f}"
    return f"{result['information']:.3f}{error}"


def _of_ceiling(csai: dict[str, Any] | None) -> str:
    """CSAI and the most that it could be, where the report is one that shows it."""
    ceiling = f" of {csai['entropy']:.3f}" if csai is not None and "splits_without_frames" in csai else ""
    return f"{_with_error(csai)}{ceiling}"


def _ledger_table(models: dict[str, Any]) -> list[str]:
    header = ["model", "utterances", "tokens", "uniform", "LLM alone", "encoder alone", "full model"]
    header += ["LLM removes", "encoder removes", "both remove"]
    rows = []
    for name, figures in models.items():
        ledger = figures.get("ledger", {})
        if "nats_per_token_left" in ledger:
            left, removed = ledger["nats_per_token_left"], ledger["nats_per_token_removed"]
            values = [*left.values(), removed["llm_alone"], removed["encoder_alone"], removed["full"]]
            counts = [str(ledger["num_utterances"]), str(ledger["num_tokens"])]
            rows.append([name, *counts, *(f"{value:.2f}" for value in values)])
    if not rows:
        return []
    note = (
        "Nats a token left by each and removed by each; `encoder alone` counts the transcript's phonemes (CTC), not "
        "their spelling."
    )
    return ["Ledger", "", *_table(header, rows), "", note, ""]


def _cka_table(cka: dict[str, Any]) -> list[str]:
    if len(cka["names"]) < 2:
        return []
    rows = [
        [name, *(f"{value:.3f} ({other:.3f})" for value, other in zip(*pair, strict=True))]
        for name, pair in zip(cka["names"], zip(cka["biased"], cka["debiased"], strict=True), strict=True)
    ]
    return [f"Linear CKA (debiased) over {cka['num_frames']} frames", "", *_table(["", *cka["names"]], rows), ""]
