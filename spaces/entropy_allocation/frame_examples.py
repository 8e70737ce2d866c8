# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Labelled frames and words that are kept for the probes of frame_pai and frame_csai, and the rows made of them."""

from collections import Counter
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from .inputs import UtteranceInput
from .probes import Examples


# Frames with this label take no part in frame_pai, and are no phoneme of a word.
IGNORED = -100
MAX_WORDS = 200
MIN_WORD_COUNT = 8


@dataclass
class LabelledUtterance:
    """Labelled frames and words of one utterance: float32 frames on the CPU."""

    name: str
    speaker: str | None
    frames: torch.Tensor  # (N, D)
    labels: np.ndarray  # (N,)
    word_frames: torch.Tensor  # (M, D), means over the words
    word_phonemes: list[tuple[int, ...]]  # from the alignment
    recognized: list[tuple[int, ...]] | None  # what a recogniser made of each word; None where not given
    word_ids: np.ndarray  # (M,)

    @property
    def rows(self) -> int:
        return len(self.frames) + len(self.word_frames)

    @classmethod
    def of(cls, utterance: UtteranceInput) -> "LabelledUtterance":
        """The part of an utterance with frame labels that probes need."""
        frames, labels = utterance.frames.detach().float().cpu(), utterance.labels
        words = np.zeros((0, 3), int) if utterance.words is None else utterance.words
        means = [frames[start:end].mean(0) for start, end, _ in words]
        recognized, kept = utterance.recognized, labels != IGNORED
        return cls(
            name=f"utterance {utterance.number}",
            speaker=utterance.speaker,
            frames=frames[torch.from_numpy(kept)],
            labels=labels[kept],
            word_frames=torch.stack(means) if means else frames.new_zeros(0, frames.shape[1]),
            word_phonemes=[_runs(labels[start:end]) for start, end, _ in words],
            recognized=None if recognized is None else [_runs(recognized[start:end]) for start, end, _ in words],
            word_ids=words[:, 2],
        )


@dataclass
class Sample:
    """Utterances for probes: those of the lowest random priorities, as many as there is room for.

    Attributes:
        max_rows: Largest number of rows (frames and words).
        utterances: With their priorities, 0 to 1.
        num_dropped: Utterances there was no room for.
    """

    max_rows: int
    utterances: list[tuple[float, LabelledUtterance]] = field(default_factory=list)
    num_dropped: int = 0
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __post_init__(self):
        self._rows = sum(utterance.rows for _, utterance in self.utterances)

    def keep(self, utterance: LabelledUtterance) -> None:
        """Add an utterance, and drop others where there is no room."""
        self.utterances.append((self.random.random(), utterance))
        self._rows += utterance.rows
        self.trim()

    def trim(self) -> None:
        """Drop utterances of the highest priorities until there is room; the last one stays."""
        while self._rows > self.max_rows and len(self.utterances) > 1:
            worst = max(range(len(self.utterances)), key=lambda index: self.utterances[index][0])
            self._rows -= self.utterances.pop(worst)[1].rows
            self.num_dropped += 1

    def copy(self) -> "Sample":
        """A copy that can be added to; the utterances themselves never change and are shared."""
        return Sample(self.max_rows, list(self.utterances), self.num_dropped, deepcopy(self.random))

    def joined(self) -> "Sample":
        """Those of all processes of `torch.distributed`; this one stays as it is."""
        import torch.distributed as dist

        gathered: list = [None] * dist.get_world_size()
        dist.all_gather_object(gathered, (self.utterances, self.num_dropped))
        # Each process counts its utterances from 0.
        utterances = [
            (priority, replace(utterance, name=f"process {rank} {utterance.name}"))
            for rank, (own, _) in enumerate(gathered)
            for priority, utterance in own
        ]
        sample = Sample(self.max_rows, utterances, sum(dropped for _, dropped in gathered))
        sample.trim()
        return sample


def _runs(labels: np.ndarray) -> tuple[int, ...]:
    """Phonemes of a stretch of frames, each run of one phoneme once."""
    labels = labels[labels != IGNORED]
    return tuple(labels[np.flatnonzero(np.diff(labels, prepend=labels[:1] - 1))].tolist()) if len(labels) else ()


def frame_examples(utterances: list[LabelledUtterance]) -> tuple[Examples, dict]:
    """Rows of frame_pai: frames and their phonemes."""
    labels = np.concatenate([utterance.labels for utterance in utterances])
    names, numbers = np.unique(labels, return_inverse=True)
    frames = torch.cat([utterance.frames for utterance in utterances])
    examples = Examples(frames, torch.from_numpy(numbers), **_groups(utterances, [len(u.labels) for u in utterances]))
    return examples, {"num_frames": len(labels), "dimension": frames.shape[1], "num_classes": len(names)}


def word_examples(utterances: list[LabelledUtterance], context_phonemes: int | None) -> tuple[Examples, dict]:
    """Rows of frame_csai: mean frames of words, their identity, and as context what leaves the word open.

    The context is what a recogniser made of the word's frames where that was given, else the first phonemes of the
    word: all of them would nearly name it, and leave next to nothing to measure.

    Args:
        utterances: Where the words come from: the `MAX_WORDS` most frequent ones, of those that occur
            `MIN_WORD_COUNT` times or more.
        context_phonemes: How many first phonemes; None for all.
    """
    ids = np.concatenate([utterance.word_ids for utterance in utterances])
    chosen = [word for word, count in Counter(ids.tolist()).most_common(MAX_WORDS) if count >= MIN_WORD_COUNT]
    rows = np.flatnonzero(np.isin(ids, chosen))
    if len(chosen) < 2:
        raise ValueError(
            f"frame_csai needs two words or more that occur {MIN_WORD_COUNT} times or more, got {len(chosen)}."
        )
    contexts, described = _contexts(utterances, context_phonemes)
    context = _padded([contexts[row] for row in rows])
    groups = _groups(utterances, [len(utterance.word_ids) for utterance in utterances], rows)
    frames = torch.cat([utterance.word_frames for utterance in utterances])[torch.from_numpy(rows)]
    labels = torch.from_numpy(np.unique(ids[rows], return_inverse=True)[1])
    examples = Examples(frames, labels, context=context, **groups)
    facts = {"num_words": len(rows), "dimension": frames.shape[1], "num_classes": len(chosen), "context": described}
    return examples, {**facts, "phoneme_positions": context.shape[1], "share_of_words": len(rows) / len(ids)}


def _contexts(utterances: list[LabelledUtterance], count: int | None) -> tuple[list[tuple[int, ...]], str]:
    if all(utterance.recognized is not None for utterance in utterances):
        return [word for utterance in utterances for word in utterance.recognized], "recognized phonemes of the word"
    words = [word[:count] for utterance in utterances for word in utterance.word_phonemes]
    return words, "all phonemes of the word" if count is None else f"first {count} phonemes of the word"


def _padded(words: list[tuple[int, ...]]) -> torch.Tensor:
    """Phonemes as numbers from 0, `(M, L)`; -1 behind a word's end."""
    numbers = {name: number for number, name in enumerate(sorted({p for word in words for p in word}))}
    padded = torch.full((len(words), max(1, max(len(word) for word in words))), -1)
    for row, word in enumerate(words):
        padded[row, : len(word)] = torch.tensor([numbers[phoneme] for phoneme in word], dtype=torch.long)
    return padded


def _groups(utterances: list[LabelledUtterance], counts: list[int], chosen: np.ndarray | slice = slice(None)) -> dict:
    """Arguments of `Examples`: what belongs together among the chosen rows, of which an utterance has so many."""

    def numbers(names: Iterable[str]) -> np.ndarray:
        return np.unique(np.repeat(list(names), counts)[chosen], return_inverse=True)[1]

    own = numbers(utterance.name for utterance in utterances)
    if any(utterance.speaker is None for utterance in utterances):
        return {"groups": own, "group_name": "utterance"}
    speakers = numbers(utterance.speaker for utterance in utterances)
    return {"groups": speakers, "group_name": "speaker", "utterances": own}
