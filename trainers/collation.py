# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""From rows to the tensors a stage trains on. All randomness comes from each row's draw, so it can be resumed."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor

from .augmentation import SpeechAugmenter
from .base import frames_in_time_order


@dataclass
class FeatureCollator:
    """Augments the waveforms of a batch and extracts its features.

    Args:
        feature_extractor: The encoder's feature extractor, ours or any of transformers.
        augmenter: What to do to waveforms and features; None for nothing.
    """

    feature_extractor: SequenceFeatureExtractor
    augmenter: SpeechAugmenter | None = None

    def evaluation(self) -> "FeatureCollator":
        """The same collator without augmentation."""
        return replace(self, augmenter=None)

    def features(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """`input_features` (B, T, F), `attention_mask` (B, T) and `durations` (B,) in seconds of a list of rows."""
        generators = [np.random.default_rng(row["draw"]) for row in rows]
        waveforms = [torch.from_numpy(row["samples"]) for row in rows]
        if self.augmenter is not None:
            waveforms = [self.augmenter.waveform(w, rng) for w, rng in zip(waveforms, generators, strict=True)]
        rate = self.feature_extractor.sampling_rate
        extracted = self.feature_extractor(
            [waveform.numpy() for waveform in waveforms],
            sampling_rate=rate,
            return_attention_mask=True,
            return_tensors="pt",
        )
        features, mask = extracted[self.feature_extractor.model_input_names[0]], extracted["attention_mask"]
        if self.augmenter is not None:
            in_time_order = frames_in_time_order(features, mask)
            for frames, length, rng in zip(in_time_order, mask.sum(-1).tolist(), generators, strict=True):
                frames[:length] = self.augmenter.spec_augment(frames[:length], rng)
        durations = torch.tensor([waveform.shape[0] / rate for waveform in waveforms])
        return {"input_features": features, "attention_mask": mask, "durations": durations}


@dataclass
class CTCCollator(FeatureCollator):
    """Features and phoneme labels; rows carry their labels in the column `phoneme_ids`."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        labels = [torch.as_tensor(row["phoneme_ids"], dtype=torch.long) for row in rows]
        padded = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)
        return {**self.features(rows), "labels": padded}
