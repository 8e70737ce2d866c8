# Copyright 2026 The entropy-asr authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Whisper's log-Mel features with a fixed floor, so that they can be computed while speech arrives."""

from functools import lru_cache

import torch
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor

from .feature_extraction_entropy_asr import StreamableFeatureExtractor
from .torchaudio_entropy_asr import MelSpectrogram


@lru_cache(maxsize=8)
def _mel_spectrogram(feature_size: int, sampling_rate: int, window: int, hop: int) -> MelSpectrogram:
    return MelSpectrogram(
        sample_rate=sampling_rate,
        n_fft=window,
        hop_length=hop,
        f_min=0.0,
        f_max=8000.0,
        n_mels=feature_size,
        power=2.0,
        center=False,
        norm="slaney",
        mel_scale="slaney",
    )


class EntropyASRWhisperFeatureExtractor(StreamableFeatureExtractor):
    r"""
    Turns waveforms into the log-Mel features that Whisper's encoder was trained on, but for two things.

    Whisper raises what is more than 80 dB below an utterance's loudest energy, which is not known before the utterance
    has ended, and pads to 30 s. Here the floor is fixed, and there are as many frames as the utterance is long.

    Args:
        feature_size (`int`, *optional*, defaults to 80): Mel channels; 128 since Whisper's large-v3.
        sampling_rate (`int`, *optional*, defaults to 16000): in Hz.
        padding_value (`float`, *optional*, defaults to 0.0): value of padded frames.
        floor (`float`, *optional*, defaults to -8.0): lowest energy, as log10 of the power of samples in [-1, 1].
    """

    def __init__(
        self,
        feature_size: int = 80,
        sampling_rate: int = 16000,
        padding_value: float = 0.0,
        floor: float = -8.0,
        **kwargs,
    ):
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        if sampling_rate != 16000:
            raise ValueError(f"`sampling_rate` must be 16000 Hz, what Whisper was trained on, not {sampling_rate}.")
        self.floor = floor
        self.frame_length, self.frame_shift = 25.0, 10.0

    @classmethod
    def from_whisper(cls, extractor: SequenceFeatureExtractor, **kwargs) -> "EntropyASRWhisperFeatureExtractor":
        """Features for the weights that a `WhisperFeatureExtractor` belongs to.

        Raises:
            ValueError: it has other windows than all published ones.
        """
        if (extractor.n_fft, extractor.hop_length) != (400, 160):
            raise ValueError(
                f"Whisper's windows have 400 samples every 160, not {extractor.n_fft} every {extractor.hop_length}."
            )
        return cls(extractor.feature_size, extractor.sampling_rate, **kwargs)

    @property
    def window_samples(self) -> int:
        """Samples in one analysis window, whose middle is where the frame begins."""
        return int(self.sampling_rate * self.frame_length / 1000)

    @property
    def start_samples(self) -> int:
        """Samples that the reflection before the first one is made of."""
        return self.window_samples // 2 + 1

    def num_frames(self, num_samples: int) -> int:
        """Frames of a waveform: one for each whole hop, at least one."""
        return max(1, num_samples // self.hop_samples)

    def pad_start(self, waveform: torch.Tensor) -> torch.Tensor:
        """The beginning `(num_samples,)` of a waveform behind its own reflection of half a window, as in Whisper."""
        return torch.nn.functional.pad(waveform[None, None], (self.window_samples // 2, 0), mode="reflect")[0, 0]

    def frames(self, waveform: torch.Tensor) -> torch.Tensor:
        """Features `(num_frames, feature_size)` of the whole windows of `(num_samples,)`."""
        transform = _mel_spectrogram(self.feature_size, self.sampling_rate, self.window_samples, self.hop_samples)
        energies = transform(waveform.to(torch.float32)).clamp(min=1e-10).log10()
        return ((energies.clamp(min=self.floor) + 4.0) / 4.0).T.contiguous()


__all__ = ["EntropyASRWhisperFeatureExtractor"]
