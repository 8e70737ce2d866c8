# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NSE, PAI and CSAI of whole evaluation sets."""

import math

import numpy as np
import pytest


def evaluation_set(num_utterances: int = 120, width: int = 10, num_phonemes: int = 15, seed: int = 0) -> dict:
    """Frames that tell something of both phonemes and meaning."""
    rng = np.random.default_rng(seed)
    phonemes = [
        rng.choice(num_phonemes, size=20, p=rng.dirichlet(np.ones(num_phonemes))) for _ in range(num_utterances)
    ]
    bags = np.array([np.bincount(one, minlength=num_phonemes) / 20 for one in phonemes])
    semantics = rng.normal(size=(num_utterances, 9)) + bags @ rng.normal(size=(num_phonemes, 9))
    means = 5 * bags @ rng.normal(size=(num_phonemes, width)) + semantics @ rng.normal(size=(9, width))
    frames = [mean + rng.normal(size=(rng.integers(5, 30), width)) for mean in means]
    return {"predictions": frames, "phonemes": phonemes, "semantics": semantics}


def independent_program(frames, phonemes, semantics, size, ridge):
    """The paper's three figures, from its definitions alone."""

    def reduced(rows):
        centred = rows - rows.mean(0)
        scores = centred @ np.linalg.svd(centred, full_matrices=False)[2].T[:, :size]
        return scores / scores.std(0)

    def log2det(matrix):
        return np.linalg.slogdet(matrix)[1] / np.log(2)

    def given_p(kept):
        across = S[kept][:, P]
        return S[kept][:, kept] - across @ np.linalg.inv(S[P][:, P]) @ across.T

    entropies = []
    for utterance in frames:
        values = np.linalg.svd(utterance, compute_uv=False)
        shares = values / values.sum()
        entropies.append(-(shares * np.log(shares)).sum() / np.log(len(values)))
    pooled = np.array([np.concatenate([utterance.mean(0), utterance.std(0)]) for utterance in frames])
    counts = np.array([np.bincount(one, minlength=1 + max(map(max, phonemes))) for one in phonemes], dtype=float)
    bags = counts / counts.sum(1, keepdims=True)
    q = np.concatenate([reduced(rows) for rows in (pooled, bags, semantics)], axis=1)
    S = np.cov(q, rowvar=False, ddof=0) + ridge * np.eye(3 * size)
    U, P, C = (list(range(block * size, (block + 1) * size)) for block in range(3))
    pai = (log2det(S[U][:, U]) + log2det(S[P][:, P]) - log2det(S[U + P][:, U + P])) / 2
    csai = (log2det(given_p(U)) + log2det(given_p(C)) - log2det(given_p(U + C))) / 2
    return np.mean(entropies), max(0, pai), max(0, csai)


@pytest.mark.parametrize(("size", "ridge"), [(3, 1e-3), (8, 1e-3), (5, 0.1)])
def test_equal_an_independent_program(metric, size, ridge):
    data = evaluation_set()
    found = metric.compute(**data, metrics=["nse", "pai", "csai"], pca_size=size, ridge=ridge)
    expected = independent_program(data["predictions"], data["phonemes"], data["semantics"], size, ridge)
    assert [found[name] for name in ("nse", "pai", "csai")] == pytest.approx(expected, abs=1e-8)
    assert found["pai"] > 0.1 and found["csai"] > 0.1


def test_pai_of_frames_that_are_the_phonemes(metric):
    data = evaluation_set()
    bags = np.array([np.bincount(one, minlength=15) / 20 for one in data["phonemes"]])
    found = metric.compute(predictions=bags[:, None], phonemes=data["phonemes"], pca_size=6, ridge=1e-3)
    assert found["pai"] == pytest.approx(3 * math.log2(1.001**2 / (1.001**2 - 1)), abs=1e-6)
    assert found["pai_above_chance"] == pytest.approx(found["pai"] - found["details"]["pai"]["chance"]["mean"])


def test_chance_level_is_what_unrelated_frames_give(metric):
    data = evaluation_set(400)
    unrelated = evaluation_set(400, seed=1)["predictions"]
    found = metric.compute(**{**data, "predictions": unrelated}, pca_size=8)
    for name in ("pai", "csai"):
        details = found["details"][name]
        assert details["num_utterances"] == 400 and details["ridge"] == 1e-3
        assert details["chance"]["mean"] == pytest.approx(64 / (800 * math.log(2)), rel=0.25)
        assert abs(details["above_chance"]) < 4 * details["chance"]["spread"]
        assert found[f"{name}_above_chance"] == details["above_chance"]
        assert details["chance"]["shuffles"] == 20
    assert metric.compute(**data, pca_size=8)["pai_above_chance"] > 0.5


def test_bootstrap_intervals_hold_the_figure_and_narrow_with_more_utterances(metric):
    widths = []
    for number in (60, 480):
        found = metric.compute(**evaluation_set(number), pca_size=3)
        for name in ("nse", "pai", "csai"):
            low, high = found["details"][name]["interval"]
            assert low < found[name] < high
        low, high = found["details"]["pai"]["interval"]
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]


def test_without_a_ridge_draws_that_are_singular_give_no_interval_and_the_figure_all_the_same(metric):
    data = evaluation_set(24)
    found = metric.compute(**data, pca_size=7, ridge=0)
    assert found["csai"] > 0 and "above_chance" in found["details"]["csai"]
    details = found["details"]["csai"]
    assert details["interval"] is None and "drawn with replacement" in details["interval_left_out"]
    assert "interval_left_out" not in metric.compute(**data, pca_size=7)["details"]["csai"]


def test_pca_sizes_are_named_and_never_changed_silently(metric):
    data = evaluation_set(120)
    details = metric.compute(**data)["details"]["pai"]
    # sqrt(2 ln 2 * 120) is 12.9, but semantics have 9 columns.
    assert details["pca_size"] == {"u": 12, "P": 9, "C": 9}
    assert "120 utterances" in details["pca_rule"]
    assert details["columns"] == {"u": 20, "P": 15, "C": 9}
    assert metric.compute(**data, pca_size=(4, 3, 3))["details"]["csai"]["pca_size"] == {"u": 4, "P": 3, "C": 3}
    # Shares of 15 phonemes add up to 1, so that one component of 15 has no variance.
    without = {name: data[name] for name in ("predictions", "phonemes")}
    assert metric.compute(**without, pca_size=15)["details"]["pai"]["pca_size"] == {"u": 15, "P": 14}
    for sizes, message in ((10, "10 is more than C gives: 120 utterances of 9 columns"), ((21, 3, 3), "21.*u gives")):
        with pytest.raises(ValueError, match=message):
            metric.compute(**data, pca_size=sizes)


def test_a_table_over_sizes_and_ridges_on_request(metric):
    found = metric.compute(**evaluation_set(), pca_size=4, table=True)
    assert "table" not in metric.compute(**evaluation_set(), pca_size=4)["details"]["pai"]
    rows = found["details"]["csai"]["table"]
    assert {row["pca_size"] for row in rows} == {1, 2, 4, 8} and len({row["ridge"] for row in rows}) == 3
    (own,) = [row for row in rows if row["pca_size"] == 4 and row["ridge"] == pytest.approx(1e-3)]
    assert own["csai"] == pytest.approx(found["csai"], abs=1e-9)
    assert own["chance"] == pytest.approx(found["details"]["csai"]["chance"]["mean"], abs=1e-9)


def test_nse_of_each_utterance_on_request(metric):
    frames = [np.random.default_rng(0).normal(size=(length, 5)) for length in (1, 7, 30)]
    details = metric.compute(predictions=frames, per_utterance=True)["details"]["nse"]
    assert len(details["values"]) == 3 and details["values"][0] == 0
    found = metric.compute(predictions=frames)
    assert found["nse"] == pytest.approx(np.mean(details["values"])) and "values" not in found["details"]["nse"]
