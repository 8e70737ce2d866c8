# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Settings of Spaces from environment variables."""

import pytest

from entropy_asr.spaces.environment import read_settings
from entropy_asr.spaces.server.settings import ServerSettings


def test_variables_have_their_fields_types():
    variables = {"MODEL": "me/model", "MAX_STREAMS": "3", "MIN_SILENCE": "0.25", "CONFIDENCE": "Yes", "CHUNK_MS": ""}
    environment = {f"ENTROPY_ASR_{name}": value for name, value in variables.items()}
    settings = read_settings(ServerSettings, environment, port=9000, device=None)
    assert (settings.model, settings.max_streams, settings.min_silence) == ("me/model", 3, 0.25)
    assert settings.confidence is True and settings.chunk_ms == 640 and settings.port == 9000
    assert read_settings(ServerSettings, {"ENTROPY_ASR_PORT": "1"}, port=2).port == 2


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("MAX_STREAMS", "many", "must be a number, not 'many'"),
        ("MAX_STREAMS", "0", "must be at least 1, not 0"),
        ("PORT", "70000", "from 0 to 65535"),
        ("CONFIDENCE", "maybe", "must be true or false, not 'maybe'"),
    ],
)
def test_a_value_that_cannot_be_meant_names_its_variable(name, value, reason):
    with pytest.raises(ValueError, match=f"ENTROPY_ASR_{name} {reason}|ENTROPY_ASR_{name} must be {reason}"):
        read_settings(ServerSettings, {f"ENTROPY_ASR_{name}": value})
