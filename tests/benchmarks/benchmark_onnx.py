# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Encoder and phoneme head in onnxruntime, in float32 and int8, against PyTorch: size, speed, phoneme errors.

    python tests/benchmarks/benchmark_onnx.py --data_dir ../shared/data [--model M] [--exported D] [--threads 1]

Utterances of the test splits are encoded one at a time, whole, and in the chunks of the exported graph. Times are of
encoder and head alone, on features that were computed before, in turn; quotients compare what ran in one round.
Reference phonemes come from the transcripts (extra: g2p), and count for all alike. Writing the graphs needs the extra
onnx; `--exported D` takes those of `entropy-asr export --int8 -o D`, for which `--model` must be the same.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from interleaved import cpu_and_wall, interleave, print_conditions, ratio, spread
from transformers.modeling_utils import PreTrainedModel

from entropy_asr.hub_cards.model_export import SETTINGS, export_encoder
from entropy_asr.hub_cards.run_onnx import encode, encode_chunks
from entropy_asr.modeling import EntropyASREncoderCache, EntropyASRForConditionalGeneration, EntropyASRProcessor
from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.stages.encoder_pretraining import phoneme_error_metrics


DATA_SETS = ("librispeech_subset", "aishell_sample")
CHUNK_MS, LEFT_CHUNKS = 640, 4
REFERENCE = "PyTorch float32"
# Phoneme logits `(num_frames, num_phonemes)` of features `(num_features, num_mel_bins)`.
Recognizer = Callable[[np.ndarray], np.ndarray]


def utterances(data_dir: Path, rows: int, processor: EntropyASRProcessor) -> list[tuple[np.ndarray, list[int]]]:
    """Features and reference phonemes of rows of the test splits."""
    found = []
    for name in DATA_SETS:
        for row in load_source(DataSource(path=str(data_dir / name), split="test", max_rows=rows // len(DATA_SETS))):
            features = processor.feature_extractor(read_samples(row), sampling_rate=16000, return_tensors="np")
            labels = processor.phoneme_tokenizer(row["text"], language=row["language"]).input_ids
            found.append((features["input_features"][0], labels))
    return found


def whole_in_pytorch(model: PreTrainedModel) -> Recognizer:
    def recognize(features: np.ndarray) -> np.ndarray:
        encoded = model.model.audio_tower(torch.from_numpy(features)[None])
        return model.phoneme_head(encoded.last_hidden_state)[0].float().numpy()

    return recognize


def chunks_in_pytorch(model: PreTrainedModel, settings: dict) -> Recognizer:
    """Chunks as `settings` of the exported graph have them."""
    chunk_features, ahead = settings["chunk_features"], settings["look_ahead_features"]

    def recognize(features: np.ndarray) -> np.ndarray:
        cache, logits = EntropyASREncoderCache(), []
        for start in range(0, len(features), chunk_features):
            behind = torch.from_numpy(features[start + chunk_features :][:ahead])[None]
            encoded = model.model.audio_tower(
                torch.from_numpy(features[start : start + chunk_features])[None],
                cache=cache,
                chunk_size=settings["chunk_frames"],
                left_chunks=settings["left_chunks"],
                look_ahead=torch.nn.functional.pad(behind, (0, 0, 0, ahead - behind.shape[1])),
            )
            logits.append(model.phoneme_head(encoded.last_hidden_state)[0].float().numpy())
        return np.concatenate(logits)

    return recognize


def in_onnx(path: Path, threads: int, settings: dict | None = None) -> Recognizer:
    """The graph of utterances, or with `settings` that of chunks."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def recognize(features: np.ndarray) -> np.ndarray:
        if settings is None:
            return encode(session, features)["logits"][0]
        return np.concatenate([chunk["logits"][0] for chunk in encode_chunks(session, features, settings)])

    return recognize


def phoneme_error_rate(recognize: Recognizer, rows: list[tuple[np.ndarray, list[int]]]) -> float:
    errors = count = 0
    for features, labels in rows:
        frames = recognize(features).argmax(-1)
        rate = phoneme_error_metrics(frames[None], np.array(labels)[None])["per"]
        errors, count = errors + rate * len(labels), count + len(labels)
    return errors / count


def compare(
    recognizers: dict[str, Recognizer], sizes: dict[str, int], rows: list[tuple[np.ndarray, list[int]]], rounds: int
) -> None:
    """A line for each; times are of all utterances."""
    seconds = sum(len(features) for features, _ in rows) / 100
    steps = {
        name: cpu_and_wall(lambda recognize=recognize: [recognize(features) for features, _ in rows])
        for name, recognize in recognizers.items()
    }
    measured = interleave(steps, rounds)
    expected = [recognizers[REFERENCE](features) for features, _ in rows[:4]]
    print(
        f"{'':18} {'size MB':>8} {'CPU s':>15} {'wall s':>15} {'audio s/CPU s':>13} {'CPU to float32':>14} "
        f"{'PER %':>6} {'max. difference':>15}"
    )
    for name, recognize in recognizers.items():
        cpu, wall = measured[name].T
        found = [recognize(features) for features, _ in rows[:4]]
        difference = max(np.abs(one - other).max() for one, other in zip(found, expected, strict=True))
        print(
            f"{name:18} {sizes[name] / 1e6:8.1f} {spread(cpu, 3):>15} {spread(wall, 3):>15} "
            f"{seconds / np.median(cpu):13.1f} {ratio(cpu, measured[REFERENCE][:, 0]):14.2f} "
            f"{100 * phoneme_error_rate(recognize, rows):6.2f} {difference:15.6f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--model", default=str(default_model()))
    parser.add_argument("--exported", type=Path, help="folder that holds the graphs (default: they are written)")
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    print_conditions(args.threads)
    print(f"onnxruntime {onnxruntime.__version__}")
    models = {
        dtype: EntropyASRForConditionalGeneration.from_pretrained(args.model, dtype=dtype).eval()
        for dtype in ("float32", "bfloat16")
    }
    processor = EntropyASRProcessor.from_pretrained(args.model)
    rows = utterances(args.data_dir, args.rows, processor)
    model = models["float32"]
    parts = (model.model.audio_tower, model.phoneme_head, model.model.adaptor)
    counts = [sum(parameter.numel() for parameter in part.parameters()) for part in parts]
    print(f"parameters: encoder {counts[0]:,}, phoneme head {counts[1]:,}, adaptor {counts[2]:,} (in the graphs only)")
    print(f"{len(rows)} utterances, {sum(len(features) for features, _ in rows) / 100:.1f} s of speech")
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        folder = args.exported or Path(scratch)
        if args.exported is None:
            export_encoder(model, processor, folder, chunk_ms=CHUNK_MS, left_chunks=LEFT_CHUNKS, int8=True)
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        for kind in ("offline", "streaming"):
            chunks = settings["streaming"] if kind == "streaming" else None
            print("\nwhole utterances" if chunks is None else f"\nchunks of {chunks['chunk_features'] * 10} ms")
            recognizers, sizes = {}, {}
            for dtype, one in models.items():
                label = f"PyTorch {dtype}"
                recognizers[label] = whole_in_pytorch(one) if chunks is None else chunks_in_pytorch(one, chunks)
                sizes[label] = sum(counts) * one.dtype.itemsize
            for label, file in (("ONNX float32", "file"), ("ONNX int8", "int8_file")):
                path = folder / settings[kind][file]
                recognizers[label], sizes[label] = in_onnx(path, args.threads, chunks), path.stat().st_size
            compare(recognizers, sizes, rows, args.rounds)


if __name__ == "__main__":
    main()
