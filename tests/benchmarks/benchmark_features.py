# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Time of feature extraction, and how far our features are from Kaldi's.

    OMP_NUM_THREADS=1 python tests/benchmarks/benchmark_features.py [--data_dir ../shared/data] [--rounds 30]

Ours, kaldi-native-fbank (where it is installed; its frames are fetched one by one, as its users do), and transformers'
feature extractors of Parakeet (computes in torch) and SeamlessM4T (in NumPy), all from the same samples to an array of
80 channels. CPU times: those of several threads add up.

Differences are of natural logarithms of energies, over all cells: single precision says nothing about channels that
lie more than about 70 dB below the strongest of their frame. SeamlessM4T's features are meant to be Kaldi's too;
Parakeet's are others.
"""

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from interleaved import cpu_and_wall, interleave, print_conditions, ratio, spread
from transformers import ParakeetFeatureExtractor, SeamlessM4TFeatureExtractor

from entropy_asr.modeling.feature_extraction_entropy_asr import EntropyASRFeatureExtractor
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import load_source


RATE, CHANNELS = 16000, 80
OURS, KALDI, SEAMLESS, PARAKEET = "ours", "kaldi-native-fbank", "SeamlessM4T", "Parakeet"
SETS = ("librispeech_subset", "aishell_sample", "fsdd_digits", "speech_commands_mini")
# Samples in [-1, 1] of shape (num_samples,) to features of shape (num_frames, 80).
Extract = Callable[[np.ndarray], np.ndarray]


def our_features() -> Extract:
    extractor = EntropyASRFeatureExtractor()
    return lambda samples: extractor(samples, sampling_rate=RATE, return_tensors="np")["input_features"][0]


def kaldi_features() -> Extract:
    """80 log-Mel energies of 25 ms every 10 ms without dither."""
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = CHANNELS

    def features(samples: np.ndarray) -> np.ndarray:
        fbank = knf.OnlineFbank(options)
        fbank.accept_waveform(RATE, samples * 32768)
        fbank.input_finished()
        return np.stack([fbank.get_frame(index) for index in range(fbank.num_frames_ready)])

    return features


def seamless_features() -> Extract:
    """Before its normalisation over the utterance; it stacks two frames, and drops an odd one."""
    extractor = SeamlessM4TFeatureExtractor()

    def features(samples: np.ndarray) -> np.ndarray:
        batch = extractor(samples, sampling_rate=RATE, return_tensors="np", do_normalize_per_mel_bins=False)
        return batch["input_features"][0].reshape(-1, CHANNELS)

    return features


def parakeet_features() -> Extract:
    extractor = ParakeetFeatureExtractor()
    return lambda samples: extractor(samples, sampling_rate=RATE, return_tensors="pt")["input_features"][0].numpy()


def extractors() -> dict[str, Extract]:
    found = {OURS: our_features(), PARAKEET: parakeet_features(), SEAMLESS: seamless_features()}
    if importlib.util.find_spec("kaldi_native_fbank") is None:
        print("kaldi-native-fbank is not installed (`pip install kaldi-native-fbank`): no comparison with it")
    else:
        found[KALDI] = kaldi_features()
    return found


def noise(seconds: float, seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=round(RATE * seconds))).clip(-1, 1).astype(np.float32)


def recordings(data_dir: Path, name: str, rows: int) -> list[np.ndarray]:
    """Evenly spaced rows of a test split."""
    dataset = load_source(DataSource(path=str(data_dir / name), split="test"))
    return [read_samples(dataset[int(index)]) for index in np.linspace(0, len(dataset) - 1, min(rows, len(dataset)))]


def print_times(found: dict[str, Extract], samples: np.ndarray, rounds: int) -> None:
    seconds = len(samples) / RATE
    measured = interleave({name: cpu_and_wall(lambda e=e: e(samples)) for name, e in found.items()}, rounds)
    print(f"\n{seconds:g} s of noise{'':21} {'CPU ms':>15} {'wall ms':>15} {'audio s/CPU s':>13} {'ours/theirs':>11}")
    for name in found:
        cpu, wall = 1000 * measured[name].T
        print(
            f"{name:33} {spread(cpu, 2):>15} {spread(wall, 2):>15} {1000 * seconds / np.median(cpu):13.0f} "
            f"{ratio(measured[OURS][:, 0], measured[name][:, 0]):11.2f}",
            flush=True,
        )


def differences(extract: Extract, kaldi: Extract, sounds: list[np.ndarray]) -> np.ndarray:
    """Absolute differences of all cells, in nats; frames that one of them leaves out at the end do not count."""
    pairs = [(extract(samples), kaldi(samples)) for samples in sounds]
    return np.concatenate([np.abs(a[: len(b)] - b[: len(a)]).ravel() for a, b in pairs])


def print_differences(found: dict[str, Extract], kind: str, sounds: list[np.ndarray]) -> None:
    for name in (OURS, SEAMLESS):
        values = differences(found[name], found[KALDI], sounds)
        print(
            f"{kind:22} {len(sounds):4} {name:12} {len(values):9} {values.mean():9.1e} {values.max():9.1e} "
            f"{np.mean(values > 1e-3):15.1e}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, help=f"folder with {', '.join(SETS)}; without, noise alone")
    parser.add_argument("--rows", type=int, default=20, help="recordings of each set")
    parser.add_argument("--seconds", type=float, default=30, help="of noise")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1, help="of torch; NumPy's are set by OMP_NUM_THREADS")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    args = parser.parse_args()
    print_conditions(args.threads)
    found = extractors()
    samples = noise(args.seconds, args.seed)
    with torch.no_grad():
        print_times(found, samples, args.rounds)
        if KALDI not in found:
            return
        print("\ndifference to kaldi-native-fbank of natural logarithms of energies")
        print(f"{'':22} {'rec.':>4} {'':12} {'cells':>9} {'mean':>9} {'max':>9} {'share above 1e-3':>16}")
        print_differences(found, f"noise, {args.seconds:g} s", [samples])
        for name in SETS if args.data_dir else ():
            print_differences(found, name, recordings(args.data_dir, name, args.rows))


if __name__ == "__main__":
    main()
