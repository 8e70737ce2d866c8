# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The endpoint of OpenAI's transcriptions, asked by OpenAI's own client: what a user of it gets, and is told."""

import io
import re
import socket
import threading
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from running_app import RunningApp
from small_models import save_adapters

from entropy_asr.modeling import EntropyASRPipeline, load_audio, load_pipeline
from entropy_asr.modeling.subtitles_entropy_asr import FORMATS, make_cues
from entropy_asr.spaces.environment import BUNDLED_CHECKPOINT
from entropy_asr.spaces.server import app as space
from entropy_asr.spaces.server import openai_server, server
from entropy_asr.spaces.server.settings import OpenAISettings, ServerSettings


openai = pytest.importorskip("openai")
pytest.importorskip("python_multipart")

EXAMPLES = BUNDLED_CHECKPOINT.parent / "examples"
ENGLISH, MANDARIN, HOTWORD = (EXAMPLES / f"{name}.flac" for name in ("english", "mandarin", "hotword"))
NAME = "entropy-asr-tiny"


@pytest.fixture(scope="module")
def pipe() -> EntropyASRPipeline:
    return load_pipeline(BUNDLED_CHECKPOINT, device="cpu")


@pytest.fixture(scope="module")
def running(pipe) -> Iterator[RunningApp]:
    running = RunningApp(openai_server.build_app(pipe, OpenAISettings()))
    yield running
    running.stop()


@pytest.fixture
def limited(pipe) -> Iterator[RunningApp]:
    """A server that takes little, from those who know its key."""
    settings = OpenAISettings(
        model_name="whisper-1", api_key="secret", max_requests=1, max_megabytes=1, max_seconds=1.55
    )
    running = RunningApp(openai_server.build_app(pipe, settings))
    yield running
    running.stop()


def client_of(running: RunningApp, api_key: str = "none") -> "openai.OpenAI":
    base_url = f"http://127.0.0.1:{running.port}/v1"
    return openai.OpenAI(base_url=base_url, api_key=api_key, max_retries=0, timeout=60)


@pytest.fixture
def ask(running):
    """Sends one request with OpenAI's client."""

    def ask(file=ENGLISH, model=NAME, **fields):
        return client_of(running).audio.transcriptions.create(file=file, model=model, **fields)

    return ask


def wav(samples: np.ndarray) -> tuple[str, bytes]:
    """Samples at 16 kHz as a file to send."""
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format="WAV", subtype="PCM_16")
    return "talk.wav", file.getvalue()


@pytest.fixture(scope="module")
def long_file() -> tuple[str, bytes]:
    """Forty seconds: what is cut at pauses, of which there is one long one."""
    sentence, pause = load_audio(str(ENGLISH)), np.zeros(16000 * 36, np.float32)
    return wav(np.concatenate([sentence, pause, sentence, pause])[: 16000 * 40])


# Answers


def test_json_and_text_are_what_the_pipeline_gives(ask, pipe):
    text = pipe(str(ENGLISH))["text"]
    assert ask().text == text != ""
    assert ask(response_format="json").usage.seconds == 2
    assert ask(response_format="text", language="English") == f"{text}\n"
    assert ask(file=("speech.flac", ENGLISH.read_bytes()), temperature=0).text == text


def test_verbose_json_has_segments_words_language_and_duration(ask, pipe):
    pytest.importorskip("phonemizer")
    both = ask(response_format="verbose_json", timestamp_granularities=["word", "segment"])
    expected = pipe(str(ENGLISH), return_timestamps="word")
    words = [(chunk["text"].strip(), *chunk["timestamp"]) for chunk in expected["chunks"]]
    assert [(word.word, word.start, word.end) for word in both.words] == words
    assert both.text == expected["text"] == "".join(segment.text for segment in both.segments)
    assert (both.language, both.duration) == ("english", 1.621)
    (segment,) = both.segments
    assert (segment.id, segment.start, segment.end, segment.temperature) == (0, 0.0, 1.621, 0.0)
    assert pipe.processor.tokenizer.decode(segment.tokens) == both.text
    assert segment.avg_logprob is None and segment.no_speech_prob == 0
    only_words = ask(response_format="verbose_json", timestamp_granularities=["word"])
    assert only_words.words == both.words and only_words.segments is None
    only_segments = ask(response_format="verbose_json")
    assert only_segments.segments == both.segments and only_segments.words is None


def test_verbose_json_names_the_language_that_was_spoken(ask):
    answer = ask(file=MANDARIN, response_format="verbose_json")
    assert (answer.language, answer.segments[0].language) == ("chinese", "chinese")
    assert 0.5 < answer.language_probability <= 1
    assert ask(file=MANDARIN, response_format="verbose_json", language="zh").language == "chinese"
    silence = wav(np.zeros(16000, np.float32))
    answer = ask(file=silence, response_format="verbose_json")
    assert (answer.text, answer.language, answer.segments[0].text) == ("", "none", "")
    assert answer.segments[0].no_speech_prob == 1


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_subtitles_are_those_of_the_command(ask, pipe, name):
    pytest.importorskip("phonemizer")
    expected = FORMATS[name](make_cues(pipe(str(ENGLISH), return_timestamps="word")["chunks"], 1.621))
    assert ask(response_format=name) == expected
    assert "00:00:00" in expected


def test_a_long_recording_has_several_segments(ask, pipe, long_file):
    expected = pipe(long_file[1], return_timestamps=True)["chunks"]
    answer = ask(file=long_file, response_format="verbose_json")
    assert len(answer.segments) == len(expected) > 1 and answer.duration == 40
    got = [(segment.text, segment.start, segment.end) for segment in answer.segments]
    assert got == [(chunk["text"], *(round(time, 3) for time in chunk["timestamp"])) for chunk in expected]


def test_words_of_the_prompt_are_hints(ask, pipe):
    pytest.importorskip("daachorse")
    pytest.importorskip("phonemizer")
    hinted = pipe(str(HOTWORD), hotwords=["robert", "Kaldi"])["text"]
    assert ask(file=HOTWORD).text != hinted
    assert ask(file=HOTWORD, prompt="robert, Kaldi.").text == hinted
    assert ask(file=HOTWORD, extra_body={"keywords": ["Kaldi", "robert"]}).text == hinted


def test_temperature_draws_the_text(ask, pipe):
    sampling = {"do_sample": True, "temperature": 0.9, "top_k": 0, "top_p": 1.0}
    torch.manual_seed(1)
    drawn = pipe(str(MANDARIN), generate_kwargs=sampling)["text"]
    torch.manual_seed(1)
    assert ask(file=MANDARIN, temperature=0.9).text == drawn


def test_stream_tells_the_text_while_it_is_written(ask, pipe):
    *deltas, done = ask(stream=True)
    assert {event.type for event in deltas} == {"transcript.text.delta"} and len(deltas) > 1
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas) == done.text == pipe(str(ENGLISH))["text"]


def test_stream_of_a_long_recording_and_of_silence(ask, pipe, long_file):
    *deltas, done = ask(file=long_file, stream=True, response_format="text")
    assert "".join(event.delta for event in deltas) == done.text == pipe(long_file[1])["text"]
    (done,) = ask(file=wav(np.zeros(16000, np.float32)), stream=True)
    assert (done.type, done.text) == ("transcript.text.done", "")


def test_requests_at_the_same_time_get_their_own_texts(running, pipe):
    def transcribe(file) -> str:
        return client_of(running).audio.transcriptions.create(file=file, model=NAME).text

    def listen(file) -> str:
        events = client_of(running).audio.transcriptions.create(file=file, model=NAME, stream=True)
        return "".join(getattr(event, "delta", "") for event in events)

    files = (ENGLISH, MANDARIN, HOTWORD)
    with ThreadPoolExecutor(6) as clients:
        answers = [clients.submit(ask, file) for ask in (transcribe, listen) for file in files]
        texts = [answer.result(60) for answer in answers]
    assert texts == 2 * [pipe(str(file))["text"] for file in files]
    running.wait_for("requests", 0)


def test_models(running):
    client = client_of(running)
    assert [model.id for model in client.models.list()] == [NAME]
    assert client.models.retrieve(NAME).owned_by == "entropy-asr"
    with pytest.raises(openai.NotFoundError, match="'other/model' does not exist here; there is entropy-asr-tiny"):
        client.models.retrieve("other/model")


def test_adapters_are_models_that_requests_name_side_by_side(pipe, tmp_path):
    kinds = {"law": {}, "v1.2": {"target_modules": ".*language_model.*(o|down)_proj"}}
    folders = {
        name: save_adapters(pipe.model, BUNDLED_CHECKPOINT, tmp_path / name, **kind) for name, kind in kinds.items()
    }
    expected = {NAME: pipe(str(ENGLISH))["text"]}
    expected |= {name: load_pipeline(folder, device="cpu")(str(ENGLISH))["text"] for name, folder in folders.items()}
    assert len(set(expected.values())) == 3
    several = load_pipeline(BUNDLED_CHECKPOINT, device="cpu", adapters=folders)
    with pytest.raises(ValueError, match="'law' is the name of the model and of an adapter"):
        openai_server.build_app(several, OpenAISettings(model_name="law"))
    running = RunningApp(openai_server.build_app(several, OpenAISettings()))
    client = client_of(running)
    assert [(model.id, getattr(model, "parent", None)) for model in client.models.list()] == [
        *((NAME, None), ("law", NAME), ("v1.2", NAME))
    ]
    assert client.models.retrieve("v1.2").id == "v1.2"
    with ThreadPoolExecutor(6) as clients:
        asked = [name for _ in range(2) for name in expected]
        create = client.audio.transcriptions.create
        answers = [clients.submit(create, model=name, file=ENGLISH) for name in asked]
        assert [answer.result(60).text for answer in answers] == [expected[name] for name in asked]
    with pytest.raises(openai.NotFoundError, match=f"'sports' does not exist here; there is {NAME}, law, v1.2"):
        client.audio.transcriptions.create(model="sports", file=ENGLISH)
    running.stop()


# What is refused


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"file": ("empty.wav", b"")}, "file", "empty.wav: the file is empty"),
        ({"file": ("notes.txt", b"no audio at all")}, "file", "notes.txt: cannot be decoded as audio"),
        ({"file": ("cut.flac", ENGLISH.read_bytes()[:3000])}, "file", "cut.flac: .*damaged"),
        (
            {"response_format": "xml"},
            "response_format",
            "one of json, text, srt, verbose_json, vtt, not 'xml'",
        ),
        ({"response_format": "diarized_json"}, "response_format", "speakers are not told apart"),
        ({"language": "xx"}, "language", "'xx' is not understood"),
        ({"temperature": 1.5}, "temperature", "from 0 to 1, not '1.5'"),
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities", "needs `response_format` verbose_json"),
        ({"stream": True, "response_format": "srt"}, "response_format", "`stream` gives text alone"),
        ({"stream": True, "file": ("bad.wav", b"RIFF")}, "file", "bad.wav: cannot be decoded"),
        ({"include": ["logprobs"]}, "include", "no log-probabilities"),
        ({"chunking_strategy": {"type": "server_vad"}}, "chunking_strategy", "must be auto"),
        ({"extra_body": {"best_of": 3}}, "best_of", "unknown field `best_of`"),
    ],
)
def test_a_field_that_cannot_be_honoured_is_named(ask, fields, param, reason):
    with pytest.raises(openai.BadRequestError, match=reason) as refused:
        ask(**fields)
    assert refused.value.param == param and refused.value.code
    assert refused.value.body.keys() == {"message", "type", "param", "code"}
    assert refused.value.type == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
def test_hints_without_a_sound_are_refused(ask, stream):
    pytest.importorskip("phonemizer")
    with pytest.raises(openai.BadRequestError, match="'мир'.*Cyrillic") as refused:
        ask(prompt="Kaldi, мир", stream=stream)
    assert refused.value.param == "prompt"


def test_an_unknown_model_is_not_found(ask):
    with pytest.raises(openai.NotFoundError, match="the model 'whisper-1' does not exist here") as refused:
        ask(model="whisper-1")
    assert (refused.value.param, refused.value.code) == ("model", "model_not_found")


def test_what_is_no_form_is_refused_in_the_same_way(running):
    httpx = pytest.importorskip("httpx")
    address = f"http://127.0.0.1:{running.port}/v1/audio"
    requests = [
        httpx.post(f"{address}/transcriptions", json={"model": NAME}),
        httpx.post(f"{address}/transcriptions", data={"model": NAME}, files={"no": b"file"}),
        httpx.post(f"{address}/transcriptions", files={"model": (None, NAME)}),
        httpx.get(f"{address}/transcriptions"),
        httpx.post(f"{address}/translations"),
    ]
    assert [answer.status_code for answer in requests] == [400, 400, 400, 405, 404]
    errors = [answer.json()["error"] for answer in requests]
    codes = ["invalid_body", "unknown_parameter", "missing_parameter", "method_not_supported", "unknown_url"]
    assert [error["code"] for error in errors] == codes
    assert errors[2]["message"] == "`file` is missing: the audio to transcribe"


def test_times_of_words_are_refused_where_there_are_none(pipe, ask, running, monkeypatch):
    transcriber = running.uvicorn.config.app.state.endpoint.transcriber
    monkeypatch.setattr(transcriber, "why_no_words", "the phoneme head was never trained")
    with pytest.raises(openai.BadRequestError, match="no times of words here: the phoneme head was never trained"):
        ask(response_format="verbose_json", timestamp_granularities=["word"])
    expected = FORMATS["srt"](make_cues(pipe(str(ENGLISH), return_timestamps=True)["chunks"], 1.621))
    assert ask(response_format="srt") == expected


# Limits


def test_only_who_knows_the_key_is_served(limited):
    stranger = client_of(limited, "guess")
    with pytest.raises(openai.AuthenticationError, match="not the one that this server takes") as refused:
        stranger.audio.transcriptions.create(file=HOTWORD, model="whisper-1")
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with pytest.raises(openai.AuthenticationError):
        stranger.models.retrieve("whisper-1")
    assert [model.id for model in client_of(limited, "secret").models.list()] == ["whisper-1"]
    assert limited.health() == {"status": "ok", "requests": 0, "max_requests": 1}
    metrics = limited.metrics("secret")
    names = ("requests_total", "admitted_requests_total", "requests", "max_requests")
    assert [metrics[f"entropy_asr_{name}"] for name in names] == [1, 0, 0, 1]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        limited.metrics("guess")


def test_longer_and_larger_files_are_refused(limited):
    create = client_of(limited, "secret").audio.transcriptions.create
    with pytest.raises(openai.BadRequestError, match="lasts longer than the 1.55 seconds") as refused:
        create(file=ENGLISH, model="whisper-1")
    assert refused.value.code == "audio_too_long"
    for size in (2**20 + 1, 5 * 2**20):
        with pytest.raises(openai.APIStatusError, match="larger than the 1 MiB") as refused:
            create(file=("long.wav", bytes(size)), model="whisper-1")
        assert (refused.value.status_code, refused.value.code) == (413, "file_too_large")
    assert create(file=HOTWORD, model="whisper-1").text


# A request whose body has not come yet.
HEAD = b"""POST /v1/audio/transcriptions HTTP/1.1\r
Host: localhost\r
Authorization: Bearer secret\r
Content-Length: 9\r
Content-Type: multipart/form-data; boundary=b\r
\r
"""


def test_too_many_requests_are_told_to_come_back(limited, caplog):
    create = client_of(limited, "secret").audio.transcriptions.create
    with socket.create_connection(("127.0.0.1", limited.port)) as slow:
        slow.sendall(HEAD)
        limited.wait_for("requests", 1)
        with pytest.raises(openai.RateLimitError, match="as many as this server takes") as refused:
            create(file=HOTWORD, model="whisper-1")
        assert refused.value.code == "rate_limit_exceeded" and refused.value.response.headers["retry-after"] == "1"
    limited.wait_for("requests", 0)
    assert create(file=HOTWORD, model="whisper-1").text
    assert not [record for record in caplog.records if record.exc_info]  # a client that goes away is no fault


def test_a_body_that_does_not_come_is_not_waited_for(limited, monkeypatch):
    monkeypatch.setattr(openai_server, "IDLE_SECONDS", 0.1)
    with socket.create_connection(("127.0.0.1", limited.port), timeout=20) as slow:
        slow.sendall(HEAD)
        assert b"408 Request Timeout" in slow.recv(1000)
    limited.wait_for("requests", 0)


def test_a_body_that_comes_in_drops_is_not_waited_for(limited, monkeypatch):
    monkeypatch.setattr(openai_server, "IDLE_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", limited.port), timeout=0.05) as slow:
        slow.sendall(HEAD.replace(b"Content-Length: 9", b"Content-Length: 999"))
        slow.sendall(b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n')
        answer = b""
        for _ in range(200):
            slow.sendall(b"a")
            with suppress(TimeoutError):
                answer = slow.recv(1000)
                break
        # Headers and body may come one after the other.
        slow.settimeout(10)
        while b"a second" not in answer and (more := slow.recv(1000)):
            answer += more
    assert b"408 Request Timeout" in answer and b"less than 4096 bytes a second" in answer
    limited.wait_for("requests", 0)


def hold(model, monkeypatch) -> tuple[threading.Event, threading.Event]:
    """Generation waits: whether it has begun, and what lets it go on."""
    begun, goes_on = threading.Event(), threading.Event()
    generate = model.generate

    def wait(*args, **kwargs):
        begun.set()
        assert goes_on.wait(30)
        return generate(*args, **kwargs)

    monkeypatch.setattr(model, "generate", wait)
    return begun, goes_on


def test_a_server_that_is_stopped_ends_what_is_at_work(pipe, monkeypatch):
    monkeypatch.setattr(server, "STOP_SECONDS", 1)
    running = RunningApp(openai_server.build_app(pipe, OpenAISettings()))
    begun, goes_on = hold(pipe.model, monkeypatch)
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(client_of(running).audio.transcriptions.create, file=ENGLISH, model=NAME)
        assert begun.wait(20)
        running.stop()
        has_stopped = not running.thread.is_alive()
        goes_on.set()
        with pytest.raises(openai.APIError):
            answer.result(20)
    assert has_stopped


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_whose_client_has_gone_is_ended(pipe, ask, running, long_file, monkeypatch, stream):
    begun, goes_on = hold(pipe.model, monkeypatch)
    body = client_of(running).with_options(timeout=1)
    with pytest.raises(openai.APITimeoutError):
        body.audio.transcriptions.create(file=long_file, model=NAME, stream=stream)
    assert begun.wait(20)
    goes_on.set()
    running.wait_for("requests", 0)
    monkeypatch.undo()
    assert ask(file=HOTWORD).text


def test_a_fault_of_the_server_costs_one_request(pipe, ask, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("out of memory, at a place nobody need know")

    monkeypatch.setattr(pipe.model, "generate", fail)
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError, match="the server failed") as failed:
            ask(stream=stream)
        assert failed.value.type == "server_error"
    monkeypatch.undo()
    assert ask(file=HOTWORD).text


def test_the_example_of_the_card_runs(running, tmp_path, monkeypatch, capsys):
    pytest.importorskip("daachorse")
    card = Path(space.__file__).with_name("README.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "OpenAI(" in block)
    (tmp_path / "talk.wav").write_bytes(wav(load_audio(str(ENGLISH)))[1])
    monkeypatch.chdir(tmp_path)
    exec(example.replace("localhost:8765", f"127.0.0.1:{running.port}"), {})
    told = capsys.readouterr().out
    assert "i don't know what to do english" in told and "type='transcript.text.done'" in told


def test_the_space_serves_it_by_a_variable(pipe, monkeypatch):
    monkeypatch.setattr(space, "load_pipeline", lambda model, device, dtype, adapters: pipe)
    monkeypatch.setenv("ENTROPY_ASR_MAX_REQUESTS", "0")
    with pytest.raises(ValueError, match="ENTROPY_ASR_MAX_REQUESTS must be positive"):
        space.load_app(ServerSettings(openai=True))
    monkeypatch.delenv("ENTROPY_ASR_MAX_REQUESTS")
    paths = [route.path for route in space.load_app(ServerSettings(openai=True)).routes]
    assert "/v1/audio/transcriptions" in paths and "/v1/stream" not in paths


def test_the_name_of_the_bundled_checkpoint_is_that_of_its_card():
    card = (BUNDLED_CHECKPOINT / "README.md").read_text(encoding="utf-8")
    assert f"- name: {NAME}\n" in card and OpenAISettings().served_name == NAME
    assert OpenAISettings(str(EXAMPLES)).served_name == "examples"
    assert OpenAISettings("me/model").served_name == "me/model"
    assert OpenAISettings("me/model", model_name="whisper-1").served_name == "whisper-1"
