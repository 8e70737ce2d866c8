# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the demo runs, from environment variables and options."""

import pytest

from entropy_asr.spaces.demo.settings import DemoSettings
from entropy_asr.spaces.environment import BUNDLED_CHECKPOINT


def test_settings_come_from_the_environment_and_options_go_first():
    environment = {"ENTROPY_ASR_MODEL": "some/model", "ENTROPY_ASR_MAX_SECONDS": "20", "ENTROPY_ASR_MAX_LIVE": "3"}
    settings = DemoSettings.from_environment(environment, model=None, dtype="bfloat16")
    assert (settings.model, settings.max_seconds, settings.max_live, settings.dtype) == (
        "some/model",
        20,
        3,
        "bfloat16",
    )
    assert DemoSettings.from_environment(environment, model="other").model == "other"
    assert DemoSettings.from_environment({}).model == str(BUNDLED_CHECKPOINT)


@pytest.mark.parametrize(("text", "reason"), [("many", "must be a number"), ("0", "must be positive")])
def test_wrong_settings_are_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        DemoSettings.from_environment({"ENTROPY_ASR_MAX_SECONDS": text})
