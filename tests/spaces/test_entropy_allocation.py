# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Entropy allocation metrics against closed forms, scikit-learn, and themselves in streams and processes."""

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

import entropy_asr.spaces
from entropy_asr.spaces.entropy_allocation import probes
from entropy_asr.spaces.entropy_allocation.moments import FrameMoments
from entropy_asr.spaces.entropy_allocation.probes import Examples, accessible_information
from entropy_asr.spaces.entropy_allocation.splits import split_by_group, split_rows, standard_error


FOLDER = Path(entropy_asr.spaces.__file__).parent / "entropy_allocation"
# Sampling error of a held-out cross-entropy on some thousand rows, in nats.
NATS = 0.02


@pytest.fixture
def metric():
    return evaluate.load(str(FOLDER))


def moments_of(*parts: torch.Tensor, batch_size: int | None = None) -> FrameMoments:
    moments = FrameMoments()
    for batch in zip(*(part.split(batch_size or len(part)) for part in parts), strict=True):
        moments.update(*batch)
    return moments


def nse(frames: torch.Tensor) -> float:
    return moments_of(frames).nse()


def frames_like_an_encoders(num_frames: int = 6000, width: int = 48, dtype=torch.float64) -> torch.Tensor:
    """A falling spectrum and a mean far from 0."""
    scales = torch.logspace(0, -2, width, dtype=torch.float64)
    mixing = torch.randn(width, width, dtype=torch.float64) * scales[:, None]
    return (torch.randn(num_frames, width, dtype=torch.float64) @ mixing + 3).to(dtype)


def random_rotation(width: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(width, width, dtype=torch.float64))[0]


# NSE


def test_nse_of_isotropic_rank_one_and_k_equal_directions():
    width = 32
    # Exactly isotropic: every direction as often, with both signs.
    isotropic = torch.cat([torch.eye(width), -torch.eye(width)]).double().repeat(16, 1)
    assert nse(isotropic) == pytest.approx(1, abs=1e-12)
    assert nse(torch.randn(1000, 1).double() @ torch.randn(1, width).double()) == pytest.approx(0, abs=1e-9)
    for k in (2, 4, 16):
        assert nse(isotropic[isotropic[:, :k].abs().sum(1) > 0]) == pytest.approx(math.log(k) / math.log(width))


def test_nse_of_gaussian_noise_is_near_one_and_biased_when_frames_are_few():
    assert nse(torch.randn(40_000, 64)) > 0.999
    with pytest.warns(UserWarning, match="128 frames of dimension 64 is biased downwards: use 1024 or more"):
        assert nse(torch.randn(128, 64)) == pytest.approx(0.939, abs=0.01)


def test_nse_of_constant_frames_is_zero():
    assert nse(torch.full((500, 8), 0.1, dtype=torch.float64)) == 0
    assert nse(torch.full((500, 8), 0.1)) == 0


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.floats(-50, 50), st.floats(1e-3, 1e3))
def test_nse_ignores_shift_rotation_and_scale(seed, shift, scale):
    torch.manual_seed(seed)
    frames = frames_like_an_encoders(1500, 16)
    value = nse(frames)
    assert 0 <= value <= 1
    assert nse(frames + shift) == pytest.approx(value, abs=1e-8)
    assert nse(frames @ random_rotation(16)) == pytest.approx(value, abs=1e-8)
    assert nse(frames * scale) == pytest.approx(value, abs=1e-8)


# CKA


def test_cka_of_equal_rotated_scaled_and_mixed_frames():
    frames = frames_like_an_encoders()
    rotated = 7 * frames @ random_rotation(48) + 2
    assert moments_of(frames, frames).cka() == pytest.approx(1, abs=1e-12)
    assert moments_of(frames, rotated).cka() == pytest.approx(1, abs=1e-9)
    assert moments_of(frames, rotated).cka_debiased() == pytest.approx(1, abs=1e-9)
    mixed = frames @ (torch.diag(torch.logspace(0, 3, 48)).double() @ torch.randn(48, 48).double())
    assert moments_of(frames, mixed).cka() < 0.9


def test_cka_is_the_papers_formula_on_gram_matrices():
    first, second = frames_like_an_encoders(300, 12), torch.randn(300, 5).double()
    second[:, 0] += first[:, 0]
    centring = torch.eye(300).double() - 1 / 300
    grams = [centring @ frames @ frames.T @ centring for frames in (first, second)]
    expected = (grams[0] * grams[1]).sum() / (grams[0].norm() * grams[1].norm())
    assert moments_of(first, second).cka() == pytest.approx(float(expected), abs=1e-10)


def test_debiased_cka_is_the_unbiased_estimator_and_about_zero_for_unrelated_frames():
    first, second = torch.randn(60, 50).double(), torch.randn(60, 50).double()
    moments = moments_of(first, second)
    assert moments.cka() > 0.3
    assert abs(moments.cka_debiased()) < 0.1

    def product(a, b):  # Song et al. 2012, equation 5, up to 1 / (n (n - 3))
        k, g = (m @ m.T for m in (a, b))
        k, g, n = k - k.diagonal().diag(), g - g.diagonal().diag(), len(a)
        return (k * g).sum() + k.sum() * g.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k.sum(0) @ g.sum(0))

    # On centred frames, as the linear form has it (Kornblith's code).
    first, second = first - first.mean(0), second - second.mean(0)
    expected = product(first, second) / (product(first, first) * product(second, second)).sqrt()
    assert moments.cka_debiased() == pytest.approx(float(expected), abs=1e-3)


# Streams and processes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_streamed_equals_one_shot(dtype):
    first = frames_like_an_encoders(dtype=dtype)
    second = (first[:, :20] ** 2 + torch.randn(len(first), 20)).to(dtype)
    whole = moments_of(first, second)
    for batch_size in (1, 7, 1024, 2500):
        streamed = moments_of(first, second, batch_size=batch_size)
        for name in ("nse", "cka", "cka_debiased"):
            assert getattr(streamed, name)() == pytest.approx(getattr(whole, name)(), abs=1e-8)
    halves = moments_of(first[:1700], second[:1700])
    halves.merge(moments_of(first[1700:], second[1700:]))
    assert halves.count == whole.count
    assert halves.nse() == pytest.approx(whole.nse(), abs=1e-8)
    assert halves.cka_debiased() == pytest.approx(whole.cka_debiased(), abs=1e-8)


PROCESS = """
import sys, torch, torch.distributed as dist, evaluate, json
rank, folder, init, data = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
dist.init_process_group("gloo", init_method=f"file://{init}", rank=rank, world_size=2)
# Shares of different sizes, about different means.
mine = slice(0, 9) if rank == 0 else slice(9, None)
for inputs in torch.load(data):
    metric = evaluate.load(folder)
    metric.add_batch(**{name: value[mine] for name, value in inputs.items()})
    result = metric.compute(distributed=True, probes=["linear"], num_seeds=1, control=False)
    result["num_frames"] = result.pop("details")["pai"]["num_frames"]
    print("RESULT", json.dumps(result))
dist.destroy_process_group()
"""


def test_two_processes_give_what_one_gives(metric, tmp_path):
    inputs = []
    for dtype in (torch.float32, torch.float64):
        frames = [frames_like_an_encoders(200 + index, 24, dtype) + index / 10 for index in range(30)]
        inputs.append(
            {
                "predictions": frames,
                "references": [(x[:, 0] > x[:, 0].mean()).long() for x in frames],
                "other_predictions": [(x[:, :10] ** 2 + torch.randn(len(x), 10)).to(dtype) for x in frames],
                "speakers": [f"speaker {index // 2}" for index in range(30)],
            }
        )
    torch.save(inputs, tmp_path / "data.pt")
    arguments = [str(FOLDER), str(tmp_path / "init"), str(tmp_path / "data.pt")]
    running = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(rank), *arguments], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    lines = [[line for line in output.splitlines() if line.startswith("RESULT")] for output in outputs]
    assert lines[0] == lines[1]
    for line, alone_inputs in zip(lines[0], inputs, strict=True):
        joined = json.loads(line.removeprefix("RESULT"))
        alone = metric.compute(**alone_inputs, probes=["linear"], num_seeds=1, control=False)
        assert (
            joined["num_frames"] == alone["details"]["pai"]["num_frames"] == sum(map(len, alone_inputs["predictions"]))
        )
        for name in ("nse", "cka", "cka_debiased"):
            assert joined[name] == pytest.approx(alone[name], abs=1e-8)
        # The same rows and the same split: speakers, not processes, decide.
        assert joined["pai"] == pytest.approx(alone["pai"], abs=1e-6)


# PAI


def channel(num_classes: int, error: float, num_rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and what a K-ary symmetric channel makes of them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_rows)
    wrong = (labels + rng.integers(1, num_classes, num_rows)) % num_classes
    return labels, np.where(rng.random(num_rows) < error, wrong, labels)


@pytest.mark.parametrize("family", ["linear", "mlp"])
def test_pai_of_a_noisy_channel(metric, family):
    num_classes, error = 5, 0.1
    labels, received = channel(num_classes, error, 16_000)
    frames = np.eye(num_classes, dtype=np.float32)[received]
    result = metric.compute(
        predictions=frames, references=labels, metrics=["pai"], probes=[family], num_seeds=2, control=True
    )
    binary_entropy = -error * math.log(error) - (1 - error) * math.log(1 - error)
    expected = math.log(num_classes) - binary_entropy - error * math.log(num_classes - 1)
    assert result["pai"] == pytest.approx(expected, abs=NATS)
    assert result["pai_normalized"] == pytest.approx(expected / math.log(num_classes), abs=NATS)
    details = result["details"]["pai"]
    assert (details["num_frames"], details["dimension"], details["num_classes"]) == (16_000, 5, 5)
    assert abs(details[family]["shuffled_control"]) < NATS
    assert 0 < details[family]["standard_error"] < NATS
    assert details[family]["seconds"] > 0


def test_pai_of_independent_labels_is_about_zero_and_not_clipped(metric):
    values = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        frames, labels = rng.normal(size=(4000, 20)).astype(np.float32), rng.integers(0, 4, 4000)
        result = metric.compute(
            predictions=frames, references=labels, metrics=["pai"], probes=["linear"], num_seeds=1, control=False
        )
        values.append(result["pai"])
    assert max(abs(value) for value in values) < NATS
    # A probe that finds nothing has learnt noise: below 0, which a clipped estimate would hide.
    assert min(values) < 0


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


# Splits


def uneven_speakers(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


@pytest.mark.parametrize(
    "sizes",
    [[30] * 20, [30] * 8, [30] * 9, [300, 10, 20, 30, 40, 50, 60, 70, 80], [500, *[40] * 20], [1] * 50 + [20] * 10],
)
def test_speakers_are_kept_apart_and_about_a_quarter_of_the_rows_is_tested_on(sizes):
    groups = uneven_speakers(sizes)
    for train, test in split_by_group(groups, 5):
        assert not set(groups[train]) & set(groups[test])
        assert sorted([*train, *test]) == list(range(len(groups)))
        assert 0.15 <= len(test) / len(groups) <= 0.35


def test_first_splits_test_other_speakers_and_more_of_them_change_none():
    groups = uneven_speakers([30] * 20)
    splits = split_by_group(groups, 9)
    tested = [speaker for _, test in splits[:4] for speaker in set(groups[test])]
    assert len(tested) == len(set(tested)) == 20
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(splits, split_by_group(groups, 3), strict=False))


def test_what_speakers_do_not_allow_is_split_by_utterance_and_then_by_row():
    utterances = np.repeat(np.arange(50), 20)
    few, enough = utterances // 10, utterances // 4
    one_large = np.where(utterances < 43, 0, utterances)
    cases = [
        ({"speaker": enough, "utterance": utterances}, "speaker", None),
        ({"speaker": few, "utterance": utterances}, "utterance", "5 speakers: 8 are needed"),
        (
            {"speaker": one_large, "utterance": utterances},
            "utterance",
            "The largest of 8 speakers has 86% of the rows",
        ),
        ({"utterance": utterances * 0}, "row", "1 utterance: 8 are needed"),
        ({"speaker": few, "utterance": few}, "row", "5 speakers: 8 are needed.*5 utterances: 8 are needed"),
    ]
    for groupings, split_by, reason in cases:
        splits = split_rows(groupings, 1000, 2)
        assert splits.split_by == split_by
        assert splits.reason is None if reason is None else re.search(reason, splits.reason)
        for train, test in splits.rows:
            assert 0.15 <= len(test) / 1000 <= 0.35
            if split_by == "row":
                assert np.count_nonzero(np.diff(test) > 1) < 20  # runs of neighbours
            else:
                assert not set(groupings[split_by][train]) & set(groupings[split_by][test])
    with pytest.raises(ValueError, match="5 rows are too few"):
        split_rows({"speaker": np.arange(5)}, 5, 1)


def test_details_say_what_rows_were_split_by(metric):
    frames, labels = torch.randn(20, 50, 3), torch.randint(0, 2, (20, 50))
    for speakers, split_by in (
        ([f"s{i // 2}" for i in range(20)], "speaker"),
        ([f"s{i // 10}" for i in range(20)], "utterance"),
        (None, "utterance"),
    ):
        result = metric.compute(
            predictions=frames, references=labels, speakers=speakers, probes=["linear"], num_seeds=1, control=False
        )["details"]["pai"]["linear"]
        assert result["split_by"] == split_by
        assert ("split_reason" in result) == (speakers is not None and split_by == "utterance")
    one = metric.compute(predictions=frames[0], references=labels[0], probes=["linear"], num_seeds=1, control=False)
    assert one["details"]["pai"]["linear"]["split_by"] == "row"


# The standard error


@pytest.mark.parametrize("num_splits", [3, 20])
def test_standard_error_is_that_of_other_speakers_and_not_of_other_splits(num_splits):
    """The mean of what 30 speakers would say, over and over again with 30 others."""
    groups = np.repeat(np.arange(30), 10)
    splits = split_rows({"speaker": groups}, 300, num_splits)
    rng, means, errors = np.random.default_rng(0), [], []
    for _ in range(500):
        rows = rng.normal(size=30)[groups] + 0.1 * rng.normal(size=300)
        values = np.array([rows[test].mean() for _, test in splits.rows])
        means.append(values.mean())
        errors.append(standard_error(values, splits.test_shares))
    means, errors = np.array(means), np.array(errors)
    # Of few splits, which test different speakers, it is rather too large.
    assert 0.85 < np.sqrt((errors**2).mean()) / means.std() < (1.5 if num_splits == 3 else 1.15)
    assert (np.abs(means) < 2 * errors).mean() > 0.85


def test_standard_error_of_a_probe_does_not_go_to_zero_with_the_number_of_splits():
    rng = np.random.default_rng(0)
    groups, labels = np.repeat(np.arange(24), 20), rng.integers(0, 2, 480)
    clear = rng.uniform(0, 2, 24)[groups]  # how clearly each of them speaks
    frames = torch.from_numpy(clear[:, None] * np.eye(2)[labels] + 0.5 * rng.normal(size=(480, 2))).float()
    examples = Examples(frames, torch.from_numpy(labels), groups)
    few, many = (accessible_information(examples, ["linear"], n, control=False)["linear"] for n in (4, 24))
    assert many["standard_error"] > 0.5 * few["standard_error"] > 0
    assert accessible_information(examples, ["linear"], 1, control=False)["linear"]["standard_error"] is None


# CSAI


def csai(metric, phonemes, words, frames, families=("linear",)) -> dict:
    """Words of one frame each."""
    count = len(words)
    spans = np.stack([np.arange(count), np.arange(count) + 1, words], axis=1)
    return metric.compute(
        predictions=frames, references=phonemes, words=spans, metrics=["csai"], probes=families, num_seeds=1,
        control=False,
    )  # fmt: skip


def test_csai_is_zero_when_phonemes_say_all(metric):
    rng = np.random.default_rng(0)
    phonemes = rng.integers(0, 8, 8000)
    words = phonemes // 2
    frames = np.concatenate([np.eye(4)[words], rng.normal(size=(8000, 4))], axis=1)
    assert csai(metric, phonemes, words, frames)["csai"] == pytest.approx(0, abs=NATS)


def test_csai_is_the_words_entropy_when_only_frames_reveal_them(metric):
    rng = np.random.default_rng(0)
    shares = np.array([0.5, 0.2, 0.2, 0.1])
    phonemes, words = rng.integers(0, 8, 12_000), rng.choice(4, 12_000, p=shares)
    result = csai(metric, phonemes, words, np.eye(4, dtype=np.float32)[words])
    assert result["csai"] == pytest.approx(float(-(shares * np.log(shares)).sum()), abs=NATS)


def test_csai_of_an_exclusive_or_depends_on_the_family(metric):
    rng = np.random.default_rng(0)
    phonemes, bits = rng.integers(0, 2, 8000), rng.integers(0, 2, 8000)
    details = csai(metric, phonemes, phonemes ^ bits, bits[:, None].astype(float), ("linear", "mlp"))["details"]
    assert details["csai"]["linear"]["information"] == pytest.approx(0, abs=NATS)
    assert details["csai"]["mlp"]["information"] == pytest.approx(math.log(2), abs=NATS)


@pytest.mark.parametrize("family", ["linear", "mlp"])
def test_csai_is_not_below_zero_where_phonemes_leave_nothing_to_say(metric, family):
    """Frames of 64 dimensions would only confuse a probe that knows each of 180 words from its phonemes."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 8, 180)
    spans = [np.stack([np.arange(6), np.arange(1, 7), part], axis=1) for part in np.split(words, 30)]
    result = metric.compute(
        predictions=[rng.normal(size=(6, 64)) for _ in range(30)],
        references=np.split(words, 30),
        words=spans,
        metrics=["csai"],
        probes=[family],
        control=False,
    )
    details = result["details"]["csai"][family]
    assert 0 <= result["csai_ceiling"] == details["entropy"] < 0.1
    assert (result["csai"], details["standard_error"], details["splits_without_frames"]) == (0, None, 3)


def test_ceiling_of_csai_is_the_entropy_of_words_given_phonemes(metric):
    rng = np.random.default_rng(0)
    phonemes, bits = rng.integers(0, 4, 8000), rng.integers(0, 2, 8000)
    frames = bits[:, None] + 0.5 * rng.normal(size=(8000, 1))
    result = csai(metric, phonemes, 2 * phonemes + bits, frames)
    assert result["csai_ceiling"] == pytest.approx(math.log(2), abs=NATS)
    assert 0.2 < result["csai"] < result["csai_ceiling"]
    assert result["details"]["csai"]["linear"]["splits_without_frames"] == 0


def test_phonemes_of_a_word_span_it(metric):
    """Two words with one first phoneme: a window of one phoneme could not tell them apart, the whole word does."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2, 2000)
    phonemes = np.stack([np.full(2000, 5), np.full(2000, 5), words, np.full(2000, -100)], axis=1).reshape(-1)
    starts = 4 * np.arange(2000)
    spans = np.stack([starts, starts + 4, words], axis=1)
    frames = np.repeat(np.eye(2)[words], 4, axis=0)
    result = metric.compute(
        predictions=frames, references=phonemes, words=spans, metrics=["csai"], probes=["linear"], num_seeds=1
    )
    assert result["csai"] == pytest.approx(0, abs=NATS)
    assert result["details"]["csai"]["phoneme_positions"] == 2


# The module


def test_computes_what_its_inputs_allow(metric):
    frames = [torch.randn(60, 4) for _ in range(10)]
    assert set(metric.compute(predictions=frames)) == {"nse", "details"}
    labels = [torch.randint(0, 3, (60,)) for _ in range(10)]
    metric.add_batch(predictions=frames, references=labels, other_predictions=[2 * x for x in frames])
    result = metric.compute(probes=["linear"], num_seeds=1)
    assert set(result) == {"nse", "pai", "pai_normalized", "cka", "cka_debiased", "details"}
    assert result["cka"] == pytest.approx(1, abs=1e-6)
    # What was computed is forgotten.
    with pytest.raises(ValueError, match="No frames were added"):
        metric.compute()


def test_arrays_tensors_and_single_utterances_are_one(metric):
    frames = torch.randn(20, 50, 6)
    expected = metric.compute(predictions=list(frames))["nse"]
    assert metric.compute(predictions=frames)["nse"] == expected
    assert metric.compute(predictions=frames.numpy())["nse"] == expected
    assert metric.compute(predictions=frames.reshape(-1, 6))["nse"] == expected
    for utterance in frames:
        metric.add(prediction=utterance)
    assert len(metric) == 20
    assert metric.compute()["nse"] == expected


def test_bad_input_is_named(metric):
    frames, labels = torch.randn(100, 4), torch.zeros(100).long()
    cases = [
        ({"predictions": frames, "metrics": ["pai"]}, "`pai` needs references"),
        ({"predictions": frames, "metrics": ["nsi"]}, "Unknown metrics nsi"),
        ({"predictions": frames, "metrics": "nse"}, "must be a list of nse, pai, csai, cka"),
        ({"predictions": frames, "metrics": []}, "must be a list of nse"),
        ({"predictions": [torch.randn(5)]}, "utterance 0 must have 2 dimensions"),
        ({"predictions": torch.randn(5, 0)}, "Utterance 0.*one dimension or more"),
        ({"predictions": frames, "references": torch.zeros(99).long()}, "100 frames need as many integer labels"),
        ({"predictions": frames, "references": torch.zeros(100)}, "integer labels, got 100 torch.float32"),
        ({"predictions": [frames, frames], "references": [labels]}, "1 entries for 2 utterances"),
        ({"predictions": [frames, torch.full((3, 4), math.nan)]}, "Utterance 1.*NaN"),
        ({"predictions": [frames, torch.randn(3, 5)]}, "Utterance 1.*width"),
        ({"predictions": frames, "references": labels, "probes": ["cubic"]}, "linear, mlp.*cubic"),
        ({"predictions": frames, "references": labels}, "one label"),
        ({"predictions": frames, "words": [[(0, 1, 2)]]}, "give `references`"),
        ({"predictions": frames, "speakers": ["ann"]}, "give `references`"),
        ({"predictions": frames, "references": labels, "words": [[(0, 1)]]}, r"\(start, end, id\)"),
        ({"predictions": frames, "references": labels, "words": [[(5, 1, 0)]]}, "inside its 100 frames"),
        ({"predictions": frames, "references": labels, "words": [[(0, 1.5, 0)]]}, "words must be integers"),
        ({"predictions": frames, "references": labels, "speakers": "ann"}, "a list of names"),
        ({"predictions": [frames] * 2, "references": [labels] * 2, "speakers": ["ann", None]}, "all.*or for none"),
        ({"references": labels}, "Unexpected without `predictions`: references"),
        # Of no use without references, and refused all the same.
        ({"predictions": frames, "probes": ["cubic"]}, "linear, mlp.*cubic"),
        ({"predictions": frames, "probes": "linear"}, "a list of linear, mlp"),
        ({"predictions": frames, "probes": []}, "a list of linear, mlp"),
        ({"predictions": frames, "num_seeds": 0}, "whole number, at least 1"),
        ({"predictions": frames, "num_seeds": 2.5}, "whole number, at least 1"),
        ({"predictions": frames, "control": "no"}, "`control` must be True or False"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            metric.compute(**arguments)
        assert len(metric) == 0
    with pytest.raises(ValueError, match="torch.distributed"):
        evaluate.load(str(FOLDER), num_process=2, process_id=0)


def test_an_error_costs_nothing_but_its_own_call(metric):
    frames, labels = torch.randn(20, 60, 3), torch.randint(0, 2, (20, 60))
    names = [f"s{i}" for i in range(20)]
    figures = {"probes": ["linear"], "num_seeds": 1, "control": False}
    expected = metric.compute(predictions=frames, references=labels, speakers=names, **figures)
    metric.add_batch(predictions=frames[:12], references=labels[:12], speakers=names[:12])
    rest = {"predictions": frames[12:], "references": labels[12:], "speakers": names[12:]}
    wrong = [
        {**rest, "predictions": [*frames[12:19], torch.full((60, 3), math.nan)]},
        {**rest, "predictions": [*frames[12:19], torch.randn(60, 4)]},
        {**rest, "references": [*labels[12:19], labels[19][:30]]},
        {**rest, "speakers": None},
        {**rest, "other_predictions": frames[12:]},
    ]
    for arguments in wrong:
        with pytest.raises(ValueError):
            metric.add_batch(**arguments)
        with pytest.raises(ValueError):
            metric.compute(**arguments, **figures)
    for request in ({"metrics": ["cka"]}, {"probes": ["cubic"]}, {"num_seeds": 0}):
        with pytest.raises(ValueError):
            metric.compute(**request)
        with pytest.raises(ValueError):  # frames that were given with it are not added either
            metric.compute(**rest, **request)
        assert len(metric) == 12
    metric.add_batch(**rest)
    result = metric.compute(**figures)
    assert (result["nse"], result["pai"]) == (expected["nse"], expected["pai"])
    metric.add_batch(**rest)
    metric.reset()
    assert len(metric) == 0


def test_the_sample_for_probes_is_bounded():
    metric = evaluate.load(str(FOLDER), max_probe_frames=500)
    for _ in range(50):
        metric.add(prediction=torch.randn(40, 3), reference=torch.randint(0, 2, (40,)))
    result = metric.compute(probes=["linear"], num_seeds=1, control=False)
    assert result["details"]["nse"]["num_frames"] == 2000
    assert result["details"]["pai"]["num_frames"] == 480
    assert result["details"]["pai"]["dropped_utterances"] == 38


def test_a_copy_of_the_folder_works_alone(tmp_path):
    """What is uploaded as a Space has no package around it."""
    shutil.copytree(
        FOLDER, tmp_path / "entropy_allocation", ignore=shutil.ignore_patterns("__init__.py", "__pycache__")
    )
    code = (
        "import sys, evaluate, numpy as np\n"
        "sys.modules['entropy_asr'] = None\n"
        f"metric = evaluate.load({str(tmp_path / 'entropy_allocation')!r})\n"
        "print(metric.compute(predictions=np.random.default_rng(0).normal(size=(500, 4)))['nse'] > 0.9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()[-1] == "True"


def test_probes_leave_the_random_state_alone():
    labels, received = channel(3, 0.2, 600)
    examples = Examples(torch.eye(3)[received], torch.from_numpy(labels), np.arange(600) // 10)
    state = torch.get_rng_state()
    first = accessible_information(examples, ["linear", "mlp"], 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    second = accessible_information(examples, ["linear", "mlp"], 1)
    assert first["mlp"]["information"] == second["mlp"]["information"]


def test_probe_families_are_documented():
    assert set(probes.FAMILIES) == {"linear", "mlp"}
