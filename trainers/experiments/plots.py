# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The four pictures of an experiment's page; needs matplotlib (extra `report`)."""

from pathlib import Path
from typing import Any

import numpy as np

from .experiment import PLAIN, Experiment
from .results import Results


METRICS = ("nse", "pai", "csai", "text_cka")
TITLES = {"nse": "NSE", "pai": "PAI (bits)", "csai": "CSAI (bits)", "text_cka": "text CKA that the adaptor adds"}


def draw(results: Results, folder: Path) -> dict[str, str]:
    """Draw all pictures; their files and titles.

    Args:
        results: Of all seeds.
        folder: Where the files go.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pictures = {
        "errors.png": ("Error rates under each condition, guards off; a dot a seed, a line their mean", _errors),
        "hallucination.png": ("Text that nobody said, guards off; a dot a seed", _hallucination),
        "allocation.png": (
            "Entropy allocation over the stages of each arm; mean over seeds and data sets",
            _trajectory,
        ),
        "chance.png": (
            "PAI over the number of components, with chance (dotted); first seed and data set",
            _components,
        ),
    }
    for file, (_, drawer) in pictures.items():
        figure = Figure(figsize=(10, 5.5), layout="constrained")
        FigureCanvasAgg(figure)
        drawer(figure, results, results.experiment)
        figure.savefig(folder / file, dpi=110)
    return {file: title for file, (title, _) in pictures.items()}


def _errors(figure: Any, results: Results, experiment: Experiment) -> None:
    axes = figure.subplots()
    names, arms = experiment.conditions, list(experiment.arms)
    for index, arm in enumerate(arms):
        places = np.arange(len(names)) + 0.1 * (index - (len(arms) - 1) / 2)
        rates = [results.rate(arm, name, "errors") for name in names]
        means = [100 * np.mean(found) for found in rates]
        axes.hlines(means, places - 0.05, places + 0.05, color=f"C{index}", label=arm, linewidth=2)
        for place, found in zip(places, rates, strict=True):
            axes.plot([place] * len(found), [100 * value for value in found], ".", color=f"C{index}")
    axes.set_xticks(range(len(names)), [name.removesuffix(f", {PLAIN}") for name in names], rotation=20, ha="right")
    axes.set_ylabel("WER (%), mean over test sets")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)


def _hallucination(figure: Any, results: Results, experiment: Experiment) -> None:
    kinds = {
        "text without speech": (PLAIN, "nonempty", False),
        experiment.padded.removesuffix(f", {PLAIN}"): (experiment.padded, "hallucinated", True),
        "as they are": (PLAIN, "hallucinated", True),
        "by the paper's rule": (PLAIN, "paper", True),
    }
    kinds.pop("", None)  # no condition has silence around
    for axes, (title, found) in zip(figure.subplots(1, len(kinds)), kinds.items(), strict=True):
        for index, arm in enumerate(experiment.arms):
            values = [100 * value for value in results.rate(arm, *found)]
            axes.bar(index, np.mean(values) if values else 0, color=f"C{index}", alpha=0.5)
            axes.plot([index] * len(values), values, "k.")
        axes.set_xticks(range(len(experiment.arms)), experiment.arms, rotation=60, ha="right", fontsize=8)
        axes.set_title(title, fontsize=9)
        # Where nothing was hallucinated, too, zero is at the bottom.
        axes.set_ylim(0, max(1, axes.get_ylim()[1]))
    figure.supylabel("share of utterances (%)")


def _trajectory(figure: Any, results: Results, experiment: Experiment) -> None:
    steps = experiment.measured.steps
    for axes, metric in zip(figure.subplots(2, 2).flat, METRICS, strict=True):
        for index, (arm, stages) in enumerate(experiment.arms.items()):
            found = [[results.allocation(seed, name, metric) for seed in results.seeds] for name in stages]
            points = [(place, np.mean(values)) for place, values in enumerate(found) if None not in values]
            if points:
                # The last stage of all arms stands at the same place, however many there are before it.
                places = [len(steps) - 1 if place == len(stages) - 1 else place for place, _ in points]
                axes.plot(places, [value for _, value in points], "o-", color=f"C{index}", label=arm, markersize=4)
        axes.set_xticks(range(len(steps)), steps, fontsize=8)
        axes.set_xlim(-0.2, len(steps) - 0.8)
        axes.set_title(TITLES[metric], fontsize=9)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)


def _components(figure: Any, results: Results, experiment: Experiment) -> None:
    axes = figure.subplots()
    models = next(iter(results.report(results.seeds[0])["datasets"].values()))["models"]
    for index, (arm, stages) in enumerate(experiment.arms.items()):
        if stages[-1] not in models:
            continue
        rows = components_of(models[stages[-1]])
        sizes = [row["pca_size"] for row in rows]
        axes.plot(sizes, [row["pai"] for row in rows], "o-", color=f"C{index}", label=arm)
        axes.plot(sizes, [row["chance"] for row in rows], ":", color=f"C{index}")
    axes.set_xlabel("components")
    axes.set_ylabel("PAI (bits)")
    axes.legend(fontsize=8)


def components_of(figures: dict[str, Any]) -> list[dict[str, float]]:
    """PAI and its chance level by the number of components, at the ridge that the figures have."""
    details = figures["details"]["pai"]
    rows = [row for row in details["table"] if row["ridge"] == details["ridge"]]
    return sorted(rows, key=lambda row: row["pca_size"])
