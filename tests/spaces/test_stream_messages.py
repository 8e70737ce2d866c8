# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Binary messages of a stream: raw PCM, and bytes of files that are none. All others are sent in test_server.py."""

import numpy as np
import pytest

from entropy_asr.modeling.containers_entropy_asr import StreamBeginning
from entropy_asr.spaces.server.stream_messages import NOT_THE_PROTOCOL, ProtocolError, parse_audio


FILES = {
    "WAV": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0",
    "RF64": b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0",
    "W64": b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0",
    "Ogg": b"OggS\0\x02" + bytes(20),
    "FLAC": b"fLaC\0\0\0\x22\x10\0\x10\0",
    "MP3": b"ID3\4\0\0\0\0\x0f\x76TSSE",
    "WebM or Matroska": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01",
    "MP4": b"\0\0\0\x20ftypisom\0\0\2\0",
    "AIFF": b"FORM\0\1\0\0AIFFCOMM",
    "AU": b".snd\0\0\0\x18\xff\xff\xff\xff\0\0\0\3\0\0\x3e\x80\0\0\0\1",
    "CAF": b"caff\0\1\0\0desc",
    "WMA": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c",
}
# Three frames of MPEG-1 layer III at 128 kbit/s and 44.1 kHz, and of AAC in ADTS.
FRAMES = {"MP3": (b"\xff\xfb\x90\x00" + bytes(413)) * 3, "AAC": (b"\xff\xf1\x60\x40\x0c\x9f\xfc" + bytes(93)) * 4}


@pytest.mark.parametrize("size", [2, 6, 640, 100000])
@pytest.mark.parametrize("name", [*FILES, "frames of MP3", "frames of AAC"])
def test_files_in_place_of_pcm_are_refused_by_name(name, size):
    name = name.removeprefix("frames of ")
    head = FILES[name] if name in FILES else FRAMES[name]
    data = head + np.random.default_rng(0).bytes(6000)
    beginning = StreamBeginning()

    def parse_all():
        for start in range(0, len(data), size):
            parse_audio(data[start : start + size], beginning)

    with pytest.raises(ProtocolError, match=f"{name} file, not raw PCM") as error:
        parse_all()
    assert error.value.code == NOT_THE_PROTOCOL


def test_pcm_is_never_taken_for_a_file():
    rng = np.random.default_rng(0)
    streams = [rng.integers(-32768, 32767, 4000, dtype=np.int16) for _ in range(200)]
    streams += [np.full(4000, value, dtype=np.int16) for value in (0, -1, 0x4747, 0x4952, -1025, 0x0047, 255)]
    streams += [np.concatenate([np.frombuffer(b"\xff\xfb\x90\x00", "<i2"), stream]) for stream in streams[:50]]
    for stream in streams:
        beginning = StreamBeginning()
        for start in range(0, len(stream), 320):
            np.testing.assert_array_equal(
                parse_audio(stream[start : start + 320].tobytes(), beginning), stream[start : start + 320]
            )
