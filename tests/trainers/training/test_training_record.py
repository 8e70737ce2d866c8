# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a trainer did, as the record beside its model says it."""

from types import SimpleNamespace

from entropy_asr.trainers.training.training_record import last_evaluation


def test_last_evaluation_is_that_of_all_sets():
    history = [
        {"step": 2, "eval_near_loss": 4.0, "eval_near_wer": 0.9},
        {"step": 4, "loss": 1.0},
        {"step": 4, "eval_near_loss": 3.0, "eval_near_wer": 0.5, "eval_near_runtime": 1.0},
        {"step": 4, "eval_far_loss": 3.5, "eval_far_wer": 0.7, "eval_far_samples_per_second": 2.0},
        {"step": 4, "train_loss": 2.0},
    ]
    trainer = SimpleNamespace(state=SimpleNamespace(log_history=history))
    assert last_evaluation(trainer) == {"near_loss": 3.0, "near_wer": 0.5, "far_loss": 3.5, "far_wer": 0.7}
    assert last_evaluation(SimpleNamespace(state=SimpleNamespace(log_history=[]))) == {}
