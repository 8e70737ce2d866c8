# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recordings by their address: fetched, or refused in words."""

import http.server
import io
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from entropy_asr.modeling import url_entropy_asr
from entropy_asr.modeling.audio import (
    AudioError,
    audio_blocks,
    audio_duration,
    load_audio,
    measure_duration,
)


RATE = 16000
TIME = np.arange(2 * RATE) / RATE
SWEEP = (0.3 * np.sin(2 * np.pi * (200 * TIME + 100 * TIME**2))).astype(np.float32)


def encode(**kwargs) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, SWEEP, RATE, **{"format": "WAV", **kwargs})
    return buffer.getvalue()


@pytest.fixture
def server():
    """A web server with a recording, a page that is none, and one that answers too slowly."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            if self.path == "/moved.wav":
                self.send_response(302)
                self.send_header("Location", "/a.wav")
                self.end_headers()
                return
            bodies = {"/a.wav": encode(), "/page": b"<html>not audio</html>" * 10}
            self.send_response(200 if self.path in bodies else 404)
            self.end_headers()
            self.wfile.write(bodies.get(self.path, b""))

        def log_message(self, *args):
            pass

    paths: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", paths
        running.shutdown()
        thread.join()


def test_url_is_fetched(server):
    address, paths = server
    expected = load_audio(encode())
    np.testing.assert_array_equal(load_audio(f"{address}/a.wav"), expected)
    np.testing.assert_array_equal(load_audio({"bytes": None, "path": f"{address}/moved.wav"}), expected)
    np.testing.assert_array_equal(np.concatenate(list(audio_blocks(f"{address}/a.wav"))), expected)
    paths.clear()
    assert audio_duration(f"{address}/a.wav") is None and not paths
    assert measure_duration(f"{address}/a.wav") == 2.0


def test_url_that_cannot_be_fetched_is_named_with_the_reason(server, monkeypatch):
    address, _ = server
    with pytest.raises(AudioError, match=rf"{address}/gone\.wav: it cannot be fetched: .*404"):
        load_audio(f"{address}/gone.wav")
    with pytest.raises(AudioError, match=rf"{address}/page: cannot be decoded as audio"):
        load_audio(f"{address}/page")
    with pytest.raises(AudioError, match=r"http://127\.0\.0\.1:9/a\.wav: it cannot be fetched"):
        load_audio("http://127.0.0.1:9/a.wav")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(AudioError, match=r"hf://datasets/nobody/nothing/a\.wav: it cannot be fetched"):
        load_audio("hf://datasets/nobody/nothing/a.wav")
    monkeypatch.setattr(url_entropy_asr, "MAX_FETCHED_BYTES", 1000)
    with pytest.raises(AudioError, match=r"a\.wav: it cannot be fetched: it is larger than"):
        load_audio(f"{address}/a.wav")


def test_url_as_a_path_is_explained():
    with pytest.raises(AudioError, match="a URL is given as text"):
        load_audio(Path("https://example.com/a.wav"))
