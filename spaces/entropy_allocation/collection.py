# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""All that was added to the metric since its last result: summaries, moments and a sample, as far as wanted."""

from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np

from .frame_examples import LabelledUtterance, Sample
from .inputs import UtteranceInput
from .moments import FrameMoments
from .summaries import Summary, check_alike, joined, shape_of, summarize, total


@dataclass
class Collection:
    """What was added.

    Attributes:
        wanted: Metrics that may be asked for; nothing is kept for others.
        sample: Labelled utterances for probes.
        summaries: For the paper's metrics.
        moments: For frame_nse and cka.
        num_utterances: Number of utterances.
        widths: Of the frames of one encoder or two; None before the first.
        with_speakers: Whether labelled utterances have speakers; None before the first.
        with_recognized: Whether they have recognised phonemes.
    """

    wanted: frozenset[str]
    sample: Sample
    summaries: list[Summary] = field(default_factory=list)
    moments: FrameMoments = field(default_factory=FrameMoments)
    num_utterances: int = 0
    widths: tuple[int, ...] | None = None
    with_speakers: bool | None = None
    with_recognized: bool | None = None

    def copy(self) -> "Collection":
        """A copy that can be added to."""
        return replace(self, sample=self.sample.copy(), summaries=list(self.summaries), moments=deepcopy(self.moments))

    def joined(self) -> "Collection":
        """What all processes of `torch.distributed` added; this one stays as it is."""
        return replace(
            self,
            num_utterances=total(self.num_utterances),
            sample=self.sample.joined() if self.keeps_sample else self.sample,
            summaries=joined(self.summaries) if self.keeps_summaries else [],
            moments=self.moments.all_reduce() if self.keeps_moments else self.moments,
        )

    @property
    def keeps_summaries(self) -> bool:
        """Whether one of the paper's metrics may be asked for."""
        return bool(self.wanted & {"nse", "pai", "csai", "text_cka"})

    @property
    def keeps_moments(self) -> bool:
        """Whether frame_nse or cka may be asked for."""
        return bool(self.wanted & {"frame_nse", "cka"})

    @property
    def keeps_sample(self) -> bool:
        """Whether a probe may be asked for."""
        return bool(self.wanted & {"frame_pai", "frame_csai"})

    def check(self, utterances: list[UtteranceInput]) -> None:
        """Whether these can be added; adds nothing.

        Raises:
            ValueError: what does not fit, and the utterance.
        """
        widths, shape, labelled = self.widths, shape_of(self.summaries[0]) if self.summaries else None, None
        for utterance in utterances:
            parts = [part for part in (utterance.frames, utterance.other) if part is not None]
            try:
                widths = self.moments.check(*parts, widths=widths)
            except ValueError as error:
                raise ValueError(f"Utterance {utterance.number}: {error}") from error
            if self.keeps_summaries:
                shape = shape or shape_of(utterance)
                check_alike(shape_of(utterance), shape, utterance.number)
            if utterance.labels is not None:
                labelled = utterance
        if labelled is not None:
            for name, has, earlier in (
                ("speakers", labelled.speaker is not None, self.with_speakers),
                ("recognized_phonemes", labelled.recognized is not None, self.with_recognized),
            ):
                if earlier not in (None, has):
                    raise ValueError(f"`{name}` must be given for all utterances or for none.")

    def add(self, utterance: UtteranceInput, device: str | None) -> None:
        """Add an utterance that was checked; its frames are not kept, but for a probe's sample."""
        self.num_utterances += 1
        self.widths = tuple(part.shape[1] for part in (utterance.frames, utterance.other) if part is not None)
        if device is not None:
            moved = {"frames": utterance.frames.to(device)}
            utterance = replace(
                utterance, **moved, other=None if utterance.other is None else utterance.other.to(device)
            )
        if self.keeps_moments:
            self.moments.update(*(part for part in (utterance.frames, utterance.other) if part is not None))
        if self.keeps_summaries:
            self.summaries.append(summarize(utterance, "nse" in self.wanted))
        if utterance.labels is not None:
            self.with_speakers = utterance.speaker is not None
            self.with_recognized = utterance.recognized is not None
            if self.keeps_sample:
                self.sample.keep(LabelledUtterance.of(utterance))

    def with_semantics(self, rows: list[np.ndarray]) -> "Collection":
        """The same with an embedding `(dimension,)` of each transcript."""
        summaries = [replace(item, semantics=row) for item, row in zip(self.summaries, rows, strict=True)]
        return replace(self, summaries=summaries)
