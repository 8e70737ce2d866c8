# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo as visitors meet it: the real app with the bundled checkpoint, in a headless Chromium.

Chromium has to be installed (Debian: `apt-get install chromium`); CHROMIUM names one that is elsewhere.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile


pytestmark = pytest.mark.slow
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
START_SECONDS = 20
EXAMPLES = Path(__file__).parents[2] / "spaces" / "demo" / "examples"
WAIT = 180_000  # milliseconds that anything may take on a busy machine
# gradio_client gives up on any request that is not answered within 5 s (httpx.ReadTimeout), connecting and uploading
# included. A browser waits, and so do users who are 20 at once on a busy machine.
PATIENT = {"timeout": WAIT / 1000}


def speech(words: str, seed: int = 0) -> np.ndarray:
    synthesis = pytest.importorskip("entropy_asr.trainers.data.synthesis")
    return synthesis.synthesize(words, synthesis.Voice("en", "gmw/en-US", "m3"), seed=seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Files to upload: speech, and what is none."""
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("uploads")
    soundfile.write(folder / "digits.wav", speech("one two three four five six seven eight nine zero"), 16000)
    soundfile.write(folder / "two_hours.flac", np.zeros(2 * 3600 * 8000, dtype=np.int16), 8000)
    (folder / "paper.pdf").write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 8)
    (folder / "empty.wav").write_bytes(b"")
    pause = np.zeros(16000, dtype=np.float32)
    microphone = np.concatenate([pause, speech("one two three four"), pause, pause, speech("five six seven"), pause])
    soundfile.write(folder / "microphone.wav", microphone, 16000, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def app(folder) -> Iterator[str]:
    """Address of a running demo."""
    pytest.importorskip("gradio")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    environment["GRADIO_TEMP_DIR"] = str(folder / "cache")
    started = time.monotonic()
    command = [sys.executable, "-m", "entropy_asr.trainers.commands.cli", "demo"]
    with (folder / "app.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        url = f"http://127.0.0.1:{port}"
        while not answers(url):
            assert process.poll() is None and time.monotonic() - started < 180, (folder / "app.log").read_text()
            time.sleep(0.1)
        print(f"usable after {time.monotonic() - started:.1f} s")
        yield url
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def browser(folder):
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api")
    microphone = folder / "microphone.wav"
    arguments = [
        "--no-sandbox",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}%noloop",
        "--disable-background-networking",
    ]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, app):
    """The page; whatever it asks of another host is an error."""
    yield from open_page(browser, app)


def open_page(browser, app: str):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["microphone"])
    page = context.new_page()
    page.set_default_timeout(WAIT)
    elsewhere = []
    page.on("request", lambda r: None if r.url.startswith((app, "data:", "blob:")) else elsewhere.append(r.url))
    page.goto(app)
    page.get_by_role("button", name="Transcribe", exact=True).wait_for()
    yield page
    context.close()
    assert not elsewhere


def open_tab(page, name: str) -> None:
    """A tab: all are in sight, on a phone as well."""
    page.get_by_role("tab", name=name, exact=True).click(timeout=20_000)


def transcribe(page, path: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(path)
    page.locator("audio, .waveform-container, #waveform").first.wait_for(state="attached")
    page.get_by_role("button", name="Transcribe", exact=True).click()
    page.locator(".transcript .words").wait_for()


def error_of(page) -> str:
    toast = page.locator(".toast-body").first
    toast.wait_for()
    return toast.inner_text()


def test_upload_gives_a_transcript_whose_words_follow_the_audio(page, folder):
    transcribe(page, folder / "digits.wav")
    words = page.locator(".transcript .word[data-start]")
    assert words.count() > 0
    assert page.locator(".transcript .spoken").count() == 0
    page.locator("#recording audio").evaluate("player => { player.muted = true; player.playbackRate = 0.5; }")
    words.first.click()  # jumps to the word and plays
    spoken = "document.querySelector('.transcript .spoken')?.dataset.start"
    page.wait_for_function(f"() => {spoken} == {words.first.get_attribute('data-start')}")
    page.wait_for_function(f"() => {spoken} == {words.nth(2).get_attribute('data-start')}")
    assert page.locator("audio:visible").count() == 1
    assert page.locator(".facts").inner_text().startswith("Language: English, as the model decided")
    page.get_by_role("button", name="Clear").first.click()
    page.locator(".transcript .hint").wait_for()  # a transcript is never shown beside another recording


def test_hotwords_change_the_result(page):
    transcribe(page, EXAMPLES / "hotword.flac")
    before = page.locator(".transcript .words").inner_text()
    assert "four" not in before.split()
    assert "Hotwords" not in page.locator(".facts").inner_text()
    page.get_by_label("Hotwords: names and terms").first.fill("four, Kaldi")
    page.get_by_role("button", name="Transcribe", exact=True).click()
    page.wait_for_function("text => document.querySelector('.transcript .words')?.innerText !== text", arg=before)
    assert "four" in page.locator(".transcript .words").inner_text().split()
    assert re.search(r"Hotwords found: .*four.* \(1 of 2\)", page.locator(".facts").inner_text())


def test_downloads_hold_what_the_page_shows(page, folder):
    assert page.locator(".downloads").first.is_hidden()
    transcribe(page, folder / "digits.wav")
    shown = " ".join(page.locator(".transcript .words").inner_text().split())
    texts = {}
    for name in ("TXT", "SRT", "VTT", "JSON"):
        with page.expect_download() as download:
            page.locator("button, a").get_by_text(name, exact=True).first.click()
        assert download.value.suggested_filename == f"digits.{name.lower()}"
        texts[name] = Path(download.value.path()).read_text(encoding="utf-8")
    assert " ".join(texts["TXT"].split()) == shown
    details = json.loads(texts["JSON"])
    assert details["text"] == shown and "".join(chunk["text"] for chunk in details["chunks"]).strip() == shown
    assert re.search(r"\d\d:\d\d:\d\d,\d{3} --> ", texts["SRT"]) and texts["VTT"].startswith("WEBVTT\n")
    for name in ("SRT", "VTT"):
        spoken = [line for line in texts[name].splitlines() if line and not re.search(r"-->|^WEBVTT$|^\d+$", line)]
        assert " ".join(spoken) == shown


def test_microphone_streams_partials_before_the_end(page):
    open_tab(page, "Live")
    page.get_by_role("button", name="Record").click()
    partial = page.locator("#live .partial .phonemes")
    partial.wait_for()
    page.wait_for_function("() => document.querySelectorAll('#live .final').length >= 1")
    page.get_by_role("button", name="Stop").click()
    page.wait_for_function("() => document.querySelectorAll('#live .partial').length === 0")
    assert page.locator("#live .final").count() >= 1


@pytest.fixture(scope="module")
def heard() -> dict:
    """What the model was given: pieces of samples by stream, in the order of both."""
    return {}


@pytest.fixture(scope="module")
def live(heard) -> Iterator[Any]:
    """The live tab's handlers in this process, so that both ends can be seen; `url` is the page's address."""
    demo_page = pytest.importorskip("entropy_asr.spaces.demo.page")
    from entropy_asr.modeling import StreamingBatch
    from entropy_asr.spaces.demo.live_page import LiveHandlers
    from entropy_asr.spaces.demo.settings import DemoSettings

    settings, made, create, push = DemoSettings(max_live=2), [], LiveHandlers.__init__, StreamingBatch.push

    def kept(batch: StreamingBatch, stream: Any, samples: np.ndarray) -> None:
        push(batch, stream, samples)
        heard.setdefault(stream, []).append(samples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LiveHandlers, "__init__", lambda self, *others: made.append(self) or create(self, *others))
        patch.setattr(StreamingBatch, "push", kept)
        page = demo_page.build_page(settings)
        options = demo_page.launch_options(settings)
        _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, inbrowser=False, **options)
        made[0].url = url
        assert made[0].recognizer.pipeline
        yield made[0]
        page.close()


@pytest.fixture
def live_page(browser, live, heard):
    """The live tab, at whose server nobody is left afterwards."""
    heard.clear()
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
    from entropy_asr.modeling.streaming_entropy_asr import StreamingTranscriber

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
def test_every_sample_recorded_is_heard_and_the_words_are_those_of_the_stream_command(live_page, live, heard, busy):
    lasted = record(live_page, 9)
    counted = counters(live_page)
    [pieces] = heard.values()
    samples = np.concatenate(pieces)
    assert counted["recorded"] == counted["acknowledged"] == len(samples)
    seconds = len(samples) / counted["rate"]
    print(f"{seconds:.2f} s recorded in {lasted:.2f} s, {counted['pieces']} pieces")
    # The clock runs a little longer than the recording: from what the page shows to what this process sees.
    assert seconds > 9 and lasted - 1 < seconds < lasted + 2
    texts = stream_texts(live, samples, counted["rate"])
    assert texts_of(live_page) == texts and len(texts) >= 2 and all(texts)


def test_lost_requests_and_lost_answers_neither_drop_nor_double_anything(live_page, live, heard):
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
    samples = np.concatenate(next(iter(heard.values())))
    assert counted["recorded"] == counted["acknowledged"] == len(samples)
    assert texts_of(live_page) == stream_texts(live, samples, counted["rate"])
    assert len(asked) > counted["pieces"] > 2
    assert [request["number"] for request in asked] == sorted(request["number"] for request in asked)
    sent = {request["number"]: request["audio"] for request in asked}
    assert all(request["audio"] == sent[request["number"]] for request in asked), "a piece sent again is the same"


def test_what_is_said_while_the_server_is_slow_waits_in_the_page(live_page, live, heard):
    with live.recognizer.lock:  # as another visitor's long recording has it
        recorder_button(live_page, "Record").click()
        wait_for_seconds(live_page, 6)
        assert counters(live_page)["acknowledged"] == 0
        assert "behind" in live_page.locator("#recorder .status").inner_text()
    recorder_button(live_page, "Stop").click()
    wait_for_state(live_page, "idle")
    counted = counters(live_page)
    assert counted["recorded"] == counted["acknowledged"] == sum(map(len, next(iter(heard.values()))))
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


def test_two_visitors_are_heard_apart_and_a_third_is_told(live_page, browser, live, heard):
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
    given = [sum(map(len, pieces)) for pieces in heard.values()]
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
    ("name", "told"),
    [
        ("NotAllowedError", "was not allowed"),
        ("NotFoundError", "No microphone was found"),
        ("NotReadableError", "another program"),
        ("OverconstrainedError", "cannot be used"),
    ],
)
def test_a_microphone_that_cannot_be_used_is_told(live_page, name, told):
    refuse = f"async () => {{ throw new DOMException('reason', '{name}'); }}"
    live_page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refuse}; }}")
    recorder_button(live_page, "Record").click()
    assert told in problem_of(live_page)


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


def test_entropy_tab_draws_labelled_axes(page, folder):
    open_tab(page, "Entropy")
    page.locator("[role=tabpanel]:visible input[type=file]").first.set_input_files(folder / "digits.wav")
    page.get_by_label("What was said").fill("one two three")
    page.get_by_role("button", name="Show where the entropy goes").click()
    page.locator(".entropy .plot").wait_for()
    picture = page.locator(".entropy")
    text = picture.inner_text()
    for label in ("Frequency (kHz)", "Entropy (nats)", "Time (s)"):
        assert picture.locator("svg text").get_by_text(label).count() == 1, label
    assert "Surprisal (nats)" in text and all(name in text for name in ("Text alone", "Phonemes", "Full model"))
    tokens = picture.locator(".tokens .bars")
    assert tokens.count() >= 3
    assert all(tokens.nth(index).locator(".bar").count() == 3 for index in range(tokens.count()))


@pytest.mark.parametrize("name", ["two_hours.flac", "paper.pdf", "empty.wav"])
def test_what_cannot_be_transcribed_is_told_and_the_app_lives_on(page, folder, name):
    page.locator("input[type=file]").first.set_input_files(folder / name)
    page.get_by_role("button", name="Transcribe", exact=True).click()
    message = error_of(page).lower()
    expected = {"two_hours.flac": "lasts 2 h", "paper.pdf": "this page reads wav, flac", "empty.wav": "empty"}
    assert expected[name] in message, message
    assert page.locator(".result .error:visible").count() == 0 and page.locator(".transcript .hint").is_visible()
    page.reload()
    page.get_by_role("button", name="Transcribe", exact=True).wait_for()
    transcribe(page, folder / "digits.wav")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_what_ffmpeg_reads_can_be_dropped_on_the_page(page, folder):
    """Video with sound too, which Gradio's own list of types would refuse."""
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", folder / "digits.wav", folder / "digits.webm"], check=True)
    drop = """(bytes) => {
      const box = new DataTransfer();
      box.items.add(new File([Uint8Array.from(bytes)], 'digits.webm', {type: 'video/webm'}));
      const button = document.querySelector('#recording button');
      button.dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: box}));
    }"""
    page.evaluate(drop, list((folder / "digits.webm").read_bytes()))
    page.locator("#recording audio[src]").wait_for()
    page.get_by_role("button", name="Transcribe", exact=True).click()
    page.locator(".transcript .words").wait_for()


def test_pdf_through_the_api_is_told(app, folder):
    client = connect(app)
    with pytest.raises(Exception, match=r"paper\.pdf") as error:
        ask(client, folder / "paper.pdf")
    assert "/" not in str(error.value).split("paper.pdf")[0].rpartition(" ")[2]


def test_twenty_users_at_once_are_all_answered(app, folder):
    with ThreadPoolExecutor(20) as pool:
        clients = list(pool.map(lambda _: connect(app, httpx_kwargs=PATIENT), range(20)))
        texts = list(pool.map(lambda client: ask(client, folder / "digits.wav")[0], clients))
    assert len(set(texts)) == 1 and texts[0]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen(page, app, folder, width, theme, tmp_path):
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{app}/?__theme={theme}")
    transcribe(page, folder / "digits.wav")
    check_look(page, width, theme, "transcribe")
    open_tab(page, "Live")
    page.get_by_text("Press Record and speak").wait_for()
    check_look(page, width, theme, "live")
    open_tab(page, "Compare")
    page.get_by_text("Checkpoints compared").wait_for()
    page.locator(".plots img:visible").first.wait_for()
    check_look(page, width, theme, "compare")
    page.get_by_role("button", name="Figures").first.click()
    page.locator(".report table:visible").first.wait_for()
    assert page.evaluate("document.documentElement.scrollHeight") < 6000
    narrow = "cells => Math.min(...cells.map(cell => cell.getBoundingClientRect().width))"
    assert page.locator(".report td:visible").evaluate_all(narrow) > 30
    check_look(page, width, theme, "tables")
    open_tab(page, "Entropy")
    page.locator("[role=tabpanel]:visible input[type=file]").first.set_input_files(folder / "digits.wav")
    page.get_by_role("button", name="Show where the entropy goes").click()
    page.locator(".entropy .plot").wait_for()
    check_look(page, width, theme, "entropy")
    assert not overlapping_labels(page)
    is_dark = page.evaluate("document.body.classList.contains('dark')")
    assert is_dark == (theme == "dark")
    assert contrast(page, ".entropy .verdict") > 4.5 and contrast(page, ".entropy svg .title", "fill") > 4.5


def check_look(page, width: int, theme: str, tab: str) -> None:
    """Nothing is wider than the screen; SCREENSHOTS names a folder for pictures to look at."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if screenshots := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(screenshots) / f"{width}-{theme}-{tab}.png", full_page=True)


def contrast(page, selector: str, colour: str = "color") -> float:
    """Contrast of a text against what is behind it, by the formula of WCAG 2 (readable from 4.5 on)."""
    return page.locator(selector).first.evaluate(
        """(node, colour) => {
          const rgb = text => text.match(/[\\d.]+/g).map(Number);
          const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const text = luminance(rgb(getComputedStyle(node)[colour]));
          let behind = node;
          while (behind.parentElement && (rgb(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) {
            behind = behind.parentElement;
          }
          const back = luminance(rgb(getComputedStyle(behind).backgroundColor));
          return (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
        }""",
        colour,
    )


def overlapping_labels(page) -> list[str]:
    """Pairs of texts in the plots over time whose boxes cross."""
    return page.locator(".entropy .plot > svg").evaluate(
        """svg => {
          const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
          const crossed = [];
          boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
            const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
            const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
            if (wide > 1 && high > 4) crossed.push(`${a} / ${b}`);
          }));
          return crossed;
        }"""
    )


def connect(app: str, **options):
    return pytest.importorskip("gradio_client").Client(app, verbose=False, **options)


def ask(client, path: Path) -> tuple:
    from gradio_client import handle_file

    return client.predict(handle_file(str(path)), "en", "", None, api_name="/transcribe")
