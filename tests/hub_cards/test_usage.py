# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The examples on a card run as printed, beside the folder that would be uploaded."""

import re
import shutil
from pathlib import Path

import pytest

import entropy_asr.spaces
from entropy_asr.hub_cards.model_card import model_card
from entropy_asr.hub_cards.publish import stage_model
from entropy_asr.trainers.recipes.recipe import read_yaml
from entropy_asr.trainers.runs.settings import read_sections
from entropy_asr.trainers.stages.joint_sft import STAGE


DEMO = Path(entropy_asr.spaces.__file__).parent / "demo"
NAME = "entropy-asr-tiny"


def blocks(card: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", card, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_python_examples_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("espeakng_loader")
    stage_model(DEMO / "checkpoint", tmp_path / NAME)
    shutil.copyfile(DEMO / "examples" / "english.flac", tmp_path / "recording.wav")
    monkeypatch.chdir(tmp_path)
    examples = blocks(model_card(tmp_path / NAME), "python")
    assert len(examples) == 4
    for example in examples:
        exec(compile(example, "card", "exec"), {"__name__": "__main__"})
        assert capsys.readouterr().out.strip()


def test_settings_of_fine_tuning_are_valid(tmp_path):
    (example,) = blocks(model_card(DEMO / "checkpoint"), "yaml")
    (tmp_path / "joint_sft.yaml").write_text(example, encoding="utf-8")
    section = read_yaml(tmp_path / "joint_sft.yaml")
    assert section["model"] == {"path": NAME}
    read_sections(section, STAGE.sections, Path(section.pop("output_dir")), 0, "joint_sft")


def test_streaming_is_shown_only_where_the_encoder_streams(tmp_path):
    shutil.copyfile(DEMO / "checkpoint" / "results.json", tmp_path / "results.json")
    config = (DEMO / "checkpoint" / "config.json").read_text(encoding="utf-8")
    for model_type, streams in (("entropy_asr_whisper_encoder", True), ("parakeet_encoder", False)):
        (tmp_path / "config.json").write_text(config.replace('"entropy_asr_whisper_encoder"', f'"{model_type}"'))
        assert ("StreamingTranscriber" in model_card(tmp_path)) == streams
