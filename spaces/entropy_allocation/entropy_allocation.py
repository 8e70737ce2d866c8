# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NSE, PAI, CSAI and CKA as an `evaluate` metric.

How this differs from other metrics of `evaluate`: frames do not go through Arrow files, which took 5 s for 200
utterances of 250 x 256. `add` and `add_batch` sum up moments and keep a sample of the labelled frames in memory;
several processes are joined with `torch.distributed` (`compute(distributed=True)`) instead of files.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import datasets
import evaluate
import numpy as np
import torch

from .moments import FrameMoments
from .probes import FAMILIES, Examples, accessible_information


METRICS = ("nse", "pai", "csai", "cka")
# Frames with this label take no part in PAI, and are no phoneme of a word.
IGNORED = -100
MAX_WORDS = 200
MIN_WORD_COUNT = 8

_DESCRIPTION = """\
Where a speech encoder leaves the uncertainty of a transcript, in nats: NSE (normalized spectral entropy of frames),
PAI (phonetic accessible information), CSAI (conditional semantic accessible information) and linear CKA between two
encoders. The names are from arXiv 2604.08003; the formulas are operational definitions of the entropy-asr project.
"""

_INPUTS = """
Args:
    predictions: encoder frames: one `(T, D)` NumPy array or torch tensor an utterance, valid frames only.
    references: one phoneme id a frame, `(T,)` integers an utterance; -100 leaves a frame out. Needed for PAI, CSAI.
    words: `(M, 3)` integers an utterance: first frame, end (exclusive) and word id of each word. Needed for CSAI.
    other_predictions: frames `(T, D2)` of a second encoder at the same moments. Needed for CKA.
    speakers: one name an utterance; training and test rows of probes then have no speaker in common.
    metrics: those of "nse", "pai", "csai", "cka" to compute; by default all that the inputs allow.
    probes: probe families, "linear" and "mlp"; the first one gives the headline figures.
    num_seeds: random splits of a probe's rows; their standard error is returned.
    control: also measure with shuffled frames.
    distributed: join the frames of all processes of `torch.distributed`'s default group.
Returns:
    `nse`, `pai`, `pai_normalized`, `csai`, `cka`, `cka_debiased`, whichever were computed, and `details` with number
    of frames and dimension, spectrum, results of each probe family, shuffled control, standard errors, seconds.
Examples:
    >>> metric = evaluate.load("spaces/entropy_allocation")
    >>> metric.add_batch(predictions=[frames], references=[phonemes])
    >>> metric.compute(probes=["linear"])["pai"]
"""

_CITATION = """\
@misc{xie2026entropy, title={Rethinking Entropy Allocation in LLM-based ASR}, year={2026}, eprint={2604.08003}}
"""


@dataclass
class Utterance:
    """Labelled frames and words of one utterance: float32 frames on the CPU."""

    group: str
    frames: torch.Tensor  # (N, D)
    labels: np.ndarray  # (N,)
    word_frames: torch.Tensor  # (M, D), means over the words
    word_phonemes: list[tuple[int, ...]]
    word_ids: np.ndarray  # (M,)

    @property
    def rows(self) -> int:
        return len(self.frames) + len(self.word_frames)


class EntropyAllocation(evaluate.Metric):
    """Streamed NSE and CKA; PAI and CSAI from a random sample of utterances that fits in memory.

    Args:
        max_probe_frames: Largest number of rows (frames and words) kept for probes. Beyond it, whole utterances are
            dropped at random.
        device: Where moments are summed up and probes are trained: "cuda", ... None: where the frames are, and the CPU
            for probes.
        *args, **kwargs: As for every `evaluate.Metric`; `num_process` must stay 1, see `compute(distributed=True)`.
    """

    def __init__(self, *args, max_probe_frames: int = 200_000, device: str | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        if self.num_process != 1:
            raise ValueError("num_process joins processes by files: use torch.distributed, compute(distributed=True).")
        if max_probe_frames < 1:
            raise ValueError(f"`max_probe_frames` must be at least 1, got {max_probe_frames}.")
        self.max_probe_frames = max_probe_frames
        self.device = device
        self._reset()

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Sequence(datasets.Value("float32"))),
                    "references": datasets.Sequence(datasets.Value("int64")),
                }
            ),
            reference_urls=["https://arxiv.org/abs/2604.08003", "https://arxiv.org/abs/2002.10689"],
        )

    def __len__(self) -> int:
        return self._num_utterances

    def _reset(self) -> None:
        self._moments = FrameMoments()
        self._sample: list[tuple[float, Utterance]] = []
        self._sampled_rows = 0
        self._num_utterances = 0
        self._num_dropped = 0
        self._random = np.random.default_rng(0)

    def add(self, *, prediction=None, reference=None, words=None, other_prediction=None, speaker=None) -> None:
        """Add one utterance; the arguments are single entries of those of `add_batch`."""
        one = {"references": reference, "words": words, "other_predictions": other_prediction, "speakers": speaker}
        self.add_batch(predictions=[prediction], **{k: None if v is None else [v] for k, v in one.items()})

    def add_batch(
        self, *, predictions=None, references=None, words=None, other_predictions=None, speakers=None
    ) -> None:
        """Add utterances: moments are summed up at once, labelled frames are kept (or dropped) for probes."""
        if predictions is None:
            raise ValueError("`predictions` missing: one (T, D) array of encoder frames for each utterance.")
        frames = _utterances(predictions, "predictions", 2)
        others, labels, spans = (
            _utterances(value, name, ndim, len(frames))
            for value, name, ndim in (
                (other_predictions, "other_predictions", 2),
                (references, "references", 1),
                (words, "words", 2),
            )
        )
        if speakers is not None and len(speakers) != len(frames):
            raise ValueError(f"`speakers` has {len(speakers)} entries for {len(frames)} utterances.")
        if words is not None and references is None:
            raise ValueError("`words` needs the phonemes of their frames: give `references`.")
        for index in range(len(frames)):
            self._add_moments(frames[index], others[index])
            if labels[index] is not None:
                group = f"utterance {self._num_utterances}" if speakers is None else str(speakers[index])
                self._keep(_utterance(group, frames[index], labels[index], spans[index]))
            self._num_utterances += 1

    def _add_moments(self, frames: torch.Tensor, other: torch.Tensor | None) -> None:
        parts = [frames] if other is None else [frames, other]
        if self._moments.widths is not None and len(self._moments.widths) != len(parts):
            raise ValueError("`other_predictions` must be given for all utterances or for none.")
        try:
            self._moments.update(*(part if self.device is None else part.to(self.device) for part in parts))
        except ValueError as error:
            raise ValueError(f"Utterance {self._num_utterances}: {error}") from error

    def _keep(self, utterance: Utterance) -> None:
        """Random priorities: the utterances of the lowest ones stay, as many as there is room for."""
        self._sample.append((self._random.random(), utterance))
        self._sampled_rows += utterance.rows
        self._trim()

    def _trim(self) -> None:
        while self._sampled_rows > self.max_probe_frames and len(self._sample) > 1:
            worst = max(range(len(self._sample)), key=lambda index: self._sample[index][0])
            self._sampled_rows -= self._sample.pop(worst)[1].rows
            self._num_dropped += 1

    def compute(
        self,
        *,
        predictions=None,
        references=None,
        metrics: Sequence[str] | None = None,
        probes: Sequence[str] = FAMILIES,
        num_seeds: int = 3,
        control: bool = True,
        distributed: bool = False,
        **inputs,
    ) -> dict:
        """Compute the metrics of all frames added, and forget them."""
        if predictions is not None:
            self.add_batch(predictions=predictions, references=references, **inputs)
        elif references is not None or inputs:
            raise ValueError(f"Unexpected without `predictions`: {', '.join(['references', *inputs])}.")
        try:
            return self._compute(metrics, probes, num_seeds, control, distributed)
        finally:
            self._reset()

    def _compute(self, metrics, probes, num_seeds: int, control: bool, distributed: bool) -> dict:
        moments = self._joined() if distributed else self._moments
        asked = self._asked(metrics, moments)
        result, details = {}, {}
        if "nse" in asked:
            result["nse"], details["nse"] = _nse(moments)
        if "cka" in asked:
            result |= {"cka": moments.cka(), "cka_debiased": moments.cka_debiased()}
            details["cka"] = {"num_frames": moments.count, "dimensions": list(moments.widths)}
        utterances = [utterance for _, utterance in self._sample]
        for name, build in (("pai", frame_examples), ("csai", word_examples)):
            if name in asked:
                try:
                    examples, facts = build(utterances)
                except ValueError as error:
                    if metrics is not None:
                        raise
                    details[name] = {"left_out": str(error)}
                    continue
                found = accessible_information(examples.to(self.device), probes, num_seeds, control)
                headline = found[next(iter(probes))]
                result[name] = headline["information"]
                details[name] = {**facts, "num_seeds": num_seeds, "dropped_utterances": self._num_dropped, **found}
                if name == "pai":
                    entropy = headline["entropy"]
                    result["pai_normalized"] = headline["information"] / entropy if entropy > 0 else 0.0
        return {**result, "details": details}

    def _asked(self, metrics: Sequence[str] | None, moments: FrameMoments) -> list[str]:
        if not moments.count:
            raise ValueError("No frames were added: call `add_batch` or give `predictions`.")
        possible = {
            "nse": True,
            "cka": len(moments.widths) == 2,
            "pai": bool(self._sample),
            "csai": any(len(utterance.word_ids) for _, utterance in self._sample),
        }
        if metrics is None:
            return [name for name in METRICS if possible[name]]
        if unknown := sorted(set(metrics) - set(METRICS)):
            raise ValueError(f"Unknown metrics {', '.join(unknown)}: there are {', '.join(METRICS)}.")
        needed = {"cka": "other_predictions", "pai": "references", "csai": "references and words"}
        for name in metrics:
            if not possible[name]:
                raise ValueError(f"`{name}` needs {needed[name]}, which were not given.")
        return list(metrics)

    def _joined(self) -> FrameMoments:
        """Moments of all processes; the samples of all are put together here."""
        import torch.distributed as dist

        gathered: list = [None] * dist.get_world_size()
        dist.all_gather_object(gathered, (self._sample, self._num_dropped))
        self._sample = []
        for rank, (sample, _) in enumerate(gathered):
            for priority, utterance in sample:
                if utterance.group.startswith("utterance "):
                    utterance.group = f"process {rank} {utterance.group}"
                self._sample.append((priority, utterance))
        self._sampled_rows = sum(utterance.rows for _, utterance in self._sample)
        self._num_dropped = sum(dropped for _, dropped in gathered)
        self._trim()
        return self._moments.all_reduce()


def _utterances(value, name: str, ndim: int, expected: int | None = None) -> list:
    """Tensors of `ndim` dimensions, one an utterance; Nones where nothing was given."""
    if value is None:
        return [None] * expected
    if isinstance(value, (np.ndarray, torch.Tensor)) and value.ndim == ndim:
        value = [value]
    try:
        tensors = [item if isinstance(item, torch.Tensor) else torch.as_tensor(np.asarray(item)) for item in value]
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be arrays of {ndim} dimensions, one an utterance: {error}") from error
    for index, tensor in enumerate(tensors):
        if tensor.ndim != ndim:
            # No words are an empty list, whose second dimension nobody wrote.
            if name == "words" and not tensor.numel():
                tensors[index] = torch.zeros(0, 3, dtype=torch.long)
                continue
            raise ValueError(f"`{name}` of utterance {index} must have {ndim} dimensions, not {tensor.ndim}.")
    if expected is not None and len(tensors) != expected:
        raise ValueError(f"`{name}` has {len(tensors)} entries for {expected} utterances.")
    return tensors


def _utterance(group: str, frames: torch.Tensor, labels: torch.Tensor, words: torch.Tensor | None) -> Utterance:
    """The part of an utterance that probes need."""
    frames, labels = frames.detach().float().cpu(), labels.detach().cpu().numpy()
    if len(labels) != len(frames) or labels.dtype.kind not in "iu":
        raise ValueError(f"{group}: {len(frames)} frames need as many integer labels, got {labels.shape}.")
    words = np.zeros((0, 3), int) if words is None else words.cpu().numpy()
    if len(words) and (words.shape[1] != 3 or (words[:, 0] < 0).any() or (words[:, 1] > len(frames)).any()):
        raise ValueError(f"{group}: words must be (start, end, id) inside its {len(frames)} frames.")
    words = words[words[:, 1] > words[:, 0]] if len(words) else words
    means = [frames[start:end].mean(0) for start, end, _ in words]
    kept = labels != IGNORED
    return Utterance(
        group=group,
        frames=frames[torch.from_numpy(kept)],
        labels=labels[kept],
        word_frames=torch.stack(means) if means else frames.new_zeros(0, frames.shape[1]),
        word_phonemes=[_runs(labels[start:end]) for start, end, _ in words],
        word_ids=words[:, 2] if len(words) else np.zeros(0, int),
    )


def _runs(labels: np.ndarray) -> tuple[int, ...]:
    """Phonemes of a stretch of frames, each run of one phoneme once."""
    labels = labels[labels != IGNORED]
    return tuple(labels[np.flatnonzero(np.diff(labels, prepend=labels[:1] - 1))].tolist()) if len(labels) else ()


def _nse(moments: FrameMoments) -> tuple[float, dict]:
    start = time.perf_counter()
    value, spectrum = moments.nse(), moments.spectrum()
    present = spectrum[spectrum > 0]
    return value, {
        "num_frames": moments.count,
        "dimension": moments.widths[0],
        "effective_rank": float((-(present * present.log()).sum()).exp()),
        "spectrum": spectrum.tolist(),
        "seconds": round(time.perf_counter() - start, 2),
    }


def frame_examples(utterances: list[Utterance]) -> tuple[Examples, dict]:
    """Rows of PAI: frames and their phonemes."""
    labels = np.concatenate([utterance.labels for utterance in utterances])
    groups = np.repeat([utterance.group for utterance in utterances], [len(u.labels) for u in utterances])
    names, numbers = np.unique(labels, return_inverse=True)
    frames = torch.cat([utterance.frames for utterance in utterances])
    examples = Examples(frames, torch.from_numpy(numbers), np.unique(groups, return_inverse=True)[1])
    return examples, {"num_frames": len(labels), "dimension": frames.shape[1], "num_classes": len(names)}


def word_examples(utterances: list[Utterance]) -> tuple[Examples, dict]:
    """Rows of CSAI: mean frames of words, their identity, and all of their phonemes in order as context.

    Words: the `MAX_WORDS` most frequent ones, of those that occur `MIN_WORD_COUNT` times or more.
    """
    ids = np.concatenate([utterance.word_ids for utterance in utterances])
    chosen = [word for word, count in Counter(ids.tolist()).most_common(MAX_WORDS) if count >= MIN_WORD_COUNT]
    rows = np.flatnonzero(np.isin(ids, chosen))
    if len(chosen) < 2:
        raise ValueError(f"CSAI needs two words or more that occur {MIN_WORD_COUNT} times or more, got {len(chosen)}.")
    phonemes = [word for utterance in utterances for word in utterance.word_phonemes]
    phonemes = [phonemes[row] for row in rows]
    numbers = {name: number for number, name in enumerate(sorted({p for word in phonemes for p in word}))}
    context = torch.full((len(rows), max(1, max(len(word) for word in phonemes))), -1)
    for row, word in enumerate(phonemes):
        context[row, : len(word)] = torch.tensor([numbers[phoneme] for phoneme in word], dtype=torch.long)
    groups = np.repeat([utterance.group for utterance in utterances], [len(u.word_ids) for u in utterances])[rows]
    frames = torch.cat([utterance.word_frames for utterance in utterances])[torch.from_numpy(rows)]
    labels = torch.from_numpy(np.unique(ids[rows], return_inverse=True)[1])
    examples = Examples(frames, labels, np.unique(groups, return_inverse=True)[1], context)
    facts = {"num_words": len(rows), "dimension": frames.shape[1], "num_classes": len(chosen)}
    return examples, {**facts, "phoneme_positions": context.shape[1], "share_of_words": len(rows) / len(ids)}
