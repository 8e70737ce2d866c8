# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tokens of clients."""

import pytest

from entropy_asr.spaces.server.tokens import is_right, shown_token


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer secret", "secret"), ("bearer  secret ", "secret"), ("Basic secret", ""), ("", ""), ("Bearer", "")],
)
def test_a_token_is_read_from_its_header(header, token):
    assert shown_token(header) == token


@pytest.mark.parametrize("token", ["", "secre", "secrets", "sécret", "\ud800", None, 7, ["secret"]])
def test_only_the_token_is_right(token):
    assert not is_right(token, "secret")
    assert is_right("secret", "secret") and is_right(token, None)
