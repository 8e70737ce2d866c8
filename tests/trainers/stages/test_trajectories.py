# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The first 20 steps of every stage that trains on speech: loss and gradient norm.

`trajectories.json` holds what they were; whatever changes them (order of batches, augmentation, loss, initial weights)
shows here. After a change that is meant to: `python tests/trainers/stages/test_trajectories.py`.
"""

import json
import tempfile
from pathlib import Path

import pytest
from training_helpers import SPEECH_STAGES, save_components, stage_section, trained_history


FILE = Path(__file__).with_name("trajectories.json")
NUM_STEPS = 20


def trajectory(stage: str, components: Path, output_dir: Path) -> list[list[float]]:
    """Loss and gradient norm of each step."""
    # Rounding differs between processors: a low rate keeps it from growing into something else.
    section = stage_section(stage, components, max_steps=NUM_STEPS, save_steps=NUM_STEPS, learning_rate=1e-4)
    if stage == "encoder":
        section["training"] |= {
            "consistency_weight": 0.2,
            "consistency_ramp_steps": 0,
            "chunk_sizes": [0, 4, 8],
            "left_chunks": [1, -1],
        }
    history = trained_history(stage, section, components, output_dir)
    return [[entry["loss"], entry["grad_norm"]] for entry in history]


@pytest.mark.parametrize("stage", SPEECH_STAGES)
def test_first_steps_are_as_they_were(stage, components, tmp_path):
    expected = json.loads(FILE.read_text())[stage]
    measured = trajectory(stage, components, tmp_path)
    assert len(measured) == len(expected) == NUM_STEPS
    for step, (values, wanted) in enumerate(zip(measured, expected, strict=True), 1):
        assert values == pytest.approx(wanted, rel=2e-3, abs=1e-6), f"step {step}: loss, gradient norm"


def write_trajectories() -> None:
    """Replace the committed file by what the stages do now."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_components(folder)
        measured = {stage: trajectory(stage, folder, folder / f"run-{stage}") for stage in SPEECH_STAGES}
    # One line a step: a change shows where it begins.
    stages = [f'"{stage}": [\n' + ",\n".join(map(json.dumps, steps)) + "\n]" for stage, steps in measured.items()]
    FILE.write_text("{\n" + ",\n".join(stages) + "\n}\n")


if __name__ == "__main__":
    write_trajectories()
