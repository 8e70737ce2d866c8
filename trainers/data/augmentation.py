# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Augmentation of one utterance at a time, with every draw from the generator that the caller passes.

torchaudio's `SpeedPerturbation` and maskings and transformers' `_compute_mask_indices` draw from global generators, so
that data would depend on the number of `DataLoader` workers and on resuming. Here torchaudio only resamples.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from datasets import Dataset

from entropy_asr.modeling.torchaudio_entropy_asr import Resample

from ..runs.settings import typed
from .speech_dataset import SpeechDataset


@dataclass
@typed
class AugmentationConfig:
    """What [`SpeechAugmenter`] does. The defaults do nothing; [`AugmentationConfig.paper`] has the paper's values.

    > Waveform

    Args:
        speed_factors: Speeds to choose from uniformly, 1.0 included where unchanged speech is wanted. Pitch follows.
        noise_probability: Share of rows that get silence at both ends and then noise (paper: of clean rows).
        silence_probability: Share of the other rows that get the silence alone, zeros as a muted microphone gives
            them. Not in the paper.
        silence_max_seconds: Longest silence at each end of such rows; the share of it is drawn from
            Beta(`silence_alpha`, `silence_beta`).
        silence_alpha: First parameter of the Beta distribution.
        silence_beta: Second parameter of the Beta distribution.
        snr_mean: Mean of the signal-to-noise ratio in dB; the signal's power is measured before silence is added.
        snr_std: Standard deviation of the signal-to-noise ratio in dB.
        gain_db: Level changes uniformly within plus or minus this many dB; louder rows are scaled to full scale.
        lowpass_probability: Share of rows limited to the telephone band.
        lowpass_min_hz: Lowest cut-off frequency.
        lowpass_max_hz: Highest cut-off frequency.

    > Features (SpecAugment)

    Args:
        num_frequency_masks: Number of frequency masks.
        frequency_mask_width: Largest width of a frequency mask in Mel bins.
        num_time_masks: Largest number of time masks.
        time_mask_width: Largest width of a time mask in frames.
        time_mask_share: Largest share of the frames that all time masks together cover.
    """

    speed_factors: list[float] = field(default_factory=list)
    noise_probability: float = 0.0
    silence_probability: float = 0.0
    silence_max_seconds: float = 0.0
    silence_alpha: float = 1.0
    silence_beta: float = 3.0
    snr_mean: float = 10.0
    snr_std: float = 5.0
    gain_db: float = 0.0
    lowpass_probability: float = 0.0
    lowpass_min_hz: float = 3400.0
    lowpass_max_hz: float = 4000.0
    num_frequency_masks: int = 0
    frequency_mask_width: int = 27
    num_time_masks: int = 0
    time_mask_width: int = 100
    time_mask_share: float = 0.15

    def __post_init__(self):
        for factor in self.speed_factors:
            if not 0.5 <= factor <= 2.0:
                raise ValueError(f"speed_factors must lie between 0.5 and 2, got {factor}.")
        for name in ("noise_probability", "silence_probability", "lowpass_probability", "time_mask_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}.")
        for name in ("silence_max_seconds", "snr_std", "gain_db", "num_frequency_masks", "frequency_mask_width"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        for name in ("silence_alpha", "silence_beta", "time_mask_width"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")
        if self.silence_probability > 0 and self.silence_max_seconds == 0:
            raise ValueError("silence_probability adds no silence while silence_max_seconds is 0.")
        if self.num_time_masks < 0:
            raise ValueError(f"num_time_masks must not be negative, got {self.num_time_masks}.")
        if not 0 < self.lowpass_min_hz <= self.lowpass_max_hz:
            raise ValueError(
                "lowpass_min_hz must be positive and at most lowpass_max_hz, got "
                f"{self.lowpass_min_hz} and {self.lowpass_max_hz}."
            )

    @classmethod
    def paper(cls, views: int = 2) -> "AugmentationConfig":
        """Silence, noise and speed as in NIM4-ASR's stages 1-5; SpecAugment's sizes, which it does not give, from
        icefall's zipformer recipe.

        Args:
            views: Views of each utterance: 2 for CR-CTC (stage 1 and the phoneme head), which has 2.5 times as many
                time masks that cover 2.5 times as much (Yao et al. 2024); 1 for the other stages.
        """
        if views not in (1, 2):
            raise ValueError(f"views is 1, or 2 for CR-CTC, got {views}.")
        time_masks = {"num_time_masks": 25, "time_mask_share": 0.375} if views == 2 else {"num_time_masks": 10}
        return cls(
            speed_factors=[0.9, 1.0, 1.1],
            noise_probability=0.2,
            silence_max_seconds=1.0,
            num_frequency_masks=2,
            **time_masks,
        )

    @property
    def masks_features(self) -> bool:
        """Whether SpecAugment does anything: otherwise two views of an utterance are equal."""
        in_time = self.num_time_masks > 0 and self.time_mask_share > 0
        return in_time or (self.num_frequency_masks > 0 and self.frequency_mask_width > 0)


class SpeechAugmenter:
    """Augments waveforms and features of single utterances.

    Args:
        config: What to do.
        noise: Rows with a `samples` column, as [`~decoding.decode_ahead`] gives them. Needed when
            `config.noise_probability` > 0.
        sampling_rate: Rate of the waveforms in Hz.

    Raises:
        ValueError: Noise is asked for without noise rows, or rows are not decoded, or a cut-off is above the Nyquist
            frequency.
    """

    def __init__(self, config: AugmentationConfig, noise: Dataset | None = None, sampling_rate: int = 16000):
        if config.noise_probability > 0 and (noise is None or not len(noise)):
            raise ValueError(f"noise_probability={config.noise_probability} needs noise rows, got none.")
        if noise is not None and "samples" not in noise.column_names:
            raise ValueError("Noise rows must hold decoded samples: pass the data set through decode_ahead first.")
        if config.lowpass_probability > 0 and config.lowpass_max_hz >= sampling_rate / 2:
            raise ValueError(f"lowpass_max_hz={config.lowpass_max_hz} is not below half of {sampling_rate} Hz.")
        self.config = config
        self.noise = None if noise is None else SpeechDataset(noise)
        self.sampling_rate = sampling_rate

    def waveform(self, samples: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Speed, silence and noise, telephone band, gain, in this order.

        Args:
            samples: Waveform of shape `(num_samples,)`. It is not changed in place.
            rng: Source of every draw.

        Returns:
            Waveform of shape `(num_samples_out,)` in [-1, 1]: what is louder is scaled down as a whole. Speed and
            silence change the length.
        """
        config = self.config
        if config.speed_factors:
            samples = change_speed(samples, config.speed_factors[rng.integers(len(config.speed_factors))])
        if rng.random() < config.noise_probability:
            samples = self._add_noise(samples, rng)
        elif config.silence_probability > 0 and rng.random() < config.silence_probability:
            samples = self._add_silence(samples, rng)
        if rng.random() < config.lowpass_probability:
            samples = lowpass(samples, rng.uniform(config.lowpass_min_hz, config.lowpass_max_hz), self.sampling_rate)
        if config.gain_db > 0:
            samples = samples * 10 ** (rng.uniform(-config.gain_db, config.gain_db) / 20)
        # No recorder gives more than full scale, and features of louder samples would be ones no model meets.
        return samples / max(1.0, float(samples.abs().max()))

    def spec_augment(self, features: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """SpecAugment (Park et al. 2019) without time warping; masked values become 0, the mean after CMVN.

        Args:
            features: Normalised features of shape `(num_frames, num_mel_bins)`. They are not changed in place.
            rng: Source of every draw; two calls give two independent views.

        Returns:
            Features of the same shape.
        """
        config = self.config
        num_frames, num_mel_bins = features.shape
        features = features.clone()
        for _ in range(config.num_frequency_masks):
            start, end = _draw_span(rng, num_mel_bins, config.frequency_mask_width)
            features[:, start:end] = 0.0
        num_masks, width = self._time_mask_budget(num_frames)
        for _ in range(num_masks):
            start, end = _draw_span(rng, num_frames, width)
            features[start:end] = 0.0
        return features

    def _time_mask_budget(self, num_frames: int) -> tuple[int, int]:
        """Number of time masks and their largest width: short utterances get fewer and narrower ones (lhotse)."""
        budget = int(self.config.time_mask_share * num_frames)
        num_masks = min(self.config.num_time_masks, -(-budget // self.config.time_mask_width))
        return (num_masks, min(self.config.time_mask_width, budget // num_masks)) if num_masks else (0, 0)

    def _add_silence(self, samples: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        longest = self.config.silence_max_seconds * self.sampling_rate
        shares = rng.beta(self.config.silence_alpha, self.config.silence_beta, size=2)
        return torch.nn.functional.pad(samples, [int(share * longest) for share in shares])

    def _add_noise(self, samples: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        config = self.config
        speech_power = samples.square().mean().item()
        samples = self._add_silence(samples, rng)
        noise = self._noise_clip(len(samples), rng)
        snr = rng.normal(config.snr_mean, config.snr_std)
        noise_power = noise.square().mean().item()
        if speech_power == 0.0 or noise_power == 0.0:
            return samples  # no ratio can be set against silence
        return samples + noise * (speech_power / noise_power / 10 ** (snr / 10)) ** 0.5

    def _noise_clip(self, num_samples: int, rng: np.random.Generator) -> torch.Tensor:
        """A random cut of a random noise row, or a row looped from a random start, of shape `(num_samples,)`."""
        clip = self.noise.integer_samples(int(rng.integers(len(self.noise))))
        if len(clip) >= num_samples:
            start = int(rng.integers(len(clip) - num_samples + 1))
            clip = clip[start : start + num_samples]
        else:
            clip = np.resize(np.roll(clip, -int(rng.integers(len(clip)))), num_samples)
        return torch.from_numpy(clip.astype(np.float32) / 32768.0)


def change_speed(samples: torch.Tensor, factor: float) -> torch.Tensor:
    """Plays a waveform `factor` times as fast by resampling (Ko et al. 2015): tempo and pitch change together.

    Args:
        samples: Waveform of shape `(num_samples,)`.
        factor: Speed. It is rounded to the nearest ratio of integers up to 100, which keeps the filter small.

    Returns:
        Waveform of shape `(ceil(num_samples / factor),)`.
    """
    ratio = Fraction(factor).limit_denominator(100)
    return samples if ratio == 1 else _resampler(ratio.numerator, ratio.denominator)(samples)


@lru_cache(maxsize=32)
def _resampler(source_rate: int, target_rate: int) -> Resample:
    return Resample(source_rate, target_rate)


def lowpass(samples: torch.Tensor, cutoff: float, sampling_rate: int, num_taps: int = 101) -> torch.Tensor:
    """Limits a waveform to frequencies below `cutoff` Hz with a linear-phase Hann-windowed sinc filter.

    Args:
        samples: Waveform of shape `(num_samples,)`.
        cutoff: Frequency in Hz at which the level has fallen by 6 dB.
        sampling_rate: Rate of the waveform in Hz.
        num_taps: Odd length of the filter; 101 taps at 16 kHz fall off within about 500 Hz.

    Returns:
        Waveform of the same shape, not delayed.
    """
    delay = num_taps // 2
    kernel = np.sinc(2 * cutoff / sampling_rate * (np.arange(num_taps) - delay)) * np.hanning(num_taps + 2)[1:-1]
    kernel = (kernel / kernel.sum()).astype(np.float32)
    # 2 ms for 10 s on one core; one output channel of torch's conv1d takes 100 ms and an FFT 7 to 40.
    filtered = np.convolve(samples.numpy(), kernel)[delay : delay + len(samples)]
    return torch.from_numpy(filtered)


def _draw_span(rng: np.random.Generator, size: int, max_width: int) -> tuple[int, int]:
    width = int(rng.integers(min(max_width, size) + 1))
    start = int(rng.integers(size - width + 1))
    return start, start + width
