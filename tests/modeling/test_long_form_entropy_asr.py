# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Long recordings: nothing is lost or said twice at seams, times are those of the recording, memory is bounded."""

import io
import re

import numpy as np
import pytest
import soundfile
import torch
from small_models import build_model, small_config
from tqdm import tqdm

from entropy_asr.modeling import AudioError, join_texts, load_audio, long_form_entropy_asr, url_entropy_asr
from entropy_asr.modeling.audio import audio_blocks, audio_duration
from entropy_asr.modeling.long_form_entropy_asr import LongFormTranscriber, speech_segments
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline
from entropy_asr.modeling.results_entropy_asr import WantedOutputs
from entropy_asr.modeling.subtitles_entropy_asr import make_cues
from entropy_asr.modeling.vad_entropy_asr import EndpointSettings


LIMIT = {"max_new_tokens": 12}


pytestmark = pytest.mark.usefixtures("loudness_vad")


@pytest.fixture(scope="module")
def pipe(processor) -> EntropyASRPipeline:
    return EntropyASRPipeline(model=build_model(small_config()), processor=processor)


def tone(seconds: float, pitch: float) -> np.ndarray:
    time = np.arange(round(seconds * 16000)) / 16000
    return (0.3 * np.sin(2 * np.pi * (pitch * time + 90 * time**2))).astype(np.float32)


@pytest.fixture(scope="module")
def recording() -> tuple[np.ndarray, list[tuple[int, int]]]:
    """67 s: twelve sounds of different pitch and length between silences, and where they are."""
    rng = np.random.default_rng(0)
    parts, places, position = [], [], 0
    for index in range(12):
        gap = np.zeros(int(rng.integers(12000, 48000)), dtype=np.float32)
        sound = tone(rng.uniform(1, 6), 150 + 60 * index)
        places.append((position + len(gap), position + len(gap) + len(sound)))
        parts += [gap, sound]
        position = places[-1][1]
    return np.concatenate([*parts, np.zeros(20000, dtype=np.float32)]), places


def padded(samples: np.ndarray, place: tuple[int, int]) -> tuple[int, int]:
    """Where the segment of a sound is to be: 0.3 s more on both sides, in the detector's windows of 32 ms."""
    start, end = place
    return start // 512 * 512 - 4800, -(-end // 512) * 512 + 4800


def test_every_sound_is_one_segment_with_its_own_times(pipe, recording, tmp_path):
    samples, places = recording
    soundfile.write(tmp_path / "long.wav", samples, 16000, subtype="FLOAT")
    result = pipe(str(tmp_path / "long.wav"), return_timestamps=True, **LIMIT)
    bounds = [padded(samples, place) for place in places]
    assert [chunk["timestamp"] for chunk in result["chunks"]] == [(a / 16000, b / 16000) for a, b in bounds]
    alone = [pipe(samples[start:end], **LIMIT)["text"] for start, end in bounds]
    assert [chunk["text"].strip() for chunk in result["chunks"]] == alone
    assert "".join(chunk["text"] for chunk in result["chunks"]) == result["text"]
    assert len(set(alone)) > 9
    assert result["text"] == join_texts(alone)
    assert pipe(samples, **LIMIT) == {"text": result["text"]}


@pytest.mark.parametrize("rate", [16000, 8000, 44100])
@pytest.mark.parametrize("block_seconds", [0.013, 1.7, 1000])
def test_segments_do_not_depend_on_blocks(recording, tmp_path, rate, block_seconds):
    samples, _ = recording
    path = tmp_path / "long.wav"
    soundfile.write(path, np.stack([samples[: rate * 20]] * 2, axis=1), rate, subtype="FLOAT")
    blocks = list(audio_blocks(path, block_seconds=block_seconds))
    whole = load_audio(path)
    assert np.abs(np.concatenate(blocks) - whole).max() < 1e-6
    segments = list(speech_segments(iter(blocks), EndpointSettings()))
    expected = list(speech_segments([whole], EndpointSettings()))
    assert [(start, len(part)) for start, part in segments] == [(start, len(part)) for start, part in expected]
    assert len(segments) > 2


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_bare_samples_are_at_the_models_rate(recording, kind):
    samples, places = recording
    slow = load_audio({"array": samples, "sampling_rate": 16000}, target_sampling_rate=8000)
    utterances = []

    def recognize(batch, are_pieces):
        utterances.extend(batch)
        return [{"text": "a"} for _ in batch]

    transcriber = LongFormTranscriber(recognize, WantedOutputs(return_timestamps=True), sampling_rate=8000)
    [result] = transcriber([kind(slow)])
    starts = [chunk["timestamp"][0] for chunk in result["chunks"]]
    assert starts == pytest.approx([place[0] / 16000 - 0.3 for place in places], abs=0.07)
    for utterance, (_, end) in zip(utterances, [chunk["timestamp"] for chunk in result["chunks"]], strict=True):
        assert len(utterance.waveform) == pytest.approx(8000 * utterance.seconds) and end <= len(slow) / 8000


def test_unbroken_sound_is_cut_where_it_must_be_and_nothing_is_lost():
    sound = np.random.default_rng(0).uniform(-0.3, 0.3, 16000 * 75).astype(np.float32)
    segments = list(speech_segments(np.array_split(sound, 9), EndpointSettings(max_segment=20)))
    assert [start / 16000 for start, _ in segments] == [0, 20, 40, 60]
    assert np.array_equal(np.concatenate([samples for _, samples in segments]), sound)


def test_batch_size_changes_nothing(pipe, recording):
    expected = pipe(recording[0], return_timestamps=True, batch_size=1, **LIMIT)
    for batch_size in (3, 5, 64):
        assert pipe(recording[0], return_timestamps=True, batch_size=batch_size, **LIMIT) == expected


def test_a_batch_is_bounded_in_seconds_of_padded_audio_unless_its_size_is_asked_for(pipe, monkeypatch):
    # What the model is given at once, of 150 s of unbroken sound.
    shapes = []
    encode = type(pipe.model).encode_speech
    monkeypatch.setattr(
        type(pipe.model), "encode_speech", lambda self, x, mask: shapes.append(x.shape[:2]) or encode(self, x, mask)
    )
    sound = np.tile(tone(30, 200), 5)
    pipe(sound, chunk_length_s=12, max_new_tokens=1)
    assert len(shapes) > 2 and all(rows * frames <= 64 * 100 for rows, frames in shapes)
    assert all(frames % 100 == 0 for _, frames in shapes)  # few shapes: kernels are kept for each
    shapes.clear()
    pipe(sound, chunk_length_s=12, max_new_tokens=1, batch_size=13)
    assert [rows for rows, _ in shapes] == [13]
    # Of items of many lengths, where segments were asked for.
    shapes.clear()
    lengths = [30, 30, 3, 2, 1, 30, 20, 8, *[1] * 10]
    items = [np.full(16000 * length, 0.1, dtype=np.float32) for length in lengths]
    pipe(items, chunk_length_s=30, max_new_tokens=1)
    assert [rows for rows, _ in shapes] == [2, 3, 2, 8, 3]


def test_long_and_short_items_together(pipe, recording, waveforms):
    long, short, silent = recording[0], waveforms[0], np.zeros(16000 * 40, dtype=np.float32)
    expected = [pipe(item, **LIMIT) for item in (short, long, silent)]
    assert expected[2] == {"text": ""}
    assert pipe([short, long, silent, long, short], **LIMIT) == [*expected, expected[1], expected[0]]
    stream = pipe((item for item in (long, silent, short)), chunk_length_s=30, **LIMIT)
    assert next(stream) == expected[1]
    assert list(stream) == [expected[2], expected[0]]
    assert pipe([silent, silent], **LIMIT) == [{"text": ""}] * 2


def test_flags_of_recordings_with_and_without_speech(pipe, recording):
    silent = np.zeros(16000 * 40, dtype=np.float32)
    results = pipe([recording[0], silent], return_flags=True, **LIMIT)
    assert [result["flags"] for result in results] == [["length_limit"], ["no_speech"]]
    result = pipe(silent, return_confidence=True, return_timestamps="word", **LIMIT)
    assert result == {"text": "", "chunks": [], "confidence": 1.0, "flags": ["no_speech"]}
    assert pipe(silent, return_hotwords=True, **LIMIT) == {"text": "", "hotwords_found": []}
    # The same keys with and without speech, also where the pipeline was made to give them.
    made = EntropyASRPipeline(
        model=pipe.model, processor=pipe.processor, return_timestamps="word", return_confidence=True
    )
    spoken, unspoken, short = made([recording[0], silent, recording[0][:20000]], **LIMIT)
    assert list(spoken) == list(unspoken) == list(short) == ["text", "chunks", "confidence", "flags"]
    assert unspoken == result


def test_chunk_length_is_honoured(pipe, recording):
    chunks = pipe(recording[0], chunk_length_s=3, return_timestamps=True, **LIMIT)["chunks"]
    durations = [end - start for start, end in (chunk["timestamp"] for chunk in chunks)]
    assert max(durations) <= 3 and len(chunks) > 12
    made = EntropyASRPipeline(model=pipe.model, processor=pipe.processor, chunk_length_s=3)
    assert made(recording[0], return_timestamps=True, **LIMIT)["chunks"] == chunks


def test_times_of_words_count_from_the_beginning_of_the_recording(pipe, recording):
    """Words of the recording have the times that they have in the segment alone, later by its beginning."""
    pytest.importorskip("phonemizer")
    samples, places = recording
    result = pipe(samples, return_timestamps="word", **LIMIT)
    expected = []
    for start, end in (padded(samples, place) for place in places):
        for chunk in pipe(samples[start:end], return_timestamps="word", **LIMIT)["chunks"]:
            times = (None if time is None else time + start / 16000 for time in chunk["timestamp"])
            expected.append((chunk["text"].strip(), *times))
    assert len(expected) > 12
    assert [(chunk["text"].strip(), *chunk["timestamp"]) for chunk in result["chunks"]] == expected


def test_segments_beside_words_cost_no_second_reading(pipe, recording):
    pytest.importorskip("phonemizer")
    result = pipe(recording[0], return_timestamps="word", return_segments=True, **LIMIT)
    assert result["segments"] == pipe(recording[0], return_timestamps=True, **LIMIT)["chunks"]
    assert result["chunks"] == pipe(recording[0], return_timestamps="word", **LIMIT)["chunks"]
    short = pipe(recording[0][:20000], return_segments=True, **LIMIT)
    assert short["segments"] == [{"text": short["text"], "timestamp": (0.0, 1.25)}]
    with pytest.raises(ValueError, match="`return_segments` gives the times of segments"):
        pipe(recording[0], chunk_length_s=0, return_segments=True, **LIMIT)


def test_short_audio_with_times_of_segments(pipe, waveforms):
    text = pipe(waveforms[0], **LIMIT)["text"]
    chunks = [{"text": text, "timestamp": (0.0, 1.0)}]
    assert pipe(waveforms[0], return_timestamps=True, **LIMIT) == {"text": text, "chunks": chunks}
    made = EntropyASRPipeline(model=pipe.model, processor=pipe.processor, return_timestamps=True)
    assert made(waveforms[0], **LIMIT) == {"text": text, "chunks": chunks}
    assert made(waveforms[0], return_timestamps=False, **LIMIT) == {"text": text}


def test_errors_name_the_item(pipe, recording, tmp_path):
    soundfile.write(tmp_path / "long.flac", recording[0], 16000)
    whole = (tmp_path / "long.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    good, bad, short = pipe([recording[0], str(tmp_path / "cut.flac"), recording[0][:9000]], **LIMIT)
    assert good == pipe(recording[0], **LIMIT) and short == pipe(recording[0][:9000], **LIMIT)
    assert bad.keys() == {"text", "error"} and re.match(r"item 1: .*cut\.flac: .*(truncated|damaged)", bad["error"])
    with pytest.raises(AudioError, match="missing.wav: cannot be opened"):
        pipe(str(tmp_path / "missing.wav"), chunk_length_s=30)
    nan = recording[0].copy()
    nan[-1] = np.nan
    soundfile.write(tmp_path / "nan.wav", nan, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"nan.wav: 1 of \d+ samples are NaN"):
        pipe(str(tmp_path / "nan.wav"), **LIMIT)
    items = [recording[0][:9000], np.full(16000 * 100, 0.1, dtype=np.float32)]
    results = pipe(items, chunk_length_s=80, batch_size=1)
    assert results[0] == pipe(items[0]) and re.match("item 1: audio: lasts 80.0 s.*at most 12", results[1]["error"])
    with pytest.raises(AudioError, match="^audio: lasts 80.0 s.*at most 12"):
        pipe(items[1], chunk_length_s=80)


@pytest.fixture
def bar_at_once(monkeypatch):
    """The bar is shown at once, and not after a second."""
    monkeypatch.setattr(long_form_entropy_asr, "tqdm", lambda **kwargs: tqdm(**{**kwargs, "delay": 0}))


def test_progress_is_shown_in_seconds(pipe, recording, capsys, bar_at_once):
    pipe(recording[0], progress=True, **LIMIT)
    bar = capsys.readouterr().err
    assert "transcribing: 100%" in bar and f"{len(recording[0]) / 16000:.1f}/{len(recording[0]) / 16000:.1f}" in bar
    pipe(recording[0], **LIMIT)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["no luck", "and grinned."], "no luck and grinned."),
        (["你好。", "世界"], "你好。世界"),
        (["你好", "hello there", "世界"], "你好 hello there 世界"),
        (["one", "", "...", "two"], "one ... two"),
    ],
)
@pytest.mark.parametrize("unit", ["word", True])
def test_words_of_a_recording_joined_are_its_text_and_subtitles(pipe, recording, monkeypatch, texts, joined, unit):
    """Through the pipeline's own alignment: what subtitles, pages and downloads put together."""
    pytest.importorskip("phonemizer")
    given = iter(texts * 9)
    monkeypatch.setattr(type(pipe.processor), "decode", lambda self, *args, **kwargs: next(given))
    samples = recording[0].copy()
    samples[recording[1][len(texts) - 1][1] :] = 0  # as many sounds as texts
    result = pipe(samples, return_timestamps=unit, **LIMIT)
    assert result["text"] == joined == "".join(chunk["text"] for chunk in result["chunks"])
    cues = make_cues(result["chunks"], len(recording[0]) / 16000)
    assert "".join(cue.text for cue in cues).replace("\n", "").replace(" ", "") == joined.replace(" ", "")
    assert not any("luckand" in cue.text for cue in cues)


def test_durations_need_no_decoding(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.zeros(24000), 8000)
    assert audio_duration(tmp_path / "a.flac") == 3
    assert audio_duration((tmp_path / "a.flac").read_bytes()) == 3
    assert audio_duration({"bytes": None, "path": str(tmp_path / "a.flac")}) == 3
    assert audio_duration(torch.zeros(2, 8000), 8000) == 1
    for unusable in ({"array": np.zeros(9), "sampling_rate": "16000"}, {"array": [[1.0], [1.0, 2.0]]}):
        assert audio_duration(unusable) is None
        with pytest.raises(AudioError):
            load_audio(unusable)
    with pytest.raises(AudioError, match="`raw` takes an array or a tensor; a file goes under `bytes` or `path`"):
        load_audio({"raw": (tmp_path / "a.flac").read_bytes(), "sampling_rate": 16000})
    assert audio_duration({"array": np.zeros(100), "sampling_rate": 50}) == 2
    assert audio_duration(str(tmp_path / "none.wav")) is None
    assert audio_duration(np.zeros(100)) is None


def without_length(flac: bytes) -> bytes:
    """A FLAC file as an encoder that writes to a pipe leaves it: without its number of samples."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


def encoded(samples: np.ndarray, **kwargs) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16000, **{"format": "FLAC", **kwargs})
    return buffer.getvalue()


def test_recordings_that_do_not_state_their_length_are_cut_as_those_that_do(
    pipe, recording, tmp_path, capsys, bar_at_once
):
    stated = encoded(recording[0])
    expected = pipe(stated, return_timestamps=True, **LIMIT)
    assert len(expected["chunks"]) == 12
    (tmp_path / "pipe.flac").write_bytes(without_length(stated))
    wav = bytearray(encoded(recording[0], format="WAV"))
    wav[40:44] = (2000).to_bytes(4, "little")
    for source in (without_length(stated), str(tmp_path / "pipe.flac"), {"bytes": without_length(stated)}):
        assert audio_duration(source) is None
        assert pipe(source, return_timestamps=True, **LIMIT) == expected
        assert pipe([recording[0][:1600], source], **LIMIT)[1] == {"text": expected["text"]}
    whole = encoded(recording[0], format="WAV")  # which rounds other samples than FLAC does
    assert pipe(bytes(wav), return_timestamps=True, **LIMIT) == pipe(whole, return_timestamps=True, **LIMIT)
    capsys.readouterr()
    pipe(without_length(stated), progress=True, **LIMIT)
    bar = capsys.readouterr().err
    assert "transcribing: 100%" in bar and f"{len(recording[0]) / 16000:.1f}/{len(recording[0]) / 16000:.1f}" in bar


def test_short_recordings_that_do_not_state_their_length_are_taken_whole(pipe, recording):
    short = recording[0][: 16000 * 9]
    data = without_length(encoded(short))
    assert pipe(data, **LIMIT) == pipe(encoded(short), **LIMIT)
    assert pipe(data, return_timestamps=True, **LIMIT)["chunks"][0]["timestamp"] == (0.0, 9.0)
    assert len(pipe(data, chunk_length_s=5, return_timestamps=True, **LIMIT)["chunks"]) > 1


def test_joined_files_are_long_together(pipe, recording):
    parts = [encoded(recording[0][start : start + 320000], format="OGG", subtype="OPUS") for start in (0, 320000)]
    chunks = pipe(b"".join(parts), return_timestamps=True, **LIMIT)["chunks"]
    assert chunks[-1]["timestamp"][1] > 30


def test_unreadable_items_are_named(pipe):
    with pytest.raises(AudioError, match="audio of 8 bytes: cannot be decoded"):
        pipe(b"nonsense")


def test_urls_are_fetched_once(pipe, recording, monkeypatch):
    fetches = []
    monkeypatch.setattr(url_entropy_asr, "fetch_url", lambda url: fetches.append(url) or encoded(recording[0]))
    url = "https://example.com/talk.flac"
    expected = pipe(encoded(recording[0]), **LIMIT)
    assert pipe(url, **LIMIT) == expected
    assert pipe([recording[0][:16000], url], **LIMIT)[1] == expected
    assert fetches == [url] * 2
