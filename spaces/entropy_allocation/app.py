# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Gradio page of the metric: frames are uploaded as .npz, the figures and the spectrum come back."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import evaluate
import gradio as gr
import numpy as np
import pandas as pd


FOLDER = Path(__file__).resolve().parent
HELP = """# Entropy allocation
In a speech recogniser made of an encoder and a language model, training decides which of them removes how much of a
text's uncertainty. These figures look at an encoder's frames: in how many directions they vary (NSE), how much they
tell about phonemes (PAI) and about words beyond their phonemes (CSAI), and how like another encoder's they are (CKA).

Upload an `.npz` file with `frames` (N, D) of a speech encoder and, as far as you have them, `phonemes` (N,) (-100
is left out), `words` (M, 3) (first frame, end, word id), `other_frames` (N, D2) of a second encoder, `lengths`
(frames of each utterance; without it all frames are one utterance). All figures are in nats, natural logarithm. The
definitions are those of the entropy-asr project: see the README of this Space."""


def read_arrays(path: str) -> dict:
    """Inputs of the metric from an .npz file, cut into utterances.

    Raises:
        ValueError: no such array, an unknown one, or lengths that do not add up.
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    known = {"frames", "phonemes", "words", "other_frames", "lengths"}
    if "frames" not in arrays or set(arrays) - known:
        raise ValueError(f"The file holds {sorted(arrays)}: `frames` is needed, {sorted(known)} are known.")
    lengths = arrays.get("lengths", np.array([len(arrays["frames"])]))
    if lengths.sum() != len(arrays["frames"]):
        raise ValueError(f"`lengths` add up to {lengths.sum()}, there are {len(arrays['frames'])} frames.")
    cuts = np.cumsum(lengths)[:-1]
    names = {"frames": "predictions", "phonemes": "references", "other_frames": "other_predictions"}
    inputs = {new: np.split(arrays[old], cuts) for old, new in names.items() if old in arrays}
    if "words" in arrays:
        inputs["words"] = _words_of_utterances(arrays["words"], lengths)
    return inputs


def _words_of_utterances(words: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    ends = np.cumsum(lengths)
    utterance = np.searchsorted(ends, words[:, 0], side="right")
    starts = np.concatenate([[0], ends[:-1]])
    moved = words - np.stack([starts[utterance], starts[utterance], np.zeros_like(utterance)], axis=1)
    return [moved[utterance == index] for index in range(len(lengths))]


def compute(path: str | None, families: list[str], num_seeds: float) -> tuple[pd.DataFrame, list[list], str]:
    """The spectrum's curve, table of figures and all details as JSON."""
    if path is None:
        raise gr.Error("Upload an .npz file first.")
    try:
        metric = evaluate.load(str(FOLDER / "entropy_allocation.py"))
        result = metric.compute(**read_arrays(path), probes=families, num_seeds=int(num_seeds))
    except (OSError, ValueError) as error:
        raise gr.Error(str(error)) from error
    rows = [[name, round(value, 4)] for name, value in result.items() if name != "details"]
    return spectrum_curve(result["details"]["nse"]["spectrum"]), rows, json.dumps(result["details"], indent=1)


def spectrum_curve(spectrum: list[float]) -> pd.DataFrame:
    """Share of the frames' variance in each direction, the strongest first."""
    shares = np.sort(spectrum)[::-1] / max(sum(spectrum), 1e-12)
    return pd.DataFrame({"direction": range(1, len(shares) + 1), "share": shares})


def example_frames(folder: Path) -> str:
    """Made-up frames of 12 utterances: a direction of their own for each of 5 phonemes, and noise."""
    rng = np.random.default_rng(0)
    phonemes = np.repeat(rng.integers(0, 5, 600), 2)
    frames = np.eye(16)[phonemes] + 0.3 * rng.normal(size=(1200, 16))
    path = folder / "example.npz"
    np.savez(path, frames=frames.astype(np.float32), phonemes=phonemes, lengths=np.full(12, 100))
    return str(path)


def build_page() -> gr.Blocks:
    """The page."""
    with gr.Blocks(title="Entropy allocation") as page:
        gr.Markdown(HELP)
        file = gr.File(label="Frames (.npz)", type="filepath", file_types=[".npz"])
        with TemporaryDirectory() as folder:  # the page keeps a copy
            gr.Examples([example_frames(Path(folder))], file, example_labels=["made-up frames"], label="Example")
        families = gr.CheckboxGroup(["linear", "mlp"], value=["linear"], label="Probe families")
        num_seeds = gr.Slider(1, 5, value=2, step=1, label="Random splits")
        button = gr.Button("Compute", variant="primary")
        curve = gr.LinePlot(
            x="direction", y="share", x_title="Direction, the strongest first", y_title="Share of variance (0 to 1)"
        )
        table = gr.Dataframe(headers=["metric", "value (NSE, CKA: 0 to 1; others: nats)"], label="Results")
        details = gr.Code(language="json", label="Details")
        button.click(compute, [file, families, num_seeds], [curve, table, details], api_name="compute")
    return page


if __name__ == "__main__":
    build_page().launch()
