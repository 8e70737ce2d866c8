# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The last stage of a recipe: the checkpoint people load, and its accuracy on test sets beside it."""

import json
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from entropy_asr.hub_cards.model_card import write_model_card
from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor
from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH
from entropy_asr.modeling.pipeline_entropy_asr import load_pipeline

from ..data.data_source import DataSource
from ..data.section import DataSection, default_cache_dir
from ..data.sources import load_source
from ..evaluation.conditions import (
    MADE_BABBLE,
    MADE_NON_SPEECH,
    Condition,
    conditions_of,
    evaluate_under,
    evenly_spaced,
)
from ..evaluation.disturbances import made_babble, made_non_speech, samples_of
from ..evaluation.error_rates import RecognitionScore
from ..runs.clock import wall_seconds
from ..runs.processes import process_state
from ..runs.settings import read_sections, typed
from ..runs.stage_records import command_line, read_records, training_history, versions
from ..training.stage_run import StageRun, start_stage


@dataclass
@typed
class ExportSection:
    """Section `export` of this stage.

    Args:
        dtype: Type of the saved weights: "bfloat16", "float16" or "float32".
        name: What the checkpoint is called in its card.
        card: Write the card. Its data sources must be known to `hub_cards/data_sources.yaml`.
        thin: Save what was trained and the ids of the public models that the rest is, see
            [`~thin_checkpoints_entropy_asr`]. Of folders as parts, the stages before must have been saved thin too.
    """

    dtype: str = "bfloat16"
    name: str = "entropy-asr"
    card: bool = False
    thin: bool = False

    def __post_init__(self):
        if self.dtype not in ("bfloat16", "float16", "float32"):
            raise ValueError(f"export: `dtype` {self.dtype!r} is not one of bfloat16, float16, float32.")


@dataclass
class EvaluatedModelSection:
    """Section `model` of this stage.

    Args:
        path: The full model to export and evaluate.
    """

    path: str


@dataclass
@typed
class GenerationSection:
    """Section `generation` of this stage: settings of `generate`; None: the model's own.

    Args:
        num_beams: Width of the beam search.
        max_new_tokens: Longest transcript in tokens.
        length_penalty: Exponent of the length that beams' scores are divided by.
        repetition_penalty: Factor against tokens that were generated already.
    """

    num_beams: int | None = None
    max_new_tokens: int | None = None
    length_penalty: float | None = None
    repetition_penalty: float | None = None


@dataclass
@typed
class EvaluationSection:
    """Section `data` of this stage; nothing is trained on.

    Args:
        eval: Test sets: fields of [`~data_source.DataSource`].
        synthetic_eval: Synthetic test sets: fields of [`~section.SynthesisSource`].
        cache_dir: Where synthetic audio is kept; by default beside what `datasets` keeps (`HF_HOME`).
        num_proc: Number of processes that synthesise.
        batch_size: Utterances transcribed at once.
        guards: Hallucination is measured with the guards "on", "off" or "both"; error rates are with guards unless
            they are off. Off, text still ends at four times what speech of that length has room for, unless
            `generation` says otherwise.
        padded_silence: Seconds of silence at both ends, as a further condition; see [`~conditions.conditions_of`].
        masked: Shares of the audio that are masked, each a further condition.
        snr: Signal-to-noise ratios in dB, each a further condition.
        chunk_ms: Milliseconds of the chunks of a stream, a further condition; 0: none.
        noise: What is added to speech where `snr` wants noise; white noise by default.
        non_speech: Number of made sounds without speech, a test set more; 0: none.
        babble: Number of made sounds of many voices, of all speech in the test sets, a test set more; 0: none.
        max_rows: Largest number of rows of each test set, evenly spaced. None: all.
        max_disturbed_rows: Of these, the largest number that is heard otherwise than as they are, evenly spaced too.
        save_transcripts: Write every transcript, under every condition, to `transcripts.jsonl`.
    """

    eval: list[dict] = field(default_factory=list)
    synthetic_eval: list[dict] = field(default_factory=list)
    cache_dir: str = field(default_factory=default_cache_dir)
    num_proc: int = 1
    batch_size: int = 16
    guards: str | bool = "on"
    padded_silence: float = 0.0
    masked: list[float] = field(default_factory=list)
    snr: list[float] = field(default_factory=list)
    chunk_ms: int = 0
    noise: list[dict] = field(default_factory=list)
    non_speech: int = 0
    babble: int = 0
    max_rows: int | None = None
    max_disturbed_rows: int | None = None
    save_transcripts: bool = False

    def __post_init__(self):
        DataSection(eval=self.eval, synthetic_eval=self.synthetic_eval, noise=self.noise)
        try:
            self.conditions()
        except ValueError as error:
            raise ValueError(f"data: {error}") from error
        for name in ("non_speech", "babble"):
            if getattr(self, name) < 0:
                raise ValueError(f"data: `{name}` is a number of sounds, not {getattr(self, name)}.")
        for name in ("max_rows", "max_disturbed_rows"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"data: `{name}` is a number of rows from 1 on, not {getattr(self, name)}.")
        if self.noise and not self.snr:
            raise ValueError("data: `noise` is added where `snr` says how loud: give that too.")

    def conditions(self) -> list[Condition]:
        """How each test set is transcribed."""
        return conditions_of(self.guards, self.padded_silence, self.masked, self.snr, self.chunk_ms)

    def noises(self) -> list[np.ndarray]:
        """Audio `(num_samples,)` of each row of `noise`."""
        sources = [DataSource(**{"text_column": None, **fields}) for fields in self.noise]
        return [samples_of(row) for source in sources for row in load_source(source)]

    def test_sets(self) -> dict[str, Any]:
        """Rows of each test set by its name."""
        sources = [DataSource(**fields) for fields in self.eval]
        named = [(source.name, evenly_spaced(load_source(source), self.max_rows)) for source in sources]
        for entry in self.synthetic_eval:
            data = DataSection(synthetic_eval=[entry], cache_dir=self.cache_dir, num_proc=self.num_proc)
            rows = data.eval_rows()
            named.append((f"{rows[0]['source']} {rows[0]['language']}", evenly_spaced(rows, self.max_rows)))
        if self.babble:
            spoken = [
                rows.filter(lambda language: language != NON_SPEECH, input_columns="language") for _, rows in named
            ]
            named.append((MADE_BABBLE, made_babble([row for rows in spoken for row in rows], self.babble)))
        if self.non_speech:
            named.append((MADE_NON_SPEECH, made_non_speech(self.non_speech)))
        names = [name for name, _ in named]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"data: several test sets are called {', '.join(repeated)}; give them a `name`.")
        return dict(named)


@dataclass(frozen=True)
class EvaluationStage:
    """A stage that trains nothing; see [`~stage_run.TrainingStage`] for the others.

    Args:
        sections: Dataclass of each section of its settings.
    """

    sections: dict[str, type]

    def read(self, section: dict[str, Any], output_dir: Path, seed: int, *key: str) -> SimpleNamespace:
        """All settings of the stage as dataclasses; as of [`~stage_run.TrainingStage`]."""
        return read_sections(section, self.sections, output_dir, seed, *key)

    def run(self, stage: str, section: dict[str, Any], output_dir: Path, seed: int) -> None:
        """Export a model, evaluate it, describe it; several processes transcribe, and the main one writes."""
        run = StageRun(stage, section, self.read(section, output_dir, seed, stage), output_dir, seed)
        state = process_state()
        start_stage(output_dir, seed)
        if state.is_main_process:
            export_checkpoint(run)
        state.wait_for_everyone()
        results = evaluate(run)
        if state.is_main_process:
            if run.settings.export.card:
                write_model_card(output_dir)
            run.record(results=results)


def export_checkpoint(run: StageRun) -> None:
    """Write the checkpoint that people load."""
    settings, output_dir = run.settings, run.output_dir
    model = EntropyASRForConditionalGeneration.from_pretrained(
        settings.model.path, dtype=getattr(torch, settings.export.dtype)
    )
    model.save_pretrained(output_dir, thin=settings.export.thin)
    EntropyASRProcessor.from_pretrained(settings.model.path).save_pretrained(output_dir)


def evaluate(run: StageRun) -> dict[str, Any]:
    """Results on each test set, in every process; the main one writes `results.json` after each of them."""
    settings, output_dir, writes = run.settings, run.output_dir, process_state().is_main_process
    pipeline = load_pipeline(str(output_dir))
    generation = {name: value for name, value in asdict(settings.generation).items() if value is not None}
    report = describe_checkpoint(settings.export, pipeline, output_dir.parent) | {"generation": generation}
    conditions, noises = settings.data.conditions(), settings.data.noises()
    transcripts = output_dir / "transcripts.jsonl" if settings.data.save_transcripts and writes else None
    if transcripts is not None:
        transcripts.unlink(missing_ok=True)
    for name, rows in settings.data.test_sets().items():
        keep = None if transcripts is None else partial(write_transcripts, transcripts, name)
        score, report["results"][name] = evaluate_under(
            pipeline,
            rows,
            conditions,
            settings.data.batch_size,
            description=name,
            noises=noises,
            keep=keep,
            max_disturbed_rows=settings.data.max_disturbed_rows,
            **generation,
        )
        report["languages"] = sorted({*report["languages"], *score.by_language} - {NON_SPEECH})
        if writes:
            results = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
            (output_dir / "results.json").write_text(results, "utf-8")
    return report["results"]


def write_transcripts(path: Path, dataset: str, condition: Condition, score: RecognitionScore) -> None:
    """Add the transcripts of a test set under a condition to a file, a line each."""
    with path.open("a", encoding="utf-8") as file:
        for transcript in score.transcripts:
            line = {"dataset": dataset, "condition": condition.name, **transcript}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def describe_checkpoint(export: ExportSection, pipeline, runs: Path) -> dict[str, Any]:
    """What `results.json` says besides results: the model, how it was trained (records in `runs`), the command."""
    return {
        "name": export.name,
        "command": command_line(),
        "wall_seconds": wall_seconds(runs),
        "parameters": pipeline.model.num_parameters(),
        "dtype": export.dtype,
        "compute_dtype": str(pipeline.model.dtype).removeprefix("torch."),
        "versions": versions(),
        **training_history(read_records(runs)),
        "languages": [],
        "results": {},
    }


STAGE = EvaluationStage(
    {
        "data": EvaluationSection,
        "model": EvaluatedModelSection,
        "export": ExportSection,
        "generation": GenerationSection,
    }
)
