# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""From rows to the tensors a stage trains on. All randomness comes from each row's draw, so it can be resumed."""

from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor

from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH
from entropy_asr.modeling.processing_entropy_asr import EntropyASRProcessor, extract_features, window_samples

from .augmentation import SpeechAugmenter


@dataclass
class FeatureCollator:
    """Augments the waveforms of a batch and extracts its features.

    Args:
        feature_extractor: The encoder's feature extractor, ours or any of transformers.
        augmenter: What to do to waveforms and features; None for nothing.
        chunk_sizes: Attention chunks in encoder frames to draw from for each batch, 0 for full context. Empty: nothing
            is drawn, and the model's own chunk size holds.
        left_chunks: Numbers of visible earlier chunks to draw from, -1 for all.
    """

    feature_extractor: SequenceFeatureExtractor
    augmenter: SpeechAugmenter | None = None
    _: KW_ONLY
    chunk_sizes: list[int] = field(default_factory=list)
    left_chunks: list[int] = field(default_factory=lambda: [-1])

    # Hints are drawn with 2, joined phonemes with 3.
    _chunk_stream: ClassVar[int] = 4

    def evaluation(self) -> "FeatureCollator":
        """The same collator without augmentation, with the model's own chunk size."""
        return replace(self, augmenter=None, chunk_sizes=[])

    def draw_chunks(self, rows: list[dict[str, Any]]) -> dict[str, int]:
        """`chunk_size` and `left_chunks` of a batch: a function of its first row's draw, so that it can be resumed."""
        if not self.chunk_sizes:
            return {}
        rng = np.random.default_rng([rows[0]["draw"], self._chunk_stream])
        return {
            "chunk_size": self.chunk_sizes[rng.integers(len(self.chunk_sizes))],
            "left_chunks": self.left_chunks[rng.integers(len(self.left_chunks))],
        }

    def features(self, rows: list[dict[str, Any]], views: int = 1) -> dict[str, torch.Tensor]:
        """Features of a list of rows.

        Args:
            rows: Rows of [`~speech_dataset.SpeechDataset`].
            views: How often each row occurs: one waveform, each time masked anew. All first views come first.

        Returns:
            `input_features` (views * B, T, F), `attention_mask` (views * B, T) and `durations` (B,) in seconds.
        """
        generators = [np.random.default_rng(row["draw"]) for row in rows]
        waveforms = [torch.from_numpy(row["samples"]) for row in rows]
        if self.augmenter is not None:
            augmented = [self.augmenter.waveform(w, rng) for w, rng in zip(waveforms, generators, strict=True)]
            window = window_samples(self.feature_extractor)
            # A row that augmentation alone makes too long for the features' window stays as it is.
            pairs = zip(waveforms, augmented, strict=True)
            waveforms = [plain if window and len(new) > window else new for plain, new in pairs]
        rate = self.feature_extractor.sampling_rate
        features, mask = extract_features(self.feature_extractor, [waveform.numpy() for waveform in waveforms])
        if views > 1:
            features, mask = torch.cat([features] * views), torch.cat([mask] * views)
        if self.augmenter is not None:
            in_time_order = frames_in_time_order(features, mask)
            for frames, length, rng in zip(in_time_order, mask.sum(-1).tolist(), generators * views, strict=True):
                frames[:length] = self.augmenter.spec_augment(frames[:length], rng)
        durations = torch.tensor([waveform.shape[0] / rate for waveform in waveforms])
        return {"input_features": features, "attention_mask": mask, "durations": durations}


@dataclass
class CTCCollator(FeatureCollator):
    """Features and phoneme labels; rows carry their labels in the column `phoneme_ids`.

    Args:
        views: Number of independently masked views of each row; labels are given once.
    """

    views: int = 1

    _chunk_stream: ClassVar[int] = 2

    def evaluation(self) -> "CTCCollator":
        """The same collator with one view, no augmentation and the model's own chunk size."""
        return replace(self, augmenter=None, views=1, chunk_sizes=[])

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor | int]:
        """Features and their mask, and `labels` `(batch_size, num_phonemes)`, padded with -100; drawn chunks."""
        labels = [torch.as_tensor(row["phoneme_ids"], dtype=torch.long) for row in rows]
        padded = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)
        return {**self.features(rows, self.views), "labels": padded, **self.draw_chunks(rows)}


@dataclass
class TranscriptionCollator(FeatureCollator):
    """Features, prompts and transcriptions for the supervised stages.

    Args:
        processor: The model's processor; its own feature extractor is the first argument.
        language_prompt_probability: Share of prompts that name the language of the row.
        generates: Also give prompts alone, padded on the left, and row numbers, for evaluation by generation.
    """

    processor: EntropyASRProcessor | None = None
    language_prompt_probability: float = 0.0
    generates: bool = False

    def evaluation(self) -> "TranscriptionCollator":
        """The same collator without augmentation and languages in prompts, with prompts to generate from."""
        return replace(self, augmenter=None, chunk_sizes=[], language_prompt_probability=0.0, generates=True)

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Features, their mask, and `input_ids`, `attention_mask`, `labels` `(B, L)` of prompts with transcripts."""
        speech = self.features(rows)
        mask = speech.pop("attention_mask")
        examples = [
            self.processor.encode_example(num_frames, row["text"], self.requested_language(row), self._hints(row))
            for row, num_frames in zip(rows, mask.long().sum(-1).tolist(), strict=True)
        ]
        pad = self.processor.tokenizer.pad_token_id
        batch = {
            **speech,
            "input_features_mask": mask,
            "input_ids": _pad([ids for ids, _ in examples], pad, side="right"),
            "attention_mask": _pad([[1] * len(ids) for ids, _ in examples], 0, side="right"),
            "labels": _pad([labels for _, labels in examples], -100, side="right"),
            **self.draw_chunks(rows),
        }
        if self.generates:
            prompts = [ids[: labels.count(-100)] for ids, labels in examples]
            batch["prompt_ids"] = _pad(prompts, pad, side="left")
            batch["prompt_mask"] = _pad([[1] * len(prompt) for prompt in prompts], 0, side="left")
            batch["row_numbers"] = torch.tensor([row["index"] for row in rows])
        return batch

    def requested_language(self, row: dict[str, Any]) -> str | None:
        if row["language"] == NON_SPEECH or self.language_prompt_probability == 0:
            return None
        named = np.random.default_rng([row["draw"], 1]).random() < self.language_prompt_probability
        return row["language"] if named else None

    def _hints(self, row: dict[str, Any]) -> list[str]:
        """Contextual hints of a row's prompt."""
        return []


def _pad(sequences: list[list[int]], value: int, side: str) -> torch.Tensor:
    tensors = [torch.tensor(sequence, dtype=torch.long) for sequence in sequences]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value, padding_side=side)


def frames_in_time_order(features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """View of `(B, T, F)` or `(B, F, T)` features as `(B, T, F)`, by the length of the frame mask `(B, T)`."""
    return features if features.shape[1] == mask.shape[1] else features.transpose(1, 2)
