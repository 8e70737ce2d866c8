# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Marks and capitals that a model without them learns from text alone, as an adapter that requests choose.

    python tests/benchmarks/benchmark_text_style.py --data_dir ../shared/data --work_dir runs/text_style
        [--steps 1200] [--rows 100] [--output tests/benchmarks/results/text_style.json]

Novels and Mandarin sentences with their marks are heard through joined frames of recordings (stage `encoded_sft`, data
of `style: written`, `recordings_repeat: 0`); no recording with punctuated text is trained on. Every tenth passage is
kept: its English sentences, spoken by espeak-ng, and real ones of `ljspeech_sample` are transcribed with the adapter
and without, and so are test rows whose references have no marks. Reported are error rates, which leave marks and
capitals out, and how many of those are right. (Of Mandarin there is no speech here whose text has marks, and the
bundled model does not understand espeak-ng's.)
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset

from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline, load_pipeline
from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.section import SynthesisSource, choose_texts
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.data.synthetic_dataset import build_synthetic_dataset
from entropy_asr.trainers.data.text import read_lines, simplify_characters
from entropy_asr.trainers.evaluation.conditions import conditions_of, evaluate_under
from entropy_asr.trainers.runs.records import RECORD


NOVELS = ("pride_and_prejudice.txt", "alice_in_wonderland.txt")
SENTENCES = "zh_tw_cc0_sentences.txt"
# Recordings whose frames text is joined of.
RECORDINGS = ("librispeech_subset", "speechocean762", "aishell_sample")
NAME = "written"
KEPT = 10
LONGEST = {"en": 24, "zh": 20}
WITH_MARKS, WITHOUT_MARKS = "ljspeech_sample", ("librispeech_subset", "aishell_sample")


def passages(path: Path) -> Iterator[str]:
    """Paragraphs of a file whose lines are broken."""
    for paragraph in path.read_text(encoding="utf-8").split("\n\n"):
        if text := " ".join(paragraph.split()):
            yield text


def write_texts(data_dir: Path, work_dir: Path) -> dict[str, dict[str, Path]]:
    """Texts to learn from and texts to test with, of each language."""
    folder = data_dir / "text_lm"
    found = {
        "en": [text for name in NOVELS for text in passages(folder / name)],
        "zh": [simplify_characters(line) for line in read_lines([folder / SENTENCES])],
    }
    files: dict[str, dict[str, Path]] = {}
    for language, texts in found.items():
        parts = {
            "train": [text for index, text in enumerate(texts) if index % KEPT],
            "test": texts[::KEPT],
        }
        files[language] = {split: work_dir / f"{language}_{split}.txt" for split in parts}
        for split, lines in parts.items():
            files[language][split].write_text("\n".join(lines) + "\n", encoding="utf-8")
    return files


def settings(data_dir: Path, work_dir: Path, files: dict[str, dict[str, Path]], steps: int) -> dict[str, Any]:
    """Of the stage."""
    return {
        "output_dir": str(work_dir / "adapter"),
        "data": {
            "train": [{"path": str(data_dir / name)} for name in RECORDINGS],
            "text": [
                {"path": str(paths["train"]), "language": language, "max_units": LONGEST[language], "style": "written"}
                for language, paths in files.items()
            ],
            "phoneme_errors": 0.1,
            "passes": 1,
            "recordings_repeat": 0,
            "max_duration": 16.5,
            "cache_dir": str(work_dir / "cache"),
        },
        "model": {"path": str(default_model())},
        "lora": {"r": 16, "lora_alpha": 32, "target_modules": ".*language_model.*(q|k|v|o|gate|up|down)_proj"},
        "training": {
            "save_adapters": True,
            "max_batch_duration": 200.0,
            "max_batch_size": 72,
            "max_steps": steps,
            "learning_rate": 2.0e-3,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 20,
            "logging_steps": 20,
            "save_steps": 200,
            "save_total_limit": 1,
            "report_to": "none",
        },
    }


def train(given: dict[str, Any], work_dir: Path) -> dict[str, Any]:
    """Run the stage; what its record says of it."""
    config = work_dir / "encoded_sft.yaml"
    config.write_text(yaml.safe_dump(given, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "entropy_asr.trainers.commands.cli", "train", "encoded_sft"]
    subprocess.run([*command, "--config", str(config)], check=True)
    return json.loads(Path(given["output_dir"], RECORD).read_text(encoding="utf-8"))


def test_sets(data_dir: Path, work_dir: Path, files: dict[str, dict[str, Path]], rows: int) -> dict[str, Dataset]:
    """Real sentences, and those of passages that were kept, spoken."""
    source = SynthesisSource(str(files["en"]["test"]), "en", rows, LONGEST["en"], style="written")
    spoken = build_synthetic_dataset(choose_texts(source), "en", work_dir / "spoken", num_proc=2)
    real, *others = (
        load_source(DataSource(str(data_dir / name), "test", max_rows=rows)) for name in (WITH_MARKS, *WITHOUT_MARKS)
    )
    kept = {WITH_MARKS: real, "sentences of kept passages, by espeak-ng": spoken}
    return kept | dict(zip(WITHOUT_MARKS, others, strict=True))


class Chosen:
    """A pipeline whose requests choose an adapter, or none."""

    def __init__(self, pipeline: EntropyASRPipeline, adapter: str | None):
        self.pipeline, self.adapter = pipeline, adapter
        self.model, self.processor = pipeline.model, pipeline.processor

    def __call__(self, *args, **kwargs) -> list[dict[str, Any]]:
        return self.pipeline(*args, adapter=self.adapter, **kwargs)


def measure(pipeline: EntropyASRPipeline, rows: Dataset) -> dict[str, Any]:
    """Figures of a test set, without the adapter and with it."""
    found: dict[str, Any] = {"rows": len(rows)}
    for way, adapter in (("as it is", None), (NAME, NAME)):
        score, result = evaluate_under(Chosen(pipeline, adapter), rows, conditions_of(), description=None)
        found[way] = {"error_rate": result["wer"] if result["cer"] is None else result["cer"]}
        found[way] |= result.get("written", {})
        found[way]["examples"] = score.transcripts[:5]
    return found


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--work_dir", type=Path, required=True, help="for what is made on the way")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--rows", type=int, default=100, help="of a test set")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    shutil.rmtree(args.work_dir / "adapter", ignore_errors=True)
    args.work_dir.mkdir(parents=True, exist_ok=True)
    files = write_texts(args.data_dir, args.work_dir)
    given = settings(args.data_dir, args.work_dir, files, args.steps)
    record = train(given, args.work_dir)
    adapter = Path(given["output_dir"])
    pipeline = load_pipeline(default_model(), device="cpu", adapters={NAME: str(adapter)})
    report = {
        "command": f"python tests/benchmarks/benchmark_text_style.py --steps {args.steps} --rows {args.rows}",
        "training": {name: record[name] for name in ("steps", "seconds", "processor_seconds")},
        "adapter_megabytes": round((adapter / "adapter_model.safetensors").stat().st_size / 1e6, 1),
        "sets": {
            name: measure(pipeline, rows)
            for name, rows in test_sets(args.data_dir, args.work_dir, files, args.rows).items()
        },
    }
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
