# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Encoder frames on disk, and text turned into such frames: speech for a language model, without an encoder.

While the encoder is frozen, a recording gives the same frames in every epoch, so they are computed once. And text that
nobody recorded is made audible to the language model: frames of each of its phonemes are cut out of recordings and
joined, as concatenative synthesis joins waveforms. It works as far as the encoder keeps to its side of the paper's
boundary, sound to phonemes: where frames say little but the phoneme, they can be exchanged.

Not in the paper, which has 560 000 hours of recordings: a way to train on text of which little is recorded.
"""

import json
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
import torch
from datasets import Dataset
from tqdm.auto import tqdm

from entropy_asr.modeling.alignment_entropy_asr import LEAD_SHARE, align_phonemes
from entropy_asr.modeling.ctc_entropy_asr import ctc_collapse
from entropy_asr.modeling.encoder_rules_entropy_asr import output_length
from entropy_asr.modeling.modeling_entropy_asr import EntropyASRForConditionalGeneration
from entropy_asr.modeling.torchaudio_entropy_asr import TokenSpan

from .batching import DurationBatchSampler
from .collation import FeatureCollator
from .phoneme_errors import PhonemeErrors, count_errors
from .speech_dataset import SpeechDataset


logger = logging.getLogger(__name__)

# (row, phoneme, first frame, end frame): a phoneme of a recording; phoneme 0 is what is before or after speech.
UNIT_COLUMNS = ("row", "phoneme", "start", "end")


@dataclass
class EncodedSpeech:
    """Frames of recordings and where their phonemes are.

    Args:
        frames: Encoder output of all recordings, one after another, float16 `(num_frames, hidden_size)`.
        ends: End of each recording in `frames`, `(num_recordings,)`.
        rows: Row of the data set that each recording comes from, `(num_recordings,)`.
        units: Phonemes in the order they were said, int64 `(num_units, 4)`, see `UNIT_COLUMNS`; `row` is the number of
            the recording.
        errors: Of the phoneme head, int64 `(V, V)`, see [`~phoneme_errors.PhonemeErrors`].
    """

    frames: np.ndarray
    ends: np.ndarray
    rows: np.ndarray
    units: np.ndarray
    errors: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> np.ndarray:
        """Frames of each recording, `(num_recordings,)`."""
        return np.diff(self.ends, prepend=0)

    def recording(self, index: int) -> np.ndarray:
        """Frames of a recording, float16 `(T, hidden_size)`."""
        start = self.ends[index - 1] if index else 0
        return self.frames[start : self.ends[index]]

    def save(self, folder: Path) -> None:
        """Write to a folder that is there only when it is whole."""
        # Machines may share the place.
        temporary = folder.with_name(f"{folder.name}.{socket.gethostname()}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name in ("frames", "ends", "rows", "units", "errors"):
            np.save(temporary / f"{name}.npy", getattr(self, name))
        (temporary / "about.json").write_text(json.dumps({"recordings": len(self), "frames": len(self.frames)}))
        try:
            temporary.rename(folder)
        except OSError:
            if not (folder / "about.json").exists():
                raise
            shutil.rmtree(temporary)  # another machine was here first, with the same

    @classmethod
    def joined(cls, parts: "Sequence[EncodedSpeech]") -> "EncodedSpeech":
        """All recordings of several parts, one part's after the other's."""
        offsets = np.cumsum([0, *map(len, parts)])[:-1]
        units = [part.units + np.array([offset, 0, 0, 0]) for part, offset in zip(parts, offsets, strict=True)]
        # Not in memory, nor in a file under its name before it is whole.
        with tempfile.TemporaryFile() as file:
            for part in parts:
                file.write(np.ascontiguousarray(part.frames).data)
            frames = _frames_in(file, sum(len(part.frames) for part in parts), parts[0].frames.shape[1])
        return cls(
            frames=frames,
            ends=np.cumsum(np.concatenate([part.lengths for part in parts])),
            rows=np.concatenate([part.rows for part in parts]),
            units=np.concatenate(units),
            errors=sum(part.errors for part in parts),
        )

    @classmethod
    def load(cls, folder: Path) -> "EncodedSpeech":
        """Open what [`save`] wrote; frames stay on disk until they are read."""
        return cls(
            frames=np.load(folder / "frames.npy", mmap_mode="r"),
            **{name: np.load(folder / f"{name}.npy") for name in ("ends", "rows", "units", "errors")},
        )


def encode_speech(
    model: EntropyASRForConditionalGeneration,
    rows: Dataset,
    collator: FeatureCollator,
    passes: int,
    seed: int,
    max_batch_duration: float,
    share: tuple[int, int] = (0, 1),
) -> EncodedSpeech:
    """Run the encoder over rows with `phoneme_ids` and find where their phonemes are.

    Args:
        model: Its encoder and phoneme head are used, in evaluation mode.
        rows: Rows of [`~sources.load_sources`] with the column `phoneme_ids`.
        collator: Extracts (and, if it has an augmenter, augments) features; draws chunks for each batch, if any.
        passes: How often each row is encoded, augmented anew each time.
        seed: Seed of the augmentation.
        max_batch_duration: Seconds of padded audio in a batch.
        share: Of `(index, count)` every `count`-th batch from number `index` on, as one of several processes;
            [`EncodedSpeech.joined`] makes the whole of them.
    """
    dataset = SpeechDataset(rows)
    sampler = DurationBatchSampler(rows["duration"][:], max_batch_duration, shuffle=False, seed=seed)
    index, count = share
    lengths, row_numbers, units = [], [], []
    errors = np.zeros((model.config.phoneme_vocab_size,) * 2, dtype=np.int64)
    model.eval()
    # Not in memory: an hour of frames of a large encoder takes 200 MB.
    with tempfile.TemporaryFile() as file:
        for epoch in range(passes):
            sampler.set_epoch(epoch)
            batches = list(sampler)[index::count]
            for batch in tqdm(batches, desc=f"Encoding speech, pass {epoch + 1} of {passes}", disable=index > 0):
                items = [dataset[key] for key in batch]
                for item, (encoded, log_probs) in zip(items, _encode_batch(model, collator, items), strict=True):
                    units += _units(len(lengths), log_probs, item["phoneme_ids"])
                    count_errors(errors, item["phoneme_ids"], ctc_collapse(log_probs.argmax(-1).tolist()))
                    file.write(encoded.half().numpy().tobytes())
                    lengths.append(len(encoded))
                    row_numbers.append(item["index"])
        frames = _frames_in(file, sum(lengths), model.config.audio_config.hidden_size)
    return EncodedSpeech(
        frames=frames,
        ends=np.cumsum(lengths, dtype=np.int64),
        rows=np.array(row_numbers, dtype=np.int64),
        units=np.array(units, dtype=np.int64).reshape(-1, len(UNIT_COLUMNS)),
        errors=errors,
    )


def _frames_in(file: IO[bytes], num_frames: int, hidden_size: int) -> np.ndarray:
    """What was written to a file, `(num_frames, hidden_size)`; a process may have had none to encode."""
    file.flush()
    shape = (num_frames, hidden_size)
    return np.memmap(file, np.float16, "r", shape=shape) if num_frames else np.zeros(shape, np.float16)


@torch.no_grad()
def _encode_batch(model, collator: FeatureCollator, items: list[dict]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Valid frames `(T, hidden_size)` and phoneme log-probabilities `(T, V)` of each item, on the CPU."""
    inputs = collator.features(items)
    features, mask = inputs["input_features"].to(model.device), inputs["attention_mask"].to(model.device)
    output = model.model.get_audio_features(features, mask, return_dict=True, **collator.draw_chunks(items))
    hidden = output.last_hidden_state
    log_probs = model.phoneme_head(hidden).float().log_softmax(-1).cpu()
    lengths = output_length(mask.long().sum(-1), model.config.audio_length_stages).tolist()
    for index, length in enumerate(lengths):
        yield hidden[index, :length].float().cpu(), log_probs[index, :length]


def _units(recording: int, log_probs: torch.Tensor, phoneme_ids: list[int]) -> list[tuple[int, int, int, int]]:
    """Units of a recording, the silence before and after it among them; none where no alignment is possible."""
    num_frames = len(log_probs)
    if not phoneme_ids:
        return [(recording, 0, 0, num_frames)]
    try:
        spans = align_phonemes(log_probs, phoneme_ids)
    except ValueError:
        return []  # faster speech than CTC can write: it is used as a whole, but nothing is cut out of it
    edges = [spans[0].start, *(_edge(one, other) for one, other in pairwise(spans)), spans[-1].end]
    units = [(recording, span.token, *edge) for span, edge in zip(spans, pairwise(edges), strict=True)]
    return [(recording, 0, 0, edges[0]), *units, (recording, 0, edges[-1], num_frames)]


def _edge(one: TokenSpan, other: TokenSpan) -> int:
    """Frame at which the second of two neighbouring phonemes begins."""
    return other.start - round((other.start - one.end) * LEAD_SHARE)


class UnitInventory:
    """Cuts phonemes out of encoded speech and joins them to utterances that nobody said.

    Each phoneme is taken from a recording where both its neighbours are the same, or else the one before, or the one
    after, or just any: coarticulation is in the frames.

    Args:
        speech: Recordings to cut from.
        max_silence: Longest silence at either end, in frames; .48 s of them.
        max_unit: Longest phoneme that is taken, in frames, where the recordings have shorter ones; .4 s of them: a
            pause inside an utterance is counted to the phonemes around it, and belongs to neither.
    """

    # Contexts from the closest to none: whether the phoneme before and the one after must be the same.
    CONTEXTS = ((True, True), (True, False), (False, True), (False, False))

    def __init__(self, speech: EncodedSpeech, max_silence: int, max_unit: int):
        self.speech = speech
        self.max_silence = max_silence
        self._errors = PhonemeErrors(speech.errors)
        row, phoneme, start, end = speech.units.T
        offsets = speech.ends - speech.lengths
        self._start, self._end = offsets[row] + start, offsets[row] + end
        self._row = row
        self._base = int(phoneme.max(initial=0)) + 1
        usable = _usable(phoneme, end - start, max_unit)
        before, after = np.roll(phoneme, 1), np.roll(phoneme, -1)
        self._tables = [
            _Table(self._keys(phoneme, before * left, after * right), usable) for left, right in self.CONTEXTS
        ]
        self._mean_lengths = self._means(phoneme[usable], (end - start)[usable])

    def _means(self, phonemes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Mean length of each phoneme's units, in frames; of silence, of what [`_silence`] takes of it."""
        taken = np.minimum(lengths[:, None], np.arange(self.max_silence + 1)).mean(1)
        lengths = np.where(phonemes == 0, taken, lengths)
        totals = np.bincount(phonemes, lengths, minlength=self._base)
        return totals / np.maximum(np.bincount(phonemes, minlength=self._base), 1)

    def expected_length(self, phoneme_ids: Sequence[int]) -> float:
        """Frames that [`frames`] gives on average, silence at both ends counted; its contexts are not."""
        return float(self._mean_lengths[[0, *phoneme_ids, 0]].sum())

    def _keys(self, phoneme, before, after):
        return (phoneme * self._base + before) * self._base + after

    def frames(self, phoneme_ids: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Frames, float16 `(T, hidden_size)`, of a phoneme sequence.

        Raises:
            ValueError: no recording has one of the phonemes.
        """
        silence = [self._silence(rng), self._silence(rng)]
        padded = [0, *phoneme_ids, 0]
        cuts = [self._cut(*padded[i - 1 : i + 2], rng) for i in range(1, len(padded) - 1)]
        return np.concatenate([silence[0], *(self.speech.frames[slice(*cut)] for cut in cuts), silence[1]])

    def misheard(self, phoneme_ids: Sequence[int], rate: float, rng: np.random.Generator) -> list[int]:
        """Phonemes as the encoder might give them, at a phoneme error rate between none and twice `rate`.

        An utterance of which nothing would be left, or something that was never recorded, stays as it is.
        """
        drawn = self._errors.draw(phoneme_ids, rng.uniform(0, 2 * rate), rng)
        return drawn if drawn and self.has(drawn) else list(phoneme_ids)

    def has(self, phoneme_ids: Sequence[int]) -> bool:
        """Whether all of the phonemes were recorded."""
        return all(self._tables[-1].any(self._keys(phoneme, 0, 0)) for phoneme in phoneme_ids)

    def _cut(self, before: int, phoneme: int, after: int, rng: np.random.Generator) -> tuple[int, int]:
        for (left, right), table in zip(self.CONTEXTS, self._tables, strict=True):
            unit = table.draw(self._keys(phoneme, before * left, after * right), rng)
            if unit is not None:
                return int(self._start[unit]), int(self._end[unit])
        raise ValueError(f"Phoneme {phoneme} is in none of the {len(self.speech)} recordings.")

    def _silence(self, rng: np.random.Generator) -> np.ndarray:
        """Up to `max_silence` frames from before or after some speech, possibly none."""
        unit = self._tables[-1].draw(self._keys(0, 0, 0), rng)
        if unit is None:
            return self.speech.frames[:0]
        start, end = int(self._start[unit]), int(self._end[unit])
        return self.speech.frames[start : min(end, start + int(rng.integers(self.max_silence + 1)))]


def _usable(phoneme: np.ndarray, length: np.ndarray, max_unit: int) -> np.ndarray:
    """Which units may be taken: not the empty ones, nor the long ones of phonemes that have others; silence may."""
    filled = length > 0
    short = filled & (length <= max_unit)
    never_short = np.bincount(phoneme, short) == 0
    return filled & (short | never_short[phoneme] | (phoneme == 0))


class _Table:
    """Units by key, sorted for binary search."""

    def __init__(self, keys: np.ndarray, usable: np.ndarray):
        units = np.flatnonzero(usable)
        order = np.argsort(keys[units], kind="stable")
        self._units, self._keys = units[order], keys[units][order]

    def _range(self, key: int) -> tuple[int, int]:
        return int(np.searchsorted(self._keys, key)), int(np.searchsorted(self._keys, key, side="right"))

    def any(self, key: int) -> bool:
        first, end = self._range(key)
        return end > first

    def draw(self, key: int, rng: np.random.Generator) -> int | None:
        first, end = self._range(key)
        return int(self._units[rng.integers(first, end)]) if end > first else None


def encoded_or_loaded(
    folder: str | os.PathLike,
    encode: Callable[[tuple[int, int]], EncodedSpeech],
    share: tuple[int, int] = (0, 1),
    wait: Callable[[], None] = lambda: None,
) -> EncodedSpeech:
    """What `encode` gave when it was first asked for this folder; an interrupted run starts it again.

    Args:
        folder: Where it is kept.
        encode: Gives what a share (see [`encode_speech`]) of the recordings is.
        share: Of this process among those that see the folder; all of them call this.
        wait: Waits for all processes.
    """
    folder, (index, count) = Path(folder), share
    parts = [folder.with_name(f"{folder.name}.part-{number}-of-{count}") for number in range(count)]
    own = parts[index] if count > 1 else folder
    wait()  # nobody looks while somebody is done already
    missing = not (folder / "about.json").exists()
    if missing and index == 0:
        logger.warning(f"{folder}: encoding speech once for all epochs.")
    if missing and not own.exists():
        encode(share).save(own)
    # All wait equally often, also where it is there already: other machines may lack it.
    wait()
    joins = missing and index == 0 and count > 1
    if joins:
        EncodedSpeech.joined([EncodedSpeech.load(part) for part in parts]).save(folder)
    wait()
    if joins:  # only now: another machine may have joined the same parts
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)
    return EncodedSpeech.load(folder)
