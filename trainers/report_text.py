# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The entropy allocation report as Markdown: what the plots show, in figures."""

from typing import Any

from .report_plots import plot_files


READING = (
    "N x D: frames and their dimension. PAI and CSAI: nats that a probe of the named family reads from frames of "
    "held-out speakers or utterances, mean ± standard error over splits; not above 0: nothing is accessible, or rows "
    "are too few. Control: PAI with frames shuffled among rows, the probe's own error."
)
# Mean posterior of aligned phonemes below which their times are doubtful.
POOR_ALIGNMENT = 0.3


def report_markdown(report: dict[str, Any]) -> str:
    """Text of `report.md`."""
    lines = ["# Entropy allocation report", "", report["definitions"], ""]
    lines += [f"Command: `{report['command']}`", ""]
    if report["aligner"]:
        lines += [f"Phoneme times: forced alignment with the phoneme head of `{report['aligner']}`.", ""]
    for name, result in report["datasets"].items():
        lines += [f"## {name}", "", *_data_lines(result["data"]), "", *_metric_table(result["models"]), ""]
        lines += [*_ledger_table(result["models"]), *_cka_table(result["cka"])]
        lines += [f"![{title}]({file})\n" for file, title in plot_files(name, result).items()]
    return "\n".join(lines).rstrip() + "\n"


def _data_lines(data: dict[str, Any]) -> list[str]:
    score = data["mean_alignment_score"]
    aligned = "" if score is None else f" Mean posterior of an aligned phoneme: {score:.2f}."
    lines = [
        f"{data['num_utterances']} utterances, {data['seconds']:.0f} s, {data['num_speakers']} speakers, "
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
    header = ["model", "N x D", "frames/s", "NSE", "probe", "PAI (nats)", "PAI / H(P)", "control", "CSAI (nats)"]
    rows = []
    for name, figures in models.items():
        details = figures["details"]
        shape = f"{details['nse']['num_frames']} x {details['nse']['dimension']}"
        for family in (family for family in ("linear", "mlp") if family in details["pai"]):
            pai = details["pai"][family]
            share = pai["information"] / pai["entropy"]
            cells = [name, shape, f"{figures['frames_per_second']:.1f}", f"{figures['nse']:.3f}", family]
            cells += [_with_error(pai), f"{share:.2f}", f"{pai['shuffled_control']:.3f}"]
            rows.append([*cells, _with_error(details.get("csai", {}).get(family))])
    return [*_table(header, rows), "", READING, "", *_equal_frames(models), *_left_out(models)]


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
