# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stage 5: where hints stand in prompts, when they change, what is evaluated, long utterances."""

import json

import numpy as np
import pytest
from datasets import Dataset
from training_helpers import make_rows, stage_section, trainer_arguments

from entropy_asr.modeling import EntropyASRPhonemeTokenizer
from entropy_asr.trainers.data.keywords import ContextConfig, KeywordChooser, add_keywords
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.stages import context_sft
from entropy_asr.trainers.stages.context_sft import (
    ContextCollator,
    ContextSFTConfig,
    ContextSFTTrainer,
    LongUtterances,
    keyword_recall,
    with_hints,
)
from entropy_asr.trainers.stages.sft import SFTModelSection


@pytest.fixture(scope="module")
def rows() -> Dataset:
    rows = make_rows("en zh none en zh en none en")
    return add_keywords(rows, KeywordChooser(rows, ContextConfig(), EntropyASRPhonemeTokenizer()))


@pytest.fixture(scope="module")
def processor(components):
    return SFTModelSection(path=str(components / "full")).build()[1]


def prompt_texts(batch, processor) -> list[str]:
    """Prompts without the audio tokens and the padding."""
    ids = batch["input_ids"].masked_fill(batch["labels"] != -100, processor.tokenizer.pad_token_id)
    texts = [processor.tokenizer.decode(row[row != processor.audio_token_id]) for row in ids]
    return [text.replace("<|endoftext|>", "") for text in texts]


def items(rows, epoch: int) -> list[dict]:
    dataset = SpeechDataset(rows)
    return [dataset[(index, 1000 * epoch + index)] for index in range(len(rows))]


def test_hints_stand_after_the_speech_in_the_paper_s_words(rows, processor):
    collator = ContextCollator(processor.feature_extractor, processor=processor, context=ContextConfig())
    batch = collator(items(rows, epoch=1))
    prompts = prompt_texts(batch, processor)
    hinted = [prompt for prompt in prompts if "Contextual hints: " in prompt]
    assert 0 < len(hinted) < len(prompts)
    for row_ids in batch["input_ids"].tolist():
        start = row_ids.index(processor.audio_token_id)
        stop = len(row_ids) - row_ids[::-1].index(processor.audio_token_id)
        # All that comes before the speech is the same in every prompt: it can be cached once.
        assert row_ids[:start] == batch["input_ids"][0].tolist()[:start]
        assert "hints" not in processor.tokenizer.decode(row_ids[:start])
        assert "<|im_end|>\n<|im_start|>assistant\n" in processor.tokenizer.decode(row_ids[stop:])
    for prompt in hinted:
        assert prompt.rpartition("Contextual hints: ")[2].startswith(
            tuple("abcdefghijklmnopqrstuvwxyz红狗我们去学校三")
        )


def test_labels_are_the_transcription_with_and_without_hints(rows, processor):
    collator = ContextCollator(processor.feature_extractor, processor=processor, context=ContextConfig())
    batch = collator(items(rows, epoch=3))
    for labels, text in zip(batch["labels"], rows["text"], strict=True):
        assert processor.tokenizer.decode(labels[labels != -100]) == text + "<|im_end|>"


def test_hints_change_from_epoch_to_epoch_and_are_the_same_when_resumed(rows, processor):
    collator = ContextCollator(processor.feature_extractor, processor=processor, context=ContextConfig())
    first, second, again = (prompt_texts(collator(items(rows, epoch)), processor) for epoch in (1, 2, 1))
    assert first == again
    assert first != second


def test_rows_without_keywords_are_told_what_adds_them(rows, processor):
    collator = ContextCollator(processor.feature_extractor, processor=processor, context=ContextConfig())
    with pytest.raises(ValueError, match="Rows lack keywords, distractors.*add_keywords"):
        collator(items(rows.remove_columns(["keywords", "distractors"]), epoch=0))


def test_evaluation_takes_the_fixed_hints(rows, processor):
    collator = ContextCollator(processor.feature_extractor, processor=processor).evaluation()
    for kind, columns in {"none": (), "right": ("keywords", "distractors"), "wrong": ("distractors",)}.items():
        evaluated = with_hints(rows, kind)
        prompts = prompt_texts(collator(items(evaluated, epoch=1)), processor)
        for row, prompt in zip(evaluated, prompts, strict=True):
            hints = sum((row[name] for name in columns), [])
            assert ("Contextual hints: " + ", ".join(hints) in prompt) if hints else "hints" not in prompt
    with pytest.raises(ValueError, match="'half'"):
        with_hints(rows, "half")


def test_keyword_recall_counts_keywords_not_utterances():
    recall = keyword_recall(["a red dog", "the cat", ""], [["red dog", "blue"], ["cat"], []], ["en"] * 3)
    assert recall == pytest.approx(2 / 3)
    assert keyword_recall([""], [[]], ["en"]) is None


def test_a_keyword_is_recalled_as_a_whole_word_however_it_is_written():
    assert keyword_recall(["a category of its own"], [["cat"]], ["en"]) == 0
    assert keyword_recall(["Anna Marsh, I think"], [["anna marsh"]], ["en"]) == 1
    assert keyword_recall(["今天去北京"], [["北京", "南京"]], ["zh"]) == 1 / 2


def test_evaluation_reports_recall_and_error_rates_of_each_kind_of_hints(rows, components, tmp_path):
    model, processor = SFTModelSection(path=str(components / "full")).build()
    trainer = ContextSFTTrainer(
        model,
        trainer_arguments(ContextSFTConfig, tmp_path, max_new_tokens=4),
        processing_class=processor,
        train_dataset=rows,
        eval_dataset={f"{kind}_hints": with_hints(rows, kind) for kind in ("none", "right", "wrong")},
    )
    metrics = trainer.evaluate()
    for kind in ("none", "right", "wrong"):
        assert 0 <= metrics[f"eval_{kind}_hints_keyword_recall"] <= 1
        assert {f"eval_{kind}_hints_wer", f"eval_{kind}_hints_cer"} <= metrics.keys()
    assert trainer.args.learning_rate == 1e-6


def test_long_utterances_occur_more_often():
    rows = Dataset.from_dict({"duration": [3.0, 12.0, 9.9, 10.0], "text": ["a", "b", "c", "d"]})
    assert sorted(LongUtterances(min_duration=10.0, repeat=3).repeated(rows)["text"][:]) == list("abbbcddd")
    assert LongUtterances(repeat=1).repeated(rows)["text"][:] == list("abcd")
    with pytest.raises(ValueError, match="repeat must be at least 1"):
        LongUtterances(repeat=0)


def test_stage_runs_from_settings(components, tmp_path, monkeypatch):
    seen = []
    draw = context_sft.draw_hints
    monkeypatch.setattr(context_sft, "draw_hints", lambda *arguments: seen.append(draw(*arguments)) or seen[-1])
    section = stage_section("context_sft", components, max_steps=2, eval_strategy="steps", eval_steps=2)
    section["training"]["max_new_tokens"] = 4
    section["data"]["eval"] = section["data"]["train"]
    section["context"] = {"max_keywords": 2, "important_keywords": ["red"]}
    section["long_utterances"] = {"min_duration": 0.8, "repeat": 2}
    run_section("context_sft", section, tmp_path, 7)
    assert any(seen) and np.mean([bool(hints) for hints in seen]) > 0.4
    [evaluation] = [
        entry
        for entry in json.loads((tmp_path / "stage.json").read_text())["history"]
        if "eval_right_hints_keyword_recall" in entry
    ]
    assert evaluation["step"] == 2
    assert (tmp_path / "model.safetensors").is_file()
