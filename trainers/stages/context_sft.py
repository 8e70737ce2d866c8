# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stage 5: the model learns what contextual hints are worth (paper, "Stages").

Prompts hold keywords of the transcript and distractors that sound like them, after the speech; long utterances occur
more often. Everything else is as in joint SFT.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

import datasets
import numpy as np
from datasets import Dataset
from torch.utils.data import DataLoader

from entropy_asr.modeling import EntropyASRProcessor

from ..data.collation import TranscriptionCollator
from ..data.keywords import ContextConfig, KeywordChooser, add_keywords, add_words, draw_hints
from ..data.section import DataSection
from ..data.text import contains
from ..runs.settings import typed
from ..training.stage_run import TrainingStage
from .joint_sft import JointSFTConfig, JointSFTTrainer
from .sft import SFTData, build_sft, save_sft, sft_sections, transcription_data


@dataclass
class ContextSFTConfig(JointSFTConfig):
    """Arguments of [`ContextSFTTrainer`]: those of [`~joint_sft.JointSFTConfig`] at a lower rate."""

    learning_rate: float = field(default=1e-6, metadata={"help": "Peak learning rate."})


@dataclass
@typed
class LongUtterances:
    """Section `long_utterances` of this stage: how much more often long ones occur than in the data.

    Args:
        min_duration: Shortest duration, in seconds, that counts as long.
        repeat: How often a long utterance occurs in an epoch; 1: like the others.
    """

    min_duration: float = 10.0
    repeat: int = 2

    def __post_init__(self):
        if self.repeat < 1:
            raise ValueError(f"long_utterances: repeat must be at least 1, got {self.repeat}.")

    def repeated(self, rows: Dataset) -> Dataset:
        """The rows, with their long ones once more for each repetition."""
        long = rows.select(np.flatnonzero(np.asarray(rows["duration"][:]) >= self.min_duration))
        return datasets.concatenate_datasets([rows, *[long] * (self.repeat - 1)])


@dataclass
class ContextCollator(TranscriptionCollator):
    """Prompts with hints: drawn for each row and epoch in training, those of the column `hints` in evaluation.

    Args:
        context: How hints are drawn; rows have the columns of [`~keywords.add_keywords`].
    """

    context: ContextConfig = field(default_factory=ContextConfig)

    def _hints(self, row: dict[str, Any]) -> list[str]:
        if self.generates:
            return row["hints"]
        missing = [name for name in ("keywords", "distractors") if name not in row]
        if missing:
            raise ValueError(
                f"Rows lack {', '.join(missing)}, of which hints are drawn: `keywords.add_keywords` adds them to rows."
            )
        return draw_hints(row, self.context, np.random.default_rng([row["draw"], 2]))


class ContextSFTTrainer(JointSFTTrainer):
    """Trains encoder, adaptor and language model on prompts with hints.

    Rows have the columns of [`~keywords.add_keywords`]; evaluation rows may have `hints` ([`with_hints`]). Evaluation
    adds `keyword_recall`, the share of the keywords in the references that are in the transcripts.
    """

    _tag_names = ["entropy-asr", "context-sft"]

    def __init__(self, model, args: ContextSFTConfig, *, processing_class: EntropyASRProcessor, **kwargs):
        kwargs.setdefault("data_collator", ContextCollator(processing_class.feature_extractor))
        super().__init__(model, args, processing_class=processing_class, **kwargs)

    def get_eval_dataloader(self, eval_dataset=None) -> DataLoader:
        """As in [`~base.SpeechTrainerMixin`]; rows without hints get prompts without."""
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        rows = self.eval_dataset[rows] if isinstance(rows, str) else rows
        return super().get_eval_dataloader(with_context_columns(rows))

    def _score(self, rows: Dataset, hypotheses: list[str]) -> dict[str, float]:
        recall = keyword_recall(hypotheses, rows["keywords"][:], rows["language"][:])
        return super()._score(rows, hypotheses) | ({} if recall is None else {"keyword_recall": recall})


def keyword_recall(hypotheses: list[str], keywords: list[list[str]], languages: list[str]) -> float | None:
    """Share of all keywords that are in their utterance's transcript; None without keywords.

    Example:
        >>> keyword_recall(["call anna marsh", "in boston"], [["anna marsh"], ["austin"]], ["en", "en"])
        0.5
    """
    hits = [
        contains(hypothesis, keyword, language)
        for hypothesis, wanted, language in zip(hypotheses, keywords, languages, strict=True)
        for keyword in wanted
    ]
    return sum(hits) / len(hits) if hits else None


def with_context_columns(rows: Any) -> Any:
    """Rows with columns `hints` and `keywords`, empty where there were none; what is no data set is left as it is.

    Args:
        rows: A data set, or several by their names.
    """
    if isinstance(rows, dict):
        return {name: with_context_columns(part) for name, part in rows.items()}
    if not isinstance(rows, Dataset):
        return rows  # the trainer says what it takes
    missing = [name for name in ("hints", "keywords") if name not in rows.column_names]
    return add_words(rows, **dict.fromkeys(missing, [[]] * len(rows))) if missing else rows


def with_hints(rows: Dataset, kind: str) -> Dataset:
    """Evaluation rows with fixed hints.

    Args:
        rows: Rows of [`~keywords.add_keywords`].
        kind: "none", "right" (the utterance's keywords and its distractors) or "wrong" (its distractors alone).

    Raises:
        ValueError: for another kind.
    """
    names = {"none": (), "right": ("keywords", "distractors"), "wrong": ("distractors",)}
    if kind not in names:
        raise ValueError(f"hints are one of {', '.join(names)}, not {kind!r}.")
    columns = [rows[name][:] for name in names[kind]] or [[[]] * len(rows)]
    hints = [sum(lists, []) for lists in zip(*columns, strict=True)]
    return add_words(rows, hints=hints)


def context_data(settings: SimpleNamespace, processor: EntropyASRProcessor) -> SFTData:
    """Rows with keywords and distractors; the evaluation rows three times: without, with right, with wrong hints."""
    data, num_proc = transcription_data(settings, processor), settings.data.num_proc
    chooser = KeywordChooser(data.train_rows, settings.context, processor.phoneme_tokenizer)
    eval_rows = None
    if data.eval_rows is not None:
        rows = add_keywords(data.eval_rows, chooser, num_proc)
        eval_rows = {f"{kind}_hints": with_hints(rows, kind) for kind in ("none", "right", "wrong")}
    collator = ContextCollator(data.collator.feature_extractor, data.collator.augmenter, context=settings.context)
    train_rows = add_keywords(settings.long_utterances.repeated(data.train_rows), chooser, num_proc)
    return replace(data, train_rows=train_rows, eval_rows=eval_rows, collator=collator)


@dataclass
class ContextDataSection(DataSection):
    """Section `data` of this stage: as of the others, but without streams."""

    no_streams: ClassVar[dict[str, str]] = {
        **DataSection.no_streams,
        "train": "keywords and distractors are chosen among the words of all rows",
    }


STAGE = TrainingStage(
    {
        **sft_sections(ContextSFTConfig),
        "data": ContextDataSection,
        "context": ContextConfig,
        "long_utterances": LongUtterances,
    },
    partial(build_sft, ContextSFTTrainer, prepare_data=context_data),
    save_sft,
)
