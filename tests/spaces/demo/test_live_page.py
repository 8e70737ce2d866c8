# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Live streams as the page's recorder asks for them."""

import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from demo_streams import SETTINGS, pieces


gr = pytest.importorskip("gradio")
gradio_client = pytest.importorskip("gradio_client")

from entropy_asr.spaces.demo import page as demo_page  # noqa: E402
from entropy_asr.spaces.demo.live import LiveSessions  # noqa: E402
from entropy_asr.spaces.demo.live_page import HEAR, LiveHandlers, to_mono  # noqa: E402
from entropy_asr.spaces.demo.recognizer import Recognizer  # noqa: E402


def test_stereo_is_mixed():
    stereo = np.array([[100, 300], [-2, 0]], dtype=np.int16)
    assert to_mono(stereo, 16000).tolist() == [200, -1]
    tone = np.array([1000, -2000, 3000], dtype=np.int16)
    assert to_mono(np.stack([tone, -tone], axis=1), 16000).tolist() == tone.tolist(), "channels that would cancel"


@pytest.fixture(scope="module")
def served(recognizer) -> Iterator[tuple[str, LiveSessions]]:
    """Address of the recorder's endpoint, and the sessions behind it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_page, "Recognizer", lambda settings: recognizer)
        made, create = [], LiveHandlers.__init__
        patch.setattr(LiveHandlers, "__init__", lambda self, *others: made.append(self) or create(self, *others))
        page = demo_page.build_page(SETTINGS)
    options = demo_page.gradio_options(SETTINGS)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, inbrowser=False, **options)
    yield f"{url}gradio_api/run/{HEAR}", made[0].sessions
    page.close()


def piece_request(key: str, number: int, samples: np.ndarray, **others) -> dict:
    audio = base64.b64encode(samples.astype("<i2").tobytes()).decode()
    asked = {"key": key, "number": number, "audio": audio, "rate": 16000, "language": "en", "hotwords": ""}
    return {**asked, "is_last": False, **others}


def post(url: str, request: object) -> dict:
    """The answer, or `{"error": ...}`."""
    body = json.dumps({"data": [request]}).encode()
    sent = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        return json.loads(urllib.request.urlopen(sent, timeout=120).read())["data"][0]
    except urllib.error.HTTPError as error:
        return json.loads(error.read())


def test_visitors_whose_requests_come_twice_and_at_once_are_heard_exactly(served, recognizer, digits):
    """Every request is given twice at the same time, as by a browser that has lost the answer."""
    url, sessions = served
    expected = [update.text for update in stream_updates(recognizer, digits)]

    def visit(key: str) -> str:
        parts = pieces(digits, 6000)
        for number, piece in enumerate(parts):
            request = piece_request(key, number, piece, is_last=number == len(parts) - 1)
            with ThreadPoolExecutor(2) as pool:
                answers = list(pool.map(post, [url] * 2, [request] * 2))
            heard = sum(map(len, parts[: number + 1]))
            assert [answer.get("num_samples") for answer in answers] == [heard, heard], answers
        assert answers[0] == answers[1] == post(url, request)
        return answers[0]["html"]

    with ThreadPoolExecutor(2) as pool:
        shown = list(pool.map(visit, ["first visitor", "second visitor"]))
    assert not sessions.sessions
    for html in shown:
        assert all(text in html for text in expected) and html.count("final") == len(expected)


def stream_updates(recognizer: Recognizer, samples: np.ndarray) -> list:
    sessions = LiveSessions(recognizer)
    key = sessions.start(16000, "en")
    for piece in pieces(samples):
        sessions.push(key, piece)
    return sessions.finish(key)


def test_what_the_recorder_cannot_send_is_told_in_words(served, digits):
    url, sessions = served
    good = piece_request("a visitor", 0, pieces(digits)[0])
    cases = [
        ("hello", "needs `key`"),
        ({**good, "key": "abc"}, "7 to 64 characters"),
        ({**good, "number": "0"}, "needs `number` .int., not '0'"),
        ({**good, "number": -1}, "`number` from 0 on"),
        ({**good, "audio": "A"}, "no 16-bit PCM"),
        ({**good, "audio": "AAAA"}, "no 16-bit PCM"),
        ({**good, "rate": 5}, "cannot begin"),
        ({**good, "language": "xx"}, "language"),
        ({**good, "number": 3}, "has ended"),
    ]
    for request, reason in cases:
        assert re.search(reason, post(url, request)["error"]), request
    assert not sessions.sessions
    assert post(url, good)["num_samples"] == 8000
    assert "piece 1 is missing" in post(url, {**good, "number": 2})["error"]
    assert post(url, {"key": "a visitor", "leave": True}) == {"html": "", "num_samples": 0}
    assert not sessions.sessions


def test_the_place_of_a_program_that_has_gone_is_given_to_the_next(served, recognizer):
    """Its state may be kept for ever: there are calls without a session of Gradio's."""
    handlers = LiveHandlers(recognizer)
    audio = (16000, np.zeros(1600, np.int16))
    keys = [handlers.listen(audio, None)[0] for _ in range(2)]
    for key in keys:
        handlers.sessions.sessions[key].last_call -= SETTINGS.max_live_seconds + 61
    assert handlers.listen(audio, None)[0]
    assert not set(keys) <= set(handlers.sessions.sessions)


def test_visitors_beyond_the_places_are_told_and_come_in_when_one_leaves(served, digits):
    url, sessions = served
    requests = [piece_request(f"visitor {index}", 0, pieces(digits)[0]) for index in range(3)]
    assert [post(url, request).get("num_samples") for request in requests[:2]] == [8000, 8000]
    assert "All 2 live places are taken" in post(url, requests[2])["error"]
    post(url, {"key": "visitor 0", "leave": True})
    assert post(url, requests[2])["num_samples"] == 8000
    for request in requests:
        post(url, {"key": request["key"], "leave": True})
    assert not sessions.sessions
