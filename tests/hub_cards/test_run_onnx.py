# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The script that lies in an exported folder; that it needs nothing else, `test_model_export.py` sees."""

import json

import numpy as np
import pytest
import soundfile

from entropy_asr.hub_cards.run_onnx import check_length, find_phonemes, read_wave, recognize
from entropy_asr.modeling.ctc_entropy_asr import ctc_collapse


def test_phonemes_are_those_of_ctc():
    path = [0, 2, 2, 0, 2, 1, 1, 3, 0, 0, 3]
    assert find_phonemes(np.eye(4)[path], ["", "a", "b", "c"], 0) == [" abc"[i] for i in ctc_collapse(path)]
    assert find_phonemes(np.eye(4)[[0, 0]], ["", "a", "b", "c"], 0) == []


def test_samples_are_those_of_the_file(tmp_path):
    samples = np.random.default_rng(0).normal(0, 0.1, 800).astype(np.float32)
    soundfile.write(tmp_path / "speech.wav", samples, 16000, subtype="PCM_16")
    np.testing.assert_allclose(read_wave(str(tmp_path / "speech.wav"), 16000), samples, atol=1 / 32768)


def test_what_the_encoder_has_no_positions_for_is_refused_and_not_cut():
    settings = {"features": {"hop_samples": 160, "sampling_rate": 16000}, "frame_ms": 20.0, "max_frames": 1500}
    check_length(np.zeros((3000, 2)), settings, "speech.wav")
    check_length(np.zeros((9000, 2)), {**settings, "max_frames": None}, "speech.wav")
    with pytest.raises(ValueError, match=r"speech.wav: 30.0 s, and this encoder takes 30 s at a time"):
        check_length(np.zeros((3001, 2)), settings, "speech.wav")


def test_a_graph_that_was_not_exported_and_a_file_without_samples_are_named(tmp_path):
    described = {"offline": {"file": "encoder.onnx"}, "features": {"sampling_rate": 16000}}
    (tmp_path / "encoder.json").write_text(json.dumps(described), encoding="utf-8")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000, subtype="PCM_16")
    with pytest.raises(ValueError, match="no quantised graph was exported"):
        recognize(str(tmp_path / "empty.wav"), tmp_path, streaming=False, int8=True)
    with pytest.raises(ValueError, match="empty.wav: holds no samples"):
        recognize(str(tmp_path / "empty.wav"), tmp_path, streaming=False, int8=False)


def test_another_rate_is_refused_and_not_misheard(tmp_path):
    soundfile.write(tmp_path / "speech.wav", np.zeros((800, 2)), 8000, subtype="PCM_16")
    with pytest.raises(ValueError, match=r"speech.wav: 8000 Hz, 2 channels, 16 bits, not 16000, 1 and 16"):
        read_wave(str(tmp_path / "speech.wav"), 16000)
