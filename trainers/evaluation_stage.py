# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The last stage of a recipe: the checkpoint people load, and its accuracy on test sets beside it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor
from entropy_asr.modeling.pipeline_entropy_asr import load_pipeline

from .evaluation import evaluate_recognition
from .sources import DataSource, load_source
from .stage import DataSection, check_sections, from_mapping, start_stage, write_record


SECTIONS = ("data", "model", "export", "generation")


@dataclass
class ExportSection:
    """Section `export` of this stage.

    Args:
        dtype: Type of the saved weights: "bfloat16", "float16" or "float32".
    """

    dtype: str = "bfloat16"

    def __post_init__(self):
        if self.dtype not in ("bfloat16", "float16", "float32"):
            raise ValueError(f"export: `dtype` {self.dtype!r} is not one of bfloat16, float16, float32.")


@dataclass
class EvaluationSection(DataSection):
    """Section `data` of this stage: `eval` and `synthetic_eval` name the test sets; the other fields stay unused.

    Args:
        batch_size: Utterances transcribed at once.
    """

    batch_size: int = 16

    def test_sets(self) -> dict[str, Any]:
        """Rows of each test set by its name."""
        sets = {}
        for fields in self.eval:
            source = from_mapping(DataSource, fields, "data source")
            sets[source.name] = load_source(source)
        for rows in (self._rows([], [entry]) for entry in self.synthetic_eval):
            sets[f"{rows[0]['source']} {rows[0]['language']}"] = rows
        return sets


def run(section: dict[str, Any], output_dir: Path, seed: int) -> None:
    """Run this stage from its settings; see [`~recipe.run_stage`]."""
    check_sections(section, SECTIONS, "evaluation")
    data = from_mapping(EvaluationSection, section["data"], "data")
    export = from_mapping(ExportSection, section.get("export", {}), "export")
    start_stage(output_dir, seed)

    path = section["model"]["path"]
    model = EntropyASRForConditionalGeneration.from_pretrained(path, dtype=getattr(torch, export.dtype))
    model.save_pretrained(output_dir)
    EntropyASRProcessor.from_pretrained(path).save_pretrained(output_dir)
    pipeline = load_pipeline(str(output_dir))
    results = {}
    for name, rows in data.test_sets().items():
        score = evaluate_recognition(
            pipeline, rows, batch_size=data.batch_size, description=name, **section.get("generation", {})
        )
        results[name] = score.to_dict()
        (output_dir / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    write_record(output_dir, "evaluation", section, {"results": results})
