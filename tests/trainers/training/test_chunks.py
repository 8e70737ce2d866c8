# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Chunks drawn for each batch: every stage hears speech as a stream does, and only when it trains."""

import json
import shutil

import pytest
from training_helpers import SPEECH_STAGES, stage_section, trained_history

from entropy_asr.trainers import JointSFTConfig, PhonemeHeadConfig
from entropy_asr.trainers.recipes.recipe import run_section


CHUNKS = {"chunk_sizes": [2], "left_chunks": [0]}


@pytest.fixture(scope="module")
def chunked_components(components, tmp_path_factory):
    """The same models, whose encoder always hears chunks of two frames."""
    folder = tmp_path_factory.mktemp("chunked") / "components"
    shutil.copytree(components, folder)
    for name in ("encoder", "full"):
        path = folder / name / "config.json"
        config = json.loads(path.read_text())
        config["audio_config"] |= {"chunk_size": 2, "left_chunks": 0}
        path.write_text(json.dumps(config))
    return folder


def losses(stage, components, output_dir, **training) -> list[dict]:
    section = stage_section(stage, components, max_steps=2, save_strategy="no", learning_rate=1e-3, **training)
    if stage == "attention_pretraining" and components.parent.name.startswith("chunked"):
        section["model"]["encoder"] |= {"chunk_size": 2, "left_chunks": 0}
    history = trained_history(stage, section, components, output_dir)
    names = ("loss", "grad_norm", "reward", "kl")
    return [{name: entry[name] for name in names if name in entry} for entry in history]


@pytest.mark.parametrize("stage", SPEECH_STAGES)
def test_drawn_chunks_are_heard_as_an_encoder_of_such_chunks_hears(stage, components, chunked_components, tmp_path):
    drawn = losses(stage, components, tmp_path / "drawn", **CHUNKS)
    assert drawn == losses(stage, chunked_components, tmp_path / "own")
    assert drawn != losses(stage, components, tmp_path / "full")


def test_evaluation_hears_full_context(components, tmp_path):
    section = stage_section("joint_sft", components, max_steps=1, save_strategy="no", learning_rate=0.0, **CHUNKS)
    section["data"]["eval"] = section["data"]["train"]
    section["training"] |= {"eval_strategy": "steps", "eval_steps": 1, "max_new_tokens": 2}
    run_section("joint_sft", section, tmp_path / "drawn", 7)
    for name in CHUNKS:
        del section["training"][name]
    run_section("joint_sft", section, tmp_path / "full", 7)
    losses = [
        next(
            entry["eval_loss"]
            for entry in json.loads((tmp_path / name / "stage.json").read_text())["history"]
            if "eval_loss" in entry
        )
        for name in ("drawn", "full")
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("config", [JointSFTConfig, PhonemeHeadConfig])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chunk_sizes": [-1]}, "chunk_sizes are numbers of frames"),
        ({"left_chunks": []}, "left_chunks are numbers of chunks"),
        ({"left_chunks": [2]}, "no effect without chunks"),
    ],
)
def test_chunks_that_cannot_be_meant_are_refused(config, settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        config(str(tmp_path), use_cpu=True, **settings)
