# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What goes on beside other work: it begins at once, goes on while that lasts, and says the last state at its end."""

import threading

import pytest

from entropy_asr.trainers.runs.repeated import repeated


def test_it_goes_on_beside_the_work_and_says_how_that_ended() -> None:
    seen: list[int] = []
    thrice, threads = threading.Event(), threading.active_count()
    state = 0

    def look() -> None:
        seen.append(state)
        if len(seen) >= 3:
            thrice.set()

    with repeated(look, 0.001):
        assert thrice.wait(60)
        state = 1
    assert seen[:3] == [0, 0, 0] and seen[-1] == 1
    assert threading.active_count() == threads


def test_work_that_fails_has_its_last_state_kept_too() -> None:
    seen: list[str] = []
    with pytest.raises(ValueError, match="broken"), repeated(lambda: seen.append("state"), 60):
        raise ValueError("broken")
    assert seen == ["state", "state"]
