# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Section `data` of a stage: what it trains on and evaluates on."""

import os
from dataclasses import dataclass, field
from typing import ClassVar

import datasets
import numpy as np
import torch

from entropy_asr.modeling.languages_entropy_asr import language_code

from ..runs.disk import named_disk_errors
from ..runs.records import json_sha256
from ..runs.settings import SettingsError, checked, typed
from .augmentation import AugmentationConfig, SpeechAugmenter
from .data_source import DataSource
from .sources import load_sources, within_durations
from .speech_engines import check_engine, named_voices, speech_engine
from .streamed_rows import is_stream
from .synthetic_dataset import build_synthetic_dataset
from .text import TRANSCRIPT, check_style, cut_text, read_lines, simplify_characters


# Where sentences come from that are shipped: "built-in:train".
BUILT_IN = "built-in:"


def default_cache_dir() -> str:
    """Where audio is kept where a stage does not say: in the user's cache, never in the current folder."""
    return os.path.join(datasets.config.HF_DATASETS_CACHE, "entropy_asr")


@dataclass
@typed
class SynthesisSource:
    """Speech that is synthesised from text; see [`~synthetic_dataset.build_synthetic_dataset`].

    Args:
        texts: Text files, one sentence a line, or "built-in:train" / "built-in:test" for the shipped sentences.
        language: In any usual form.
        num_texts: Number of sentences, drawn with `seed` among those short enough.
        max_units: Longest sentence in words, or characters where errors are counted in those. Longer lines are cut:
            at words, or else at punctuation, and what is longer still is left out.
        voices_per_text: Number of voices that speak each sentence.
        seed: Seed of the choice of sentences and voices.
        name: What the `source` column says. None: the engine's name.
        repeat: How often each row occurs in an epoch.
        engine: What speaks: "espeak-ng" (extra g2p), or "kokoro" (extra kokoro), a neural one that sounds like people
            and takes half of a core's time for a second of speech.
        weights: Of Kokoro: a folder or an id on the Hub, such as "onnx-community/Kokoro-82M-v1.0-ONNX"; see
            [`~kokoro`] for the files that are read.
        voices: Names of the engine's voices to choose from. None: all of the language.
        simplify: Write traditional Chinese characters as simplified ones, before anything else.
        style: How the sentences of files are written: "transcript" or "written", see [`~text.cut_text`].
    """

    texts: str | list[str]
    language: str
    num_texts: int
    max_units: int = 12
    voices_per_text: int = 1
    seed: int = 0
    name: str | None = None
    repeat: int = 1
    engine: str = "espeak-ng"
    weights: str | None = None
    voices: list[str] | None = None
    simplify: bool = False
    style: str = TRANSCRIPT

    def __post_init__(self):
        self.language = language_code(self.language)
        check_style(self.style)
        check_engine(self.engine, self.weights)
        if self.style != TRANSCRIPT and self.is_built_in:
            raise ValueError(f"style {self.style!r}: built-in sentences are written as transcripts; give files.")
        self.name = self.name or self.engine

    @property
    def is_built_in(self) -> bool:
        """Whether its sentences are the shipped ones."""
        return isinstance(self.texts, str) and self.texts.startswith(BUILT_IN)


@dataclass
@typed
class DataSection:
    """Section `data` of a stage: rows to train on, rows to evaluate on, noise for augmentation.

    Args:
        train: Fields of [`~data_source.DataSource`], one entry a source; either all are streamed or none.
        eval: The same for the evaluation rows. None: no evaluation during training.
        synthetic: Fields of [`SynthesisSource`]; trained on besides `train`.
        synthetic_eval: The same for the evaluation rows.
        noise: Fields of [`~data_source.DataSource`] for noise that is mixed into speech: a data set or a folder of
            audio files, without transcripts.
        max_duration: Longest utterance trained on, in seconds.
        bad_rows: `bad_rows` of all sources that do not say their own: "refuse", "skip", or None.
        decode_ahead: Decode all audio once, to 115 MB an hour. False, and always for streamed rows: decode in the data
            loader's workers, each time.
        cache_dir: Where decoded and synthetic audio is kept; by default beside what `datasets` keeps (`HF_HOME`).
        num_proc: Number of processes that decode, synthesise, spell phonemes and choose keywords.
    """

    train: list[dict] = field(default_factory=list)
    eval: list[dict] = field(default_factory=list)
    synthetic: list[dict] = field(default_factory=list)
    synthetic_eval: list[dict] = field(default_factory=list)
    noise: list[dict] = field(default_factory=list)
    max_duration: float | None = None
    bad_rows: str | None = None
    decode_ahead: bool = True
    cache_dir: str = field(default_factory=default_cache_dir)
    num_proc: int = 1

    # Why rows cannot be streamed; a stage that needs all rows to train on says so too, under "train".
    no_streams: ClassVar[dict[str, str]] = {
        "eval": "metrics are those of all rows",
        "noise": "each clip is drawn from all rows",
    }

    def __post_init__(self):
        if self.num_proc < 1:
            raise SettingsError(f"data: num_proc must be at least 1, got {self.num_proc}.", ("data", "num_proc"))
        if self.max_duration is not None and self.max_duration <= 0:
            problem = f"data: max_duration must be None or positive, got {self.max_duration}."
            raise SettingsError(problem, ("data", "max_duration"))
        if not self.decode_ahead and (self.synthetic or self.synthetic_eval):
            raise ValueError(
                "data: synthetic speech is decoded; leave decode_ahead true, or train on recordings only."
            )
        # All of them before any is loaded: loading takes minutes.
        for name in ("train", "eval", "noise"):
            self._check_sources(name, DataSource)
            for index, source in enumerate(getattr(self, name)):
                if source.get("streaming") and name in self.no_streams:
                    raise SettingsError(
                        f"data.{name}: {source['path']}: {self.no_streams[name]}, which a stream does not give; leave "
                        "`streaming` out.",
                        ("data", name, index, "streaming"),
                    )
            if self.bad_rows is not None:
                setattr(self, name, [{"bad_rows": self.bad_rows, **source} for source in getattr(self, name)])
                self._check_sources(name, DataSource)
        for name in ("synthetic", "synthetic_eval"):
            self._check_sources(name, SynthesisSource)
        loaded = [source["path"] for source in self.train if not source.get("streaming")]
        loaded += [f"synthetic speech in {source['language']!r}" for source in self.synthetic]
        if loaded and len(loaded) < len(self.train) + len(self.synthetic):
            raise ValueError(
                f"data: streamed and loaded rows cannot be mixed: {', '.join(loaded)} would be loaded; stream all or "
                "none."
            )

    def _check_sources(self, name: str, cls: type) -> None:
        sources = getattr(self, name)
        setattr(self, name, [checked(cls, source, "data", name, index) for index, source in enumerate(sources)])

    def train_rows(self) -> datasets.Dataset | datasets.IterableDataset:
        """All rows to train on, decoded; streamed ones are not."""
        rows = self._rows(self.train, self.synthetic)
        if rows is None:
            raise SettingsError("data: no rows to train on; give `train` or `synthetic`.")
        if is_stream(rows):
            return rows if self.max_duration is None else within_durations(rows, 0.0, self.max_duration)
        if self.max_duration is not None:
            rows = rows.select(np.flatnonzero(np.asarray(rows["duration"][:]) <= self.max_duration))
        if not len(rows):
            raise SettingsError(f"data: no row is at most max_duration={self.max_duration} s long.")
        return rows

    def eval_rows(self) -> datasets.Dataset | None:
        """All rows to evaluate on, decoded; None where the section names none."""
        return self._rows(self.eval, self.synthetic_eval)

    def augmenter(self, config: AugmentationConfig) -> SpeechAugmenter:
        """The augmenter of this section's noise."""
        noise = [{"text_column": None, **source} for source in self.noise]
        with named_disk_errors(self.cache_dir, others_are_written=True):
            rows = load_sources(noise, decode_dir=self.cache_dir, num_proc=self.num_proc) if noise else None
        return SpeechAugmenter(config, rows)

    def _rows(self, sources: list[dict], synthetic: list[dict]) -> datasets.Dataset | datasets.IterableDataset | None:
        if any(source.get("streaming") for source in sources):
            return load_sources(sources)
        parts = []
        with named_disk_errors(self.cache_dir, others_are_written=True):
            if sources:
                decode_dir = self.cache_dir if self.decode_ahead else None
                parts.append(load_sources(sources, decode_dir=decode_dir, num_proc=self.num_proc))
            parts += [self._synthesize(SynthesisSource(**entry)) for entry in synthetic]
        return datasets.concatenate_datasets(parts) if parts else None

    def _synthesize(self, source: SynthesisSource) -> datasets.Dataset:
        texts = choose_texts(source)
        engine = speech_engine(source.engine, source.weights)
        voices = named_voices(engine, source.language, source.voices)
        # What the rows are called and how often they occur makes no other audio.
        key = [source.engine, engine.key(voices), [voice.name for voice in voices], texts]
        key += [source.language, source.seed, source.voices_per_text]
        rows = build_synthetic_dataset(
            texts,
            [source.language] * len(texts),
            os.path.join(self.cache_dir, f"synthetic-{source.language}-{json_sha256(key)[:16]}"),
            seed=source.seed,
            voices_per_text=source.voices_per_text,
            voices=voices,
            num_proc=self.num_proc,
            engine=engine,
        )
        rows = rows.remove_columns("source").add_column("source", [source.name] * len(rows))
        shared = rows.select_columns(["text", "language", "duration", "source", "samples"])
        return datasets.concatenate_datasets([shared] * source.repeat)


def check_noise(data: DataSection, augmentation: AugmentationConfig) -> None:
    """Refuse noise that would be loaded and never heard.

    Raises:
        SettingsError: there is noise, and no row gets any.
    """
    if data.noise and not augmentation.noise_probability:
        raise SettingsError(
            "`noise` is mixed into the share of rows that `augmentation.noise_probability` says, and that is 0: give "
            "that too, or leave `noise` out.",
            ("data", "noise"),
        )


def choose_texts(source: SynthesisSource) -> list[str]:
    """Sentences of a synthetic source: its built-in ones, or pieces of its files' lines, drawn with its seed."""
    from .synthetic_sentences import synthetic_sentences

    if source.is_built_in:
        split = source.texts.removeprefix(BUILT_IN)
        return synthetic_sentences(source.language, source.num_texts, split, source.seed)
    files = [source.texts] if isinstance(source.texts, str) else source.texts
    lines = read_lines(files)
    if source.simplify:
        lines = map(simplify_characters, lines)
    how = (source.language, source.max_units, source.seed, source.style)
    pieces = sorted({piece for line in lines for piece in cut_text(line, *how)})
    if len(pieces) < source.num_texts:
        raise SettingsError(f"{files}: {len(pieces)} different pieces of text, {source.num_texts} are asked for.")
    order = torch.randperm(len(pieces), generator=torch.Generator().manual_seed(source.seed))
    return [pieces[index] for index in order[: source.num_texts].tolist()]
