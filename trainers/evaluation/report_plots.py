# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Plots of the entropy allocation report, with matplotlib (extra `report`), three a data set at most.

The trajectory has the form of figures 1 and 3 of arXiv 2604.08003, text CKA that of its figure 4.
"""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from entropy_asr.hub_cards.report_tables import UNHEARD, pca_size


METRICS = {"nse": "NSE (0 to 1)", "pai": "PAI (bits)", "csai": "CSAI (bits)"}
LEDGER_PARTS = {
    "left": ("left: H(Y|Z)", "tab:red"),
    "llm": ("removed by the LLM", "tab:blue"),
    "encoder": ("removed by the encoder", "tab:green"),
}
MARKERS = "osD^v<>P"


def require_matplotlib() -> None:
    """Say at once, not after the measurements, that plots cannot be drawn.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError('Plots need matplotlib: pip install "entropy-asr[report]".') from error


def plot_files(name: str, report: dict[str, Any]) -> dict[str, str]:
    """File and title of each plot of a data set; each is also there as `.svg`."""
    stem, models = re.sub(r"[^\w-]+", "_", name), report["datasets"][name]["models"]
    files = {f"{stem}-trajectory.png": f"{_in_words(measured_metrics(models))} over the checkpoints"}
    if any(figures.get("text_cka") for figures in models.values()):
        files[f"{stem}-text_cka.png"] = "Linear CKA of layers and adaptor with the text's embeddings"
    if ledgers(models):
        files[f"{stem}-ledger.png"] = "Who removes how much of the text's uncertainty"
    return files


def measured_metrics(models: dict[str, Any]) -> list[str]:
    """Those of NSE, PAI and CSAI that any model has: CSAI needs a text embedder."""
    return [name for name in METRICS if any(figures.get(name) is not None for figures in models.values())]


def ledgers(models: dict[str, Any]) -> dict[str, Any]:
    """Ledgers of those models that have one."""
    found = {name: figures.get("ledger", {}) for name, figures in models.items()}
    return {name: ledger for name, ledger in found.items() if "nats_per_token_left" in ledger}


def _in_words(metrics: list[str]) -> str:
    names = [metric.upper() for metric in metrics]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def draw_plots(report: dict[str, Any], output_dir: Path) -> None:
    """Draw all plots of all data sets measured so far, each as `.png` and as `.svg`."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawers = {"trajectory": _trajectory, "text_cka": _text_cka, "ledger": _ledger}
    for name, result in report["datasets"].items():
        for file in plot_files(name, report):
            figure = Figure(layout="constrained")
            FigureCanvasAgg(figure)
            drawers[Path(file).stem.rpartition("-")[2]](figure, result["models"], report["recipes"])
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
    return f"{name} ({report['options']['split']}): {data['num_utterances']} utterances, {data['seconds']:.0f} s"


def _trajectory(figure, models: dict[str, Any], recipes: dict[str, list[str]]) -> None:
    """Each metric after each checkpoint, a line a recipe, with chance and intervals."""
    metrics = measured_metrics(models)
    longest = max(map(len, recipes.values()))
    figure.set_size_inches(max(5.2, (1.6 + 0.55 * longest) * len(metrics)), 3.9)
    for axis, metric in zip(np.atleast_1d(figure.subplots(1, len(metrics))), metrics, strict=True):
        for number, (recipe, names) in enumerate(recipes.items()):
            _line(axis, metric, [models[name] for name in names], recipe, number)
        axis.set_ylabel(METRICS[metric])
        axis.set_ylim(0, 1 if metric == "nse" else axis.get_ylim()[1] * 1.15)
        axis.margins(x=0.2)
        axis.grid(alpha=0.3)
        _stages(axis, recipes)
        axis.set_title(_sizes(models, metric), fontsize=8)
    handles = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    if handles:
        figure.legend(handles.values(), handles.keys(), fontsize=8, loc="outside lower center", ncols=4)
    figure.suptitle("Entropy allocation (bars: 95 % intervals over utterances; dotted: chance)")


def _sizes(models: dict[str, Any], metric: str) -> str:
    """N and k of a metric, over all models."""
    details = [figures["details"][metric] for figures in models.values() if metric in figures["details"]]
    counts = sorted({found["num_utterances"] for found in details})
    sizes = sorted({pca_size(found) for found in details if "pca_size" in found})
    return ", ".join([f"N = {' or '.join(map(str, counts))}", *([f"k = {' or '.join(sizes)}"] if sizes else [])])


def _line(axis, metric: str, figures: list[dict[str, Any]], recipe: str, number: int) -> None:
    places = [place for place, found in enumerate(figures) if found.get(metric) is not None]
    if not places:
        return
    values = np.array([figures[place][metric] for place in places])
    details = [figures[place]["details"].get(metric, {}) for place in places]
    intervals = np.array([found.get("interval") or [v, v] for found, v in zip(details, values, strict=True)]).T
    errors = np.maximum(0, [values - intervals[0], intervals[1] - values])
    colour = f"C{number}"
    label = recipe or None
    axis.errorbar(places, values, errors, marker=MARKERS[number % len(MARKERS)], capsize=3, color=colour, label=label)
    for place, value in zip(places, values, strict=True):
        text = f"{value:.3f}" if metric == "nse" else f"{value:.2f}"
        axis.annotate(text, (place, value), (4, 5 + 9 * number), textcoords="offset points", fontsize=7, color=colour)
    chance = [found["chance"]["mean"] for found in details if "chance" in found]
    if len(chance) == len(places):
        axis.plot(places, chance, ":", marker="_", color=colour, alpha=0.8)


def _stages(axis, recipes: dict[str, list[str]]) -> None:
    """Names under the axis: those of the checkpoints where there is one recipe, else their numbers."""
    longest = max(recipes.values(), key=len)
    names = longest if len(recipes) == 1 else [str(number) for number in range(1, len(longest) + 1)]
    turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if len(names) > 2 and len(recipes) == 1 else {}
    axis.set_xticks(range(len(names)), names, **turned)
    if len(recipes) > 1:
        axis.set_xlabel("checkpoint")


def _text_cka(figure, models: dict[str, Any], recipes: dict[str, list[str]]) -> None:
    """A line a checkpoint: before the first layer, after each, and after the adaptor."""
    figure.set_size_inches(6.4, 4.2)
    axis = figure.subplots()
    measured = {name: cka for name, figures in models.items() if (cka := figures.get("text_cka"))}
    for number, (name, cka) in enumerate(measured.items()):
        depth = len(cka["layers"]) - 1
        # Encoders differ in depth: the share of it says where a layer stands.
        places = [layer / depth for layer in range(depth + 1)] if depth else [1.0]
        axis.plot(places, cka["layers"], marker=".", color=f"C{number}", label=name)
        axis.plot([1.0, 1.15], [cka["layers"][-1], cka["adaptor"]], "--o", color=f"C{number}", markersize=5)
        axis.axhline(cka["chance"]["mean"], linestyle=":", color=f"C{number}", alpha=0.6, linewidth=0.9)
    axis.set_ylim(0, None)
    axis.set_xticks(
        [0, 0.5, 1.0, 1.15], ["before the\nfirst layer", "half of\nthe layers", "last layer", "adaptor"], fontsize=8
    )
    axis.set_ylabel("linear CKA with text embeddings (0 to 1)")
    axis.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=min(3, len(measured)))
    figure.suptitle("Text CKA by layer (dotted: chance, of the adaptor)")


def _ledger(figure, models: dict[str, Any], recipes: dict[str, list[str]]) -> None:
    """H(Y) of each model as a bar of its parts; where the prior is broken, only what is left."""
    found = ledgers(models)
    figure.set_size_inches(max(6.4, 1.6 + 1.3 * len(found)), 4.4)
    axis = figure.subplots()
    for x, ledger in enumerate(found.values()):
        left = ledger["nats_per_token_left"]
        uniform = None if x else "nothing known: ln V"
        axis.plot([x - 0.45, x + 0.45], [left["uniform"]] * 2, color="0.3", linestyle="--", label=uniform)
        if ledger["is_prior_broken"]:
            axis.bar(x, left["full"], 0.7, color=LEDGER_PARTS["left"][1])
            text = f"broken prior:\n{left['prior'] - left['uniform']:.2f} worse\nthan uniform"
            axis.annotate(text, (x, left["full"]), (0, 3), textcoords="offset points", ha="center", fontsize=8)
        else:
            _stack(axis, x, ledger["allocation"])
            if ledger["allocation"]["encoder"] < 0:
                place = x, sum(ledger["allocation"].values())
                axis.annotate(UNHEARD, place, (0, 3), textcoords="offset points", ha="center", fontsize=8)
    axis.set_xticks(range(len(found)), [_ledger_label(name, ledger) for name, ledger in found.items()], fontsize=8)
    axis.set_ylabel("nats a token of the transcript")
    axis.set_ylim(0, 1.12 * max(ledger["nats_per_token_left"]["uniform"] for ledger in found.values()))
    axis.grid(alpha=0.3, axis="y")
    for label, colour in LEDGER_PARTS.values():
        axis.bar(0, 0, color=colour, label=label)
    figure.legend(fontsize=8, loc="outside lower center", ncols=4)
    figure.suptitle("Ledger: H(Y), the uncertainty of the text alone, and who removes it")


def _stack(axis, x: int, shares: dict[str, float]) -> None:
    """What is left below, then what LLM and encoder removed; a part that adds nats is hatched."""
    bottom = 0.0
    for name, (_, colour) in LEDGER_PARTS.items():
        value = shares[name]
        hatch = "//" if value < 0 else None
        axis.bar(x, value, 0.7, bottom=bottom, color=colour, hatch=hatch, edgecolor="white")
        axis.annotate(f"{value:.2f}", (x, bottom + value / 2), ha="center", va="center", fontsize=8, color="white")
        bottom += value


def _ledger_label(name: str, ledger: dict[str, Any]) -> str:
    return f"{name}\n{ledger['num_utterances']} utt., {ledger['num_tokens']} tok."
