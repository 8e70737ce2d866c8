# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Requests and live streams of the demo, and results as it shows them."""

import numpy as np

from entropy_asr.spaces.demo.live import LiveSessions
from entropy_asr.spaces.demo.settings import DemoSettings


SETTINGS = DemoSettings(max_seconds=60, max_hotwords=5, max_live=2, max_live_seconds=20)


def result_of(**facts) -> dict:
    """A result as the page shows it."""
    common = {"text": "ask kaldi", "chunks": [], "confidence": 0.9, "flags": [], "duration": 1.0, "language": "en"}
    return {**common, "written_languages": ["en"], "hotwords": [], "hotwords_found": [], **facts}


def pieces(samples: np.ndarray, rate: int = 16000) -> list[np.ndarray]:
    pcm = (samples * 32767).astype(np.int16)
    return [pcm[start : start + rate // 2] for start in range(0, len(pcm), rate // 2)]


def stream(sessions: LiveSessions, samples: np.ndarray) -> tuple[list, list[str]]:
    """Partials seen on the way, and the final texts."""
    key, partials = sessions.start(16000, "en"), []
    for piece in pieces(samples):
        partials += [update for update in sessions.push(key, piece) if not update.is_final and update.phonemes]
    return partials, [update.text for update in sessions.finish(key)]
