# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What every stage does around its trainer: reads its settings strictly, prepares rows, trains, resumes, records."""

import difflib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from .augmentation import AugmentationConfig, SpeechAugmenter
from .sources import DataSource, load_sources


RECORD = "stage.json"


@dataclass
class SynthesisSource:
    """Speech that espeak-ng synthesises from text; see [`~synthesis.build_synthetic_dataset`].

    Args:
        texts: Text files, one sentence a line, or "built-in:train" / "built-in:test" for the shipped sentences.
        language: "en" or "zh".
        num_texts: Number of sentences, drawn with `seed` among those short enough.
        max_units: Longest sentence in words ("en") or characters ("zh"); longer lines are cut into pieces of this.
        voices_per_text: Number of voices that speak each sentence.
        seed: Seed of the choice of sentences and voices.
        name: What the `source` column says.
        repeat: How often each row occurs in an epoch.
    """

    texts: str | list[str]
    language: str
    num_texts: int
    max_units: int = 12
    voices_per_text: int = 1
    seed: int = 0
    name: str = "espeak-ng"
    repeat: int = 1


@dataclass
class DataSection:
    """Section `data` of a stage: rows to train on, rows to evaluate on, noise for augmentation.

    Args:
        train: Fields of [`~sources.DataSource`], one entry a source.
        eval: The same for the evaluation rows. None: no evaluation during training.
        synthetic: Fields of [`SynthesisSource`]; trained on besides `train`.
        synthetic_eval: The same for the evaluation rows.
        noise: Fields of [`~sources.DataSource`] for noise that is mixed into speech.
        max_duration: Longest utterance trained on, in seconds.
        cache_dir: Where decoded and synthetic audio is kept.
        num_proc: Number of processes that decode and synthesise.
    """

    train: list[dict] = field(default_factory=list)
    eval: list[dict] = field(default_factory=list)
    synthetic: list[dict] = field(default_factory=list)
    synthetic_eval: list[dict] = field(default_factory=list)
    noise: list[dict] = field(default_factory=list)
    max_duration: float | None = None
    cache_dir: str = "cache"
    num_proc: int = 1

    def train_rows(self) -> datasets.Dataset:
        """All rows to train on, decoded."""
        rows = self._rows(self.train, self.synthetic)
        if rows is None:
            raise ValueError("data: no rows to train on; give `train` or `synthetic`.")
        if self.max_duration is not None:
            rows = rows.filter(lambda duration: duration <= self.max_duration, input_columns="duration")
        return rows

    def eval_rows(self) -> datasets.Dataset | None:
        """All rows to evaluate on, decoded; None where the section names none."""
        return self._rows(self.eval, self.synthetic_eval)

    def augmenter(self, config: AugmentationConfig) -> SpeechAugmenter:
        """The augmenter of this section's noise."""
        return SpeechAugmenter(config, self._rows(self.noise, []))

    def _rows(self, sources: list[dict], synthetic: list[dict]) -> datasets.Dataset | None:
        parts = []
        if sources:
            parsed = [from_mapping(DataSource, source, "data source") for source in sources]
            parts.append(load_sources(parsed, decode_dir=self.cache_dir, num_proc=self.num_proc))
        for entry in synthetic:
            parts.append(self._synthesize(from_mapping(SynthesisSource, entry, "synthetic source")))
        return datasets.concatenate_datasets(parts) if parts else None

    def _synthesize(self, source: SynthesisSource) -> datasets.Dataset:
        from .synthesis import build_synthetic_dataset  # needs the extra g2p

        texts = choose_texts(source)
        name = f"synthetic-{source.language}-{fingerprint([vars(source), texts])[:16]}"
        rows = build_synthetic_dataset(
            texts,
            [source.language] * len(texts),
            os.path.join(self.cache_dir, name),
            seed=source.seed,
            voices_per_text=source.voices_per_text,
            num_proc=self.num_proc,
        )
        rows = rows.remove_columns("source").add_column("source", [source.name] * len(rows))
        shared = rows.select_columns(["text", "language", "duration", "source", "samples"])
        return datasets.concatenate_datasets([shared] * source.repeat)


def choose_texts(source: SynthesisSource) -> list[str]:
    """Sentences of a synthetic source: its built-in ones, or pieces of its files' lines, drawn with its seed."""
    from .synthesis import synthetic_sentences
    from .text import cut_text, read_lines

    if isinstance(source.texts, str) and source.texts.startswith("built-in:"):
        split = source.texts.removeprefix("built-in:")
        return synthetic_sentences(source.language, source.num_texts, split, source.seed)
    files = [source.texts] if isinstance(source.texts, str) else source.texts
    pieces = [
        piece for line in read_lines(files) for piece in cut_text(line, source.language, source.max_units, source.seed)
    ]
    pieces = sorted(set(pieces))
    if len(pieces) < source.num_texts:
        raise ValueError(f"{files}: {len(pieces)} different pieces of text, {source.num_texts} are asked for.")
    order = torch.randperm(len(pieces), generator=torch.Generator().manual_seed(source.seed))
    return [pieces[index] for index in order[: source.num_texts].tolist()]


def from_mapping(cls: type, values: dict[str, Any], where: str):
    """Dataclass from a mapping of a YAML file.

    Raises:
        ValueError: for a key the dataclass lacks, or a needed one that is missing; names both and the place.
    """
    known = {item.name for item in fields(cls) if item.init}
    unknown = sorted(set(values) - known)
    if unknown:
        near = sorted({match for key in unknown for match in difflib.get_close_matches(key, known)})
        raise ValueError(f"{where}: unknown {unknown}; did you mean {near or sorted(known)}?")
    needed = [f.name for f in fields(cls) if f.init and f.default is MISSING and f.default_factory is MISSING]
    missing = sorted(set(needed) - set(values))
    if missing:
        raise ValueError(f"{where}: {missing} missing.")
    return cls(**values)


def check_sections(section: dict[str, Any], known: Sequence[str], where: str) -> None:
    """Refuse a stage section that a stage does not have."""
    unknown = sorted(set(section) - set(known))
    if unknown:
        raise ValueError(f"{where}: unknown {unknown}; known are {sorted(known)}.")


def training_arguments(cls: type, section: dict[str, Any], output_dir: Path) -> TrainingArguments:
    """Arguments of a stage's trainer; checkpoints go to `checkpoints` inside its folder."""
    values = dict(section.get("training", {}))
    for name in ("output_dir", "do_train", "do_eval"):
        if name in values:
            raise ValueError(f"training: `{name}` is set by the stage itself; leave it out.")
    return from_mapping(cls, {**values, "output_dir": str(output_dir / "checkpoints")}, "training")


def fingerprint(value: Any) -> str:
    """Hash of a JSON-serialisable value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def finished(output_dir: Path, section: dict[str, Any]) -> bool:
    """Whether this stage ended here with these very settings.

    Raises:
        ValueError: it ended here with other settings; nothing is overwritten.
    """
    path = output_dir / RECORD
    if not path.exists():
        return False
    record = json.loads(path.read_text())
    if record["settings"] != json.loads(json.dumps(section)):
        raise ValueError(
            f"{output_dir} holds a stage finished with other settings. Remove the folder or choose another output_dir."
        )
    return True


class WallClock(TrainerCallback):
    """Adds up the training time of all runs of a stage, also of those that were killed, in `clock.json`."""

    def __init__(self, path: Path):
        self.path = path
        self.before = json.loads(path.read_text())["seconds"] if path.exists() else 0.0
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds so far, earlier runs included."""
        return self.before + time.perf_counter() - self.start

    def on_log(self, args, state, control, **kwargs) -> None:
        if state.is_world_process_zero:
            self.path.write_text(json.dumps({"seconds": self.seconds}))


def run_trainer(trainer: Trainer, output_dir: Path) -> dict[str, Any]:
    """Train to the end, from the last checkpoint where there is one; returns what the stage's record says of it."""
    clock = WallClock(output_dir / "clock.json")
    trainer.add_callback(clock)
    checkpoints = trainer.args.output_dir
    last = get_last_checkpoint(checkpoints) if os.path.isdir(checkpoints) else None
    trainer.train(resume_from_checkpoint=last)
    return {
        "seconds": round(clock.seconds, 1),
        "steps": trainer.state.global_step,
        "history": trainer.state.log_history,
    }


def write_record(output_dir: Path, stage: str, section: dict[str, Any], results: dict[str, Any]) -> None:
    """Write the file that says the stage is finished: last of all, and by a rename."""
    record = {"stage": stage, "settings": section, **results, "versions": {"torch": torch.__version__}}
    temporary = output_dir / f"{RECORD}.tmp"
    temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    temporary.rename(output_dir / RECORD)


def start_stage(output_dir: Path, seed: int) -> None:
    """Make the stage's folder and seed what builds its model."""
    output_dir.mkdir(parents=True, exist_ok=True)
    set_seed(seed)
