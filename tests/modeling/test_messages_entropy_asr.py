# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What messages quote stays short."""

import pytest

from entropy_asr.modeling.messages_entropy_asr import shortened


def test_a_short_text_becomes_one_line():
    assert shortened("  two\nlines\tof it ") == "two lines of it"


@pytest.mark.parametrize("length", [99, 100, 101, 5000])
def test_a_long_text_keeps_both_ends_and_no_more_than_is_allowed(length):
    text = "a" * (length - 1) + "z"
    short = shortened(text, 100)
    assert len(short) <= 100
    assert short[0] == "a" and short[-1] == "z"
    assert (short == text) == (length <= 100)
