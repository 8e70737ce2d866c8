# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hallucination figures of a test set: guards on and off, silence around speech, sounds without speech."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset, concatenate_datasets
from small_models import build_model, build_tokenizer, small_config

from entropy_asr.modeling import EntropyASRFeatureExtractor, EntropyASRProcessor
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline
from entropy_asr.trainers.evaluation.conditions import (
    chunked_encoder,
    conditions_of,
    evaluate_under,
    evenly_spaced,
    result_lines,
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


def test_each_change_of_the_audio_is_a_condition_by_itself():
    found = conditions_of("off", 3, masked=[0.1, 0.3], snr=[20, -5], chunk_ms=640)
    assert [condition.name for condition in found] == [
        "guards off",
        "3 s of silence around, guards off",
        "10 % masked, guards off",
        "30 % masked, guards off",
        "noise at 20 dB, guards off",
        "noise at -5 dB, guards off",
        "chunks of 640 ms, guards off",
    ]
    for wrong in ({"masked": [1.0]}, {"masked": [0]}, {"snr": [float("inf")]}, {"chunk_ms": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            conditions_of("on", **wrong)


def test_models_hear_the_same_masked_and_noisy_audio_and_transcripts_are_kept():
    class Listener(Recognizer):
        def __init__(self):
            self.heard = []

        def text(self, array, guards):
            self.heard.append(array)
            return "turn left"

    listeners, kept = [Listener(), Listener()], []
    conditions = conditions_of("on", masked=[0.25], snr=[0])
    for listener in listeners:
        evaluate_under(listener, SPEECH, conditions, description=None, keep=lambda *found: kept.append(found))
    assert all(np.array_equal(first, second) for first, second in zip(*(one.heard for one in listeners), strict=True))
    plain, masked, noisy = listeners[0].heard[0], listeners[0].heard[4], listeners[0].heard[8]
    assert (masked == 0).mean() == 0.25 and set(np.unique(masked)) == {0, plain[0]}
    # White noise by default; rows have their own.
    assert not np.array_equal(noisy, listeners[0].heard[9])
    assert [condition.name for condition, _ in kept[:3]] == [
        "guards on",
        "25 % masked, guards on",
        "noise at 0 dB, guards on",
    ]
    assert [row["hypothesis"] for row in kept[1][1].transcripts] == ["turn left"] * 4
    assert len(kept) == 6


def test_chunks_are_what_a_stream_of_them_hears():
    """640 ms are 16 frames of the encoder, four chunks before them are seen; afterwards it hears whole utterances."""
    config = small_config()
    tokenizer = build_tokenizer(["<|im_start|>", "<|im_end|>", "<|audio|>"])
    processor = EntropyASRProcessor.from_components(EntropyASRFeatureExtractor(), tokenizer, config)
    pipeline = EntropyASRPipeline(model=build_model(config), processor=processor, device="cpu")
    torch.manual_seed(0)
    features, tower = torch.randn(1, 400, config.audio_config.num_mel_bins), pipeline.model.model.audio_tower
    mask = torch.ones(1, 400, dtype=torch.long)
    with torch.no_grad():
        whole = tower(features, attention_mask=mask).last_hidden_state
        chunked = tower(features, attention_mask=mask, chunk_size=16, left_chunks=4).last_hidden_state
        with chunked_encoder(pipeline, 640):
            heard = tower(features, attention_mask=mask).last_hidden_state
        after = tower(features, attention_mask=mask).last_hidden_state
    assert torch.equal(heard, chunked) and torch.equal(after, whole) and not torch.equal(heard, whole)
    with pytest.raises(ValueError, match="multiple of 40 ms"), chunked_encoder(pipeline, 650):
        pass


def test_each_condition_has_its_figures():
    score, result = evaluate_under(Recognizer(), SPEECH, conditions_of("both", 1.0), description=None)
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


def test_disturbed_audio_may_be_heard_of_fewer_rows_spread_over_the_set():
    kept = {}
    numbered = Dataset.from_list([{**row, "text": f"turn {index}"} for index, row in enumerate(SPEECH)])
    evaluate_under(
        Recognizer(),
        numbered,
        conditions_of("both", 1.0),
        description=None,
        keep=lambda condition, score: kept.update({condition.name: [row["reference"] for row in score.transcripts]}),
        max_disturbed_rows=2,
    )
    assert [len(references) for references in kept.values()] == [4, 4, 2, 2]
    assert kept["1 s of silence around, guards off"] == ["turn 0", "turn 3"]
    assert evenly_spaced(numbered, None) is evenly_spaced(numbered, 4) is numbered
    assert evenly_spaced(numbered, 3)["text"][:] == ["turn 0", "turn 1", "turn 3"]


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
    _, result = evaluate_under(pipeline, SILENCE.select([0]), conditions_of("off"), description=None, **endless)
    assert result["hallucination"]["nonspeech_rate"] == 1
    assert 4 * 25 < len(steps) < 200  # a second of audio: far more than 25 tokens, the most that speech has


def test_sets_without_speech_are_not_padded_and_count_text_on_nothing():
    _, result = evaluate_under(Recognizer(), SILENCE, conditions_of("both", 1.0), description=None)
    assert list(result["conditions"]) == ["guards off"]
    assert result["hallucination"]["nonspeech_rate"] == 0
    assert result["conditions"]["guards off"]["hallucination"]["nonspeech_rate"] == 1


def test_of_mixed_sets_speech_alone_is_padded():
    mixed = concatenate_datasets([SILENCE, SPEECH])
    kept = {}
    evaluate_under(
        Recognizer(),
        mixed,
        conditions_of("off", 1.0),
        description=None,
        keep=lambda condition, score: kept.update({condition.name: len(score.transcripts)}),
    )
    assert kept == {"guards off": 8, "1 s of silence around, guards off": 4}


def test_what_a_row_without_speech_is_called_is_no_reference():
    """Data sets of noises name the noise where others have a transcript."""
    _, result = evaluate_under(Recognizer(), rows("none", "turn left", 3000), conditions_of(), description=None)
    assert result["hallucination"]["empty_reference_rate"] == 1


def test_lines_name_the_condition_and_the_rates():
    _, result = evaluate_under(Recognizer(), SPEECH, conditions_of("both", 1.0), description=None)
    lines = result_lines(result)
    assert len(lines) == 4 and lines[0].startswith("guards on: hallucination 0.0 % (0.0 to 0.0;")
    assert lines[3].startswith("1 s of silence around, guards off: hallucination 100.0 %")
    assert lines[3].endswith("by the paper's rule 0.0 %")  # "turn left" is in it


def test_marks_and_capitals_are_measured_where_references_have_them():
    _, result = evaluate_under(Recognizer(), rows("en", "Turn left.", 3000), conditions_of(), description=None)
    assert result["written"]["marks"]["f1"] == 0
    assert result_lines(result)[1] == (
        "marks F1 0.0 % (0 right of 4, 0 written); capitals F1 0.0 % (0 right of 4, 0 written)"
    )
    _, result = evaluate_under(Recognizer(), SPEECH, conditions_of(), description=None)
    assert "written" not in result


def test_a_set_of_which_nothing_can_be_read_has_no_figures():
    broken = Dataset.from_list([{"audio": {"bytes": b"no audio"}, "text": "a", "language": "en", "duration": 1.0}])
    _, result = evaluate_under(Recognizer(), broken, conditions_of(), description=None)
    assert result["hallucination"] is None and result_lines(result) == []
