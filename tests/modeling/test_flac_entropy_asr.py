# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""FLAC files that state no length or too little, and several in one."""

import struct

import numpy as np
import pytest
from files_read_back import NOISE, check_read_whole, check_refused, encode, with_flac_total

from entropy_asr.modeling.audio import (
    audio_duration,
    load_audio,
)


@pytest.fixture(scope="module")
def pcm():
    return load_audio(encode(format="WAV"))


def test_flac_that_states_no_length_or_too_little(pcm):
    data = encode(format="FLAC")
    check_read_whole(data, pcm)
    for total in (0, len(NOISE) // 2, 1):
        check_read_whole(with_flac_total(data, total), pcm, duration_known=False)
    check_refused(with_flac_total(data, 2 * len(NOISE)), "truncated or damaged .32000 of 64000 samples")
    check_refused(with_flac_total(data, 0)[:-3000], "damaged")
    # As files are written whose frames differ in size.
    assert audio_duration(encode(np.zeros(12345, np.int16), 44100, format="FLAC")) == 12345 / 44100


def test_flac_file_behind_one_that_states_no_length(pcm):
    data = encode(format="FLAC")
    for first, second in ((with_flac_total(data, 0), data), (data, with_flac_total(data, 0))):
        check_read_whole(first + second, np.tile(pcm, 2), duration_known=False)


def test_a_tag_that_states_no_size_is_not_taken_off_for_ever():
    footer = b"APETAGEX" + struct.pack("<IIII", 2000, 0, 0, 0) + bytes(8)
    check_refused(encode(format="FLAC")[:200] + bytes(200) + footer, "")


def test_flac_that_holds_the_header_of_the_wav_it_was_made_from(pcm):
    """As `flac --keep-foreign-metadata` writes it."""
    data = encode(format="FLAC")
    kept = b"riff" + b"RIFF\x24\0\0\0WAVE"
    block = bytes([2]) + len(kept).to_bytes(3) + kept
    check_read_whole(data[:42] + block + data[42:], pcm)


def id3_tag(size: int) -> bytes:
    return b"ID3\4\0\0" + bytes([0, 0, size >> 7, size & 127]) + bytes(size)


def test_tags_behind_a_flac_that_states_no_length(pcm):
    data = with_flac_total(encode(format="FLAC"), 0)
    footer = b"APETAGEX" + struct.pack("<IIII", 2000, 1032, 0, 0x80000000) + bytes(8)
    header = b"APETAGEX" + struct.pack("<IIII", 2000, 1032, 0, 0xA0000000) + bytes(8)
    id3v1 = b"TAG" + bytes(125)
    for tail in (id3v1, header + bytes(1000) + footer, header + bytes(1000) + footer + id3v1):
        check_read_whole(id3_tag(100) + data + tail, pcm, duration_known=False)
