# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stand-ins for the model and for training, so that commands are tested in milliseconds."""

import sys
from types import SimpleNamespace

import pytest
from fake_pipeline import FakePipeline

import entropy_asr.modeling  # noqa: F401 (before its pipeline is replaced)


@pytest.fixture
def pipeline(monkeypatch) -> FakePipeline:
    pipeline = FakePipeline()
    pipeline.loaded = []

    def load_pipeline(model, device=None, dtype=None):
        if model == "missing/model":
            raise OSError("missing/model is not a folder")
        pipeline.loaded.append((model, device, dtype))
        return pipeline

    module = SimpleNamespace(load_pipeline=load_pipeline)
    monkeypatch.setitem(sys.modules, "entropy_asr.modeling.pipeline_entropy_asr", module)
    return pipeline


@pytest.fixture
def recipe_calls(monkeypatch) -> list[tuple]:
    calls: list[tuple] = []
    module = SimpleNamespace(
        run_stage=lambda stage, config, overrides: calls.append((stage, config, overrides)),
        run_recipe=lambda path, output_dir, overrides: calls.append((path, output_dir, overrides)),
    )
    monkeypatch.setitem(sys.modules, "entropy_asr.trainers.recipes.recipe", module)
    return calls
