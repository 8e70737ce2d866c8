# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""frame_pai and frame_csai of the metric against closed forms."""

import math

import numpy as np
import pytest
import torch


# Sampling error of a held-out cross-entropy on some thousand rows, in nats.
NATS = 0.02


def channel(num_classes: int, error: float, num_rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and what a K-ary symmetric channel makes of them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_rows)
    wrong = (labels + rng.integers(1, num_classes, num_rows)) % num_classes
    return labels, np.where(rng.random(num_rows) < error, wrong, labels)


@pytest.mark.parametrize("family", ["linear", "mlp"])
def test_frame_pai_of_a_noisy_channel(metric, family):
    num_classes, error = 5, 0.1
    labels, received = channel(num_classes, error, 16_000)
    frames = np.eye(num_classes, dtype=np.float32)[received]
    result = metric.compute(
        predictions=frames, references=labels, metrics=["frame_pai"], probes=[family], num_seeds=2, control=True
    )
    binary_entropy = -error * math.log(error) - (1 - error) * math.log(1 - error)
    expected = math.log(num_classes) - binary_entropy - error * math.log(num_classes - 1)
    assert result["frame_pai"] == pytest.approx(expected, abs=NATS)
    assert result["frame_pai_normalized"] == pytest.approx(expected / math.log(num_classes), abs=NATS)
    details = result["details"]["frame_pai"]
    assert (details["num_frames"], details["dimension"], details["num_classes"]) == (16_000, 5, 5)
    assert abs(details[family]["shuffled_control"]) < NATS
    assert 0 < details[family]["standard_error"] < NATS
    assert details[family]["seconds"] > 0


def test_frame_pai_of_independent_labels_is_about_zero_and_not_clipped(metric):
    values = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        frames, labels = rng.normal(size=(4000, 20)).astype(np.float32), rng.integers(0, 4, 4000)
        result = metric.compute(
            predictions=frames, references=labels, metrics=["frame_pai"], probes=["linear"], num_seeds=1, control=False
        )
        values.append(result["frame_pai"])
    assert max(abs(value) for value in values) < NATS
    # A probe that finds nothing has learnt noise: below 0, which a clipped estimate would hide.
    assert min(values) < 0


def test_details_say_what_rows_were_split_by(metric):
    frames, labels = torch.randn(20, 50, 3), torch.randint(0, 2, (20, 50))
    for speakers, split_by in (
        ([f"s{i // 2}" for i in range(20)], "speaker"),
        ([f"s{i // 10}" for i in range(20)], "utterance"),
        (None, "utterance"),
    ):
        result = metric.compute(
            predictions=frames, references=labels, speakers=speakers, probes=["linear"], num_seeds=1, control=False
        )["details"]["frame_pai"]["linear"]
        assert result["split_by"] == split_by
        assert ("split_reason" in result) == (speakers is not None and split_by == "utterance")
    one = metric.compute(predictions=frames[0], references=labels[0], probes=["linear"], num_seeds=1, control=False)
    assert one["details"]["frame_pai"]["linear"]["split_by"] == "row"


def csai(metric, phonemes, words, frames, families=("linear",)) -> dict:
    """Words of one frame each."""
    count = len(words)
    spans = np.stack([np.arange(count), np.arange(count) + 1, words], axis=1)
    return metric.compute(
        predictions=frames, references=phonemes, words=spans, metrics=["frame_csai"], probes=families, num_seeds=1,
        control=False,
    )  # fmt: skip


def test_frame_csai_is_zero_when_phonemes_say_all(metric):
    rng = np.random.default_rng(0)
    phonemes = rng.integers(0, 8, 8000)
    words = phonemes // 2
    frames = np.concatenate([np.eye(4)[words], rng.normal(size=(8000, 4))], axis=1)
    assert csai(metric, phonemes, words, frames)["frame_csai"] == pytest.approx(0, abs=NATS)


def test_frame_csai_is_the_words_entropy_when_only_frames_reveal_them(metric):
    rng = np.random.default_rng(0)
    shares = np.array([0.5, 0.2, 0.2, 0.1])
    phonemes, words = rng.integers(0, 8, 12_000), rng.choice(4, 12_000, p=shares)
    result = csai(metric, phonemes, words, np.eye(4, dtype=np.float32)[words])
    assert result["frame_csai"] == pytest.approx(float(-(shares * np.log(shares)).sum()), abs=NATS)


def test_frame_csai_of_an_exclusive_or_depends_on_the_family(metric):
    rng = np.random.default_rng(0)
    phonemes, bits = rng.integers(0, 2, 8000), rng.integers(0, 2, 8000)
    details = csai(metric, phonemes, phonemes ^ bits, bits[:, None].astype(float), ("linear", "mlp"))["details"]
    assert details["frame_csai"]["linear"]["information"] == pytest.approx(0, abs=NATS)
    assert details["frame_csai"]["mlp"]["information"] == pytest.approx(math.log(2), abs=NATS)


@pytest.mark.parametrize("family", ["linear", "mlp"])
def test_frame_csai_is_not_below_zero_where_phonemes_leave_nothing_to_say(metric, family):
    """Frames of 64 dimensions would only confuse a probe that knows each of 180 words from its phonemes."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 8, 180)
    spans = [np.stack([np.arange(6), np.arange(1, 7), part], axis=1) for part in np.split(words, 30)]
    result = metric.compute(
        predictions=[rng.normal(size=(6, 64)) for _ in range(30)],
        references=np.split(words, 30),
        words=spans,
        metrics=["frame_csai"],
        probes=[family],
        control=False,
    )
    details = result["details"]["frame_csai"][family]
    assert 0 <= result["frame_csai_ceiling"] == details["entropy"] < 0.1
    assert (result["frame_csai"], details["standard_error"], details["splits_without_frames"]) == (0, None, 3)


def test_ceiling_of_frame_csai_is_the_entropy_of_words_given_phonemes(metric):
    rng = np.random.default_rng(0)
    phonemes, bits = rng.integers(0, 4, 8000), rng.integers(0, 2, 8000)
    frames = bits[:, None] + 0.5 * rng.normal(size=(8000, 1))
    result = csai(metric, phonemes, 2 * phonemes + bits, frames)
    assert result["frame_csai_ceiling"] == pytest.approx(math.log(2), abs=NATS)
    assert 0.2 < result["frame_csai"] < result["frame_csai_ceiling"]
    assert result["details"]["frame_csai"]["linear"]["splits_without_frames"] == 0


def test_phonemes_of_a_word_span_it(metric):
    """Two words with one first phoneme: a window of one phoneme could not tell them apart, the whole word does."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2, 2000)
    phonemes = np.stack([np.full(2000, 5), np.full(2000, 5), words, np.full(2000, -100)], axis=1).reshape(-1)
    starts = 4 * np.arange(2000)
    spans = np.stack([starts, starts + 4, words], axis=1)
    frames = np.repeat(np.eye(2)[words], 4, axis=0)
    result = metric.compute(
        predictions=frames, references=phonemes, words=spans, metrics=["frame_csai"], probes=["linear"], num_seeds=1
    )
    assert result["frame_csai"] == pytest.approx(0, abs=NATS)
    assert result["details"]["frame_csai"]["phoneme_positions"] == 2


def test_frame_csai_conditions_on_what_leaves_words_open(metric):
    """Words of three phonemes, of which the first two name one of two words, and the frames tell which."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 8, 2000)
    phonemes = np.stack([words // 4, 2 + words // 2 % 2, 4 + words % 2], axis=1)  # (2000, 3)
    starts = 3 * np.arange(2000)
    inputs = {
        "predictions": np.repeat(np.eye(8)[words], 3, axis=0),
        "references": phonemes.reshape(-1),
        "words": np.stack([starts, starts + 3, words], axis=1),
    }
    asked = {"metrics": ["frame_csai"], "probes": ["linear"], "num_seeds": 1, "control": False}
    for count, expected in ((None, 0), (2, math.log(2)), (1, math.log(4))):
        result = metric.compute(**inputs, **asked, context_phonemes=count)
        assert result["frame_csai"] == pytest.approx(expected, abs=NATS)
        assert result["frame_csai_ceiling"] == pytest.approx(expected, abs=NATS)
    assert metric.compute(**inputs, **asked)["details"]["frame_csai"]["context"] == "first 2 phonemes of the word"
    # A recogniser that always takes the last phoneme for one and the same.
    recognized = phonemes.copy()
    recognized[:, 2] = 4
    result = metric.compute(**inputs, **asked, recognized_phonemes=recognized.reshape(-1))
    assert result["frame_csai"] == pytest.approx(math.log(2), abs=NATS)
    assert result["details"]["frame_csai"]["context"] == "recognized phonemes of the word"
