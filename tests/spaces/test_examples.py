# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo's clips are what the script beside them synthesises: no recording of anyone."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import soundfile


FOLDER = Path(__file__).parents[2] / "spaces" / "demo" / "examples"


@pytest.mark.parametrize("name", ["english", "mandarin"])
def test_clips_are_synthesised(name):
    script = runpy.run_path(str(FOLDER / "synthesize.py"))
    samples, sampling_rate = soundfile.read(FOLDER / f"{name}.flac", dtype="int16")
    assert sampling_rate == script["SAMPLING_RATE"]
    np.testing.assert_array_equal(samples, script["clip"](name))
