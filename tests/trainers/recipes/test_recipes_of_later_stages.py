# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The recipes of the conventional pipeline and of all stages on synthetic speech: few steps of small models."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from training_helpers import small_encoder, small_text_config

from entropy_asr.modeling import EntropyASRConfig, load_pipeline
from entropy_asr.trainers.recipes import recipe
from entropy_asr.trainers.recipes.recipe import load_recipe, read_yaml, run_recipe


SHIPPED = Path(recipe.__file__).parent
FEW_STEPS = {
    "num_texts": 6,
    "num_lines": 12,
    "word_steps": 2,
    "encoder_steps": 2,
    "language_model_epochs": 1,
    "alignment_steps": 2,
    "sft_steps": 2,
    "stages.checkpoint.generation.max_new_tokens": 4,
    "stages.checkpoint.data.synthetic_eval": "[{texts: built-in:test, language: en, num_texts: 3}]",
}
LATER_STEPS = {
    "context_steps": 2,
    "grpo_steps": 2,
    "head_steps": 2,
    "stages.ia_sft.training.final_steps": 1,
    "stages.context_sft.training.eval_strategy": "'no'",
    "stages.grpo.training.eval_strategy": "'no'",
    "stages.grpo.training.max_completion_length": 4,
}


@pytest.fixture(autouse=True)
def _small_tiny(monkeypatch):
    """The preset `tiny` with the sizes of the other tests' models."""

    def tiny(cls, vocab_size=400):
        audio_config, text_config = small_encoder().config.audio_config, small_text_config(vocab_size)
        return cls(audio_config=audio_config.to_dict(), text_config=text_config.to_dict(), audio_token_id=3)

    monkeypatch.setattr(EntropyASRConfig, "tiny", classmethod(tiny))


def without_processes(path: Path, folder: Path) -> Path:
    """A copy of a recipe that runs all stages in this process, one after the other."""
    content = read_yaml(path)
    for section in content["stages"].values():
        for name in ("background", "after", "launch"):
            section.pop(name, None)
    copy = folder / path.name
    copy.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return copy


@pytest.mark.parametrize(
    ("name", "steps"), [("conventional-synthetic", FEW_STEPS), ("synthetic-full", FEW_STEPS | LATER_STEPS)]
)
def test_recipe_runs_all_stages(name, steps, tmp_path):
    path = without_processes(SHIPPED / f"{name}.yaml", tmp_path)
    overrides = [part for key, value in steps.items() for part in (f"--{key}", str(value))]
    run_recipe(path, str(tmp_path), overrides)
    for stage in load_recipe(path)["stages"]:
        record = json.loads((tmp_path / stage / "stage.json").read_text())
        losses = [entry["train_loss"] for entry in record.get("history", []) if "train_loss" in entry]
        assert bool(losses) == (stage != "checkpoint")
        assert all(math.isfinite(loss) for loss in losses)
    results = json.loads((tmp_path / "checkpoint" / "results.json").read_text())["results"]
    assert results["espeak-ng en"]["utterances"] == 3
    assert isinstance(load_pipeline(tmp_path / "checkpoint")(np.zeros(8000, np.float32))["text"], str)
