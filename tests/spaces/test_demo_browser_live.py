# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo's live tab in a headless Chromium, with both ends in sight: what was recorded, and what the model got.

Chromium has to be installed (Debian: `apt-get install chromium`); CHROMIUM names one that is elsewhere.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from demo_pages import WAIT, check_look, contrast, open_page, open_tab


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def received() -> dict:
    """What the model was given: pieces of samples by stream, in the order of both."""
    return {}


@pytest.fixture(scope="module")
def live(received) -> Iterator[Any]:
    """The live tab's handlers in this process, so that both ends can be seen; `url` is the page's address."""
    demo_page = pytest.importorskip("entropy_asr.spaces.demo.page")
    from entropy_asr.modeling import StreamingBatch
    from entropy_asr.spaces.demo.live_page import LiveHandlers
    from entropy_asr.spaces.demo.settings import DemoSettings

    settings, made, create, push = DemoSettings(max_live=2), [], LiveHandlers.__init__, StreamingBatch.push

    def kept(batch: StreamingBatch, stream: Any, samples: np.ndarray) -> None:
        push(batch, stream, samples)
        received.setdefault(stream, []).append(samples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LiveHandlers, "__init__", lambda self, *others: made.append(self) or create(self, *others))
        patch.setattr(StreamingBatch, "push", kept)
        page = demo_page.build_page(settings)
        options = demo_page.gradio_options(settings)
        _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, inbrowser=False, **options)
        made[0].url = url
        assert made[0].recognizer.pipeline
        yield made[0]
        page.close()


@pytest.fixture
def live_page(browser, live, received):
    """The live tab, at whose server nobody is left afterwards."""
    received.clear()
    for page in open_page(browser, live.url):
        open_tab(page, "Live")
        recorder_button(page, "Record").wait_for()
        yield page
    wait_until(lambda: not live.sessions.sessions)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def recorder_button(page, name: str):
    return page.locator("#recorder").get_by_role("button", name=name, exact=True)


def counters(page) -> dict[str, int]:
    """What the page has counted: samples recorded and acknowledged, their rate, and pieces."""
    data = page.evaluate("({...document.querySelector('#recorder .recorder').dataset})")
    return {name: int(data[name]) for name in ("recorded", "acknowledged", "rate", "pieces")}


def wait_for_state(page, state: str) -> None:
    page.locator(f"#recorder [data-state={state}]").wait_for()


def wait_for_seconds(page, seconds: float) -> None:
    """Until so much was recorded."""
    page.wait_for_function(
        """seconds => {
          const { recorded, rate } = document.querySelector('#recorder .recorder').dataset;
          return recorded / rate >= seconds;
        }""",
        arg=seconds,
    )


def record(page, seconds: float) -> float:
    """Record so much, stop, and wait for the last words; returns the seconds from the start to the stop."""
    recorder_button(page, "Record").click()
    wait_for_state(page, "recording")
    started = time.monotonic()
    wait_for_seconds(page, seconds)
    recorder_button(page, "Stop").click()
    lasted = time.monotonic() - started
    wait_for_state(page, "idle")
    return lasted


def texts_of(page) -> list[str]:
    """Final texts, without their times; those of segments without speech are empty."""
    lines = page.locator("#live .final").evaluate_all("nodes => nodes.map(n => [n.innerText, n.firstChild.innerText])")
    texts = [line.removeprefix(times).strip() for line, times in lines]
    return ["" if text == "no speech" else text for text in texts]


def stream_texts(live: Any, samples: np.ndarray, rate: int, language: str | None = None) -> list[str]:
    """What `entropy-asr stream` says of these samples."""
    from entropy_asr.modeling.streaming_transcriber_entropy_asr import StreamingTranscriber

    with live.recognizer.lock:
        transcriber = StreamingTranscriber(live.recognizer.pipeline, language=language, sampling_rate=rate)
        updates = [*transcriber.push(samples), *transcriber.finish()]
    return [" ".join(update.text.split()) for update in updates if update.is_final]


@pytest.fixture
def busy(request) -> Iterator[None]:
    """Processes that take all processors' time meanwhile."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range((os.cpu_count() or 1) if request.param else 0)]
    yield
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"], indirect=True)
def test_every_sample_recorded_is_heard_and_the_words_are_those_of_the_stream_command(live_page, live, received, busy):
    lasted = record(live_page, 9)
    counted = counters(live_page)
    [pieces] = received.values()
    samples = np.concatenate(pieces)
    assert counted["recorded"] == counted["acknowledged"] == len(samples)
    seconds = len(samples) / counted["rate"]
    print(f"{seconds:.2f} s recorded in {lasted:.2f} s, {counted['pieces']} pieces")
    # The clock runs a little longer than the recording: from what the page shows to what this process sees.
    assert seconds > 9 and lasted - 1 < seconds < lasted + 2
    texts = stream_texts(live, samples, counted["rate"])
    assert texts_of(live_page) == texts and len(texts) >= 2 and all(texts)


def test_lost_requests_and_lost_answers_neither_drop_nor_double_anything(live_page, live, received):
    asked = []

    def be_a_bad_network(route) -> None:
        asked.append(json.loads(route.request.post_data)["data"][0])
        kind = len(asked) % 5
        if kind == 2:
            route.abort()  # the request is lost
        elif kind == 3:
            route.fetch()
            route.abort()  # the answer is lost
        elif kind == 4:
            route.fulfill(status=504, body="<html>Gateway Timeout</html>")
        else:
            route.continue_()

    live_page.route("**/run/live_piece", be_a_bad_network)
    record(live_page, 6)
    counted = counters(live_page)
    samples = np.concatenate(next(iter(received.values())))
    assert counted["recorded"] == counted["acknowledged"] == len(samples)
    assert texts_of(live_page) == stream_texts(live, samples, counted["rate"])
    assert len(asked) > counted["pieces"] > 2
    assert [request["number"] for request in asked] == sorted(request["number"] for request in asked)
    sent = {request["number"]: request["audio"] for request in asked}
    assert all(request["audio"] == sent[request["number"]] for request in asked), "a piece sent again is the same"


def test_what_is_said_while_the_server_is_slow_waits_in_the_page(live_page, live, received):
    with live.recognizer.lock:  # as another visitor's long recording has it
        recorder_button(live_page, "Record").click()
        wait_for_seconds(live_page, 6)
        assert counters(live_page)["acknowledged"] == 0
        assert "behind" in live_page.locator("#recorder .status").inner_text()
    recorder_button(live_page, "Stop").click()
    wait_for_state(live_page, "idle")
    counted = counters(live_page)
    assert counted["recorded"] == counted["acknowledged"] == sum(map(len, next(iter(received.values()))))
    assert counted["pieces"] <= 8, "what waited was sent together"


def test_choices_are_read_at_the_start_and_keys_work(live_page, live):
    panel = live_page.locator("[role=tabpanel]:visible")
    panel.get_by_label("Language").click()
    live_page.get_by_role("option", name="English").click()
    panel.get_by_label("Words to listen for").fill("Kaldi, icefall")
    recorder_button(live_page, "Record").focus()
    live_page.keyboard.press("Enter")
    wait_until(lambda: live.sessions.sessions)
    [session] = live.sessions.sessions.values()
    assert session.stream.language == "en" and len(session.stream.hotwords) == 2
    assert recorder_button(live_page, "Stop").evaluate("button => button === document.activeElement")
    live_page.keyboard.press("Space")
    wait_for_state(live_page, "idle")


def test_leaving_the_page_frees_the_place(live_page, live):
    recorder_button(live_page, "Record").click()
    wait_until(lambda: live.sessions.sessions)
    started = time.monotonic()
    live_page.goto("about:blank")
    wait_until(lambda: not live.sessions.sessions, 20)
    print(f"freed after {time.monotonic() - started:.2f} s")


def test_two_visitors_are_heard_apart_and_a_third_is_told(live_page, browser, live, received):
    others = [browser.new_context(permissions=["microphone"]).new_page() for _ in range(2)]
    for page in others:
        page.set_default_timeout(WAIT)
        page.goto(live.url)
        page.get_by_role("button", name="Transcribe", exact=True).wait_for()
        open_tab(page, "Live")
    for page in (live_page, others[0]):
        recorder_button(page, "Record").click()
    wait_until(lambda: len(live.sessions.sessions) == 2)
    recorder_button(others[1], "Record").click()
    assert "All 2 live places are taken" in problem_of(others[1])
    for page in (live_page, others[0]):
        wait_for_seconds(page, 5)
        recorder_button(page, "Stop").click()
    for page in (live_page, others[0]):
        wait_for_state(page, "idle")
    counted = [counters(page) for page in (live_page, others[0])]
    assert all(count["recorded"] == count["acknowledged"] > 5 * count["rate"] for count in counted)
    given = [sum(map(len, pieces)) for pieces in received.values()]
    assert sorted(given) == sorted(count["acknowledged"] for count in counted)
    for page in others:
        page.context.close()


def problem_of(page) -> str:
    """What the recorder tells; it has stopped then."""
    problem = page.locator("#recorder .problem")
    problem.wait_for()
    wait_for_state(page, "idle")
    recorder_button(page, "Record").wait_for()
    return problem.inner_text()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NotAllowedError", "was not allowed"),
        ("NotFoundError", "No microphone was found"),
        ("NotReadableError", "another program"),
        ("OverconstrainedError", "cannot be used"),
    ],
)
def test_a_microphone_that_cannot_be_used_is_told(live_page, name, message):
    refuse = f"async () => {{ throw new DOMException('reason', '{name}'); }}"
    live_page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refuse}; }}")
    recorder_button(live_page, "Record").click()
    assert message in problem_of(live_page)


def test_a_stream_that_is_too_long_ends_with_its_text(live_page):
    live_page.evaluate("window.entropyAsrRecorder.maxSeconds = 3")
    recorder_button(live_page, "Record").click()
    assert "lasts at most 3 s" in problem_of(live_page)
    counted = counters(live_page)
    assert counted["recorded"] == counted["acknowledged"] == 3 * counted["rate"]
    assert texts_of(live_page) and not live_page.locator("#live .partial").count()


@pytest.mark.parametrize("case", ["defect", "ended", "gone"])
def test_a_server_that_fails_is_told_and_the_recording_ends(live_page, live, case):
    recorder_button(live_page, "Record").click()
    wait_until(lambda: live.sessions.sessions)
    if case == "ended":
        live.sessions.leave(next(iter(live.sessions.sessions)))
    elif case == "defect":
        live_page.route("**/run/live_piece", lambda route: route.fulfill(status=500, json={"error": None}))
    else:
        live_page.route("**/run/live_piece", lambda route: route.abort())
        live_page.locator("#recorder .status").get_by_text("trying again").wait_for()
    expected = {"ended": "has ended", "defect": "The server failed (500)", "gone": "does not answer"}
    assert expected[case] in problem_of(live_page)
    live_page.unroute("**/run/live_piece")
    for key in list(live.sessions.sessions):  # which the page could not give back
        live.sessions.leave(key)
    record(live_page, 1)
    assert not live_page.locator("#recorder .problem").is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_recorder_can_be_read_on_a_phone(live_page, live, theme):
    live_page.set_viewport_size({"width": 390, "height": 844})
    live_page.goto(f"{live.url}?__theme={theme}")
    live_page.get_by_role("button", name="Transcribe", exact=True).wait_for()
    open_tab(live_page, "Live")
    recorder_button(live_page, "Record").click()
    wait_for_seconds(live_page, 3)
    check_look(live_page, 390, theme, "recording")
    for selector in (".status", ".time", "button"):
        assert contrast(live_page, f"#recorder {selector}") > 4.5, selector
    assert recorder_button(live_page, "Stop").bounding_box()["height"] >= 44
    recorder_button(live_page, "Stop").click()
    wait_for_state(live_page, "idle")
