# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr serve`: its options reach the server."""

import pytest

from entropy_asr.trainers.commands import cli


def test_options_reach_the_server(pipeline, monkeypatch):
    server = pytest.importorskip("entropy_asr.spaces.server.server")
    calls = []
    monkeypatch.setattr(server, "make_batch", lambda pipeline, settings: calls.append(settings) or "batch")
    monkeypatch.setattr(server, "build_app", lambda batch: f"app of {batch}")
    monkeypatch.setattr(server, "serve", lambda *arguments: calls.append(arguments))
    options = {
        "host": "127.0.0.1",
        "port": 0,
        "max_streams": 3,
        "chunk_ms": 320,
        "left_chunks": -1,
        "min_silence": 0.2,
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    assert cli.main(["serve", "--model", "me/model", "--dtype", "float32", *arguments]) == 0
    settings, served = calls
    assert served == ("app of batch", "127.0.0.1", 0)
    values = (settings.max_streams, settings.chunk_ms, settings.left_chunks, settings.min_silence, settings.confidence)
    assert values == (3, 320, -1, 0.2, False)
    assert pipeline.loaded == [("me/model", None, "float32")]
