# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Settings of Spaces from environment variables."""

import pytest

from entropy_asr.spaces.environment import read_settings
from entropy_asr.spaces.server.settings import OpenAISettings, ServerSettings


def test_variables_have_their_fields_types():
    variables = {"MODEL": "me/model", "MAX_STREAMS": "3", "MIN_SILENCE": "0.25", "CONFIDENCE": "Yes", "CHUNK_MS": ""}
    environment = {f"ENTROPY_ASR_{name}": value for name, value in variables.items()}
    settings = read_settings(ServerSettings, environment, port=9000, device=None)
    assert (settings.model, settings.max_streams, settings.min_silence) == ("me/model", 3, 0.25)
    assert settings.confidence is True and settings.chunk_ms == 640 and settings.port == 9000
    assert read_settings(ServerSettings, {"ENTROPY_ASR_PORT": "1"}, port=2).port == 2


@pytest.mark.parametrize(
    ("settings", "name", "value", "reason"),
    [
        (ServerSettings, "MAX_STREAMS", "many", "must be a number, not 'many'"),
        (ServerSettings, "MAX_STREAMS", "0", "must be at least 1, not 0"),
        (ServerSettings, "MAX_CONNECTIONS", "0", "must be at least 1, not 0"),
        (ServerSettings, "MAX_SECONDS", "-1", "must be positive, not -1.0"),
        (ServerSettings, "API_KEY", " ", ".*empty"),
        (ServerSettings, "PORT", "70000", "must be from 0 to 65535"),
        (ServerSettings, "CONFIDENCE", "maybe", "must be true or false, not 'maybe'"),
        (OpenAISettings, "MAX_REQUESTS", "0", "must be positive, not 0"),
        (OpenAISettings, "MAX_SECONDS", "nan", "must be positive, not nan"),
        (OpenAISettings, "API_KEY", "schlüssel", ".*ASCII"),
        (OpenAISettings, "API_KEY", "secret\n", ".*without blanks at its ends"),
        (ServerSettings, "API_KEY", "sec\tret", ".*printable"),
        (OpenAISettings, "MODEL_NAME", " ", ".*empty"),
    ],
)
def test_a_value_that_cannot_be_meant_names_its_variable(settings, name, value, reason):
    with pytest.raises(ValueError, match=f"ENTROPY_ASR_{name} {reason}"):
        read_settings(settings, {f"ENTROPY_ASR_{name}": value})


def test_settings_of_the_openai_server_are_variables_too():
    variables = {"MODEL": "me/model", "API_KEY": "secret", "MAX_SECONDS": "90", "MAX_MEGABYTES": "5"}
    settings = read_settings(OpenAISettings, {f"ENTROPY_ASR_{name}": value for name, value in variables.items()})
    assert (settings.served_name, settings.api_key, settings.max_seconds) == ("me/model", "secret", 90.0)
    assert (settings.max_megabytes, settings.max_requests) == (5, 16)
