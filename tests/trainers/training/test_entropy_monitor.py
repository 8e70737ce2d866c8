# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NSE and CKA logged while a stage trains, PAI and CSAI at evaluation."""

import numpy as np
import pytest
import torch
from stage_trainers import attention_trainer
from training_helpers import make_rows, small_encoder, trainer_arguments

from entropy_asr.modeling import EntropyASRFeatureExtractor, EntropyASRPhonemeTokenizer
from entropy_asr.modeling.components_entropy_asr import encode_audio
from entropy_asr.trainers.data.collation import CTCCollator
from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.stages.encoder_pretraining import EncoderPretrainingConfig, EncoderPretrainingTrainer
from entropy_asr.trainers.training.entropy_monitor import REFERENCE, EntropyMonitor


@pytest.fixture(scope="module")
def rows():
    return add_phoneme_ids(make_rows(), EntropyASRPhonemeTokenizer())


def build_trainer(rows, tmp_path, freeze=(), callbacks=None, **kwargs) -> EncoderPretrainingTrainer:
    settings = {"max_steps": 4, "max_batch_duration": 3.2, "learning_rate": 3e-3, "freeze": list(freeze), **kwargs}
    args = trainer_arguments(EncoderPretrainingConfig, tmp_path, **settings)
    collator = CTCCollator(EntropyASRFeatureExtractor())
    return EncoderPretrainingTrainer(
        small_encoder(), args, data_collator=collator, train_dataset=rows, eval_dataset=rows, callbacks=callbacks
    )


def logged(trainer, name: str) -> list[tuple[int, float]]:
    return [(entry["step"], entry[name]) for entry in trainer.state.log_history if name in entry]


def monitor_of(trainer) -> EntropyMonitor | None:
    found = [callback for callback in trainer.callback_handler.callbacks if isinstance(callback, EntropyMonitor)]
    return found[0] if found else None


def test_nse_and_cka_are_logged_and_cka_falls_from_one(rows, tmp_path):
    trainer = build_trainer(rows, tmp_path, entropy_steps=2)
    trainer.train()
    assert [step for step, _ in logged(trainer, "nse")] == [2, 4]
    assert all(0 < value < 1 for _, value in logged(trainer, "nse"))
    values = [value for _, value in logged(trainer, "cka")]
    assert 1 > values[0] > values[1] > 0
    # A log of its own: the step's keeps its loss.
    assert len(logged(trainer, "loss")) == 4


def test_nse_is_the_mean_over_utterances(rows, tmp_path):
    """The paper's figure: frames of one utterance at a time, not centred."""
    trainer = build_trainer(rows, tmp_path, entropy_steps=1, max_steps=1)
    trainer.train()
    collator, encoder = trainer.data_collator.evaluation(), trainer.model.audio_tower.eval()
    found = []
    for row in SpeechDataset(rows, replace_unreadable=True):
        batch = collator.features([row])
        with torch.no_grad():
            encoded = encode_audio(
                encoder, trainer.model.config.audio_length_stages, batch["input_features"], batch["attention_mask"]
            )
        values = np.linalg.svd(encoded.last_hidden_state[0].double().numpy(), compute_uv=False)
        shares = values / values.sum()
        found.append(-(shares * np.log(shares)).sum() / np.log(len(values)))
    ((_, nse),) = logged(trainer, "nse")
    assert nse == pytest.approx(np.mean(found), abs=1e-4)


def test_the_monitor_changes_no_weight(rows, tmp_path):
    weights = []
    for steps in (0, 1):
        trainer = build_trainer(rows, tmp_path / str(steps), entropy_steps=steps)
        trainer.train()
        weights.append(trainer.model.state_dict())
        assert (monitor_of(trainer) is not None) == bool(steps)
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_resumed_run_compares_with_the_encoder_the_stage_began_with(rows, tmp_path):
    settings = {"entropy_steps": 4, "save_strategy": "steps", "save_steps": 2, "lr_scheduler_type": "constant"}
    whole = build_trainer(rows, tmp_path / "whole", **settings)
    whole.train()
    begun = build_trainer(rows, tmp_path / "resumed", **{**settings, "max_steps": 2})
    begun.train()
    resumed = build_trainer(rows, tmp_path / "resumed", **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "resumed" / "checkpoint-2"))
    assert (tmp_path / "resumed" / REFERENCE).exists()
    ((step, value),) = logged(resumed, "cka")
    assert step == 4
    assert value == pytest.approx(logged(whole, "cka")[0][1], abs=1e-6)
    assert value < 1


def test_no_monitor_where_the_encoder_is_frozen(rows, tmp_path):
    assert monitor_of(build_trainer(rows, tmp_path, freeze=["audio_tower"])) is None


def test_one_step_in_so_many_measures_and_no_other(rows, tmp_path):
    """What keeps its cost small; the benchmark of the same name has the share of the step time."""
    trainer = build_trainer(rows, tmp_path, entropy_steps=3, max_steps=7)
    trainer.train()
    assert [step for step, _ in logged(trainer, "nse")] == [3, 6]
    assert EncoderPretrainingConfig("unused").entropy_steps == 500


def test_pai_and_its_chance_are_logged_at_evaluation_when_asked(rows, tmp_path):
    pytest.importorskip("phonemizer")
    trainer = build_trainer(rows, tmp_path, entropy_steps=0, entropy_probes=True)
    trainer.evaluate()
    ((_, pai),) = logged(trainer, "eval_pai")
    ((_, chance),) = logged(trainer, "eval_pai_chance")
    assert pai >= 0 and chance >= 0
    assert not logged(trainer, "nse")


def test_an_encoder_of_another_name_is_watched_too(rows, tmp_path):
    pytest.importorskip("phonemizer")
    settings = {"entropy_steps": 1, "entropy_probes": True, "max_steps": 1, "max_new_tokens": 2}
    trainer = attention_trainer(rows, tmp_path, **settings)
    trainer.train()
    trainer.evaluate()
    assert [step for step, _ in logged(trainer, "nse")] == [1]
    assert len(logged(trainer, "cka")) == len(logged(trainer, "eval_pai")) == 1


def test_settings_that_make_no_sense_are_refused(rows, tmp_path):
    with pytest.raises(ValueError, match="every_steps must not be negative, got -1"):
        build_trainer(rows, tmp_path, entropy_steps=-1)
