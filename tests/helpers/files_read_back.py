# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Files of noise, and whether all ways of reading one agree on what it holds."""

import io

import numpy as np
import pytest
import soundfile

from entropy_asr.modeling.audio import (
    AudioError,
    audio_blocks,
    audio_duration,
    load_audio,
    load_or_blocks,
    measure_duration,
)


RATE = 16000
NOISE = (np.random.default_rng(0).standard_normal(2 * RATE) * 3000).astype(np.int16)


def encode(samples: np.ndarray = NOISE, sampling_rate: int = RATE, **kwargs) -> bytes:
    buffer = io.BytesIO()
    kwargs = {"subtype": "PCM_16", **kwargs} if kwargs.get("format") not in ("OGG", "MP3") else kwargs
    soundfile.write(buffer, samples, sampling_rate, **kwargs)
    return buffer.getvalue()


def with_flac_total(data: bytes, total: int) -> bytes:
    """STREAMINFO as an encoder that writes to a pipe leaves it where the total is 0: it is not known."""
    changed = bytearray(data)
    packed = int.from_bytes(data[18:26])
    changed[18:26] = (packed >> 36 << 36 | total).to_bytes(8)
    return bytes(changed)


def check_read_whole(data: bytes, expected: np.ndarray, duration_known: bool = True) -> None:
    """All ways of reading `data` agree that it holds `expected`."""
    audio = load_audio(data)
    assert audio.shape == expected.shape
    np.testing.assert_array_equal(audio, expected)
    np.testing.assert_array_equal(np.concatenate(list(audio_blocks(data, block_seconds=0.3))), audio)
    seconds = len(expected) / RATE
    assert audio_duration(data) == (pytest.approx(seconds) if duration_known else None)
    assert measure_duration(data) == pytest.approx(seconds)
    np.testing.assert_array_equal(load_or_blocks(data, seconds + 0.01), audio)
    np.testing.assert_array_equal(np.concatenate(list(load_or_blocks(data, seconds - 0.01))), audio)


def check_refused(data: bytes, reason: str) -> None:
    for read in (load_audio, lambda source: list(audio_blocks(source)), measure_duration):
        with pytest.raises(AudioError, match=rf"audio of {len(data)} bytes: .*{reason}"):
            read(data)
    assert audio_duration(data) is None
