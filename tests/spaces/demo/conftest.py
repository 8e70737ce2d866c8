# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo's model, and speech for it."""

import numpy as np
import pytest
import soundfile
from demo_streams import SETTINGS

from entropy_asr.spaces.demo.recognizer import Recognizer


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    pytest.importorskip("espeakng_loader")
    return Recognizer(SETTINGS)


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    pytest.importorskip("espeakng_loader")
    from entropy_asr.trainers.data.synthesis import Voice, synthesize

    return synthesize("one two three four five six seven", Voice("en", "gmw/en-US", "m3"))


@pytest.fixture(scope="session")
def recording(digits, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("recordings") / "seven digits.wav"
    soundfile.write(path, digits, 16000)
    return str(path)
