# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Phonemes of a WAV file by an exported encoder, with numpy and onnxruntime alone: lies in the folder of an export.

    python run_onnx.py speech.wav [--streaming] [--int8]

What the tensors are is in `encoder.json`; features, chunks and CTC are the few functions below.
"""

import argparse
import json
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


def read_wave(path: str, sampling_rate: int) -> np.ndarray:
    """Samples `(num_samples,)` in [-1, 1] of a WAV file of 16 bits, one channel and that rate.

    Raises:
        ValueError: it is another one.
    """
    with wave.open(path) as file:
        rate, channels, bits = file.getframerate(), file.getnchannels(), 8 * file.getsampwidth()
        if (rate, channels, bits) != (sampling_rate, 1, 16):
            raise ValueError(f"{path}: {rate} Hz, {channels} channels, {bits} bits, not {sampling_rate}, 1 and 16")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    if not len(samples):
        raise ValueError(f"{path}: holds no samples")
    return samples


def compute_features(samples: np.ndarray, settings: dict[str, Any], arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Features `(num_features, num_mel_bins)`; each is made of the samples of its window alone, so they stream.

    Args:
        samples: `(num_samples,)`, in [-1, 1], at least one.
        settings: `features` of `encoder.json`.
        arrays: what `features.npz` holds.
    """
    size, hop, reflected = (settings[name] for name in ("window_samples", "hop_samples", "reflected_samples"))
    num_frames = max(1, (len(samples) - settings["uncounted_samples"]) // hop)
    samples = np.pad(samples, (0, max(0, reflected + 1 - len(samples))))
    samples = np.pad(samples, (reflected, 0), mode="reflect") * np.float32(settings["scale"])
    length = (num_frames - 1) * hop + size
    samples = np.pad(samples, (0, max(0, length - len(samples))))[:length]
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    if settings["remove_mean"]:
        windows = windows - windows.mean(1, keepdims=True)
    before = np.concatenate([windows[:, :1], windows[:, :-1]], axis=1)
    windows = (windows - settings["preemphasis"] * before) * arrays["window"]
    power = np.abs(np.fft.rfft(windows, settings["fft_size"])) ** 2
    energies = np.maximum(power @ arrays["mel_filters"], settings["min_energy"])
    logs = np.log(energies) if settings["log_base"] == "e" else np.log10(energies)
    return ((logs - arrays["mean"]) / arrays["std"]).astype(np.float32)


def encode(session: onnxruntime.InferenceSession, features: np.ndarray) -> dict[str, np.ndarray]:
    """All that the graph of whole utterances gives of one, by name, each `(1, num_frames, ...)`.

    Args:
        session: of the graph.
        features: `(num_features, num_mel_bins)`.
    """
    inputs = {"features": features[None], "features_mask": np.ones((1, len(features)), np.int64)}
    return dict(zip(names(session.get_outputs()), session.run(None, inputs), strict=True))


def encode_chunks(
    session: onnxruntime.InferenceSession, features: np.ndarray, settings: dict[str, Any]
) -> Iterator[dict[str, np.ndarray]]:
    """What the graph of chunks gives of each chunk of one stream, by name, each `(1, num_frames, ...)`.

    Args:
        session: of the graph.
        features: of the stream, `(num_features, num_mel_bins)`.
        settings: `streaming` of `encoder.json`.
    """
    size, ahead = settings["chunk_features"], settings["look_ahead_features"]
    states = {name: np.zeros([1, *shape[1:]], np.float32) for name, shape in settings["states"].items()}
    seen_frames = 0
    for start in range(0, len(features), size):
        chunk = features[start : start + size]
        inputs = {"features": chunk[None], "features_mask": np.ones((1, len(chunk)), np.int64)}
        inputs["seen_frames"] = np.array([seen_frames])
        if ahead:  # the features behind the chunk; zeros behind the last one
            behind = features[start + size : start + size + ahead]
            inputs["look_ahead"] = np.pad(behind, ((0, ahead - len(behind)), (0, 0)))[None]
        for name, state in states.items():
            inputs[f"state.{name}"] = state
        outputs = dict(zip(names(session.get_outputs()), session.run(None, inputs), strict=True))
        states = {name: outputs.pop(f"next.{name}") for name in states}
        seen_frames += outputs["frame_mask"].shape[1]
        yield outputs


def names(values: list) -> list[str]:
    """Names of a graph's inputs or outputs."""
    return [value.name for value in values]


def find_phonemes(logits: np.ndarray, phonemes: list[str], blank: int) -> list[str]:
    """The best phonemes of frames `(num_frames, num_phonemes)`: repeats are one, and the blank is none (CTC)."""
    best = logits.argmax(-1)
    changed = np.concatenate([[True], best[1:] != best[:-1]])
    return [phonemes[index] for index in best[changed] if index != blank]


def check_length(features: np.ndarray, settings: dict[str, Any], path: str) -> None:
    """Refuse what the encoder has no positions for.

    Args:
        features: of the file, `(num_features, num_mel_bins)`.
        settings: all of `encoder.json`.
        path: of the file.

    Raises:
        ValueError: it is longer.
    """
    seconds = len(features) * settings["features"]["hop_samples"] / settings["features"]["sampling_rate"]
    most = (settings["max_frames"] or float("inf")) * settings["frame_ms"] / 1000
    if seconds > most:
        raise ValueError(f"{path}: {seconds:.1f} s, and this encoder takes {most:g} s at a time: cut it at pauses")


def recognize(path: str, folder: Path, streaming: bool, int8: bool) -> str:
    """Phonemes of a file by one of the folder's graphs.

    Raises:
        ValueError: a file that it cannot take, or a graph that was not exported.
    """
    settings = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    graph = settings["streaming" if streaming else "offline"]
    if int8 and "int8_file" not in graph:
        raise ValueError("no quantised graph was exported: `entropy-asr export --int8` writes it")
    samples = read_wave(path, settings["features"]["sampling_rate"])
    features = compute_features(samples, settings["features"], dict(np.load(folder / "features.npz")))
    check_length(features, settings, path)
    name = graph["int8_file" if int8 else "file"]
    session = onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
    if streaming:
        logits = np.concatenate([chunk["logits"][0] for chunk in encode_chunks(session, features, graph)])
    else:
        logits = encode(session, features)["logits"][0]
    return " ".join(find_phonemes(logits, settings["phonemes"], settings["blank"]))


def main() -> None:
    """Print the phonemes of a file."""
    parser = argparse.ArgumentParser(description="Phonemes of a WAV file.")
    parser.add_argument("audio", help="WAV file: 16 bits, one channel, the encoder's sampling rate")
    parser.add_argument("--streaming", action="store_true", help="chunk by chunk")
    parser.add_argument("--int8", action="store_true", help="the quantised graph")
    args = parser.parse_args()
    try:
        print(recognize(args.audio, Path(__file__).parent, args.streaming, args.int8))
    except (ValueError, OSError, EOFError, wave.Error) as error:
        parser.error(f"{args.audio}: {error}" if isinstance(error, (EOFError, wave.Error)) else str(error))


if __name__ == "__main__":
    main()
