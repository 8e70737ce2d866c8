# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo's page and its API, without a browser."""

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import soundfile
from demo_streams import SETTINGS, pieces, result_of
from huggingface_hub import RepoCard


gr = pytest.importorskip("gradio")
gradio_client = pytest.importorskip("gradio_client")

from entropy_asr.spaces.demo import page as demo_page  # noqa: E402
from entropy_asr.spaces.demo.settings import DemoSettings  # noqa: E402
from entropy_asr.spaces.environment import BUNDLED_CHECKPOINT  # noqa: E402


def test_readme_names_every_variable_and_the_space_is_complete():
    card = RepoCard.load(BUNDLED_CHECKPOINT.parent / "README.md")
    assert card.data.sdk == "gradio" and (BUNDLED_CHECKPOINT.parent / card.data.app_file).is_file()
    for name in DemoSettings.__dataclass_fields__:
        assert f"ENTROPY_ASR_{name.upper()}" in card.text
    major = int(card.data.sdk_version.split(".")[0])
    assert major == int(gr.__version__.split(".")[0])


def test_downloads_agree_with_the_result(recognizer, recording, tmp_path):
    handlers = demo_page.Handlers(recognizer)
    text, _, details, *files = next(outputs := handlers.transcribe(recording, "en"))
    contents = {Path(file).suffix: Path(file).read_text(encoding="utf-8") for file in files}
    assert [Path(file).name for file in files] == [f"seven digits.{name}" for name in ("txt", "srt", "vtt", "json")]
    assert contents[".txt"] == text + "\n" and json.loads(contents[".json"])["text"] == text == details["text"]
    assert contents[".vtt"].startswith("WEBVTT") and re.search(r"00:00:0\d,\d{3} --> ", contents[".srt"])
    outputs.close()
    assert not Path(files[0]).exists()  # the server does not fill up


class SlowRecognizer:
    """Hears one sentence in everything, and takes its time."""

    def __init__(self, settings: DemoSettings):
        self.settings = settings

    def transcribe(self, path: str, *others) -> dict:
        time.sleep(0.3)
        return result_of(text="hello")


def test_users_beyond_the_queue_are_told_and_the_others_answered(monkeypatch, recording):
    monkeypatch.setattr(demo_page, "Recognizer", SlowRecognizer)
    settings = DemoSettings(max_queue=3)
    page = demo_page.build_page(settings)
    options = demo_page.gradio_options(settings)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, inbrowser=False, **options)
    try:
        client = gradio_client.Client(url, verbose=False, httpx_kwargs={"timeout": 60}, download_files=False)
        asked = (gradio_client.handle_file(recording), "en", "", None)
        jobs = [client.submit(*asked, api_name="/transcribe") for _ in range(12)]
        errors = [str(error) for error in (job.exception(60) for job in jobs) if error]
        assert 4 <= len(jobs) - len(errors) < 12
        assert all("Queue is full" in error for error in errors)
        assert client.predict(*asked, api_name="/transcribe")[0] == "hello"
        # Beside the queue nobody gets in.
        body = json.dumps({"data": [None, "en", "", None]}).encode()
        request = urllib.request.Request(f"{url}gradio_api/run/transcribe", body, {"Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=60)
    finally:
        page.close()


def test_the_report_in_the_models_folder_is_shown_by_default(tmp_path):
    shown = json.dumps(demo_page.build_page(DemoSettings()).get_config_file(), default=str)
    assert "entropy-asr report" in shown and "librispeech_subset-trajectory" in shown
    assert DemoSettings(model=str(tmp_path)).report_folder is None
    assert DemoSettings(model=str(tmp_path), report="mine").report_folder == Path("mine")


def test_live_streams_through_the_api_as_the_readme_has_it(monkeypatch, recognizer, digits, tmp_path):
    monkeypatch.setattr(demo_page, "Recognizer", lambda settings: recognizer)
    page = demo_page.build_page(SETTINGS)
    _, url, _ = page.launch(
        prevent_thread_lock=True, quiet=True, inbrowser=False, **demo_page.gradio_options(SETTINGS)
    )
    try:
        client = gradio_client.Client(url, verbose=False, httpx_kwargs={"timeout": 60})
        for _ in range(2):  # the second is a stream of its own
            heard = []
            for piece in pieces(digits):
                soundfile.write(tmp_path / "piece.wav", piece, 16000)
                asked = (gradio_client.handle_file(str(tmp_path / "piece.wav")), "en", "")
                heard.append(client.predict(*asked, api_name="/listen"))
            assert "partial" in heard[-1]
            assert client.predict(*asked, len(heard) - 1, api_name="/listen") == heard[-1]  # the same piece again
            with pytest.raises(Exception, match="is missing"):
                client.predict(*asked, len(heard) + 1, api_name="/listen")
            assert "final" in client.predict(api_name="/stop")
        assert "Nothing was said" in client.predict(api_name="/stop")
    finally:
        page.close()


def test_readme_describes_every_endpoint_with_its_inputs():
    text = (BUNDLED_CHECKPOINT.parent / "README.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `/")}
    endpoints = demo_page.build_page(SETTINGS).get_api_info()["named_endpoints"]
    assert set(rows) == set(endpoints)
    for name, endpoint in endpoints.items():
        for parameter in endpoint["parameters"]:
            assert f"`{parameter['parameter_name']}`" in rows[name]


def test_page_builds_with_named_endpoints_and_a_report(tmp_path):
    (tmp_path / "report.md").write_text("# Report\n\n![plot](a.png)\n\nwords of the report\n", encoding="utf-8")
    page = demo_page.build_page(DemoSettings(report=str(tmp_path)))
    names = page.get_api_info()["named_endpoints"]
    assert set(names) == {"/transcribe", "/explain", "/listen", "/stop"}
    parameters = [parameter["parameter_name"] for parameter in names["/transcribe"]["parameters"]]
    assert parameters == ["audio", "language", "hotwords", "hotword_file"]
    shown = json.dumps(page.get_config_file(), default=str)
    assert "words of the report" in shown and "![plot]" not in shown
