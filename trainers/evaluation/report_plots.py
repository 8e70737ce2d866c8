# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Plots of the entropy allocation report, with matplotlib (extra `report`)."""

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


LABELS = {"nse": "NSE (0 to 1)", "pai": "PAI (nats)", "csai": "CSAI (nats)"}
DECIMALS = {"nse": 3, "pai": 2, "csai": 3}
FAMILY_NAMES = {"linear": "linear probe", "mlp": "MLP probe (one hidden layer)"}
# Curves of equal checkpoints lie on each other: all of them can still be seen.
STYLES = (("-", 3.5), ("--", 2.4), ("-.", 1.6), (":", 1.2))


def require_matplotlib() -> None:
    """Say at once, not after the measurements, that plots cannot be drawn.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError('Plots need matplotlib: pip install "entropy-asr[report]".') from error


def plot_files(name: str, result: dict[str, Any]) -> dict[str, str]:
    """File and title of each plot of a data set; each is also there as `.svg`."""
    stem, models = re.sub(r"[^\w-]+", "_", name), result["models"].values()
    files = {f"{stem}-allocation.png": f"{_in_words(measured_metrics(result))} of each checkpoint"}
    if any(figures["layers"] for figures in models):
        files[f"{stem}-layers.png"] = f"{_in_words(metrics_by_layer(result))} by layer"
    files[f"{stem}-spectrum.png"] = "Eigenvalue spectrum"
    if len(result["models"]) > 1:
        files[f"{stem}-cka.png"] = "CKA between checkpoints"
    if ledgers(result):
        files[f"{stem}-ledger.png"] = "Ledger: who removes how much of H(Y)"
    return files


def measured_metrics(result: dict[str, Any]) -> list[str]:
    """Those of NSE, PAI and CSAI that any model has: CSAI needs words that occur often."""
    models = result["models"].values()
    return [
        metric
        for metric in LABELS
        if metric == "nse" or any(set(FAMILY_NAMES) & set(figures["details"].get(metric, {})) for figures in models)
    ]


def metrics_by_layer(result: dict[str, Any]) -> list[str]:
    """Those that any layer of any model has."""
    layers = [layer for figures in result["models"].values() for layer in figures["layers"]]
    return [metric for metric in LABELS if any(layer[metric] is not None for layer in layers)]


def _in_words(metrics: Sequence[str]) -> str:
    names = [metric.upper() for metric in metrics]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def draw_plots(report: dict[str, Any], output_dir: Path) -> None:
    """Draw all plots of all data sets measured so far, each as `.png` and as `.svg`."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawers = {"allocation": _allocation, "layers": _layers, "spectrum": _spectrum, "cka": _cka, "ledger": _ledger}
    for name, result in report["datasets"].items():
        for file in plot_files(name, result):
            figure = Figure(layout="constrained")
            FigureCanvasAgg(figure)
            drawers[Path(file).stem.rpartition("-")[2]](figure, result)
            figure.suptitle(f"{figure.get_suptitle()}\n{_data(name, report, result)}", fontsize=9)
            _save_png(figure, output_dir / file)
            # Text stays text, and the same report gives the same file.
            with rc_context({"svg.fonttype": "none", "svg.hashsalt": file}):
                figure.savefig((output_dir / file).with_suffix(".svg"), metadata={"Date": None})


def _save_png(figure, path: Path) -> None:
    """With a palette of 64 colours: a third of the size, and no difference to be seen in a plot."""
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=130)
    Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def _data(name: str, report: dict[str, Any], result: dict[str, Any]) -> str:
    data = result["data"]
    aligner = f"; phonemes aligned by {report['aligner']}" if report["aligner"] else ""
    return (
        f"{name} ({report['options']['split']}): {data['num_utterances']} utterances, {data['seconds']:.0f} s{aligner}"
    )


def _names(axis, names: list[str]) -> None:
    turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if len(names) > 2 else {}
    axis.set_xticks(range(len(names)), names, **turned)


def _allocation(figure, result: dict[str, Any]) -> None:
    """The form of the paper's figure 1: each metric before and after each stage."""
    models, metrics = result["models"], measured_metrics(result)
    names = list(models)
    figure.set_size_inches(max(5.2, 3.4 * len(metrics)), 3.9)
    for axis, metric in zip(np.atleast_1d(figure.subplots(1, len(metrics))), metrics, strict=True):
        drawn = []
        for family, marker in (("linear", "o"), ("mlp", "s")):
            found = [_value(models[name], metric, family) for name in names]
            if all(value is None for value, _ in found):
                continue
            values = [np.nan if value is None else value for value, _ in found]
            errors = [error or 0 for _, error in found]
            shown = None if metric == "nse" else FAMILY_NAMES[family]
            axis.errorbar(range(len(names)), values, errors, marker=marker, capsize=3, label=shown)
            drawn.append((values, errors))
            if metric == "nse":
                break
        ceiling = _ceiling(models) if metric == "csai" else None
        if ceiling is not None:
            axis.axhline(ceiling, color="0.3", linewidth=0.8, linestyle="--", label="the most that it can be")
        _set_range(axis, metric, [*drawn, ([ceiling or 0.0], [0.0])])
        _write_values(axis, [values for values, _ in drawn], DECIMALS[metric])
        axis.set_title(f"{LABELS[metric]}\n{_rows(models, metric)}", fontsize=9)
        axis.set_ylabel(LABELS[metric])
        axis.margins(x=0.25)
        _names(axis, names)
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7, loc="upper left")
    figure.suptitle("Entropy allocation of the encoder (error bars: standard error over splits)")


def _ceiling(models: dict[str, Any]) -> float | None:
    """H(S|P), the most that CSAI can be, by the linear probe."""
    found = [figures["details"].get("csai", {}).get("linear", {}).get("entropy") for figures in models.values()]
    return max((entropy for entropy in found if entropy is not None), default=None)


def _set_range(axis, metric: str, drawn: list[tuple[list[float], list[float]]]) -> None:
    """All that a value can be, so that small differences look small: NSE 0 to 1, information from 0 (or below) on."""
    if metric == "nse":
        axis.set_ylim(0, 1)
        return
    values, errors = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    low = min(0.0, np.nanmin(values - errors, initial=0.0))
    high = np.nanmax(values + errors, initial=0.0)
    span = (high - low) or 1.0
    # Room for the legend above, and below only where something is drawn there.
    axis.set_ylim(low - 0.08 * span * (low < 0), high + 0.4 * span)
    axis.axhline(0, color="0.3", linewidth=0.8)


def _write_values(axis, lines: list[list[float]], decimals: int) -> None:
    """Each point's value: the larger of two above it, the smaller below, since probes' values lie close together."""
    for x, values in enumerate(zip(*lines, strict=True)):
        above = int(np.argmax(np.nan_to_num(values, nan=-np.inf)))
        for line, value in enumerate(values):
            if np.isfinite(value):
                offset = (5, 5) if line == above else (5, -12)
                text = f"{round(value, decimals) + 0.0:.{decimals}f}"  # no "-0.00"
                box = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5}
                axis.annotate(text, (x, value), offset, textcoords="offset points", fontsize=8, bbox=box)


def _style(number: int) -> dict[str, Any]:
    style, width = STYLES[min(number, len(STYLES) - 1)]
    return {"linestyle": style, "linewidth": width}


def _value(figures: dict[str, Any], metric: str, family: str) -> tuple[float | None, float | None]:
    if metric == "nse":
        return figures["nse"], None
    found = figures["details"].get(metric, {}).get(family)
    return (None, None) if found is None else (found["information"], found["standard_error"])


def _rows(models: dict[str, Any], metric: str) -> str:
    """N, D and number of classes of a metric, over all models."""
    found = [details for figures in models.values() if (details := figures["details"].get(metric))]
    found = [details for details in found if "left_out" not in details]
    if not found:
        return "not measured"
    unit = "words" if "num_words" in found[0] else "frames"
    count = _range(details.get("num_frames", details.get("num_words")) for details in found)
    classes = f", {_range(details['num_classes'] for details in found)} classes" if "num_classes" in found[0] else ""
    return f"N = {count} {unit}, D = {_range(details['dimension'] for details in found)}{classes}"


def _range(values: Iterable[int]) -> str:
    """One number, or the least and the greatest: encoders differ in frame rate and width."""
    values = sorted(values)
    return str(values[0]) if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def _layers(figure, result: dict[str, Any]) -> None:
    """Each metric after each layer; 0 is what goes into the first one, the first hidden state of transformers."""
    metrics = metrics_by_layer(result)
    figure.set_size_inches(max(5.2, 3.4 * len(metrics)), 3.9)
    last = [figures["layers"][-1]["num_rows"] for figures in result["models"].values() if figures["layers"]]
    axes = np.atleast_1d(figure.subplots(1, len(metrics)))
    for axis, metric in zip(axes, metrics, strict=True):
        drawn = []
        for number, (name, figures) in enumerate(result["models"].items()):
            values = [np.nan if layer[metric] is None else layer[metric] for layer in figures["layers"]]
            axis.plot(range(len(values)), values, marker=".", label=name, **_style(number))
            drawn.append((values, np.zeros(len(values))))
        _set_range(axis, metric, drawn)
        counts, unit = [rows[metric] for rows in last if metric in rows], "words" if metric == "csai" else "frames"
        axis.set_title(f"{LABELS[metric]}\nN = {_range(counts)} {unit}", fontsize=9)
        axis.set_xlabel("after layer (0: before the first)")
        axis.set_ylabel(LABELS[metric] if metric == "nse" else f"{LABELS[metric]}, linear probe")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, fontsize=8, loc="outside lower center", ncols=min(4, len(names)))
    figure.suptitle("Metrics by layer (linear probe, one split: its error is not known)")


def _spectrum(figure, result: dict[str, Any]) -> None:
    figure.set_size_inches(6.4, 4.2)
    axis = figure.subplots()
    for number, (name, figures) in enumerate(result["models"].items()):
        details = figures["details"]["nse"]
        # Directions without variance (LayerNorm leaves one) have no place on a logarithmic axis.
        spectrum = np.where(np.array(details["spectrum"]) > 1e-10, details["spectrum"], np.nan)
        label = f"{name}: NSE {figures['nse']:.2f}, effective rank {details['effective_rank']:.0f} of {len(spectrum)}"
        axis.plot(
            np.arange(1, len(spectrum) + 1), spectrum, label=f"{label}, N = {details['num_frames']}", **_style(number)
        )
    axis.set(xscale="log", yscale="log", xlabel="principal direction (rank)", ylabel="share of all variance (0 to 1)")
    axis.grid(alpha=0.3, which="both")
    axis.legend(fontsize=8)
    figure.suptitle("Eigenvalue spectrum of encoder frames")


def _cka(figure, result: dict[str, Any]) -> None:
    cka = result["cka"]
    size = 2.6 + 0.8 * len(cka["names"])
    figure.set_size_inches(max(4.8, size), max(4.0, size - 0.4))
    axis = figure.subplots()
    image = axis.imshow(cka["biased"], vmin=0, vmax=1, cmap="viridis")
    for row, values in enumerate(cka["biased"]):
        for column, value in enumerate(values):
            colour = "black" if value > 0.6 else "white"
            axis.text(column, row, f"{value:.3f}", ha="center", va="center", color=colour, fontsize=9)
    axis.set_xticks(range(len(cka["names"])), cka["names"], rotation=30, ha="right")
    axis.set_yticks(range(len(cka["names"])), cka["names"])
    figure.colorbar(image, label="linear CKA (0 to 1)")
    figure.suptitle(f"CKA between checkpoints, N = {cka['num_frames']} frames")


def ledgers(result: dict[str, Any]) -> dict[str, Any]:
    """Ledgers of those models that have one."""
    found = {name: figures.get("ledger", {}) for name, figures in result["models"].items()}
    return {name: ledger for name, ledger in found.items() if "prior" in ledger.get("nats_per_token_left", {})}


def _ledger(figure, result: dict[str, Any]) -> None:
    """H(Y) of each model as a bar of its parts; where the prior is broken, only what is left."""
    models = ledgers(result)
    figure.set_size_inches(max(6.4, 1.6 + 1.3 * len(models)), 4.4)
    axis = figure.subplots()
    parts = {"encoder": ("removed by the encoder", "tab:green"), "llm": ("removed by the LLM", "tab:blue")}
    parts["left"] = ("left: H(Y|Z)", "tab:red")
    for x, ledger in enumerate(models.values()):
        left = ledger["nats_per_token_left"]
        axis.plot(
            [x - 0.45, x + 0.45], [left["uniform"]] * 2, color="0.3", linestyle="--", label=None if x else "ln V"
        )
        if ledger["is_prior_broken"]:
            axis.bar(x, left["full"], 0.7, color=parts["left"][1])
            text = f"broken prior:\n{left['prior'] - left['uniform']:.2f} worse\nthan uniform"
            axis.annotate(text, (x, left["full"]), (0, 3), textcoords="offset points", ha="center", fontsize=8)
            continue
        _stack(axis, x, ledger["allocation"], parts)
    axis.set_xticks(range(len(models)), [_ledger_label(name, ledger) for name, ledger in models.items()], fontsize=8)
    axis.set_ylabel("nats a token of the transcript")
    axis.set_ylim(0, 1.12 * max(ledger["nats_per_token_left"]["uniform"] for ledger in models.values()))
    axis.grid(alpha=0.3, axis="y")
    handles, labels = axis.get_legend_handles_labels()
    patches = [axis.bar(0, 0, color=colour) for _, colour in parts.values()]
    figure.legend(
        [*handles, *patches], [*labels, *(name for name, _ in parts.values())], loc="outside lower center", ncols=4
    )
    figure.suptitle("Ledger: H(Y), the uncertainty of the text alone, and who removes it")


def _stack(axis, x: int, shares: dict[str, float], parts: dict[str, tuple[str, str]]) -> None:
    """What is left below, then what LLM and encoder removed; a part that adds nats is hatched."""
    bottom = 0.0
    for name in ("left", "llm", "encoder"):
        value = shares[name]
        axis.bar(
            x, value, 0.7, bottom=bottom, color=parts[name][1], hatch="//" if value < 0 else None, edgecolor="white"
        )
        axis.annotate(f"{value:.2f}", (x, bottom + value / 2), ha="center", va="center", fontsize=8, color="white")
        bottom += value


def _ledger_label(name: str, ledger: dict[str, Any]) -> str:
    return f"{name}\n{ledger['num_utterances']} utt., {ledger['num_tokens']} tok."
