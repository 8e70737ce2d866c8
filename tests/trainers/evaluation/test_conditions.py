# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hallucination figures of a test set: guards on and off, silence around speech, sounds without speech."""

import json

import numpy as np
import pytest
from datasets import Dataset
from small_models import build_model, build_tokenizer, small_config

from entropy_asr.modeling import EntropyASRFeatureExtractor, EntropyASRProcessor
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline
from entropy_asr.trainers.evaluation.conditions import (
    conditions_of,
    evaluate_under,
    hallucination_lines,
    made_non_speech,
)


RATE = 16000


class Recognizer:
    """Hears "turn left" in speech; without guards it writes on silence, and adds a phrase where silence is long."""

    def __call__(self, arrays, batch_size, generate_kwargs, guards=True):
        return [{"text": self.text(array, guards)} for array in arrays]

    def text(self, array, guards):
        is_silent = not np.any(array)
        words = [] if is_silent else ["turn left"]
        if guards is not True and (is_silent or not np.any(array[:RATE])):
            words.append("thanks for watching")
        return " ".join(words)


def rows(language: str, text: str, level: int) -> Dataset:
    row = {"samples": [level] * RATE, "text": text, "language": language, "duration": 1.0}
    return Dataset.from_list([row] * 4)


SPEECH = rows("en", "turn left", 3000)
SILENCE = rows("none", "", 0)


def test_guards_and_silence_make_conditions_of_which_the_plainest_is_first():
    assert [condition.name for condition in conditions_of("both", 1.5)] == [
        "guards on",
        "guards off",
        "1.5 s of silence around, guards on",
        "1.5 s of silence around, guards off",
    ]
    assert [condition.name for condition in conditions_of("off")] == ["guards off"]
    assert conditions_of(True) == conditions_of("on") and conditions_of(False) == conditions_of("off")
    with pytest.raises(ValueError, match="maybe"):
        conditions_of("maybe")
    with pytest.raises(ValueError, match="padded_silence"):
        conditions_of("on", -1)
    with pytest.raises(ValueError, match="padded_silence"):
        conditions_of("on", float("nan"))


def test_each_condition_has_its_figures():
    score, result = evaluate_under(Recognizer(), SPEECH, conditions_of("both", 1.0), progress=False)
    assert score.wer == 0 == result["wer"] and result["guards"] is True
    assert result["hallucination"]["hallucination_rate"] == 0
    found = {name: condition["hallucination"] for name, condition in result["conditions"].items()}
    assert {name: figures["hallucination_rate"] for name, figures in found.items()} == {
        "guards off": 0,
        "1 s of silence around, guards on": 0,
        "1 s of silence around, guards off": 1,
    }
    assert found["1 s of silence around, guards off"]["burst_rate"] == 1
    assert result["conditions"]["1 s of silence around, guards off"]["wer"] == pytest.approx(1.5)
    assert score.audio_seconds == 4
    json.dumps(result)


def test_a_model_that_knows_no_end_is_cut_without_guards_too(monkeypatch):
    """It would write until its language model has no position left: 4096 of the smallest, for each utterance."""
    config = small_config()
    config.text_config.max_position_embeddings = 4096
    tokenizer = build_tokenizer(["<|im_start|>", "<|im_end|>", "<|audio|>"])
    processor = EntropyASRProcessor.from_components(EntropyASRFeatureExtractor(), tokenizer, config)
    pipeline = EntropyASRPipeline(model=build_model(config), processor=processor, device="cpu")
    steps, forward = [], pipeline.model.model.language_model.forward
    monkeypatch.setattr(
        pipeline.model.model.language_model, "forward", lambda *a, **k: steps.append(1) or forward(*a, **k)
    )
    endless = {"suppress_tokens": [processor.end_of_text_id]}
    _, result = evaluate_under(pipeline, SILENCE.select([0]), conditions_of("off"), progress=False, **endless)
    assert result["hallucination"]["nonspeech_rate"] == 1
    assert 4 * 25 < len(steps) < 200  # a second of audio: far more than 25 tokens, the most that speech has


def test_sets_without_speech_are_not_padded_and_count_text_on_nothing():
    _, result = evaluate_under(Recognizer(), SILENCE, conditions_of("both", 1.0), progress=False)
    assert list(result["conditions"]) == ["guards off"]
    assert result["hallucination"]["nonspeech_rate"] == 0
    assert result["conditions"]["guards off"]["hallucination"]["nonspeech_rate"] == 1


def test_what_a_row_without_speech_is_called_is_no_reference():
    """Data sets of noises name the noise where others have a transcript."""
    _, result = evaluate_under(Recognizer(), rows("none", "turn left", 3000), conditions_of(), progress=False)
    assert result["hallucination"]["empty_reference_rate"] == 1


def test_lines_name_the_condition_and_the_rates():
    _, result = evaluate_under(Recognizer(), SPEECH, conditions_of("both", 1.0), progress=False)
    lines = hallucination_lines(result)
    assert len(lines) == 4 and lines[0].startswith("guards on: hallucination 0.0 % (0.0 to 0.0;")
    assert lines[3].startswith("1 s of silence around, guards off: hallucination 100.0 %")
    assert lines[3].endswith("by the paper's rule 0.0 %")  # "turn left" is in it


def test_a_set_of_which_nothing_can_be_read_has_no_figures():
    broken = Dataset.from_list([{"audio": {"bytes": b"no audio"}, "text": "a", "language": "en", "duration": 1.0}])
    _, result = evaluate_under(Recognizer(), broken, conditions_of(), progress=False)
    assert result["hallucination"] is None and hallucination_lines(result) == []


def test_made_sounds_are_repeatable_and_have_no_speech():
    sounds = made_non_speech(7)
    assert len(sounds) == 7 and set(sounds["language"]) == {"none"} and set(sounds["text"]) == {""}
    assert sounds["samples"] == made_non_speech(7)["samples"]
    for row in sounds:
        assert 0.5 <= row["duration"] <= 8 and len(row["samples"]) == round(row["duration"] * RATE)
        assert np.abs(row["samples"]).max() <= 32767
    assert not np.any(sounds[0]["samples"]) and np.any(sounds[1]["samples"]) and np.any(sounds[2]["samples"])
