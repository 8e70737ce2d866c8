# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""SCALE.md says of the recipe `paper` what its script computes; what was measured is not measured again."""

import runpy
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "trainers" / "recipes" / "SCALE.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script() -> dict:
    return runpy.run_path(str(ROOT / "tests" / "benchmarks" / "scale_plan.py"))


def test_the_page_is_that_of_the_recipe_and_the_model(script):
    recipe, found = script["read_recipe"](), script["sizes"]()
    rows = script["recipe_rows"](recipe, found, 64, 560_000)
    assert [row.split("`")[1] for row in rows] == ["encoder", "alignment", "ia_sft", "joint_sft"]
    assert "\n".join(rows) in PAGE
    for name, figure in script["memory_figures"](found, recipe, 560_000, 64).items():
        assert figure in PAGE, f"{name}: run tests/benchmarks/scale_plan.py"


def test_twice_the_cluster_takes_half_the_days(script):
    recipe, found = script["read_recipe"](), script["sizes"]()
    days = [
        [float(cell) for row in script["recipe_rows"](recipe, found, gpus, 560_000) for cell in row.split("|")[-3:-1]]
        for gpus in (64, 128)
    ]
    assert days[0] == pytest.approx([2 * one for one in days[1]], abs=0.11)


def test_operations_are_what_torch_counts(script):
    """Of the small model, whose weights can be made; what differs is attention and convolutions of few weights."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from entropy_asr.modeling import EntropyASRConfig, EntropyASRForConditionalGeneration

    config = EntropyASRConfig.tiny()
    encoder = EntropyASRForConditionalGeneration(config).model.audio_tower.eval()
    seconds = 15
    features, mask = torch.zeros(1, 100 * seconds, 80), torch.ones(1, 100 * seconds, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder(features, mask)
    counted = counter.get_total_flops() / seconds
    assert script["sizes"](config).encoder_flops == pytest.approx(counted, rel=0.25)
