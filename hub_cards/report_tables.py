# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What an entropy allocation report says in figures: one table, and what is folded away; for reports and cards."""

from collections.abc import Iterable
from typing import Any


# Of a language model without audio.
BROKEN = "broken prior"
UNHEARD = "text not in the sound"
LEDGER = (
    "Ledger: of H(Y), the nats a token that text alone leaves to the language model, the encoder removes what its "
    "phonemes tell (CTC, and the choice among what sounds the same), the language model that reads it the rest. A "
    "broken prior leaves more than guessing all tokens alike: then there is no H(Y) to share out."
)
READING = "PAI and CSAI in bits, with 95 % intervals over utterances; chance: utterances paired at random."


def report_head(report: dict[str, Any]) -> list[str]:
    """Lines on what was measured and how."""
    return [report["definitions"], "", f"Measured by `{report['command']}`.", ""]


def summary_table(result: dict[str, Any]) -> list[str]:
    """Lines on one data set: what it is, and the table of all models."""
    rows = [[name, *_summary(figures)] for name, figures in result["models"].items()]
    table = markdown_table(["model", "NSE", "PAI (chance)", "CSAI (chance)", "ledger"], rows)
    return [_data_line(result), "", *table, "", *_equal_frames(result["models"])]


def detail_tables(result: dict[str, Any]) -> list[str]:
    """Lines that are folded away: sizes, sensitivity, layers, ledgers in nats, CKA, probes of frames."""
    models = result["models"]
    parts = (_sizes, _sensitivity, _layers, _ledgers, _frame_probes)
    return [READING, "", *(line for part in parts for line in part(models)), *_cka(result["cka"])]


def markdown_table(header: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Lines of a table."""
    return ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]


def _data_line(result: dict[str, Any]) -> str:
    data = result["data"]
    left_out = f"; {data['left_out']} rows without usable speech left out" if data["left_out"] else ""
    no_csai = f" No CSAI: {data['csai_left_out']}." if "csai_left_out" in data else ""
    size = f"{data['num_utterances']} utterances, {data['seconds']:.0f} s, {', '.join(data['languages'])}"
    return f"{size}{left_out}.{no_csai}"


def _summary(figures: dict[str, Any]) -> list[str]:
    pai, csai = (_with_chance(figures, name) for name in ("pai", "csai"))
    return [f"{figures['nse']:.3f}", pai, csai, _ledger_words(figures.get("ledger"))]


def _with_chance(figures: dict[str, Any], name: str) -> str:
    if figures.get(name) is None:
        return "-"
    return f"{figures[name]:.2f} ({figures['details'][name]['chance']['mean']:.2f})"


def _ledger_words(ledger: dict[str, Any] | None) -> str:
    """Shares of H(Y) in percent, in one cell."""
    if not ledger:
        return "-"
    if "left_out" in ledger:
        return ledger["left_out"]
    if "nats_per_token_left" not in ledger:
        return f"impossible: {_no_path(ledger)}"
    if ledger["is_prior_broken"]:
        return BROKEN
    whole = ledger["nats_per_token_left"]["prior"]
    shares = {name: f"{100 * value / whole:.0f} %" for name, value in ledger["allocation"].items()}
    mark = f"{UNHEARD}: " if ledger["allocation"]["encoder"] < 0 else ""
    return f"{mark}encoder {shares['encoder']}, LLM {shares['llm']}, left {shares['left']}"


def _no_path(ledger: dict[str, Any]) -> str:
    """Of an utterance whose audio is shorter than its text CTC has no surprisal."""
    return f"{ledger['num_impossible']} utterances with fewer frames than phonemes"


def _ledger_remarks(models: dict[str, Any]) -> list[str]:
    """Utterances of each model that are left out, or whose text is not in the sound; nothing where there are none."""
    remarks = []
    for name, figures in models.items():
        ledger = figures.get("ledger", {})
        if ledger.get("num_impossible"):
            remarks.append(f"- `{name}`: left out, {_no_path(ledger)}.")
        if ledger.get("num_unheard"):
            remarks.append(
                f"- `{name}`: {UNHEARD}, {ledger['num_unheard']} of {ledger['num_utterances']} utterances. What the "
                "encoder heard leaves more of it than text alone: a negative share of the encoder is no allocation."
            )
    return [*remarks, ""] if remarks else []


def _equal_frames(models: dict[str, Any]) -> list[str]:
    """Which checkpoints share an encoder: their figures are equal because it was frozen, not by chance."""
    pairs = [(name, figures["same_frames_as"]) for name, figures in models.items() if "same_frames_as" in figures]
    same = [f"`{name}` has the frames of `{other}` (a frozen encoder)" for name, other in pairs]
    return [f"{'; '.join(same)}.", ""] if same else []


def _sizes(models: dict[str, Any]) -> list[str]:
    """N, k, ridge, interval and chance of each figure."""
    rows = []
    for model, figures in models.items():
        for name in ("pai", "csai"):
            if figures.get(name) is None:
                continue
            details = figures["details"][name]
            # Without a ridge there may be none.
            interval = "{:.2f} to {:.2f}".format(*details["interval"]) if details["interval"] else "no interval"
            chance = f"{details['chance']['mean']:.2f} ± {details['chance']['spread']:.2f}"
            size = f"{details['num_utterances']}, {pca_size(details)}, {details['ridge']:g}"
            rows.append([model, name.upper(), f"{figures[name]:.2f} ({interval})", chance, size])
    return [*markdown_table(["model", "figure", "bits", "chance", "N, k, ridge"], rows), ""]


def pca_size(details: dict[str, Any]) -> str:
    """Components used: one number, or one of frames and one of phonemes and meanings where they differ."""
    sizes = list(dict.fromkeys(details["pca_size"].values()))
    return " and ".join(map(str, sizes))


def _sensitivity(models: dict[str, Any]) -> list[str]:
    """How PAI and CSAI move with k, a column each, and the ridge; checkpoints with equal frames stand once."""
    tables = {
        (model, name): entries
        for model, figures in models.items()
        for name in ("pai", "csai")
        if "same_frames_as" not in figures and (entries := figures["details"].get(name, {}).get("table"))
    }
    sizes = sorted({entry["pca_size"] for entries in tables.values() for entry in entries})
    rows = []
    for (model, name), entries in tables.items():
        for ridge in dict.fromkeys(entry["ridge"] for entry in entries):
            found = {entry["pca_size"]: entry for entry in entries if entry["ridge"] == ridge}
            cells = [f"{found[k][name]:.2f} ({found[k]['chance']:.2f})" if k in found else "-" for k in sizes]
            rows.append([model, f"{name.upper()}, {ridge:g}", *cells])
    header = ["model", "figure, ridge", *(f"k = {k}" for k in sizes)]
    return ["Bits (chance) over k and ridge:", "", *markdown_table(header, rows), ""] if rows else []


def _layers(models: dict[str, Any]) -> list[str]:
    """Text CKA of each layer and the adaptor."""
    rows = [
        [
            name,
            ", ".join(f"{value:.3f}" for value in cka["layers"]),
            f"{cka['adaptor']:.3f}",
            f"{cka['chance']['mean']:.3f}",
        ]
        for name, figures in models.items()
        if (cka := figures.get("text_cka"))
    ]
    header = ["model", "text CKA: before the first layer, after each", "adaptor", "chance"]
    return [*markdown_table(header, rows), ""] if rows else []


def _ledgers(models: dict[str, Any]) -> list[str]:
    rows = []
    for name, figures in models.items():
        ledger = figures.get("ledger", {})
        if left := ledger.get("nats_per_token_left"):
            cells = [f"{left[key]:.2f}" for key in ("uniform", "prior", "encoder", "full")]
            rows.append([name, *cells, f"{ledger['num_utterances']}, {ledger['num_tokens']}"])
    header = ["model", "nothing known", "text alone", "phonemes", "full model", "utterances, tokens"]
    table = ["Nats a token left:", "", *markdown_table(header, rows), "", LEDGER, ""] if rows else []
    return [*table, *_ledger_remarks(models)]


def _cka(cka: dict[str, Any]) -> list[str]:
    if len(cka["names"]) < 2:
        return []
    rows = [
        [name, *(f"{value:.3f} ({other:.3f})" for value, other in zip(*pair, strict=True))]
        for name, pair in zip(cka["names"], zip(cka["biased"], cka["debiased"], strict=True), strict=True)
    ]
    table = markdown_table(["", *cka["names"]], rows)
    return [f"Linear CKA between encoders (debiased), over {cka['num_frames']} frames", "", *table, ""]


def _frame_probes(models: dict[str, Any]) -> list[str]:
    rows = []
    for name, figures in models.items():
        found = figures.get("frame_probes")
        for metric in ("frame_pai", "frame_csai") if found else ():
            for family in ("linear", "mlp"):
                if probe := found["details"].get(metric, {}).get(family):
                    error = "" if probe["standard_error"] is None else f" ± {probe['standard_error']:.3f}"
                    rows.append(
                        [name, metric, family, f"{probe['information']:.3f}{error}", f"{probe['entropy']:.3f}"]
                    )
    header = ["model", "figure", "probe", "nats", "of at most"]
    return ["Frame-level companions:", "", *markdown_table(header, rows), ""] if rows else []
