# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr serve`: its options reach the server that they are of."""

import pytest

from entropy_asr.spaces.server.settings import OpenAISettings
from entropy_asr.trainers.commands import cli, serve


def test_options_reach_the_server(pipeline, monkeypatch):
    server = pytest.importorskip("entropy_asr.spaces.server.server")
    calls = []
    monkeypatch.setattr(server, "make_batch", lambda pipeline, settings: calls.append(settings) or "batch")
    monkeypatch.setattr(server, "build_app", lambda batch, settings: f"app of {batch}")
    monkeypatch.setattr(server, "serve", lambda *arguments: calls.append(arguments))
    options = {
        "host": "127.0.0.1",
        "port": 0,
        "max_streams": 3,
        "max_connections": 7,
        "max_seconds": 90,
        "api_key": "secret",
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
    assert (settings.max_connections, settings.max_seconds, settings.api_key) == (7, 90, "secret")
    assert pipeline.loaded == [("me/model", None, "float32")]


@pytest.fixture
def served(monkeypatch) -> list:
    """What the server of OpenAI's requests is made with, and where it listens."""
    openai_server = pytest.importorskip("entropy_asr.spaces.server.openai_server")
    server = pytest.importorskip("entropy_asr.spaces.server.server")
    pytest.importorskip("python_multipart")
    calls: list = []
    monkeypatch.setattr(openai_server, "build_app", lambda pipeline, settings: calls.append(settings) or "app")
    monkeypatch.setattr(server, "serve", lambda *arguments: calls.append(arguments))
    monkeypatch.delenv("ENTROPY_ASR_API_KEY", raising=False)
    return calls


def test_options_reach_the_openai_server(pipeline, served):
    limits = ["--max_requests", "2", "--max_megabytes", "3", "--max_seconds", "40"]
    names = ["--model", "me/model", "--model_name", "whisper-1", "--api_key", "secret"]
    assert cli.main(["serve", "--openai", "--port", "0", *names, *limits]) == 0
    expected = OpenAISettings("me/model", "whisper-1", "secret", 2, 3, 40)
    assert served == [expected, ("app", "127.0.0.1", 0)]
    assert pipeline.loaded == [("me/model", None, None)]


@pytest.mark.parametrize("options", [[], ["--openai"]])
def test_adapters_are_loaded_once_for_all_requests(pipeline, served, monkeypatch, options):
    server = pytest.importorskip("entropy_asr.spaces.server.server")
    monkeypatch.setattr(server, "make_batch", lambda pipeline, settings: "batch")
    monkeypatch.setattr(server, "build_app", lambda batch, settings: "app")
    assert cli.main(["serve", "--port", "0", *options, "--adapters", "law=me/law", "v1.2 = my/other"]) == 0
    assert pipeline.adapters == {"law": "me/law", "v1.2": "my/other"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("law", "given as NAME=FOLDER_OR_ID, not 'law'"),
        ("=runs/law", "not '=runs/law'"),
        ("law=a,law=b", "'law' is given twice"),
        ("law=./nowhere", "--adapters ./nowhere: there is no such folder"),
    ],
)
def test_adapters_that_cannot_be_are_refused_before_anything_is_loaded(pipeline, capsys, given, reason):
    assert cli.main(["serve", "--port", "0", "--adapters", given]) == 2
    assert reason in capsys.readouterr().err and pipeline.loaded == []


def test_the_key_may_be_a_variable_that_no_list_of_processes_shows(pipeline, served, monkeypatch):
    assert cli.main(["serve", "--openai", "--port", "0"]) == 0
    assert served[0] == OpenAISettings() and served[0].served_name == "entropy-asr-tiny"
    monkeypatch.setenv("ENTROPY_ASR_API_KEY", "secret")
    assert cli.main(["serve", "--openai", "--port", "0"]) == 0
    assert served[2].api_key == "secret"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--max_requests", "2"], "--max_requests needs --openai"),
        (["--max_megabytes", "2"], "--max_megabytes needs --openai"),
        (["--openai", "--max_connections", "2"], "--max_connections is of streams"),
        (["--openai", "--max_streams", "2"], "--max_streams is of streams, which --openai does not serve"),
        (["--openai", "--confidence"], "--confidence is of streams"),
        (["--openai", "--left_chunks", "-1"], "--left_chunks is of streams"),
    ],
)
def test_options_of_the_other_server_are_refused(pipeline, capsys, options, reason):
    assert cli.main(["serve", "--port", "0", *options]) == 2
    assert reason in capsys.readouterr().err and pipeline.loaded == []


def test_forms_need_their_package(pipeline, capsys, monkeypatch):
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    assert cli.main(["serve", "--openai", "--port", "0"]) == 2
    assert "pip install python-multipart" in capsys.readouterr().err and pipeline.loaded == []
