# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""V-information of probes against closed forms and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from entropy_asr.spaces.entropy_allocation import probes
from entropy_asr.spaces.entropy_allocation.probes import Examples, accessible_information
from entropy_asr.spaces.entropy_allocation.splits import split_by_group


def test_pai_is_blind_to_names_of_labels_and_to_invertible_linear_maps():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 6, 6000)
    frames = torch.from_numpy(rng.normal(size=(6, 12))[labels] + rng.normal(size=(6000, 12))).float()
    groups = np.arange(6000) // 50

    def pai(frames, labels):
        examples = Examples(frames, torch.from_numpy(labels), groups)
        return accessible_information(examples, ["linear"], 1, control=False)["linear"]["information"]

    value = pai(frames, labels)
    assert value > 0.5
    assert pai(frames, np.array([3, 1, 5, 0, 2, 4])[labels]) == pytest.approx(value, abs=1e-3)
    # Well conditioned: the probe's weak penalty sees the scale of directions, information does not.
    mixing = torch.eye(12) + 0.2 * torch.from_numpy(rng.normal(size=(12, 12))).float()
    assert pai(frames @ mixing, labels) == pytest.approx(value, abs=0.01)


def test_pai_of_few_rows_is_not_far_below_zero():
    """Unregularised, a probe of 200 dimensions on 600 rows makes PAI of noise -10 nats and more."""
    rng = np.random.default_rng(3)
    examples = Examples(
        torch.from_numpy(rng.normal(size=(600, 200))).float(),
        torch.from_numpy(rng.integers(0, 5, 600)),
        np.arange(600) // 10,
    )
    result = accessible_information(examples, ["linear"], 1, control=False)["linear"]
    assert -0.1 < result["information"] < 0.1


@pytest.mark.parametrize("family", ["linear", "mlp"])
def test_pai_of_speakers_a_probe_could_learn_by_heart(family):
    """Six speakers of their own frames: neighbours of training rows must not choose how long a probe learns them."""
    rng = np.random.default_rng(4)
    groups, labels = np.repeat(np.arange(6), 100), np.repeat(rng.integers(0, 5, 60), 10)
    slow = np.repeat(rng.normal(size=(60, 40)), 10, axis=0)  # frames of one phone are alike
    frames = torch.from_numpy(slow + 0.1 * rng.normal(size=slow.shape)).float()
    result = accessible_information(Examples(frames, torch.from_numpy(labels), groups), [family], 2, control=False)
    assert -0.5 < result[family]["information"] < 0.5


def test_classes_that_no_training_row_has_do_not_hide_what_frames_tell():
    """Few words of many phonemes: some occur in test rows alone, and one could cost more than all others save."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, 58)
    labels = rng.choice(57, 292, p=shares / shares.sum())
    frames = 0.5 * rng.normal(size=(57, 64))[labels] + rng.normal(size=(292, 64))
    examples = Examples(torch.from_numpy(frames).float(), torch.from_numpy(labels), np.arange(292) * 40 // 292)
    result = accessible_information(examples, ["linear"], 2)["linear"]
    assert result["information"] > 1.4
    assert abs(result["shuffled_control"]) < 0.15


def test_pai_agrees_with_scikit_learn():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 8, 6000)
    scales = np.logspace(0, -1.5, 24)
    frames = (0.3 * rng.normal(size=(8, 24))[labels] + rng.normal(size=(6000, 24))) * scales + 3
    frames[:, 1] = frames[:, 0] + 0.05 * frames[:, 1]  # nearly collinear
    frames, groups = torch.from_numpy(frames).float(), np.arange(6000) // 30
    ours = accessible_information(Examples(frames, torch.from_numpy(labels), groups), ["linear"], 1, control=False)
    train, test = split_by_group(groups, 1)[0]
    mean, std = frames[train].mean(0), frames[train].std(0, correction=0)
    scaled = ((frames - mean) / std).numpy()
    reference = LogisticRegression(max_iter=5000, tol=1e-8).fit(scaled[train], labels[train])
    shares = np.bincount(labels[train]) / len(train)
    entropy = log_loss(labels[test], np.tile(shares, (len(test), 1)), labels=range(8))
    pai = entropy - log_loss(labels[test], reference.predict_proba(scaled[test]))
    assert 0.3 < pai < 1.9
    assert ours["linear"]["information"] == pytest.approx(pai, abs=0.02)


def test_frames_of_one_speaker_are_not_taken_for_as_many_independent_ones():
    """24 speakers with voices and habits of their own: 400 rows each look like plenty, and are 24 cases."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(24), 400)
    habits = rng.dirichlet(np.full(5, 2.0), 24)
    labels = np.concatenate([rng.choice(5, 400, p=habit) for habit in habits])
    frames = torch.from_numpy(rng.normal(size=(24, 20))[groups] + rng.normal(size=(9600, 20))).float()
    assert len(groups) > 100 * frames.shape[1]
    result = accessible_information(Examples(frames, torch.from_numpy(labels), groups), ["linear"], 3, control=False)
    # With the penalty of independent rows: -0.08, what a probe loses that takes a voice for a habit.
    assert -0.02 < result["linear"]["information"] < 0.02


def test_probes_leave_the_random_state_alone():
    labels = np.random.default_rng(0).integers(0, 3, 600)
    received = np.where(np.arange(600) % 5, labels, 0)
    examples = Examples(torch.eye(3)[received], torch.from_numpy(labels), np.arange(600) // 10)
    state = torch.get_rng_state()
    first = accessible_information(examples, ["linear", "mlp"], 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    second = accessible_information(examples, ["linear", "mlp"], 1)
    assert first["mlp"]["information"] == second["mlp"]["information"]


def test_probe_families_are_documented():
    assert set(probes.FAMILIES) == {"linear", "mlp"}


def test_a_network_finds_nothing_in_frames_that_have_nothing_to_do_with_few_rows_labels():
    """Few rows of many phonemes, most of them in one utterance alone: class shares predict worse than a guess.

    A network that is stopped early stays near the guess; that it does so without frames is no information in them.
    """
    rng = np.random.default_rng(0)
    groups = np.arange(280) // 10
    labels = 2 * groups + rng.integers(0, 6, 280)
    labels = np.unique(labels, return_inverse=True)[1]
    examples = Examples(torch.from_numpy(rng.normal(size=(280, 64))).float(), torch.from_numpy(labels), groups)
    result = accessible_information(examples, ["mlp"], 1, control=False)["mlp"]
    assert abs(result["information"]) < 0.25
