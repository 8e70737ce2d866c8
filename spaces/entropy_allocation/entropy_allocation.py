# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NSE, PAI, CSAI and CKA as an `evaluate` metric.

How this differs from other metrics of `evaluate`: frames do not go through Arrow files, which took 5 s for 200
utterances of 250 x 256. `add` and `add_batch` sum up moments and keep a sample of the labelled frames in memory;
several processes are joined with `torch.distributed` (`compute(distributed=True)`) instead of files.
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

import datasets
import evaluate
import numpy as np
import torch

from .moments import FrameMoments
from .probes import FAMILIES, Examples, accessible_information, check_request
from .splits import MIN_GROUPS


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

_INPUTS = f"""
Args:
    predictions: encoder frames: one `(T, D)` NumPy array or torch tensor an utterance, valid frames only.
    references: one phoneme id a frame, `(T,)` integers an utterance; {IGNORED} leaves a frame out. For PAI and CSAI.
    words: `(M, 3)` integers an utterance: first frame, end (exclusive) and word id of each word. Needed for CSAI.
    other_predictions: frames `(T, D2)` of a second encoder at the same moments. Needed for CKA.
    speakers: one name an utterance, for all utterances or for none: {MIN_GROUPS} speakers or more are held apart, none
        of them in both training and test rows of a probe. Without them, or where the largest leave no test set, the
        same holds for utterances; with fewer than {MIN_GROUPS} of these, for rows. `details` say which.
    metrics: those of "nse", "pai", "csai", "cka" to compute; by default all that the inputs allow.
    probes: probe families, "linear" and "mlp"; the first one gives the headline figures.
    num_seeds: random splits of a probe's rows; 2 or more give a standard error.
    control: also measure with shuffled frames.
    distributed: join the frames of all processes of `torch.distributed`'s default group.
Returns:
    Whichever were computed, of `nse`, `cka` and `cka_debiased` (0 to 1), `pai` (nats), `pai_normalized` (PAI / H(P)),
    `csai` and `csai_ceiling` (nats; the words' entropy given their phonemes, which is the most that CSAI can be), and
    `details` with number of frames and dimension, spectrum, results of each probe family (see
    `probes.accessible_information`: among them `split_by` and `standard_error`), seconds.
Raises:
    ValueError: what cannot be used, in words. It costs nothing else: frames added before stay as they were.
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

    name: str
    speaker: str | None
    frames: torch.Tensor  # (N, D)
    labels: np.ndarray  # (N,)
    word_frames: torch.Tensor  # (M, D), means over the words
    word_phonemes: list[tuple[int, ...]]
    word_ids: np.ndarray  # (M,)

    @property
    def rows(self) -> int:
        return len(self.frames) + len(self.word_frames)


@dataclass
class Sample:
    """Utterances for probes: those of the lowest random priorities, as many as there is room for.

    Attributes:
        max_rows: Largest number of rows (frames and words).
        utterances: With their priorities, 0 to 1.
        num_dropped: Utterances there was no room for.
    """

    max_rows: int
    utterances: list[tuple[float, Utterance]] = field(default_factory=list)
    num_dropped: int = 0
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __post_init__(self):
        self._rows = sum(utterance.rows for _, utterance in self.utterances)

    def keep(self, utterance: Utterance) -> None:
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


@dataclass
class Added:
    """All that was added since the last result."""

    sample: Sample
    moments: FrameMoments = field(default_factory=FrameMoments)
    num_utterances: int = 0
    with_speakers: bool | None = None  # None: no labelled utterance yet

    def copy(self) -> "Added":
        """A copy that can be added to."""
        return replace(self, sample=self.sample.copy(), moments=deepcopy(self.moments))

    def joined(self) -> "Added":
        """What all processes of `torch.distributed` added; this one stays as it is."""
        return replace(self, sample=self.sample.joined(), moments=self.moments.all_reduce())


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
        self.reset()

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
        return self._added.num_utterances

    def reset(self) -> None:
        """Forget all that was added."""
        self._added = Added(Sample(self.max_probe_frames))

    def add(self, *, prediction=None, reference=None, words=None, other_prediction=None, speaker=None) -> None:
        """Add one utterance; the arguments are single entries of those of `add_batch`."""
        if prediction is None:
            raise ValueError("`prediction` missing: a (T, D) array of encoder frames.")
        one = {"references": reference, "words": words, "other_predictions": other_prediction, "speakers": speaker}
        self.add_batch(predictions=[prediction], **{k: None if v is None else [v] for k, v in one.items()})

    def add_batch(
        self, *, predictions=None, references=None, words=None, other_predictions=None, speakers=None
    ) -> None:
        """Add utterances: moments are summed up at once, labelled frames are kept (or dropped) for probes.

        All of them are looked at before the first is added.

        Args:
            predictions, references, words, other_predictions, speakers: One entry an utterance; what they are says
                `inputs_description`.

        Raises:
            ValueError: what cannot be used, in words; then none of the utterances was added. They are counted from 0
                on since the last result.
        """
        if predictions is None:
            raise ValueError("`predictions` missing: one (T, D) array of encoder frames for each utterance.")
        if references is None and (words is not None or speakers is not None):
            raise ValueError("`words` and `speakers` are for probes of phonemes: give `references`.")
        first = self._added.num_utterances
        frames = _utterances(predictions, "predictions", 2, first)
        others, labels, spans = (
            _utterances(value, name, ndim, first, len(frames))
            for value, name, ndim in (
                (other_predictions, "other_predictions", 2),
                (references, "references", 1),
                (words, "words", 2),
            )
        )
        names = self._speakers(speakers, len(frames), references is not None)
        parts = [[part for part in pair if part is not None] for pair in zip(frames, others, strict=True)]
        self._check_frames(parts)
        labelled = [
            None if labels[i] is None else _utterance(first + i, names[i], frames[i], labels[i], spans[i])
            for i in range(len(frames))
        ]
        for part, utterance in zip(parts, labelled, strict=True):
            self._added.moments.update(*(x if self.device is None else x.to(self.device) for x in part))
            if utterance is not None:
                self._added.sample.keep(utterance)
                self._added.with_speakers = utterance.speaker is not None
            self._added.num_utterances += 1

    def _speakers(self, speakers, expected: int, labelled: bool) -> list[str | None]:
        """Name of the speaker of each utterance; Nones where there are none."""
        if speakers is not None and (isinstance(speakers, str) or not isinstance(speakers, Iterable)):
            raise ValueError(f"`speakers` must be a list of names, one an utterance, got {speakers!r}.")
        names = [None] * expected if speakers is None else list(speakers)
        if len(names) != expected:
            raise ValueError(f"`speakers` has {len(names)} entries for {expected} utterances.")
        unknown = sum(name is None for name in names)
        earlier = self._added.with_speakers
        if labelled and names and (0 < unknown < expected or earlier not in (None, not unknown)):
            raise ValueError("`speakers` must be given for all utterances or for none.")
        return [None if name is None else str(name) for name in names]

    def _check_frames(self, parts: list[list[torch.Tensor]]) -> None:
        widths = None
        for number, part in enumerate(parts, self._added.num_utterances):
            try:
                widths = self._added.moments.check(*part, widths=widths)
            except ValueError as error:
                raise ValueError(f"Utterance {number}: {error}") from error

    def compute(
        self,
        *,
        predictions=None,
        references=None,
        words=None,
        other_predictions=None,
        speakers=None,
        metrics: Sequence[str] | None = None,
        probes: Sequence[str] = FAMILIES,
        num_seeds: int = 3,
        control: bool = True,
        distributed: bool = False,
    ) -> dict:
        """Compute the metrics of all frames added, and forget them.

        After an error all is as it was before: what was added stays, and frames given here are not among it.
        """
        metrics = _check_metrics(metrics)
        probes, num_seeds = check_request(probes, num_seeds)
        for name, flag in {"control": control, "distributed": distributed}.items():
            if not isinstance(flag, (bool, np.bool_)):
                raise ValueError(f"`{name}` must be True or False, got {flag!r}.")
        inputs = {"references": references, "words": words, "speakers": speakers}
        inputs["other_predictions"] = other_predictions
        earlier = self._added
        if predictions is not None:
            # What a failure must not touch is copied, if there is any.
            self._added = earlier.copy() if len(self) else Added(Sample(self.max_probe_frames))
        try:
            if predictions is not None:
                self.add_batch(predictions=predictions, **inputs)
            elif unused := [name for name, value in inputs.items() if value is not None]:
                raise ValueError(f"Unexpected without `predictions`: {', '.join(unused)}.")
            added = self._added.joined() if distributed else self._added
            result = self._compute(added, metrics, probes, num_seeds, control)
        except BaseException:
            self._added = earlier
            raise
        self.reset()
        return result

    def _compute(self, added: Added, metrics, probes: list[str], num_seeds: int, control: bool) -> dict:
        asked = _asked(metrics, added)
        result, details = {}, {}
        if "nse" in asked:
            result["nse"], details["nse"] = _nse(added.moments)
        if "cka" in asked:
            result |= {"cka": added.moments.cka(), "cka_debiased": added.moments.cka_debiased()}
            details["cka"] = {"num_frames": added.moments.count, "dimensions": list(added.moments.widths)}
        utterances = [utterance for _, utterance in added.sample.utterances]
        for name, build in (("pai", frame_examples), ("csai", word_examples)):
            if name not in asked:
                continue
            try:
                examples, facts = build(utterances)
            except ValueError as error:
                if metrics is not None:
                    raise
                details[name] = {"left_out": str(error)}
                continue
            found = accessible_information(examples.to(self.device), probes, num_seeds, control)
            facts |= {"num_seeds": num_seeds, "dropped_utterances": added.sample.num_dropped}
            details[name] = facts | found
            result |= _headline(name, found[probes[0]])
        return {**result, "details": details}


def _check_metrics(metrics: Sequence[str] | None) -> list[str] | None:
    if metrics is None:
        return None
    named = [metrics] if isinstance(metrics, str) else list(metrics)
    if unknown := sorted({str(name) for name in named} - set(METRICS)):
        raise ValueError(f"Unknown metrics {', '.join(unknown)}: there are {', '.join(METRICS)}.")
    if isinstance(metrics, str) or not named:
        raise ValueError(f"`metrics` must be a list of {', '.join(METRICS)}, got {metrics!r}.")
    return named


def _asked(metrics: list[str] | None, added: Added) -> list[str]:
    """The metrics to compute: those asked for, or all that the inputs allow."""
    if not added.moments.count:
        raise ValueError("No frames were added: call `add_batch` or give `predictions`.")
    possible = {
        "nse": True,
        "cka": len(added.moments.widths) == 2,
        "pai": bool(added.sample.utterances),
        "csai": any(len(utterance.word_ids) for _, utterance in added.sample.utterances),
    }
    if metrics is None:
        return [name for name in METRICS if possible[name]]
    needed = {"cka": "other_predictions", "pai": "references", "csai": "references and words"}
    for name in metrics:
        if not possible[name]:
            raise ValueError(f"`{name}` needs {needed[name]}, which were not given.")
    return metrics


def _headline(name: str, found: dict) -> dict[str, float]:
    """Figures of the first family: PAI and its share of the phonemes' entropy; CSAI and the most that it can be."""
    information, entropy = found["information"], found["entropy"]
    if name == "pai":
        return {"pai": information, "pai_normalized": information / entropy if entropy > 0 else 0.0}
    return {"csai": information, "csai_ceiling": entropy}


def _utterances(value, name: str, ndim: int, first: int, expected: int | None = None) -> list:
    """Tensors of `ndim` dimensions, one an utterance, counted from `first` on; Nones where nothing was given."""
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
            raise ValueError(f"`{name}` of utterance {first + index} must have {ndim} dimensions, not {tensor.ndim}.")
    if expected is not None and len(tensors) != expected:
        raise ValueError(f"`{name}` has {len(tensors)} entries for {expected} utterances.")
    return tensors


def _utterance(
    number: int, speaker: str | None, frames: torch.Tensor, labels: torch.Tensor, words: torch.Tensor | None
) -> Utterance:
    """The part of an utterance that probes need."""
    if len(labels) != len(frames) or not _integers(labels):
        raise ValueError(
            f"Utterance {number}: {len(frames)} frames need as many integer labels, got {len(labels)} {labels.dtype}."
        )
    frames, labels = frames.detach().float().cpu(), labels.cpu().numpy()
    words = _word_spans(number, words, len(frames))
    means = [frames[start:end].mean(0) for start, end, _ in words]
    kept = labels != IGNORED
    return Utterance(
        name=f"utterance {number}",
        speaker=speaker,
        frames=frames[torch.from_numpy(kept)],
        labels=labels[kept],
        word_frames=torch.stack(means) if means else frames.new_zeros(0, frames.shape[1]),
        word_phonemes=[_runs(labels[start:end]) for start, end, _ in words],
        word_ids=words[:, 2],
    )


def _word_spans(number: int, words: torch.Tensor | None, num_frames: int) -> np.ndarray:
    """Words of one frame or more, `(M, 3)`."""
    if words is None or not len(words):
        return np.zeros((0, 3), int)
    if not _integers(words) or words.shape[1] != 3:
        raise ValueError(
            f"Utterance {number}: words must be integers (start, end, id), got {words.dtype} {tuple(words.shape)}."
        )
    words = words.cpu().numpy()
    starts, ends = words[:, 0], words[:, 1]
    if (starts < 0).any() or (ends < starts).any() or (ends > num_frames).any():
        raise ValueError(f"Utterance {number}: words must be (start, end, id) inside its {num_frames} frames.")
    return words[ends > starts]


def _integers(tensor: torch.Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


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
    names, numbers = np.unique(labels, return_inverse=True)
    frames = torch.cat([utterance.frames for utterance in utterances])
    examples = Examples(frames, torch.from_numpy(numbers), **_groups(utterances, [len(u.labels) for u in utterances]))
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
    groups = _groups(utterances, [len(utterance.word_ids) for utterance in utterances], rows)
    frames = torch.cat([utterance.word_frames for utterance in utterances])[torch.from_numpy(rows)]
    labels = torch.from_numpy(np.unique(ids[rows], return_inverse=True)[1])
    examples = Examples(frames, labels, context=context, **groups)
    facts = {"num_words": len(rows), "dimension": frames.shape[1], "num_classes": len(chosen)}
    return examples, {**facts, "phoneme_positions": context.shape[1], "share_of_words": len(rows) / len(ids)}


def _groups(utterances: list[Utterance], counts: list[int], chosen: np.ndarray | slice = slice(None)) -> dict:
    """Arguments of `Examples`: what belongs together among the chosen rows, of which an utterance has so many."""

    def numbers(names: Iterable[str]) -> np.ndarray:
        return np.unique(np.repeat(list(names), counts)[chosen], return_inverse=True)[1]

    own = numbers(utterance.name for utterance in utterances)
    if any(utterance.speaker is None for utterance in utterances):
        return {"groups": own, "group_name": "utterance"}
    speakers = numbers(utterance.speaker for utterance in utterances)
    return {"groups": speakers, "group_name": "speaker", "utterances": own}
