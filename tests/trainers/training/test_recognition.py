# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`predict` and `evaluate` of every trainer, on any rows, under any prefix."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from datasets import Dataset
from stage_trainers import attention_trainer, grpo_trainer
from training_helpers import make_rows, small_encoder, small_text_config, trainer_arguments
from transformers import Qwen3ForCausalLM, default_data_collator

from entropy_asr.modeling import EntropyASRFeatureExtractor, EntropyASRPhonemeTokenizer
from entropy_asr.modeling.ctc_entropy_asr import ctc_collapse
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline
from entropy_asr.trainers import (
    AlignmentConfig,
    AlignmentTrainer,
    ContextSFTConfig,
    ContextSFTTrainer,
    EncoderPretrainingConfig,
    EncoderPretrainingTrainer,
    JointSFTConfig,
    JointSFTTrainer,
)
from entropy_asr.trainers.data.collation import CTCCollator
from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.stages.lm_pretraining import LanguageModelTrainer, LanguageModelTrainingConfig
from entropy_asr.trainers.stages.phoneme_head import PhonemeHeadConfig, PhonemeHeadTrainer, phoneme_model
from entropy_asr.trainers.stages.sft import SFTModelSection, save_trained


GREEDY = {"max_new_tokens": 5, "do_sample": False}
STAGES = {
    "alignment": (AlignmentTrainer, AlignmentConfig),
    "joint_sft": (JointSFTTrainer, JointSFTConfig),
    "context_sft": (ContextSFTTrainer, ContextSFTConfig),
}


@pytest.fixture(scope="module")
def rows() -> Dataset:
    """Not in the order of their durations."""
    rows = make_rows("en zh none en zh")
    assert rows["duration"][:] != sorted(rows["duration"][:])
    return rows


@pytest.fixture(scope="module")
def trained(components, rows, tmp_path_factory) -> Path:
    """A model after some training, whose transcripts differ from row to row."""
    folder = tmp_path_factory.mktemp("trained")
    model, processor = SFTModelSection(path=str(components / "full")).build()
    arguments = trainer_arguments(JointSFTConfig, folder, max_steps=100, learning_rate=1e-2, entropy_steps=0)
    trainer = JointSFTTrainer(model, arguments, processing_class=processor, train_dataset=rows)
    trainer.train()
    save_trained(trainer, processor, folder / "full")
    return folder


def build(stage: str, components, folder, rows, **arguments):
    if stage == "grpo":
        return grpo_trainer(components, folder, rows)
    model, processor = SFTModelSection(path=str(components / "full")).build()
    trainer_class, config_class = STAGES[stage]
    arguments = trainer_arguments(config_class, folder, entropy_steps=0, max_new_tokens=5, **arguments)
    return trainer_class(model, arguments, processing_class=processor, train_dataset=rows)


@pytest.mark.parametrize("stage", [*STAGES, "grpo"])
def test_predictions_are_the_texts_of_the_rows_in_their_order(stage, trained, tmp_path, rows):
    trainer = build(stage, trained, tmp_path, rows, per_device_eval_batch_size=2)
    output = trainer.predict(rows)
    assert {"test_loss", "test_nonempty_share", "test_runtime"} <= set(output.metrics)
    assert any(name in output.metrics for name in ("test_wer", "test_cer"))
    processor, model = trainer.processing_class, trainer.model
    pipeline = EntropyASRPipeline(model=model.eval(), processor=processor, device="cpu")
    dataset = SpeechDataset(rows)
    audio = [dataset[index]["samples"] for index in range(len(rows))]
    expected = [result["text"] for result in pipeline(audio, guards=False, generate_kwargs=GREEDY)]
    assert [text.strip() for text in processor.batch_decode(output.predictions)] == expected
    assert len(set(expected)) > 2
    assert processor.batch_decode(output.label_ids) == rows["text"][:]
    # The log of the next evaluation is not told of it.
    assert not trainer._metrics["eval"]


def test_what_is_heard_does_not_depend_on_the_references(trained, tmp_path, rows):
    trainer = build("joint_sft", trained, tmp_path, rows)
    silent = rows.map(lambda row: {"text": "", "language": "none"})
    texts = trainer.processing_class.batch_decode(trainer.predict(rows).predictions)
    assert trainer.processing_class.batch_decode(trainer.predict(silent).predictions) == texts


@pytest.mark.parametrize("stage", ["joint_sft", "context_sft", "grpo"])
def test_evaluation_takes_a_prefix_and_several_sets(stage, components, tmp_path, rows):
    trainer = build(stage, components, tmp_path, rows)
    english = rows.filter(lambda row: row["language"] == "en")
    assert {"x_wer", "x_loss"} <= set(trainer.evaluate(english, metric_key_prefix="x"))
    metrics = trainer.evaluate({"near": english, "far": rows})
    assert {"eval_near_wer", "eval_far_wer", "eval_far_cer"} <= set(metrics)
    assert "eval_near_cer" not in metrics


def encoded(rows: Dataset) -> list[bytes]:
    files = []
    for samples in rows["samples"][:]:
        file = io.BytesIO()
        soundfile.write(file, np.array(samples, dtype=np.int16), 16000, format="FLAC")
        files.append(file.getvalue())
    return files


def test_a_row_that_cannot_be_read_has_no_text(trained, tmp_path, rows):
    trainer = build("joint_sft", trained, tmp_path, rows)
    expected = trainer.processing_class.batch_decode(trainer.predict(rows).predictions)
    files, longest = encoded(rows), int(np.argmax(rows["duration"][:]))
    files[longest] = b"no audio"
    audio = [{"bytes": file, "path": f"{number}.flac"} for number, file in enumerate(files)]
    output = trainer.predict(rows.remove_columns("samples").add_column("audio", audio))
    texts = trainer.processing_class.batch_decode(output.predictions)
    assert texts == [text if row != longest else "" for row, text in enumerate(expected)]
    assert expected[longest]


@pytest.mark.parametrize("labelled", [True, False], ids=["with labels", "without labels"])
def test_phonemes_are_predicted(labelled, tmp_path, rows):
    tokenizer = EntropyASRPhonemeTokenizer()
    trainer = EncoderPretrainingTrainer(
        small_encoder(),
        trainer_arguments(EncoderPretrainingConfig, tmp_path, entropy_steps=0, per_device_eval_batch_size=2),
        CTCCollator(EntropyASRFeatureExtractor()),
        train_dataset=add_phoneme_ids(rows, tokenizer),
    )
    output = trainer.predict(add_phoneme_ids(rows, tokenizer) if labelled else rows)
    assert output.metrics["test_per"] == trainer.evaluate(rows)["eval_per"]
    labels = [ids[ids >= 0].tolist() for ids in output.label_ids]
    assert labels == add_phoneme_ids(rows, tokenizer)["phoneme_ids"][:]
    dataset, model = SpeechDataset(rows), trainer.model.eval()
    for index, frames in enumerate(output.predictions):
        batch = trainer.data_collator.features([dataset[index]])
        with torch.no_grad():
            best = model(batch["input_features"], batch["attention_mask"]).logits[0].argmax(-1)
        assert frames.min() >= 0
        assert ctc_collapse(frames.tolist()) == ctc_collapse(best.tolist())


def test_phoneme_heads_predict(components, tmp_path, rows):
    model, processor = SFTModelSection(path=str(components / "full")).build()
    trainer = PhonemeHeadTrainer(
        phoneme_model(model),
        trainer_arguments(PhonemeHeadConfig, tmp_path),
        CTCCollator(processor.feature_extractor),
        train_dataset=add_phoneme_ids(rows, processor.phoneme_tokenizer),
        processing_class=processor.phoneme_tokenizer,
    )
    assert trainer.predict(rows).metrics["test_per"] == trainer.evaluate(rows, metric_key_prefix="x")["x_per"]


def test_attention_decoders_predict_characters(tmp_path, rows):
    trainer = attention_trainer(rows, tmp_path, max_new_tokens=4)
    output = trainer.predict(rows)
    assert {"test_wer", "test_cer", "test_loss"} <= set(output.metrics)
    tokenizer = trainer.processing_class
    assert tokenizer.batch_decode(output.label_ids, skip_special_tokens=True) == rows["text"][:]
    assert len(tokenizer.batch_decode(output.predictions, skip_special_tokens=True)) == len(rows)


def test_language_models_predict_tokens(tmp_path):
    blocks = Dataset.from_dict({name: [[1, 2, 3, 4], [4, 3, 2, 1], [5, 6, 7, 8]] for name in ("input_ids", "labels")})
    model = Qwen3ForCausalLM(small_text_config(50))
    arguments = trainer_arguments(LanguageModelTrainingConfig, tmp_path)
    trainer = LanguageModelTrainer(model, arguments, train_dataset=blocks, data_collator=default_data_collator)
    output = trainer.predict(blocks)
    expected = model.eval()(torch.tensor(blocks["input_ids"][:])).logits.argmax(-1)
    assert np.array_equal(output.predictions, expected)
    assert output.metrics["test_loss"] > 0
