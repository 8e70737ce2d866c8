# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Where speech begins and ends: the endpoint rules on written-down probabilities, and Silero VAD on real sounds."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from entropy_asr.modeling import AudioError, EndpointSettings, detect_speech, load_audio
from entropy_asr.modeling import vad_entropy_asr as vad
from entropy_asr.modeling.vad_entropy_asr import WINDOW, EndpointDetector, SpeechSegmenter
from entropy_asr.trainers.data.synthesis import VOICES, synthesize


# Whole windows of 32 ms, so that expected bounds are whole numbers of windows.
SETTINGS = EndpointSettings(min_speech=0.064, min_silence=0.16, padding=0.064, max_segment=1.6, short_silence=0.064)
SAMPLES = np.sin(np.arange(60 * WINDOW) / 7).astype(np.float32)


def segments_of(probabilities: str, settings: EndpointSettings = SETTINGS) -> list[tuple[float, float]]:
    """Segments, in windows, of a line of probabilities: `#` speech, `-` in the hysteresis, `.` none."""
    detector = EndpointDetector(settings)
    levels = {"#": 0.9, "-": 0.4, ".": 0.1}
    found = [detector.push(levels[character]) for character in probabilities]
    found.append(detector.finish(len(probabilities) * WINDOW))
    return [(start / WINDOW, end / WINDOW) for start, end in filter(None, found)]


@pytest.mark.parametrize(
    ("probabilities", "segments"),
    [
        ("", []),
        ("..........", []),
        ("....######..........", [(2, 12)]),  # two windows of padding on both sides
        ("....#.....#.....", []),  # too short
        ("....##..........", [(2, 8)]),
        ("####..........", [(0, 6)]),
        ("....####", [(2, 8)]),
        ("....####.", [(2, 9)]),
        ("....####....####......", [(2, 18)]),  # four windows of silence do not end a segment
        ("....####.....####......", [(2, 10), (11, 19)]),  # five do; padding takes what is left
        ("....####......####......", [(2, 10), (12, 20)]),
        ("....####-----####......", [(2, 19)]),  # uncertain windows go on with what was before
        ("....----####......", [(6, 14)]),
        ("#" * 60, [(0, 50), (50, 60)]),
        ("#" * 100, [(0, 50), (50, 100)]),
        ("#" * 42 + "..########......", [(0, 44), (44, 54)]),  # a long segment ends at a short pause
        ("#" * 30 + "..########......", [(0, 42)]),
    ],
)
def test_endpoints(probabilities, segments):
    assert segments_of(probabilities) == segments


def test_silence_behind_a_cut_is_no_segment_where_no_padding_is_asked_for():
    settings = EndpointSettings(padding=0, max_segment=1.6)
    assert segments_of("#" * 50 + "." * 50, settings) == [(0, 50)]
    assert segments_of("#" * 50 + "." * 20 + "#" * 8 + "." * 20, settings) == [(0, 50), (70, 78)]
    late = EndpointSettings(padding=0, max_segment=1.6, min_silence=5, short_silence=5)
    assert segments_of("#" * 50 + "." * 99, late) == [(0, 50)]


def test_no_padding_where_none_is_asked_for():
    assert segments_of("....####......", EndpointSettings(padding=0, min_speech=0, min_silence=0.1)) == [(4, 8)]


@pytest.mark.parametrize(
    "setting",
    [
        {"threshold": 0.1},
        {"threshold": 1.0},
        {"padding": 0.6},
        {"min_speech": -1},
        {"max_segment": 0.5},
        {"max_segment": 1, "min_speech": 1.5},
        {"max_segment": 1, "padding": 1.5, "min_silence": 2},
        {"max_segment": 1, "padding": 0.3, "min_speech": 0.7},  # 22 windows of speech are 0.704 seconds
    ],
)
def test_settings_without_sense_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        EndpointSettings(**setting)


@pytest.mark.parametrize("seed", range(20))
def test_no_segment_is_longer_than_asked_for(seed):
    rng = np.random.default_rng(seed)
    longest = rng.uniform(1, 2)
    padding = rng.uniform(0, longest - 0.04)
    min_speech = longest - 0.033 - padding if seed % 2 else rng.uniform(0, longest - 0.04 - padding)
    silence = padding + rng.uniform(0, 1)
    settings = EndpointSettings(
        max_segment=longest, padding=padding, min_speech=min_speech, min_silence=silence, short_silence=silence / 3
    )
    turns = rng.geometric(0.03, 60)
    levels = "".join("#."[turn % 2] * count for turn, count in enumerate(turns))
    segments = segments_of(levels, settings)
    assert segments and max(end - start for start, end in segments) * WINDOW <= round(longest * 16000)
    assert all(before[1] <= after[0] for before, after in pairwise(segments))


def segment_audio(segmenter: SpeechSegmenter, portions: list[np.ndarray]) -> dict[int, np.ndarray]:
    """Samples of each segment by its start; checks that nothing follows a segment's last piece."""
    audio: dict[int, list[np.ndarray]] = {}
    ended = set()
    pieces = [piece for portion in portions for piece in segmenter.push(portion)]
    for piece in pieces + segmenter.finish():
        assert piece.start not in ended
        audio.setdefault(piece.start, []).append(piece.samples)
        ended |= {piece.start} if piece.is_last else set()
    assert ended == audio.keys()
    return {start: np.concatenate(samples) for start, samples in audio.items()}


@pytest.fixture
def written_vad(monkeypatch):
    """Speech in windows 5 to 14 and 30 to 33."""

    class WrittenVAD:
        position = 0

        def __call__(self, samples):
            windows = self.position + np.arange(len(samples) // WINDOW)
            self.position += len(windows)
            speech = (windows >= 5) & (windows < 15) | (windows >= 30) & (windows < 34)
            return speech.astype(np.float32)

    monkeypatch.setattr(vad, "SileroVAD", WrittenVAD)


@pytest.mark.parametrize("seed", range(5))
def test_the_audio_of_segments_does_not_depend_on_portions(written_vad, seed):
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(SAMPLES), 30 * seed))
    audio = segment_audio(SpeechSegmenter(SETTINGS), np.split(SAMPLES, cuts))
    assert {start // WINDOW: len(samples) / WINDOW for start, samples in audio.items()} == {3: 14, 28: 8}
    for start, samples in audio.items():
        assert np.array_equal(samples, SAMPLES[start : start + len(samples)])


@pytest.mark.parametrize("length", [1, 511, 512, 513, 25599, 25600, 25601, len(SAMPLES)])
def test_without_vad_every_sample_is_in_one_segment(length):
    audio = segment_audio(SpeechSegmenter(SETTINGS, use_vad=False), [SAMPLES[:length]])
    assert np.array_equal(np.concatenate([audio[start] for start in sorted(audio)]), SAMPLES[:length])
    assert max(map(len, audio.values())) <= 25600  # max_segment


@pytest.mark.parametrize("length", [16000, 16001, 16100, 16383, 16384, 16385, 32000, 32100, 48001])
@pytest.mark.parametrize("portions", [1, 97])
def test_what_is_heard_behind_a_cut_inside_a_window_is_the_next_segments(length, portions):
    samples = np.tile(SAMPLES, 2)[:length]
    segmenter = SpeechSegmenter(EndpointSettings(max_segment=1), use_vad=False)
    audio = segment_audio(segmenter, np.array_split(samples, portions))
    assert sorted(audio) == list(range(0, length, 16000))  # the first cut leaves 384 samples of its window
    assert np.array_equal(np.concatenate([audio[start] for start in sorted(audio)]), samples)
    assert max(map(len, audio.values())) <= 16000


def test_speech_is_told_as_soon_as_it_is_certain(written_vad):
    segmenter = SpeechSegmenter(SETTINGS)
    given = 0
    for window in range(20):
        given += sum(len(piece.samples) for piece in segmenter.push(SAMPLES[window * WINDOW :][:WINDOW])) / WINDOW
        # Speech is certain in its second window; later silence is held back but for the padding.
        assert given == (0 if window < 6 else min(window + 1, 17) - 3)


def test_memory_of_a_stream_without_speech_is_bounded(written_vad):
    segmenter = SpeechSegmenter(SETTINGS)
    for _ in range(50):
        segmenter.push(SAMPLES)
    assert len(segmenter.held) <= 0.064 * 16000


def test_silence_and_tones_are_no_speech():
    time = np.arange(48000) / 16000
    assert detect_speech(np.zeros(48000, dtype=np.float32)) == []
    assert detect_speech((0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)) == []
    assert detect_speech(0.1 * np.random.default_rng(0).normal(size=48000).clip(-3, 3)) == []


def test_synthetic_speech_is_found_where_it_is():
    speech = synthesize("the quick brown fox jumps over the lazy dog", VOICES[0])
    silence = np.zeros(32000, dtype=np.float32)
    segments = detect_speech(np.concatenate([silence, speech, silence, speech[: len(speech) // 2], silence]))
    assert len(segments) == 2
    assert segments[0][0] == pytest.approx(2, abs=0.4)
    assert segments[0][1] == pytest.approx(2 + len(speech) / 16000, abs=0.4)


def test_quiet_speech_between_loud_speech_is_found():
    rng = np.random.default_rng(0)
    pause = np.zeros(24000, dtype=np.float32)
    parts = [pause]
    for index in range(6):
        speech = synthesize(("seven", "we go to school")[index % 2], VOICES[index])
        decibels = -10 if index % 2 else -42  # of the peak; the mean is some 15 dB below
        parts += [speech * 10 ** (decibels / 20) / np.abs(speech).max(), pause]
    sound = np.concatenate(parts)
    sound += 0.0005 * rng.normal(size=len(sound)).astype(np.float32)
    ends = np.cumsum([len(part) for part in parts]) / 16000
    segments = detect_speech(sound)
    assert len(segments) == 6
    for index, (start, end) in enumerate(segments):
        assert start < ends[2 * index + 1] and ends[2 * index] < end


@pytest.mark.parametrize("decibels", range(-80, 0, 6))
def test_noise_of_any_level_is_no_speech_from_its_beginning(decibels):
    noise = np.random.default_rng(5).normal(size=(3, 16000)) * 10 ** (decibels / 20)
    assert [detect_speech(samples.clip(-1, 1)) for samples in noise] == [[]] * 3


def test_amplified_sound_is_a_copy_that_neither_clips_nor_clicks():
    time = np.arange(40 * WINDOW) / 16000
    sound = np.sin(2 * np.pi * 440 * time) * np.repeat([0.003, 0.8, 0.003, 0.0001], 10 * WINDOW)
    louder = vad.QuietAmplifier()(sound.astype(np.float32)).reshape(-1)
    gains = (louder / np.where(np.abs(sound) < 1e-6, np.nan, sound))[np.abs(sound) > 1e-5]
    assert np.nanmin(gains) > 0.999 and np.nanmax(gains) < 1.001 * vad.MAX_GAIN
    assert np.allclose(louder[10 * WINDOW : 20 * WINDOW], sound[10 * WINDOW : 20 * WINDOW], atol=1e-6)
    assert np.allclose(louder[5 * WINDOW : 10 * WINDOW], vad.MAX_GAIN * sound[5 * WINDOW : 10 * WINDOW], atol=1e-6)
    assert np.abs(np.diff(gains[sum(np.abs(sound[: 20 * WINDOW]) > 1e-5) :])).max() < 0.05


def test_the_state_of_the_model_is_carried():
    loudness = np.repeat([0.1, 0.003, 0.01, 0.2], 10 * WINDOW)
    noise = (np.random.default_rng(0).normal(size=40 * WINDOW) * loudness).astype(np.float32)
    whole = vad.SileroVAD()(noise)
    model = vad.SileroVAD()
    parts = [model(part) for part in np.split(noise, [WINDOW, 5 * WINDOW, 6 * WINDOW])]
    assert np.array_equal(np.concatenate(parts), whole)
    assert len(set(whole.tolist())) == 40


def test_only_16_khz_floats(monkeypatch):
    with pytest.raises(AudioError, match="8000 Hz"):
        detect_speech(np.zeros(100, dtype=np.float32), sampling_rate=8000)
    with pytest.raises(AudioError, match="int16"):
        detect_speech(np.zeros(100, dtype=np.int16))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_no_silence(bad):
    samples = np.zeros(16000, dtype=np.float32)
    samples[700:703] = bad
    with pytest.raises(AudioError, match="3 of 16000 samples are NaN or infinite"):
        detect_speech(samples)
    with pytest.raises(AudioError, match="16000 of 16000"):
        detect_speech(np.full(16000, bad))


def test_torch_keeps_its_threads():
    """The package of the model sets them to one for the whole process when it is imported."""
    threads = torch.get_num_threads()
    detect_speech(np.zeros(1000, dtype=np.float32))
    assert "silero_vad" not in sys.modules
    assert torch.get_num_threads() == threads


def test_real_speech_and_noise(data_dir: Path):
    """Spoken digits that are cut out closely are nearly all found; most everyday sounds are no speech."""
    datasets = pytest.importorskip("datasets")
    counts = {}
    for name, split in (("fsdd_digits", "train"), ("esc10_noise", "train")):
        files = str(data_dir / name / "data" / f"{split}-*.parquet")
        rows = datasets.load_dataset("parquet", data_files=files, split="train[:100]")
        rows = rows.cast_column("audio", datasets.Audio(decode=False))
        counts[name] = sum(bool(detect_speech(load_audio(row["audio"]["bytes"]))) for row in rows)
    assert counts["fsdd_digits"] >= 98
    assert counts["esc10_noise"] <= 28
