# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Cards of models that somebody has just trained: what is known, what is not, and the licence."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from entropy_asr.hub_cards.publish import address_card
from entropy_asr.trainers.commands import cli


CHECKPOINT = Path(__file__).parents[2] / "spaces" / "demo" / "checkpoint"
TRAINING = {
    "trainer": "JointSFTTrainer",
    "tags": ["entropy-asr", "joint-sft"],
    "steps": 500,
    "base_model": "someone/some-model",
    "license": "cc-by-4.0",
    "data": ["my-speech"],
    "languages": ["de", "en"],
    "arguments": {"learning_rate": "0.0001", "max_steps": "500"},
    "development": {"wer": 0.25},
}


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "tuned"
    folder.mkdir()
    shutil.copyfile(CHECKPOINT / "config.json", folder / "config.json")
    (folder / "training.json").write_text(json.dumps(TRAINING))
    return folder


def card_of(folder: Path, *options: str) -> ModelCard:
    assert cli.main(["card", str(folder), *options]) == 0
    return ModelCard.load(folder / "README.md")


def test_what_the_trainer_knew_is_on_the_card(model, capsys):
    card = card_of(model)
    assert card.data.license == "cc-by-4.0" and card.data.base_model == "someone/some-model"
    # No language is dropped, whether prompts can name it or not.
    assert card.data.language == ["de", "en"] and "Speech recognition of de and English" in card.text
    assert card.data.tags == ["entropy-asr", "joint-sft"]
    for part in ("`JointSFTTrainer`, 500 steps", "Data: my-speech.", "| learning_rate | 0.0001 |", "| wer | 0.25 |"):
        assert part in card.text
    command = f"evaluate --model {model} --dataset D --output {model / 'results.json'}"
    assert f"not evaluated: run entropy-asr {command}" in capsys.readouterr().err
    assert "Not evaluated" in card.text and card.data.eval_results is None


def test_a_card_on_the_hub_names_the_repository_in_its_commands(model):
    card_of(model)
    copied = shutil.copytree(model, model.parent / "repository")
    address_card(copied, "me/tuned", model)
    text = (copied / "README.md").read_text()
    assert "entropy-asr evaluate --model me/tuned " in text and "repository" not in text


def test_the_licence_can_be_said(model, capsys):
    assert card_of(model, "--license", "mit").data.license == "mit"
    (model / "training.json").unlink()
    # What was said stays said.
    assert card_of(model).data.license == "mit"
    assert "licence not known" not in capsys.readouterr().err
    (model / "README.md").unlink()
    card = card_of(model)
    assert card.data.license == "other" and "Nothing is recorded of its training." in card.text
    assert "licence not known, written as 'other': --license NAME says which" in capsys.readouterr().err


def test_results_of_evaluate_are_on_the_card(model, capsys):
    score = {"utterances": 7, "wer": 0.6, "cer": None, "nonempty_share": 1.0, "by_language": {"fr": {}, "none": {}}}
    report = {"split": "test", "dtype": "float32", "results": {"my_test": score}}
    (model / "results.json").write_text(json.dumps(report))
    card = card_of(model)
    assert "| my_test | 7 | 60.0 | - | 100.0 |" in card.text and "split 'test'" in card.text
    assert "comes out wrong on: my_test." in card.text
    assert card.data.language == ["de", "en", "fr"]
    assert "not evaluated" not in capsys.readouterr().err.lower() + card.text.lower()


def test_cards_of_adapters_say_on_what_they_stand(model):
    (model / "config.json").rename(model / "adapter_config.json")
    (model / "training.json").write_text(json.dumps({**TRAINING, "adapters": True}))
    card = card_of(model)
    assert "Adapters (PEFT) for someone/some-model, which must be there" in card.text
    assert "trust_remote_code" not in card.text
    merged = model / "merged"
    merged.mkdir()
    shutil.copyfile(CHECKPOINT / "config.json", merged / "config.json")
    card = card_of(merged)
    assert "Adapters (PEFT)" not in card.text and "`JointSFTTrainer`, 500 steps" in card.text


def test_cards_of_thin_checkpoints_name_what_is_loaded_with_them(model):
    config = json.loads((model / "config.json").read_text())
    ids = ["openai/whisper-base", "Qwen/Qwen3-0.6B"]
    parts = dict(zip(("encoder", "language_model"), ({"path": path} for path in ids), strict=True))
    (model / "config.json").write_text(json.dumps({**config, "public_parts": parts, "thin_adapters": 1}))
    card = card_of(model)
    assert card.data.base_model == ids
    assert "openai/whisper-base and Qwen/Qwen3-0.6B is loaded with them" in card.text


def test_code_is_promised_where_it_is(model):
    assert "trust_remote_code=True)" not in card_of(model).text
    assert "import entropy_asr.modeling" in card_of(model).text
    (model / "modeling_entropy_asr.py").touch()
    assert "trust_remote_code=True)" in card_of(model).text


def test_the_bundled_checkpoint_says_that_its_code_is_the_package():
    assert not list(CHECKPOINT.glob("*.py")) or "*.py" in (CHECKPOINT.parents[2] / ".gitignore").read_text()
    text = (CHECKPOINT / "README.md").read_text(encoding="utf-8")
    assert "whose code this folder leaves out" in text and "brings its code" not in text
