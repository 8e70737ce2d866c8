# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A browser with a microphone, and files for the pages of Spaces."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile


CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def speech(words: str, seed: int = 0) -> np.ndarray:
    synthesis = pytest.importorskip("entropy_asr.trainers.data.synthesis")
    return synthesis.synthesize(words, synthesis.Voice("en", "gmw/en-US", "m3"), seed=seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Files to upload: speech, and what is none."""
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("uploads")
    soundfile.write(folder / "digits.wav", speech("one two three four five six seven eight nine zero"), 16000)
    soundfile.write(folder / "two_hours.flac", np.zeros(2 * 3600 * 8000, dtype=np.int16), 8000)
    (folder / "paper.pdf").write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 8)
    (folder / "empty.wav").write_bytes(b"")
    pause = np.zeros(16000, dtype=np.float32)
    microphone = np.concatenate([pause, speech("one two three four"), pause, pause, speech("five six seven"), pause])
    soundfile.write(folder / "microphone.wav", microphone, 16000, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def browser(folder):
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api")
    microphone = folder / "microphone.wav"
    arguments = [
        "--no-sandbox",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}%noloop",
        "--disable-background-networking",
    ]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()
