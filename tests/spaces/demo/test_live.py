# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Live streams of several visitors, before any page."""

import threading

import numpy as np
import pytest
import torch
from demo_streams import SETTINGS, pieces, stream

from entropy_asr.modeling.streaming_transcriber_entropy_asr import StreamingTranscriber
from entropy_asr.spaces.demo.live import LiveSessions
from entropy_asr.spaces.demo.recognizer import (
    DemoError,
)
from entropy_asr.spaces.demo.transcript_view import live_html


def test_live_streams_show_partials_and_do_not_disturb_each_other(recognizer, digits):
    sessions = LiveSessions(recognizer)
    padded = np.concatenate([digits, np.zeros(16000, dtype=np.float32)])
    partials, alone = stream(sessions, padded)
    assert partials and alone
    assert "partial" in live_html(partials[:1], True) and alone[0] in live_html([], False) + alone[0]
    together: list = [None, None]

    def run(place: int) -> None:
        together[place] = stream(sessions, padded)[1]

    threads = [threading.Thread(target=run, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [alone, alone] and not sessions.sessions


def test_live_limits_are_told_and_places_come_free(recognizer, digits):
    sessions = LiveSessions(recognizer)
    keys = [sessions.start(16000) for _ in range(2)]
    with pytest.raises(DemoError, match="All 2 live places are taken"):
        sessions.start(16000)
    sessions.leave(keys[0])
    again = sessions.start(48000)
    for _ in range(4):
        sessions.push(again, np.zeros(48000 * 5, dtype=np.int16))
    with pytest.raises(DemoError, match="at most 20 s"):
        sessions.push(again, np.zeros(48000 * 5, dtype=np.int16))
    assert not sessions.sessions[again].inbox, "what was refused is not worked on later"
    sessions.sessions[again].stream.finish()
    sessions.sessions[again].inbox.append(np.zeros(4800, dtype=np.int16))
    assert sessions.push(keys[1], np.zeros(1600, dtype=np.int16)) == [], "a piece after its stop costs nobody else"
    with pytest.raises(DemoError, match="cannot begin"):
        LiveSessions(recognizer).start(500)
    with pytest.raises(DemoError, match="has ended"):
        sessions.push(keys[0], pieces(digits)[0])


def test_who_leaves_while_being_stopped_is_told_and_nobody_else_notices(recognizer, digits, monkeypatch):
    sessions = LiveSessions(recognizer)
    leaving, staying = (sessions.start(16000, "en") for _ in range(2))
    for key in (leaving, staying):
        sessions.push(key, pieces(digits)[0])
    work = LiveSessions._work

    def work_and_leave(self: LiveSessions) -> None:
        work(self)
        self.leave(leaving)

    with monkeypatch.context() as patch:
        patch.setattr(LiveSessions, "_work", work_and_leave)
        with pytest.raises(DemoError, match="This live stream has ended"):
            sessions.finish(leaving)
    for piece in pieces(digits)[1:]:
        sessions.push(staying, piece)
    assert [update.text for update in sessions.finish(staying)] == stream(sessions, digits)[1]
    assert not sessions.sessions and not sessions.batch.streams


def test_a_stream_that_fails_at_its_end_gives_its_place_back(recognizer, monkeypatch):
    sessions = LiveSessions(recognizer)
    key = sessions.start(16000)
    with monkeypatch.context() as patch:
        patch.setattr(sessions.batch, "finish", lambda stream: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sessions.finish(key)
    assert not sessions.sessions and not sessions.batch.streams


def test_pieces_that_cannot_follow_are_refused(recognizer, digits):
    sessions = LiveSessions(recognizer)
    key = sessions.start(16000)
    with pytest.raises(DemoError, match="began at 16000 Hz: a piece at 8000 Hz"):
        sessions.push(key, pieces(digits)[0], 8000)
    with pytest.raises(DemoError, match="a live stream lasts at most 10 s"):
        sessions.push(key, np.zeros(16000 * 11, dtype=np.int16))
    assert not sessions.sessions[key].inbox and not sessions.sessions[key].seconds
    sessions.leave(key)


def test_a_piece_that_comes_twice_is_heard_once_and_a_missing_one_is_told(recognizer, digits):
    sessions = LiveSessions(recognizer)
    key = sessions.start(16000, "en")
    for number, piece in enumerate(pieces(digits)):
        first = sessions.push(key, piece, number=number)
        assert sessions.push(key, piece, number=number) == first
        with pytest.raises(DemoError, match=f"piece {number + 1} is missing"):
            sessions.push(key, piece, number=number + 2)
    with pytest.raises(DemoError, match=f"pieces {number + 1} to {number + 2} are missing"):
        sessions.push(key, piece, number=number + 3)
    sessions.push(key, pieces(digits)[0], number=0)  # very late
    assert sessions.num_samples(key) == len(digits)
    texts = [update.text for update in sessions.finish(key, number + 1)]
    assert texts == stream(sessions, digits)[1]


def test_starts_and_ends_that_come_twice_are_answered_as_the_first_time(recognizer, digits):
    sessions = LiveSessions(recognizer)
    keys = [sessions.start(16000, "en", key="a visitor's key") for _ in range(3)]
    assert keys == ["a visitor's key"] * 3 and len(sessions.batch.streams) == 1
    for number, piece in enumerate(pieces(digits)):
        sessions.push(keys[0], piece, number=number)
    updates = sessions.finish(keys[0], number + 1)
    assert updates and sessions.finish(keys[0], number + 1) == updates
    assert sessions.num_samples(keys[0]) == len(digits)
    sessions.start(16000, key=keys[0])
    assert not sessions.sessions and not sessions.batch.streams, "a start that comes late begins nothing"
    short = sessions.start(16000)
    with pytest.raises(DemoError, match="pieces 0 to 1 are missing"):
        sessions.finish(short, 2)
    assert not sessions.sessions and not sessions.batch.streams


def test_what_has_ended_is_kept_for_a_few_streams_only(recognizer):
    sessions = LiveSessions(recognizer)
    for _ in range(20):
        assert sessions.finish(sessions.start(16000)) == []
    assert len(sessions.ended) == 4 * SETTINGS.max_live and not sessions.sessions


def test_the_place_of_a_visitor_who_has_gone_is_given_to_the_next(recognizer):
    sessions = LiveSessions(recognizer)
    gone, busy = (sessions.start(16000, max_idle=30) for _ in range(2))
    for key in (gone, busy):
        sessions.sessions[key].last_call -= 31
    with sessions.answering(busy):  # however long that takes
        sessions.start(16000)
    with pytest.raises(DemoError, match="has ended"):
        sessions.push(gone, np.zeros(1600, dtype=np.int16))
    sessions.push(busy, np.zeros(1600, dtype=np.int16))
    with pytest.raises(DemoError, match="All 2 live places are taken"):
        sessions.start(16000)


def test_live_streams_have_the_words_of_the_stream_command(recognizer, digits):

    silence = np.zeros(16000, dtype=np.float32)
    samples = np.concatenate([digits, silence, digits, silence])
    sessions = LiveSessions(recognizer)
    key = sessions.start(16000, "en")
    for number, piece in enumerate(pieces(samples, 4321)):
        sessions.push(key, piece, number=number)
    transcriber = StreamingTranscriber(recognizer.pipeline, language="en")
    updates = [*transcriber.push((samples * 32767).astype(np.int16)), *transcriber.finish()]
    assert [update.text for update in sessions.finish(key)] == [u.text for u in updates if u.is_final]


def test_streams_on_a_borrowed_gpu_are_refused_in_words(recognizer, monkeypatch):

    sessions = LiveSessions(recognizer)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(recognizer.pipeline, "device", torch.device("cuda"))
    with pytest.raises(DemoError, match="ZeroGPU"):
        sessions.start(16000)
    monkeypatch.setattr(recognizer.pipeline, "device", torch.device("cpu"))
    sessions.leave(sessions.start(16000))
