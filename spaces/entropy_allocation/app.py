# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Gradio page of the metric: frames are uploaded as .npz, the figures and the spectrum come back."""

import json
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import evaluate
import gradio as gr
import numpy as np
import pandas as pd


INTEGERS = "iu"
# Shape and kinds of number of each array of a file.
ARRAYS = {
    "frames": (("N", "D"), "iuf"),
    "phonemes": (("N",), INTEGERS),
    "words": (("M", "3"), INTEGERS),
    "other_frames": (("N", "D2"), "iuf"),
    "lengths": (("utterances",), INTEGERS),
    "transcripts": (("L",), INTEGERS),
    "transcript_lengths": (("utterances",), INTEGERS),
    "semantics": (("utterances", "D3"), "iuf"),
}
FOLDER = Path(__file__).resolve().parent
HELP = """# Entropy allocation
In a speech recogniser made of an encoder and a language model, training decides which of them removes how much of a
text's uncertainty. The paper's figures look at whole utterances: in how many directions their frames vary (NSE, 0 to
1), how much the pooled frames tell about the phonemes of the text (PAI, bits) and about its meaning beyond them (CSAI,
bits), each beside what chance alone would give. Others, whose names begin with frame_, look at single frames with
probes (nats), and CKA (0 to 1) compares two encoders.

Upload an `.npz` file with `frames` (N, D) of a speech encoder, `lengths` (frames of each utterance; without it all
frames are one) and, as far as you have them: for PAI `transcripts` (L,), phoneme ids of all transcripts, and
`transcript_lengths` (ids of each utterance); for CSAI `semantics` (utterances, D3), an embedding of each text; for the
frame-level figures `phonemes` (N,) (-100 is left out), `words` (M, 3) (first frame, end, word id); for CKA
`other_frames` (N, D2) of a second encoder. The README of this Space has the definitions."""


def read_arrays(path: str) -> dict:
    """Inputs of the metric from an .npz file, cut into utterances.

    Raises:
        ValueError: what is wrong with the file, in words.
    """
    arrays = _load(path)
    if "frames" not in arrays or set(arrays) - set(ARRAYS):
        raise ValueError(f"The file holds {sorted(arrays)}: `frames` is needed, {sorted(ARRAYS)} are known.")
    for name, array in arrays.items():
        _check_array(name, array)
    num_frames = len(arrays["frames"])
    for name in ("phonemes", "other_frames"):
        if name in arrays and len(arrays[name]) != num_frames:
            raise ValueError(f"`{name}` has {len(arrays[name])} rows, there are {num_frames} frames.")
    lengths = arrays.get("lengths", np.array([num_frames]))
    if (lengths < 0).any() or lengths.sum() != num_frames:
        raise ValueError(f"`lengths`, 0 or more each, must add up to {num_frames} frames, not {lengths.sum()}")
    cuts = np.cumsum(lengths)[:-1]
    names = {"frames": "predictions", "phonemes": "references", "other_frames": "other_predictions"}
    inputs = {new: np.split(arrays[old], cuts) for old, new in names.items() if old in arrays}
    if "words" in arrays:
        if "phonemes" not in arrays:
            raise ValueError("`words` are measured beyond their `phonemes`, which the file lacks.")
        inputs["words"] = _words_of_utterances(arrays["words"], lengths)
    inputs |= _transcripts(arrays, len(lengths))
    # Utterances without frames have nothing to measure.
    return {
        name: [entry for entry, size in zip(entries, lengths, strict=True) if size] for name, entries in inputs.items()
    }


def _transcripts(arrays: dict[str, np.ndarray], num_utterances: int) -> dict[str, list[np.ndarray]]:
    """Phonemes and embeddings of the transcripts, one entry an utterance."""
    found = {}
    if ("transcripts" in arrays) != ("transcript_lengths" in arrays):
        raise ValueError("`transcripts` and `transcript_lengths` belong together: the file holds one of them.")
    if "transcripts" in arrays:
        sizes, count = arrays["transcript_lengths"], len(arrays["transcripts"])
        if len(sizes) != num_utterances or (sizes < 1).any() or sizes.sum() != count:
            raise ValueError(
                f"`transcript_lengths` must be {num_utterances} numbers from 1 on that add up to {count} phonemes."
            )
        found["phonemes"] = np.split(arrays["transcripts"], np.cumsum(sizes)[:-1])
    if "semantics" in arrays:
        if len(arrays["semantics"]) != num_utterances:
            raise ValueError(f"`semantics` has {len(arrays['semantics'])} rows for {num_utterances} utterances.")
        found["semantics"] = list(arrays["semantics"])
    return found


def _load(path: str) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, by name."""
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("it holds one array without a name")
        with file:
            return dict(file)
    # A damaged archive may fail anywhere between its directory and the numbers.
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"This is no .npz file of numbers, as `numpy.savez` writes it: {error}.") from error


def _check_array(name: str, array: np.ndarray) -> None:
    shape, kinds = ARRAYS[name]
    columns = 3 if name == "words" else None
    if array.ndim != len(shape) or array.dtype.kind not in kinds or (columns and array.shape[1] != columns):
        what = "integers" if kinds == INTEGERS else "numbers"
        raise ValueError(f"`{name}` must be ({', '.join(shape)}) {what}, not {array.dtype} of shape {array.shape}.")
    if not array.size and name != "words":
        raise ValueError(f"`{name}` is empty.")


def _words_of_utterances(words: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Words `(M, 3)` of all frames as those of each utterance, counted from its own first frame."""
    ends = np.cumsum(lengths)
    utterance = np.searchsorted(ends, words[:, 0], side="right")
    outside = (words[:, 0] < 0) | (words[:, 1] < words[:, 0])
    outside |= words[:, 1] > ends[np.minimum(utterance, len(ends) - 1)]
    if outside.any():
        row = int(outside.argmax())
        raise ValueError(
            f"Row {row} of `words`, {words[row].tolist()}, is not inside one utterance: first frame, end (not before "
            f"it, and within the utterance), word id are needed."
        )
    utterance = np.minimum(utterance, len(ends) - 1)  # an empty word behind the last frame
    starts = np.concatenate([[0], ends[:-1]])
    moved = words.astype(np.int64) - np.stack([starts[utterance], starts[utterance], np.zeros_like(utterance)], axis=1)
    return [moved[utterance == index] for index in range(len(lengths))]


def compute(path: str | None, families: list[str], num_seeds: float) -> tuple[pd.DataFrame, list[list], str]:
    """The spectrum's curve, table of figures and all details as JSON."""
    if path is None:
        raise gr.Error("Upload an .npz file first.")
    try:
        metric, inputs = evaluate.load(str(FOLDER / "entropy_allocation.py")), read_arrays(path)
        result = metric.compute(**inputs, probes=families, num_seeds=int(num_seeds))
        if "frame_nse" not in result:
            spectrum = metric.compute(predictions=inputs["predictions"], metrics=["frame_nse"])
            result["details"] |= spectrum.pop("details")
            result |= spectrum
    except (OSError, ValueError) as error:
        raise gr.Error(str(error)) from error
    rows = [[name, round(value, 4)] for name, value in result.items() if name != "details"]
    return spectrum_curve(result["details"]["frame_nse"]["spectrum"]), rows, json.dumps(result["details"], indent=1)


def spectrum_curve(spectrum: list[float]) -> pd.DataFrame:
    """Share of the frames' variance in each direction, the strongest first."""
    shares = np.sort(spectrum)[::-1] / max(sum(spectrum), 1e-12)
    return pd.DataFrame({"direction": range(1, len(shares) + 1), "share": shares})


def show_whole_range(details: str) -> gr.LinePlot:
    """The curve's axes for these details: shares from 0 on, and no direction before the first."""
    spectrum = json.loads(details)["frame_nse"]["spectrum"]
    return gr.LinePlot(x_lim=[1, max(2, len(spectrum))], y_lim=[0, 1.1 * max(spectrum)])


def example_frames(folder: Path) -> str:
    """Made-up frames of 60 utterances: a direction of their own for each of 5 phonemes, and noise."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(5), 60)
    spoken = np.stack([rng.choice(5, 10, p=share) for share in shares])  # (60, 10), two frames each
    phonemes = np.repeat(spoken.reshape(-1), 2)
    frames = np.eye(16)[phonemes] + 0.3 * rng.normal(size=(1200, 16))
    arrays = {"frames": frames.astype(np.float32), "phonemes": phonemes, "lengths": np.full(60, 20)}
    path = folder / "example.npz"
    np.savez(path, **arrays, transcripts=spoken.reshape(-1), transcript_lengths=np.full(60, 10))
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
        table = gr.Dataframe(
            headers=["metric", "value"],
            label="Results (NSE, CKA: 0 to 1; PAI, CSAI: bits; frame_pai, frame_csai: nats)",
        )
        with gr.Accordion("Details", open=False):
            details = gr.Code(language="json", label="Details", show_label=False)
        computed = button.click(compute, [file, families, num_seeds], [curve, table, details], api_name="compute")
        computed.success(show_whole_range, details, curve, api_visibility="private")
    return page


if __name__ == "__main__":
    build_page().launch()
