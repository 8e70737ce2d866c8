# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the plots of an entropy allocation report show, in figures: for the report's text and for cards."""

from typing import Any


READING = (
    "Frames: all, then those with a phoneme. D: dimension of a frame. PAI and CSAI: nats that a probe of the named "
    "family reads from frames of held-out speakers or utterances, mean ± standard error over splits; not above 0: "
    "nothing is accessible, or rows are too few. Control: PAI with frames shuffled among rows, the probe's own error."
)
# Of reports whose figures say by what their rows were split; earlier ones have neither ceiling nor correction.
READING_NOW = (
    " The standard error is corrected for the overlap of splits. CSAI is given of H(S|P), the most that it can be; 0 "
    "without an error: with frames words were predicted no better than from their phonemes alone."
)
# Of a language model without audio.
BROKEN = "broken prior"
BROKEN_PRIOR = (
    " A broken prior: on text alone the language model is worse than guessing all tokens alike, so that there is no "
    "H(Y) to share out."
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
    """A table of each metric, none of many columns: they are read on phones, too."""
    measured = {name: figures for name, figures in models.items() if "same_frames_as" not in figures}
    lines = _table(["model", "frames", "D", "frames/s", "NSE"], [_nse_row(*item) for item in measured.items()])
    rows = [
        [name, family, str(figures["details"]["pai"]["num_frames"]), *_pai_cells(figures["details"]["pai"][family])]
        for name, figures in measured.items()
        for family in _families(figures, "pai")
    ]
    lines += ["", *_table(["model", "probe", "frames", "PAI (nats)", "PAI / H(P)", "control"], rows)]
    rows = [
        [name, family, str(figures["details"]["csai"]["num_words"]), _of_ceiling(figures["details"]["csai"][family])]
        for name, figures in measured.items()
        for family in _families(figures, "csai")
    ]
    if rows:
        lines += ["", *_table(["model", "probe", "words", "CSAI (nats)"], rows)]
    is_earlier = not any("split_by" in probe for probe in _probes(models, "pai"))
    reading = READING if is_earlier else READING + READING_NOW
    return [*lines, "", reading, "", *_equal_frames(models), *_finer_splits(models), *_left_out(models)]


def _families(figures: dict[str, Any], metric: str) -> list[str]:
    return [family for family in ("linear", "mlp") if family in figures["details"].get(metric, {})]


def _nse_row(name: str, figures: dict[str, Any]) -> list[str]:
    nse = figures["details"]["nse"]
    counts = [str(nse["num_frames"]), str(nse["dimension"]), f"{figures['frames_per_second']:.1f}"]
    return [name, *counts, f"{figures['nse']:.3f}"]


def _pai_cells(pai: dict[str, Any]) -> list[str]:
    share = pai["information"] / pai["entropy"]
    return [_with_error(pai), f"{share:.2f}", f"{pai['shuffled_control'] + 0.0:.3f}"]


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
    """How H(Y) is shared out; a prior worse than uniform is broken, and then nothing is."""
    ledgers = {
        name: figures["ledger"]
        for name, figures in models.items()
        if "prior" in figures.get("ledger", {}).get("nats_per_token_left", {})
    }
    if not ledgers:
        return []
    broken = any(ledger["is_prior_broken"] for ledger in ledgers.values())
    counts = {f"{item['num_utterances']} utterances, {item['num_tokens']} tokens" for item in ledgers.values()}
    return [
        f"Ledger ({' or '.join(sorted(counts))}): how H(Y) is shared out, in nats a token",
        "",
        *_table(
            ["model", "nothing known", "text alone: H(Y)", "encoder removes", "LLM removes", "left"],
            [[name, *_ledger_cells(ledger)] for name, ledger in ledgers.items()],
        ),
        "",
        "The encoder removes what its phonemes tell (CTC) without the spelling of what sounds the same; the language "
        "model that reads it removes the rest." + (BROKEN_PRIOR if broken else ""),
        "",
    ]


def _ledger_cells(ledger: dict[str, Any]) -> list[str]:
    left = {name: f"{value:.2f}" for name, value in ledger["nats_per_token_left"].items()}
    if ledger["is_prior_broken"]:
        return [left["uniform"], f"{left['prior']}, {BROKEN}", "-", "-", left["full"]]
    shares = ledger["allocation"]
    return [left["uniform"], left["prior"], f"{shares['encoder']:.2f}", f"{shares['llm']:.2f}", left["full"]]


def _cka_table(cka: dict[str, Any]) -> list[str]:
    if len(cka["names"]) < 2:
        return []
    rows = [
        [name, *(f"{value:.3f} ({other:.3f})" for value, other in zip(*pair, strict=True))]
        for name, pair in zip(cka["names"], zip(cka["biased"], cka["debiased"], strict=True), strict=True)
    ]
    return [f"Linear CKA (debiased) over {cka['num_frames']} frames", "", *_table(["", *cka["names"]], rows), ""]
