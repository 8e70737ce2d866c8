# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Who speaks when: diarizations in all their forms, overlaps, gaps, and what a user sees of it in the end."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile
from small_models import build_model, small_config

from entropy_asr.modeling import AudioError
from entropy_asr.modeling.diarization_entropy_asr import SpeakerTimeline, Turn, read_diarization
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline
from entropy_asr.modeling.subtitles_entropy_asr import format_srt, format_vtt, make_cues


LIMIT = {"max_new_tokens": 12}
RTTM = """;; a comment, and a line of another type
SPKR-INFO talk 1 <NA> <NA> <NA> unknown Anna <NA>
SPEAKER talk 1 1.000 4.000 <NA> <NA> Anna <NA> <NA>
SPEAKER other 1 0.500 2.000 <NA> <NA> Carl <NA> <NA>
SPEAKER talk 1 5.000 3.000 <NA> <NA> Ben <NA> <NA>
"""


def pieces(turns: list[tuple], start: float, end: float) -> list[tuple]:
    """Start, end and speaker of the pieces of some speech, with the others where there are any."""
    found = SpeakerTimeline([Turn(*turn) for turn in turns]).pieces(start, end)
    assert [piece.end for piece in found[:-1]] == [piece.start for piece in found[1:]]  # nothing twice, nothing lost
    assert (found[0].start, found[-1].end) == (start, end)
    return [(one.start, one.end, one.speaker, *one.other_speakers) for one in found]


def test_speech_is_cut_where_the_speaker_changes():
    turns = [(0, 4, "A"), (4, 7, "B"), (7, 9, "A")]
    assert pieces(turns, 1, 8) == [(1, 4, "A"), (4, 7, "B"), (7, 8, "A")]
    assert pieces(turns[::-1], 1, 8) == pieces(turns, 1, 8)
    assert pieces([(0, 2, "A"), (2.1, 4, "A")], 0, 4) == [(0, 4, "A")]


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        # Who has the floor keeps it, and what is left of the other one follows.
        ([(0, 6, "A"), (4, 10, "B")], [(0, 6, "A", "B"), (6, 10, "B")]),
        # A turn inside another one has no text of its own, but is told.
        ([(0, 10, "A"), (4, 5, "B")], [(0, 10, "A", "B")]),
        # Of two that begin together the longer one comes first, whatever their order.
        ([(0, 4, "B"), (0, 10, "A")], [(0, 10, "A", "B")]),
        ([(0, 6, "A"), (3, 8, "B"), (4, 10, "C")], [(0, 6, "A", "B", "C"), (6, 8, "B", "C"), (8, 10, "C")]),
        # Who overlaps with himself does not.
        ([(0, 6, "A"), (4, 10, "A")], [(0, 10, "A")]),
    ],
)
def test_overlapping_speech_is_of_who_had_the_floor(turns, expected):
    assert pieces(turns, 0, 10) == expected


def test_a_gap_is_of_its_neighbours_and_in_its_midst_of_nobody():
    assert pieces([(0, 4, "A"), (4.6, 9, "B")], 0, 9) == [(0, 4.3, "A"), (4.3, 9, "B")]
    assert pieces([(2, 4, "A"), (7, 9, "B")], 0, 12) == [
        *((0, 1.5, None), (1.5, 4.5, "A"), (4.5, 6.5, None)),
        *((6.5, 9.5, "B"), (9.5, 12, None)),
    ]
    assert pieces([], 3, 5) == [(3, 5, None)]


def test_what_is_too_short_for_a_word_is_of_who_speaks_before_or_behind():
    assert pieces([(0, 4, "A"), (4, 4.1, "B"), (4.1, 9, "C")], 0, 9) == [(0, 4.1, "A"), (4.1, 9, "C")]
    assert pieces([(0, 4, "A"), (4, 9, "B")], 3.9, 9) == [(3.9, 9, "B")]
    assert pieces([(0, 4, "A"), (4, 9, "B")], 3.9, 4.1) == [(3.9, 4.1, "A")]
    assert pieces([(0, 4, "A"), (4, 4.25, "B"), (4.25, 9, "A")], 0, 9) == [(0, 4, "A"), (4, 4.25, "B"), (4.25, 9, "A")]


def test_all_forms_of_a_diarization_are_one(tmp_path):
    expected = [("Anna", 1.0, 5.0), ("Ben", 5.0, 8.0)]

    def turns(given) -> list[tuple]:
        return [(turn.speaker, turn.start, turn.end) for turn in read_diarization(given)[""]]

    mappings = [{"start": 1, "end": 5.0, "speaker": "Anna"}, {"start": np.float32(5), "end": 8, "label": "Ben"}]
    assert turns(mappings) == turns([(1, 5, "Anna"), [5, 8, "Ben"]]) == expected
    assert turns([(0, 1, 7)]) == [("7", 0.0, 1.0)]  # numbers are names too
    (tmp_path / "all.rttm").write_text(RTTM)
    recordings = read_diarization(tmp_path / "all.rttm")
    assert recordings == {"talk": [Turn(1, 5, "Anna"), Turn(5, 8, "Ben")], "other": [Turn(0.5, 2.5, "Carl")]}


def test_annotations_of_pyannote_are_read():
    core = pytest.importorskip("pyannote.core")
    annotation = core.Annotation(uri="talk")
    annotation[core.Segment(1, 5)] = "Anna"
    annotation[core.Segment(4, 8), "second"] = "Ben"
    assert read_diarization(annotation) == {"": [Turn(1, 5, "Anna"), Turn(4, 8, "Ben")]}


def test_of_what_pyannote_audio_gives_the_diarization_without_overlaps_is_taken():
    class Track:
        def __init__(self, start, end):
            self.start, self.end = start, end

    class Annotation:
        def __init__(self, *turns):
            self.turns = turns

        def itertracks(self, yield_label=False):
            assert yield_label
            return ((Track(start, end), "_", speaker) for start, end, speaker in self.turns)

    class Output:
        speaker_diarization = Annotation((1, 5, "A"), (4, 8, "B"))
        exclusive_speaker_diarization = Annotation((1, 4.5, "A"), (4.5, 8, "B"))

    assert read_diarization(Output()) == {"": [Turn(1, 4.5, "A"), Turn(4.5, 8, "B")]}
    assert read_diarization(Output.speaker_diarization) == {"": [Turn(1, 5, "A"), Turn(4, 8, "B")]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (7, "must be turns, an annotation or a path"),
        ([(1, 5)], r"turn 0: must have `start`, `end` and `speaker`, and is \(1, 5\)"),
        ([(0, 1, "A"), (5, 1, "B")], "turn 1: must last from 0 s or later to a later time, not 5 to 1"),
        ([(-1, 5, "A")], "not -1 to 5"),
        ([(0, float("nan"), "A")], "not 0 to nan"),
        ([{"start": 0, "end": 1}], "turn 0: has no speaker"),
        ([{"begin": 0, "end": 1, "speaker": "A"}], "not None to 1"),
    ],
)
def test_what_is_no_diarization_is_refused_with_the_turn(given, message):
    with pytest.raises(ValueError, match=message):
        read_diarization(given)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("SPEAKER talk 1 0.0\n", "line 1: has 4 fields, and RTTM has eight or more"),
        ("\nSPEAKER talk 1 0.0 long <NA> <NA> A <NA> <NA>\n", "line 2: could not convert string to float: 'long'"),
        ("SPEAKER talk 1 3.0 0.0 <NA> <NA> A <NA> <NA>\n", "line 1: must last from 0 s"),
        ("WEBVTT\n", "has no line of type SPEAKER"),
        (None, "cannot be read: No such file"),
    ],
)
def test_files_that_are_no_rttm_are_named_with_the_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "bad.rttm").write_text(content)
    with pytest.raises(ValueError, match=rf"bad\.rttm.*{message}"):
        read_diarization(tmp_path / "bad.rttm")


# What a user sees.


@pytest.fixture(scope="module")
def pipe(processor) -> EntropyASRPipeline:
    return EntropyASRPipeline(model=build_model(small_config()), processor=processor)


@pytest.fixture(scope="module")
def talk() -> np.ndarray:
    """9 s: a sound from 1 to 5 s, that goes on higher to 8 s."""
    time = np.arange(9 * 16000) / 16000
    sound = 0.3 * np.sin(2 * np.pi * np.where(time < 5, 200, 900) * time)
    return np.where((time >= 1) & (time < 8), sound, 0).astype(np.float32)


TURNS = [(1, 5, "Anna"), (5, 8, "Ben")]


def test_a_recording_has_a_segment_for_each_speaker(pipe, talk, loudness_vad):
    result = pipe(talk, diarization=TURNS, return_timestamps=True, **LIMIT)
    first, second = result["segments"]
    assert (first["speaker"], second["speaker"]) == ("Anna", "Ben")
    assert (first["timestamp"][1], second["timestamp"][0]) == (5.0, 5.0)
    assert first["other_speakers"] == second["other_speakers"] == []
    cut = [round(time * 16000) for time in (first["timestamp"][0], 5, second["timestamp"][1])]
    alone = [pipe(talk[start:end], **LIMIT)["text"] for start, end in pairwise(cut)]
    assert [first["text"], second["text"].strip()] == alone and len(set(alone)) == 2
    assert result["text"] == "".join(segment["text"] for segment in result["segments"])
    assert result["chunks"] == result["segments"]
    # Without times asked for, too; and whatever the form.
    assert pipe(talk, diarization=TURNS, **LIMIT) == {name: result[name] for name in ("text", "segments")}
    mappings = [dict(zip(("start", "end", "label"), turn, strict=True)) for turn in TURNS]
    assert pipe([talk], diarization=[mappings], **LIMIT)[0]["segments"] == result["segments"]


def test_all_speech_is_transcribed_once_whatever_the_diarization_says(pipe, talk, loudness_vad):
    undivided = pipe(talk, chunk_length_s=30, return_timestamps=True, diarization=[], **LIMIT)["segments"]
    assert [segment["speaker"] for segment in undivided] == [None]
    (start, end), whole = undivided[0]["timestamp"], undivided[0]["text"]
    for turns in ([(2, 3, "A")], [(0, 60, "A")], [(1, 6, "A"), (2, 9, "B"), (2, 4, "C")]):
        segments = pipe(talk, diarization=turns, **LIMIT)["segments"]
        times = [segment["timestamp"] for segment in segments]
        assert (times[0][0], times[-1][1]) == (start, end)
        assert [end for _, end in times[:-1]] == [start for start, _ in times[1:]]
    assert pipe(talk, diarization=[(0, 60, "A")], **LIMIT)["segments"][0]["text"] == whole
    assert pipe(talk, diarization=[(1, 9, "A"), (2, 4, "B")], **LIMIT)["segments"][0]["other_speakers"] == ["B"]


def test_words_have_speakers_and_subtitles_their_names(pipe, talk, loudness_vad):
    pytest.importorskip("phonemizer")
    result = pipe(talk, diarization=TURNS, return_timestamps="word", **LIMIT)
    speakers = [chunk["speaker"] for chunk in result["chunks"]]
    assert speakers == sorted(speakers) and set(speakers) == {"Anna", "Ben"}
    cues = make_cues(result["chunks"], 9)
    assert "<v Anna>" in format_vtt(cues) and "<v Ben>" in format_vtt(cues)
    assert "\nAnna: " in format_srt(cues) and "\nBen: " in format_srt(cues)


def test_silence_has_no_speakers(pipe, loudness_vad):
    silent = np.zeros(16000 * 5, dtype=np.float32)
    assert pipe(silent, diarization=[(1, 2, "A")], **LIMIT) == {"text": "", "segments": []}


def test_recordings_find_their_turns_in_one_file(pipe, talk, loudness_vad, tmp_path):
    for name in ("talk.wav", "other.flac", "third.wav"):
        soundfile.write(tmp_path / name, talk, 16000)
    (tmp_path / "all.rttm").write_text(RTTM)
    files = [str(tmp_path / name) for name in ("talk.wav", "other.flac", "third.wav")]
    rttm = str(tmp_path / "all.rttm")
    one, other, unknown = pipe(files, diarization=rttm, **LIMIT)
    assert [segment["speaker"] for segment in one["segments"]] == ["Anna", "Ben"]
    assert [segment["speaker"] for segment in other["segments"]] == ["Carl", None]
    assert unknown["error"].startswith(f"item 2: {files[2]}: `diarization`")
    assert "has no such recording; it has talk, other" in unknown["error"]
    assert pipe(files[0], diarization=rttm, **LIMIT) == one
    # Of one recording, what an RTTM of one calls it does not matter.
    (tmp_path / "one.rttm").write_text("SPEAKER waveform 1 0 9 <NA> <NA> Dora <NA> <NA>\n")
    assert pipe(files[0], diarization=tmp_path / "one.rttm", **LIMIT)["segments"][0]["speaker"] == "Dora"
    results = pipe((file for file in files[:2]), diarization=[TURNS, tmp_path / "one.rttm"], **LIMIT)
    assert [result["segments"][0]["speaker"] for result in results] == ["Anna", "Dora"]


def test_a_diarization_of_another_recording_is_refused_before_anything_is_transcribed(pipe, talk, monkeypatch):
    monkeypatch.setattr(type(pipe.model), "encode_speech", lambda *args: pytest.fail("transcribed"))
    with pytest.raises(AudioError, match=r"B speaks from 9.5 to 12 s, and the recording ends at 9.00 s"):
        pipe(talk, diarization=[(1, 5, "A"), (9.5, 12, "B")], **LIMIT)
    for given, message in (
        ([[(0, 1, "A")]], "1 diarizations for 2 items"),
        ({"a": []}, "of several items must be a list of diarizations"),
    ):
        with pytest.raises(ValueError, match=message):
            pipe([talk, talk], diarization=given, **LIMIT)
    with pytest.raises(ValueError, match="`diarization` gives the times of segments, and `chunk_length_s=0`"):
        pipe(talk, diarization=TURNS, chunk_length_s=0)
    with pytest.raises(ValueError, match="Unknown argument `diarization`"):  # of one recording, not of all calls
        EntropyASRPipeline(model=pipe.model, processor=pipe.processor, diarization=TURNS)
