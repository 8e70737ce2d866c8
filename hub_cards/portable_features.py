# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The features of a checkpoint as numbers and arrays, from which numpy alone computes them (see `run_onnx.py`).

Both kinds go the same way: windows, each with its mean taken out and pre-emphasised or not, a Fourier transform, Mel
energies, their logarithm, and a mean and a deviation for each channel.
"""

from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor

from entropy_asr.modeling.feature_extraction_entropy_asr import WAVEFORM_SCALE, EntropyASRFeatureExtractor
from entropy_asr.modeling.feature_extraction_entropy_asr_whisper import EntropyASRWhisperFeatureExtractor
from entropy_asr.modeling.torchaudio_entropy_asr import MelSpectrogram, kaldi


Settings, Arrays = dict[str, Any], dict[str, np.ndarray]


def portable_features(extractor: SequenceFeatureExtractor) -> tuple[Settings, Arrays]:
    """Settings and arrays (`window`, `mel_filters` of shape `(frequencies, channels)`, `mean`, `std`).

    Raises:
        ValueError: the features are not of this project.
    """
    for kind, describe in ((EntropyASRFeatureExtractor, _kaldi), (EntropyASRWhisperFeatureExtractor, _whisper)):
        if type(extractor).__name__ == kind.__name__:  # as remote code, its class is another one of that name
            settings, arrays = describe(extractor)
            break
    else:
        raise ValueError(f"the features of {type(extractor).__name__} are not those of an encoder of this project")
    common = {
        "sampling_rate": extractor.sampling_rate,
        "num_mel_bins": extractor.feature_size,
        "window_samples": extractor.window_samples,
        "hop_samples": extractor.hop_samples,
    }
    return {**common, **settings}, {name: array.astype(np.float32) for name, array in arrays.items()}


def _kaldi(extractor: EntropyASRFeatureExtractor) -> tuple[Settings, Arrays]:
    """What torchaudio's `kaldi.fbank` does by default."""
    size, rate = extractor.window_samples, float(extractor.sampling_rate)
    fft_size = 1 << (size - 1).bit_length()
    filters, _ = kaldi.get_mel_banks(extractor.feature_size, fft_size, rate, 20.0, 0.0, 100.0, -500.0, 1.0)
    filters = torch.nn.functional.pad(filters, (0, 1))  # nothing at half the rate
    settings = {
        "fft_size": fft_size,
        "scale": WAVEFORM_SCALE,
        "reflected_samples": 0,
        "remove_mean": True,
        "preemphasis": 0.97,
        "min_energy": torch.finfo(torch.float32).eps,
        "log_base": "e",
        # A number of frames is (samples - these) // hop_samples, at least one.
        "uncounted_samples": size - extractor.hop_samples,
    }
    window = torch.hann_window(size, periodic=False).pow(0.85)
    mean, std = np.array(extractor.cmvn_mean), np.array(extractor.cmvn_std)
    return settings, {"window": window.numpy(), "mel_filters": filters.numpy().T, "mean": mean, "std": std}


def _whisper(extractor: EntropyASRWhisperFeatureExtractor) -> tuple[Settings, Arrays]:
    size, channels = extractor.window_samples, extractor.feature_size
    mel = MelSpectrogram(
        extractor.sampling_rate, size, f_max=8000.0, n_mels=channels, norm="slaney", mel_scale="slaney"
    )
    settings = {
        "fft_size": size,
        "scale": 1.0,
        "reflected_samples": size // 2,
        "remove_mean": False,
        "preemphasis": 0.0,
        "min_energy": max(1e-10, 10.0**extractor.floor),
        "log_base": "10",
        "uncounted_samples": 0,
    }
    mean, std = np.full(channels, -4.0), np.full(channels, 4.0)
    window, filters = torch.hann_window(size).numpy(), mel.mel_scale.fb.numpy()
    return settings, {"window": window, "mel_filters": filters, "mean": mean, "std": std}


__all__ = ["portable_features"]
