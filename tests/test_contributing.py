# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""CONTRIBUTING.md is true: its map, its paths, and its ways to add a language, a stage, an encoder and a metric."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from small_models import build_tokenizer, small_text_config
from training_helpers import TOY_STAGE, save_components, stage_section

import entropy_asr.trainers
from entropy_asr.hub_cards import model_card
from entropy_asr.modeling import EntropyASRConfig, EntropyASRForConditionalGeneration, EntropyASRProcessor
from entropy_asr.modeling.encoder_rules_entropy_asr import ENCODER_RULES, EncoderRules
from entropy_asr.modeling.language_entry_entropy_asr import Language
from entropy_asr.modeling.languages_entropy_asr import LANGUAGES, language_code, register_language
from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.evaluation import error_rates
from entropy_asr.trainers.evaluation.error_rates import normalize_text, score_transcripts
from entropy_asr.trainers.stages import STAGES, StageEntry


ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def steps(title: str) -> list[str]:
    """The numbered steps of a section."""
    section = TEXT.partition(f"## Add a {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\d\. .*(?:\n   .*)*", section, flags=re.MULTILINE)


def test_the_map_is_that_of_the_code():
    command = [sys.executable, str(ROOT / ".ci" / "map")]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"<!-- map -->\n{table}<!-- end of map -->" in TEXT, "run .ci/map --write"


def test_every_path_it_names_is_there():
    named = re.findall(r"`((?:modeling|trainers|spaces|hub_cards|tests|\.ci)/[\w./]*)", TEXT)
    missing = [path for path in named if "NAME" not in path and not (ROOT / path).exists()]
    assert len(named) > 15 and not missing


@pytest.mark.parametrize("title", ["language", "training stage", "speech encoder", "metric"])
def test_nothing_takes_more_than_three_steps_and_the_last_is_a_test(title):
    assert 2 <= len(steps(title)) <= 3
    assert "tests/" in steps(title)[-1] and not any("tests/" in step for step in steps(title)[:-1])


def test_a_language_is_its_entry():
    register_language(Language("qtx", "Toyish", codes=("qty",), names=("toyisch",), unit="character"))
    try:
        assert language_code("Toyisch") == language_code("qty-GB") == "qtx"
        assert normalize_text("Bore, DA!", "qtx") == "bore da"
        score = score_transcripts(["bore"], ["bora"], ["qtx"])
        assert (score.cer, score.wer) == (1 / 4, None)
    finally:
        del LANGUAGES["qtx"]


def test_a_stage_is_its_file_and_one_line(monkeypatch, tmp_path):
    (tmp_path / "toy_stage_of_contributing.py").write_text(TOY_STAGE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(STAGES, "toy", StageEntry("toy_stage_of_contributing", "Toy"))
    components = tmp_path / "components"
    components.mkdir()
    save_components(components)
    section = stage_section("joint_sft", components, max_steps=1, save_strategy="no")
    config = tmp_path / "toy.yaml"
    config.write_text(json.dumps({**section, "output_dir": str(tmp_path / "run")}))  # JSON is YAML
    assert cli.main(["train", "toy", "--config", str(config)]) == 0
    assert json.loads((tmp_path / "run" / "stage.json").read_text())["stage"] == "toy"
    assert entropy_asr.trainers.ToyTrainer.__name__ == "ToyTrainer"


class ToyEncoderConfig(transformers.PreTrainedConfig):
    model_type = "toy_encoder_of_contributing"

    def __init__(self, hidden_size: int = 32, **kwargs):
        self.hidden_size = hidden_size
        super().__init__(**kwargs)


class ToyEncoder(transformers.PreTrainedModel):
    """One strided layer: 80 mel bins, three frames become one."""

    config_class = ToyEncoderConfig
    main_input_name = "input_features"

    def __init__(self, config: ToyEncoderConfig):
        super().__init__(config)
        self.layer = torch.nn.Conv1d(80, config.hidden_size, 3, 3)
        self.post_init()

    def forward(self, input_features: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs):
        hidden = self.layer(input_features.mT).mT
        return transformers.modeling_outputs.BaseModelOutput(last_hidden_state=hidden)


def test_an_encoder_is_one_line(monkeypatch):
    transformers.AutoConfig.register(ToyEncoderConfig.model_type, ToyEncoderConfig)
    transformers.AutoModel.register(ToyEncoderConfig, ToyEncoder)
    monkeypatch.setitem(ENCODER_RULES, ToyEncoderConfig.model_type, EncoderRules(lambda config: [(3, 3, 0)]))
    config = EntropyASRConfig(
        audio_config=ToyEncoderConfig(), text_config=small_text_config(), audio_token_id=3, adaptor_hidden_size=32
    )
    model = EntropyASRForConditionalGeneration(config).eval()
    tokenizer = build_tokenizer(["<|im_start|>", "<|im_end|>", "<|audio|>"])
    extractor = transformers.ParakeetFeatureExtractor(feature_size=80)
    processor = EntropyASRProcessor.from_components(extractor, tokenizer, config)
    inputs = processor.apply_transcription_request(np.zeros(16000, dtype=np.float32))
    assert model.generate(**inputs, max_new_tokens=2).shape[0] == 1


def test_a_metric_is_one_function_and_one_column(monkeypatch):
    name = "shouted_share"
    shouted = lambda score: float(np.mean([row["hypothesis"].isupper() for row in score.transcripts]))  # noqa: E731
    monkeypatch.setitem(error_rates.METRICS, name, shouted)
    monkeypatch.setitem(model_card.RESULT_COLUMNS, name, "shouted")
    score = score_transcripts(["yes", "no"], ["YES", "no"], ["en", "en"])
    score.transcripts = [{"hypothesis": "YES"}, {"hypothesis": "no"}]
    results = {"mine": score.to_dict()}
    assert results["mine"][name] == 0.5
    table = model_card.results_table(results, {}).splitlines()
    assert table[0].endswith("| non-empty % | shouted % |") and table[2].endswith("| 100.0 | 50.0 |")
