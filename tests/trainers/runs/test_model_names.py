# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A mistyped path is told from an id of the Hub before anything is looked up there."""

import pytest

from entropy_asr.trainers.runs.model_names import looks_like_path


@pytest.mark.parametrize("name", ["/data/speech", "./speech", "../speech", "~/speech", "speech/", "a/b/speech"])
def test_what_no_id_can_be_is_a_path(name):
    assert looks_like_path(name)


@pytest.mark.parametrize("name", ["whisper-base", "openai/whisper-base", "Qwen/Qwen3-0.6B"])
def test_what_the_hub_may_have_is_none(name):
    assert not looks_like_path(name)
