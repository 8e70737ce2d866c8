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
"""Log-Mel filterbank features with global mean and variance normalisation (paper, "Architecture")."""

import numpy as np
import torch
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature

from .audio import AudioError, load_audio
from .torchaudio_entropy_asr import kaldi


# Kaldi computes on 16-bit sample values.
WAVEFORM_SCALE = 32768.0


class StreamableFeatureExtractor(SequenceFeatureExtractor):
    """Features of which every frame is a pure function of the samples in its window, so that they can be streamed.

    Subclasses have `window_samples`, `hop_samples` and the methods `frames`, `num_frames`, `pad_start`.
    """

    model_input_names = ["input_features", "attention_mask"]

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next."""
        return int(self.sampling_rate * self.frame_shift / 1000)

    # Samples with which `pad_start` gives what it gives for any longer beginning.
    start_samples = 0

    def pad_start(self, waveform: torch.Tensor) -> torch.Tensor:
        """The beginning of a waveform `(num_samples,)` with what stands before it in the first windows."""
        return waveform

    def extract(self, waveform: torch.Tensor) -> torch.Tensor:
        """Features `(num_frames, feature_size)` of one waveform `(num_samples,)`; behind its end is silence."""
        num_frames = self.num_frames(waveform.shape[-1])
        missing = self.start_samples - waveform.shape[-1]
        waveform = self.pad_start(torch.nn.functional.pad(waveform, (0, max(0, missing))))
        length = (num_frames - 1) * self.hop_samples + self.window_samples
        waveform = torch.nn.functional.pad(waveform, (0, max(0, length - waveform.shape[-1])))
        return self.frames(waveform[:length])

    def _load_and_extract(self, index: int, waveform: np.ndarray | torch.Tensor) -> torch.Tensor:
        try:
            samples = load_audio(waveform, self.sampling_rate, self.sampling_rate)
        except AudioError as error:
            raise AudioError(f"Audio item {index}: {error}") from error
        return self.extract(torch.from_numpy(samples))

    def __call__(
        self,
        raw_speech: np.ndarray | torch.Tensor | list,
        sampling_rate: int | None = None,
        padding: bool | str = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """Extract the features of one waveform or of a list of waveforms.

        Args:
            raw_speech: a `(num_samples,)` array or tensor of floats in [-1, 1] (integers are scaled by their type),
                or a list of them; `(channels, num_samples)` is mixed down.
            sampling_rate (`int`, *optional*): rate of `raw_speech`; must be the extractor's.
            padding, max_length, truncation, pad_to_multiple_of, return_attention_mask, return_tensors: as in
                [`SequenceFeatureExtractor.pad`], lengths in frames.

        Returns:
            [`BatchFeature`] with `input_features` of shape `(batch_size, num_frames, feature_size)` and, unless
            switched off, `attention_mask` of shape `(batch_size, num_frames)`.

        Raises:
            ValueError: wrong sampling rate.
            AudioError: an item that is empty, not finite or of a wrong type; the message names it.
        """
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise ValueError(
                f"{type(self).__name__} works at {self.sampling_rate} Hz, the audio was given at {sampling_rate} Hz. "
                "Resample it, or use the processor or the pipeline, which do."
            )
        waveforms = raw_speech if isinstance(raw_speech, (list, tuple)) else [raw_speech]
        if len(waveforms) and isinstance(waveforms[0], (int, float)):
            waveforms = [np.asarray(raw_speech, dtype=np.float32)]
        if not waveforms:
            raise ValueError("`raw_speech` is empty: give at least one waveform.")
        return self.pad(
            BatchFeature({"input_features": [self._load_and_extract(*item) for item in enumerate(waveforms)]}),
            padding=padding,
            max_length=max_length,
            truncation=truncation,
            pad_to_multiple_of=pad_to_multiple_of,
            return_attention_mask=return_attention_mask,
            return_tensors=return_tensors,
        )


class EntropyASRFeatureExtractor(StreamableFeatureExtractor):
    r"""
    Turns waveforms into Kaldi-compatible log-Mel filterbank features.

    Every frame is a pure function of the samples it covers: neither padding nor the rest of a batch changes it.

    Args:
        feature_size (`int`, *optional*, defaults to 80): Mel channels.
        sampling_rate (`int`, *optional*, defaults to 16000): in Hz; other rates are refused here, and converted by
            the processor and the pipeline.
        padding_value (`float`, *optional*, defaults to 0.0): value of padded frames.
        frame_length (`float`, *optional*, defaults to 25.0): window in milliseconds.
        frame_shift (`float`, *optional*, defaults to 10.0): hop in milliseconds.
        cmvn_mean (`list[float]`, *optional*): global mean of each channel; zeros by default.
        cmvn_std (`list[float]`, *optional*): global standard deviation of each channel; ones by default.
    """

    def __init__(
        self,
        feature_size: int = 80,
        sampling_rate: int = 16000,
        padding_value: float = 0.0,
        frame_length: float = 25.0,
        frame_shift: float = 10.0,
        cmvn_mean: list[float] | None = None,
        cmvn_std: list[float] | None = None,
        **kwargs,
    ):
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        self.frame_length = frame_length
        self.frame_shift = frame_shift
        self.cmvn_mean = self._check_statistics("cmvn_mean", cmvn_mean, 0.0)
        self.cmvn_std = self._check_statistics("cmvn_std", cmvn_std, 1.0)
        if min(self.cmvn_std) <= 0:
            raise ValueError(f"`cmvn_std` must be positive in every channel, got a minimum of {min(self.cmvn_std)}.")

    def _check_statistics(self, name: str, values: list[float] | None, default: float) -> list[float]:
        values = [default] * self.feature_size if values is None else [float(value) for value in values]
        if len(values) != self.feature_size:
            raise ValueError(f"`{name}` has {len(values)} values, `feature_size` is {self.feature_size}.")
        return values

    @property
    def window_samples(self) -> int:
        """Samples in one analysis window."""
        return int(self.sampling_rate * self.frame_length / 1000)

    def num_frames(self, num_samples: int) -> int:
        """Frames of a waveform: whole windows only (Kaldi's `snip_edges`), at least one."""
        return max(1, 1 + (num_samples - self.window_samples) // self.hop_samples)

    def filterbank(self, waveform: torch.Tensor) -> torch.Tensor:
        """Log-Mel energies of one waveform, before normalisation.

        Args:
            waveform (`torch.Tensor` of shape `(num_samples,)`): float samples in [-1, 1].

        Returns:
            `torch.Tensor` of shape `(num_frames, feature_size)`, natural log of energies of 16-bit sample values.
        """
        # A clip shorter than one window still gives one frame.
        missing = self.window_samples - waveform.shape[-1]
        if missing > 0:
            waveform = torch.nn.functional.pad(waveform, (0, missing))
        return kaldi.fbank(
            waveform.to(torch.float32).unsqueeze(0) * WAVEFORM_SCALE,
            num_mel_bins=self.feature_size,
            sample_frequency=float(self.sampling_rate),
            frame_length=self.frame_length,
            frame_shift=self.frame_shift,
            dither=0.0,
        )

    def normalize(self, features: torch.Tensor) -> torch.Tensor:
        """Global mean and variance normalisation of `(..., feature_size)` log-Mel energies."""
        return (features - features.new_tensor(self.cmvn_mean)) / features.new_tensor(self.cmvn_std)

    def frames(self, waveform: torch.Tensor) -> torch.Tensor:
        """Normalised features `(num_frames, feature_size)` of the whole windows of `(num_samples,)`."""
        return self.normalize(self.filterbank(waveform))


class EntropyASRFeatureStream:
    """Features of one waveform that arrives in portions of any size: the frames of the whole, each computed once.

    A frame depends on its own window alone, so what has to be carried is the overlap of the next window with the last.

    Args:
        extractor ([`StreamableFeatureExtractor`]): what features.
    """

    def __init__(self, extractor: StreamableFeatureExtractor):
        self.extractor = extractor
        self._pieces: list[np.ndarray] = []
        self._num_samples = 0  # of the pieces, from the first window that was not taken
        self._num_pushed = 0
        self._num_taken = 0
        self._has_started = False

    @property
    def num_ready(self) -> int:
        """Frames whose windows are complete."""
        complete = self._num_samples - self.extractor.window_samples
        return 1 + complete // self.extractor.hop_samples if self._has_started and complete >= 0 else 0

    def push(self, samples: np.ndarray) -> None:
        """Append `(num_samples,)` float32 samples in [-1, 1]."""
        self._num_pushed += len(samples)
        self._append(samples)
        if not self._has_started and self._num_samples >= self.extractor.start_samples:
            self._start()

    def finish(self) -> None:
        """No more samples will come: the last frames, which look behind the end of the waveform, become ready."""
        if not self._num_pushed:
            return
        if not self._has_started:
            self._append(np.zeros(self.extractor.start_samples - self._num_samples, dtype=np.float32))
            self._start()
        num_left = self.extractor.num_frames(self._num_pushed) - self._num_taken
        length = (num_left - 1) * self.extractor.hop_samples + self.extractor.window_samples if num_left > 0 else 0
        samples = np.concatenate(self._pieces)[:length]
        samples = np.pad(samples, (0, length - len(samples)))
        self._pieces, self._num_samples = [samples], length

    def _append(self, samples: np.ndarray) -> None:
        self._pieces.append(samples)
        self._num_samples += len(samples)

    def _start(self) -> None:
        samples = self.extractor.pad_start(torch.from_numpy(np.concatenate(self._pieces))).numpy()
        self._pieces, self._num_samples, self._has_started = [samples], len(samples), True

    def take(self, num_frames: int) -> torch.Tensor:
        """The next frames `(num_frames, feature_size)`; at most `num_ready`."""
        features = self.peek(num_frames)
        used = num_frames * self.extractor.hop_samples
        self._pieces = [np.concatenate(self._pieces)[used:]] if used else self._pieces
        self._num_samples = max(0, self._num_samples - used)
        self._num_taken += num_frames
        return features

    def peek(self, num_frames: int) -> torch.Tensor:
        """The frames `(num_frames, feature_size)` that [`take`] would give, which is then given them again."""
        if num_frames > self.num_ready:
            raise ValueError(f"{num_frames} frames were asked for, {self.num_ready} are ready.")
        if num_frames == 0:
            return torch.zeros(0, self.extractor.feature_size)
        samples = np.concatenate(self._pieces)
        self._pieces = [samples]
        end = (num_frames - 1) * self.extractor.hop_samples + self.extractor.window_samples
        return self.extractor.frames(torch.from_numpy(samples[:end]))


__all__ = ["EntropyASRFeatureExtractor", "EntropyASRFeatureStream", "StreamableFeatureExtractor"]
