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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from demo_pages import WAIT, check_look, contrast, open_page, open_tab


pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "spaces" / "demo" / "examples"
# gradio_client gives up on any request that is not answered within 5 s (httpx.ReadTimeout), connecting and uploading
# included. A browser waits, and so do users who are 20 at once on a busy machine.
PATIENT = {"timeout": WAIT / 1000}


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


@pytest.fixture
def page(browser, app):
    """The page; whatever it asks of another host is an error."""
    yield from open_page(browser, app)


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
    assert "robert" not in before.split()
    assert "Hotwords" not in page.locator(".facts").inner_text()
    page.get_by_label("Hotwords: names and terms").first.fill("robert, Kaldi")
    page.get_by_role("button", name="Transcribe", exact=True).click()
    page.wait_for_function("text => document.querySelector('.transcript .words')?.innerText !== text", arg=before)
    assert "robert" in page.locator(".transcript .words").inner_text().split()
    assert re.search(r"Hotwords found: .*robert.* \(1 of 2\)", page.locator(".facts").inner_text())


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
