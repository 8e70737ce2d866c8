# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Audio of rows: true durations, decoded once, bad ones left out by name."""

import logging
import re

import numpy as np
import pytest
from audio_rows import dummy_row, encode, tone, write_parquet
from datasets import List, Value

from entropy_asr.modeling.audio import AudioError
from entropy_asr.trainers.data import decoding
from entropy_asr.trainers.data.decoding import decode_ahead, read_samples
from entropy_asr.trainers.data.speech_dataset import SpeechDataset


def test_decoded_rows_hold_16_khz_mono_and_true_durations(tmp_path, load):
    stereo = np.stack([tone(0.5, 44100)] * 2, axis=1)
    rows = [
        dummy_row(0, 0.5, duration=9.0),
        dummy_row(1, 0.5, audio={"bytes": encode(stereo, 44100, "WAV", "PCM_16"), "path": "stereo.wav"}),
    ]
    decoded = decode_ahead(load(write_parquet(tmp_path, rows=rows)), tmp_path / "decoded")
    assert decoded["duration"][:] == pytest.approx([0.5, 0.5], abs=1e-3)
    assert decoded.features["samples"] == List(Value("int16"))
    row = SpeechDataset(decoded)[1]
    assert row["samples"].dtype == np.float32
    np.testing.assert_allclose(row["samples"][200:-200], tone(0.5)[200:-200], atol=2e-3)
    np.testing.assert_array_equal(row["samples"], read_samples(decoded[1]))


def test_16_bit_audio_is_decoded_without_loss(tmp_path, load):
    integers = np.array([-32768, -1, 0, 1, 32767] * 400, dtype=np.int16)
    row = dummy_row(0, 0.125, audio={"bytes": encode(integers, 16000, "WAV", "PCM_16"), "path": "a.wav"})
    decoded = SpeechDataset(decode_ahead(load(write_parquet(tmp_path, rows=[row])), tmp_path / "decoded"))
    np.testing.assert_array_equal(decoded.integer_samples(0), integers)


def test_bad_audio_is_left_out_with_its_name_each_time(tmp_path, load, caplog):
    good = dummy_row(0, 0.5)
    truncated = dummy_row(1, 0.5, audio={"bytes": good["audio"]["bytes"][:900], "path": "cut.ogg"})
    rows = [good, truncated, dummy_row(2, 0.5, audio={"bytes": b"hello", "path": "notes.txt"}), dummy_row(3, 0.6)]
    dataset = load(write_parquet(tmp_path, rows=rows))
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            decoded = decode_ahead(dataset, tmp_path / "decoded")
        warnings = [record.message for record in caplog.records if "left out" in record.message]
        assert len(warnings) == 2
        assert "cut.ogg" in warnings[0]
        assert "notes.txt" in warnings[1]
        assert decoded["text"][:] == ["text 0", "text 3"]
    with pytest.raises(AudioError, match="cut.ogg"):
        SpeechDataset(dataset)[1]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        in_place = SpeechDataset(dataset, replace_unreadable=True)[1]
    assert in_place["text"] == "text 0", "text 3 is longer, and the next one unreadable too"
    assert "Row 1 is replaced" in caplog.text and "cut.ogg" in caplog.text
    with pytest.raises(AudioError, match="cut.ogg"):
        SpeechDataset(dataset.select([1, 2]), replace_unreadable=True)[0]
    with pytest.raises(ValueError, match="None of the 2 rows has readable audio; the first: cut.ogg"):
        decode_ahead(dataset.select([1, 2]), tmp_path / "decoded")


def test_unreadable_audio_without_a_duration_is_left_out_by_name(tmp_path, load, caplog):
    rows = [dummy_row(0, 0.5), dummy_row(1, 0.5, audio={"bytes": b"hello", "path": "notes.txt"})]
    folder = write_parquet(tmp_path, rows=rows, drop=["duration"])
    with caplog.at_level(logging.WARNING):
        assert load(folder)["duration"][:] == pytest.approx([0.5], abs=1e-3)
    assert f"{folder}: row 1 is left out: notes.txt" in caplog.text
    for streaming in (False, True):
        with pytest.raises(ValueError, match=f"{re.escape(str(folder))}: .*notes.txt"):
            list(load(folder, bad_rows="refuse", streaming=streaming))


def test_second_decoding_reads_the_cache(tmp_path, load, monkeypatch):
    folder = write_parquet(tmp_path / "a")
    decode_ahead(load(folder), tmp_path / "decoded")
    files = sorted((tmp_path / "decoded").iterdir())
    monkeypatch.setattr(decoding, "load_audio", lambda *args, **kwargs: pytest.fail("decoded again"))
    again = decode_ahead(load(folder), tmp_path / "decoded")
    assert decode_ahead(again, tmp_path / "elsewhere") is again
    assert sorted((tmp_path / "decoded").iterdir()) == files
    assert SpeechDataset(again)[2]["samples"].shape == (32000,)


def test_decoding_in_two_processes_gives_the_same_rows(tmp_path, load):
    dataset = load(write_parquet(tmp_path))
    one = SpeechDataset(decode_ahead(dataset, tmp_path / "one"))
    two = SpeechDataset(decode_ahead(dataset, tmp_path / "two", num_proc=2))
    for index in range(3):
        np.testing.assert_array_equal(one[index]["samples"], two[index]["samples"])
        assert one[index]["text"] == two[index]["text"]


def with_flac_total(total: int, seconds: float = 1.5) -> bytes:
    """A FLAC file that states another number of samples; 0 as an encoder does that writes to a pipe."""
    flac = bytearray(encode(tone(seconds), container="FLAC", subtype="PCM_16"))
    flac[21:26] = (int.from_bytes(flac[21:26]) >> 36 << 36 | total).to_bytes(5)
    return bytes(flac)


def mp3_without_tag(seconds: float = 1.5) -> bytes:
    mp3 = encode(tone(seconds), container="MP3", subtype="MPEG_LAYER_III")
    return mp3[mp3.index(mp3[:2], 200) :]


def wav_with_size(size: int, seconds: float = 1.5) -> bytes:
    wav = bytearray(encode(tone(seconds), container="WAV", subtype="PCM_16"))
    wav[40:44] = size.to_bytes(4, "little")
    return bytes(wav)


@pytest.mark.parametrize(
    "data",
    [
        with_flac_total(0),
        with_flac_total(8000),
        mp3_without_tag(),
        wav_with_size(0xFFFFFFFF),
        wav_with_size(0),
        wav_with_size(8000),
        encode(tone(0.75)) * 2,
    ],
    ids=["FLAC from a pipe", "FLAC, too little", "MP3", "WAV from a pipe", "WAV, none", "WAV, too little", "two Opus"],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_durations_are_true_where_headers_lie(tmp_path, load, data, streaming):
    rows = [dummy_row(number, 1.5, audio={"bytes": data, "path": "x.bin"}) for number in range(2)]
    folder = write_parquet(tmp_path / "lies", rows=rows, drop=["duration"])
    loaded = load(folder, min_duration=1.2, max_duration=1.8, streaming=streaming)
    assert [row["duration"] for row in loaded] == pytest.approx([1.5, 1.5], abs=0.15 if data[:1] == b"\xff" else 1e-6)


def test_a_row_that_is_shorter_than_its_header_says_is_left_out_by_name(tmp_path, load, caplog):
    bad = {"bytes": with_flac_total(48000), "path": "cut.flac"}
    rows = [dummy_row(0, 1.0), dummy_row(1, 3.0, audio=bad)]
    loaded = load(write_parquet(tmp_path / "cut", rows=rows, drop=["duration"]))
    assert len(loaded) == 1
    assert "cut.flac" in caplog.text and "24000 of 48000 samples" in caplog.text
