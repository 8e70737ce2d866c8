# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The WebSocket server, tried with another library's client: what it answers, and that no client costs another one."""

import asyncio
import json
import re
import time
import urllib.error
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
import websockets
from running_app import RunningApp
from small_models import build_model, build_tokenizer, save_adapters, small_config
from starlette.websockets import WebSocket

from entropy_asr.modeling import (
    EndpointSettings,
    EntropyASRFeatureExtractor,
    EntropyASRPipeline,
    EntropyASRProcessor,
    StreamingBatch,
    StreamingTranscriber,
)
from entropy_asr.spaces.server import server
from entropy_asr.spaces.server.settings import ServerSettings
from entropy_asr.spaces.server.stream_messages import REFUSED, ProtocolError, update_message


LIMITS = {"max_new_tokens": 12}
SETTINGS = {"use_vad": False, "endpoints": EndpointSettings(max_segment=5), "generate_kwargs": LIMITS}


@pytest.fixture(scope="module")
def pipe() -> EntropyASRPipeline:
    tokenizer = build_tokenizer(["<|im_start|>", "<|im_end|>", "<|audio|>"])
    processor = EntropyASRProcessor.from_components(EntropyASRFeatureExtractor(), tokenizer, small_config())
    return EntropyASRPipeline(model=build_model(small_config()), processor=processor)


class RunningServer(RunningApp):
    """The application of a batch."""

    def __init__(self, batch: StreamingBatch, **settings):
        super().__init__(server.build_app(batch, ServerSettings(**settings)))

    def connect(self, **options):
        return websockets.connect(f"ws://127.0.0.1:{self.port}/v1/stream", max_size=None, **options)

    def wait_until_empty(self) -> None:
        self.wait_for("streams", 0)


@pytest.fixture
def running(pipe) -> Iterator[RunningServer]:
    running = RunningServer(StreamingBatch(pipe, max_streams=4, **SETTINGS))
    yield running
    running.stop()


@pytest.fixture
def guarded(pipe) -> Iterator[RunningServer]:
    """A server with a token and narrow limits."""
    limits = {"api_key": "secret", "max_connections": 3, "max_seconds": 2.0}
    running = RunningServer(StreamingBatch(pipe, max_streams=2, **SETTINGS), **limits)
    yield running
    running.stop()


def sound(seed: int, seconds: float = 1.7) -> np.ndarray:
    """Int16 samples."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(16000 * seconds)) / 16000
    tone = np.sin(2 * np.pi * rng.uniform(100, 900) * time * (1 + time)) + 0.2 * rng.normal(size=len(time))
    return (8000 * tone).clip(-32768, 32767).astype(np.int16)


def expected(pipe, samples: np.ndarray, **request) -> list[dict]:
    stream = StreamingTranscriber(pipe, **request, **SETTINGS)
    return [update_message(update) for update in stream.push(samples) + stream.finish()]


async def talk(running: RunningServer, samples: np.ndarray, portion: int = 1600, pause: float = 0.0, **request):
    """One client's messages, until the server closes."""
    async with running.connect() as client:
        if request:
            await client.send(json.dumps({"type": "start", **request}))
        for start in range(0, len(samples), portion):
            await client.send(samples[start : start + portion].tobytes())
            await asyncio.sleep(pause)
        await client.send(json.dumps({"type": "finish"}))
        return [json.loads(message) async for message in client]


def test_a_client_gets_what_the_transcriber_gives(running, pipe):
    samples = sound(0)
    ready, *updates, done = asyncio.run(talk(running, samples))
    assert ready == {"type": "ready", "chunk_ms": 640, "sampling_rate": 16000}
    assert updates == expected(pipe, samples)
    assert updates[-1]["type"] == "final" and updates[-1]["text"]
    assert done == {"type": "done", "seconds": 1.7}


def test_the_example_of_the_card_runs(running, tmp_path, monkeypatch, capsys):
    card = Path(server.__file__).with_name("README.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "/v1/stream" in block)
    soundfile.write(tmp_path / "talk.wav", sound(0), 16000)
    monkeypatch.chdir(tmp_path)
    exec(example.replace("localhost:7860", f"127.0.0.1:{running.port}"), {})
    assert capsys.readouterr().out.startswith("0.0 1.7 ")


def test_the_request_is_honoured(running, pipe):
    samples = sound(1)
    ready, *updates, done = asyncio.run(talk(running, samples, portion=333, sampling_rate=8000, language="Mandarin"))
    assert ready["sampling_rate"] == 8000 and done["seconds"] == 3.4
    assert updates == expected(pipe, samples, sampling_rate=8000, language="zh")


def test_clients_together_get_what_they_get_alone(running, pipe):
    async def all_at_once():
        return await asyncio.gather(*(talk(running, sound(seed), 1000 + 700 * seed, 0.002) for seed in range(4)))

    for seed, messages in enumerate(asyncio.run(all_at_once())):
        assert messages[1:-1] == expected(pipe, sound(seed))
    running.wait_until_empty()


def test_clients_choose_adapters_side_by_side(pipe, tmp_path):
    several = EntropyASRPipeline(model=build_model(small_config()), processor=pipe.processor)
    kinds = {"law": {}, "sports": {"target_modules": ".*language_model.*(o|down)_proj"}}
    for name, kind in kinds.items():
        several.load_adapter(save_adapters(pipe.model, "", tmp_path / name, **kind), name)
    samples, names = sound(0), [None, "law", "sports", "law"]
    texts = {name: expected(several, samples, adapter=name) for name in names}
    assert texts[None] == expected(pipe, samples) and len({str(messages) for messages in texts.values()}) == 3
    running = RunningServer(StreamingBatch(several, max_streams=4, **SETTINGS))

    async def all_at_once():
        return await asyncio.gather(*(talk(running, samples, 1600, 0.002, adapter=name) for name in names))

    for name, messages in zip(names, asyncio.run(all_at_once()), strict=True):
        assert messages[1:-1] == texts[name]
    reason, code = asyncio.run(answer_to(running, '{"type": "start", "adapter": "cooking"}'))
    assert "no adapter 'cooking'; there are: law, sports" in reason and code == 1008
    running.stop()


async def answer_to(running: RunningServer, *messages) -> tuple[str, int]:
    """The error that messages lead to, and the code that the connection is closed with."""
    received = []
    async with running.connect() as client:
        with suppress(websockets.ConnectionClosedError):  # the server may close before all is sent
            for message in messages:
                await client.send(message)
            async for message in client:
                received.append(json.loads(message))
    return received[-1]["message"], client.close_code


@pytest.mark.parametrize(
    ("messages", "reason", "code"),
    [
        (["no json"], "not JSON", 1003),
        (["[" * 100000], "not JSON", 1003),
        (["[1]"], "expected", 1003),
        (['{"type": "stop"}'], "expected", 1003),
        (['{"type": "start", "langauge": "en"}'], "unknown fields: 'langauge'", 1003),
        (['{"type": "start", "\\ud800": 1}'], r"unknown fields: '\ud800'", 1003),
        ([b"\x00\x01\x02"], "3 bytes", 1003),
        ([b"\x00\x01", '{"type": "start"}'], "first message", 1003),
        (['{"type": "start"}', '{"type": "start"}'], "first message", 1003),
        (['{"type": "start", "language": "xx"}'], "xx", 1008),
        (['{"type": "start", "sampling_rate": "fast"}'], "sampling_rate", 1008),
        (['{"type": "start", "sampling_rate": null}'], "sampling_rate", 1008),
        (['{"type": "start", "hotwords": "Kaldi"}'], "hotwords", 1008),
        (['{"type": "start", "adapter": ["law"]}'], "no adapter", 1008),
        ([json.dumps({"type": "start", "hotwords": ["a"] * 1001})], "1000 hotwords", 1008),
        ([json.dumps({"type": "start", "hotwords": 2 * ["word " * 5001]})], "50000 characters", 1008),
    ],
)
def test_garbage_is_told_and_costs_only_its_sender(running, pipe, messages, reason, code):
    async def beside_another():
        honest = asyncio.create_task(talk(running, sound(2), pause=0.005))
        await asyncio.sleep(0.02)
        return await answer_to(running, *messages), await honest

    (message, close_code), updates = asyncio.run(beside_another())
    assert reason in message and close_code == code
    assert updates[1:-1] == expected(pipe, sound(2))
    running.wait_until_empty()


def test_an_error_does_not_send_back_all_that_was_sent(running):
    start = json.dumps({"type": "start", "language": "x\n" * 5000})
    message, code = asyncio.run(answer_to(running, start))
    assert code == REFUSED and len(message) < 1000 and "\n" not in message


def test_a_message_that_is_too_large_is_refused(running):
    async def send():
        async with running.connect() as client:
            await client.send(bytes(server.MAX_MESSAGE_BYTES + 2))
            await client.wait_closed()
            return client.close_code

    assert asyncio.run(send()) == 1009
    running.wait_until_empty()


def test_too_many_clients_are_told(running, pipe):
    async def fifth():
        clients = [await running.connect() for _ in range(4)]
        for client in clients:
            await client.send(sound(3)[:1000].tobytes())
            await client.recv()  # ready
        refused = await answer_to(running, b"\x00\x00")
        for client in clients:
            await client.close()
        return refused

    message, code = asyncio.run(fifth())
    assert "max_streams" in message and code == 1013
    running.wait_until_empty()
    assert asyncio.run(talk(running, sound(3)))[1:-1] == expected(pipe, sound(3))


def test_clients_that_vanish_leave_nothing_behind(running, pipe):
    async def vanish():
        for seed in range(12):
            client = await running.connect()
            await client.send(sound(seed).tobytes())
            client.transport.abort()  # no closing handshake

    asyncio.run(vanish())
    running.wait_until_empty()
    assert asyncio.run(talk(running, sound(5)))[1:-1] == expected(pipe, sound(5))


def test_a_flood_is_slowed_down_and_others_are_served(running, pipe, monkeypatch):
    """A minute of audio at once: little of it is taken in at a time, and all of it is transcribed."""
    monkeypatch.setattr(server, "MAX_WAITING_SECONDS", 2.0)
    flood, waiting = np.tile(sound(6, 4.0), 15), []

    async def beside_another():
        flooding = asyncio.create_task(talk(running, flood, portion=16000))
        await asyncio.sleep(0.3)
        honest = await talk(running, sound(7))
        waiting.append((await asyncio.to_thread(running.health))["seconds_waiting"])
        assert not flooding.done()
        return honest, await flooding

    honest, flooded = asyncio.run(beside_another())
    assert honest[1:-1] == expected(pipe, sound(7))
    assert waiting[0] <= 2.0 + 2 * 1.0  # what waits, and the messages that were on their way
    assert flooded[-1] == {"type": "done", "seconds": 60.0}
    finals = [message for message in flooded if message["type"] == "final"]
    assert [(message["start"], message["end"]) for message in finals] == [(5 * n, 5 * n + 5) for n in range(12)]


def test_a_client_that_is_slowed_down_may_answer_pings_late(running, monkeypatch):
    """Its answer stands behind audio that the server has not read yet."""
    config, step = running.uvicorn.config, StreamingBatch.step
    config.ws_ping_interval = 0.1
    config.ws_ping_timeout = config.ws_ping_timeout and 0.1

    def step_slowly(batch):
        time.sleep(0.15)
        return step(batch)

    monkeypatch.setattr(StreamingBatch, "step", step_slowly)
    monkeypatch.setattr(server, "MAX_WAITING_SECONDS", 0.5)
    messages = asyncio.run(talk(running, sound(6, 8.0), portion=16000))
    assert messages[-1] == {"type": "done", "seconds": 8.0}


def test_messages_are_as_large_as_what_is_sent(running):
    """Of compressed ones a kilobyte may hold a megabyte, and a client has hundreds of them on their way."""

    async def connect():
        async with running.connect() as client:
            return client.request.headers.get("Sec-WebSocket-Extensions"), client.protocol.extensions

    offered, taken = asyncio.run(connect())
    assert "permessage-deflate" in offered and not taken


def test_silent_clients_are_sent_away(running, monkeypatch):
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.2)
    message, code = asyncio.run(answer_to(running))
    assert "nothing was sent" in message and code == 1008
    message, code = asyncio.run(answer_to(running, b"\x00\x00"))
    assert "nothing was sent" in message and code == 1008
    running.wait_until_empty()


def test_empty_messages_keep_no_place(running, monkeypatch):
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.3)

    async def send_nothing_again_and_again():
        async with running.connect() as client:
            with suppress(websockets.ConnectionClosed):
                for _ in range(100):
                    await client.send(b"")
                    await asyncio.sleep(0.05)
            return client.close_code

    assert asyncio.run(send_nothing_again_and_again()) == 1008
    running.wait_until_empty()


def test_who_reads_nothing_after_the_end_keeps_no_place(running, monkeypatch):
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.3)
    send = WebSocket.send_json

    async def send_to_nobody(socket, message):
        if message["type"] == "done":
            await asyncio.sleep(60)
        await send(socket, message)

    monkeypatch.setattr(WebSocket, "send_json", send_to_nobody)
    message, code = asyncio.run(answer_to(running, b"\x00\x00", '{"type": "finish"}'))
    assert "nothing was read" in message and code == 1008
    running.wait_until_empty()


def test_a_failing_step_ends_its_connections_and_not_the_server(running, pipe, monkeypatch):
    step = StreamingBatch.step

    def fail(batch):
        monkeypatch.setattr(StreamingBatch, "step", step)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(StreamingBatch, "step", fail)
    message, code = asyncio.run(answer_to(running, sound(8).tobytes()))
    assert message == "the server failed" and code == 1011
    assert asyncio.run(talk(running, sound(8)))[1:-1] == expected(pipe, sound(8))


def test_a_model_that_fails_and_fails_is_told_by_health(running, monkeypatch):
    """What watches the server then starts it anew, as after a GPU was lost."""

    def fail(batch):
        raise RuntimeError("no device")

    with monkeypatch.context() as patched:
        patched.setattr(StreamingBatch, "step", fail)
        assert running.health()["status"] == "ok"
        for _ in range(3):
            asyncio.run(answer_to(running, sound(8).tobytes()))
        with pytest.raises(urllib.error.HTTPError, match="503"):
            running.health()
    assert asyncio.run(talk(running, sound(8)))[-1]["type"] == "done"
    assert running.health()["status"] == "ok"


def test_a_client_that_reads_nothing_is_disconnected(running, monkeypatch):
    monkeypatch.setattr(server.Session, "put", lambda self, update: self.fail(ProtocolError("full", 1008)))
    message, code = asyncio.run(answer_to(running, sound(9).tobytes()))
    assert (message, code) == ("full", 1008)
    running.wait_until_empty()


def test_audio_for_a_stream_that_has_left_costs_only_its_client(running, pipe, monkeypatch):
    push = StreamingBatch.push
    removed = []

    def push_late(batch, stream, samples):
        if len(batch.streams) == 2 and not removed:
            removed.append(stream)
            batch.leave(stream)
        push(batch, stream, samples)

    async def beside_another():
        async with running.connect() as honest:
            await honest.send(sound(2)[:16000].tobytes())
            assert json.loads(await honest.recv())["type"] == "ready"
            assert json.loads(await honest.recv())["type"] == "partial"  # nothing of it is on its way
            monkeypatch.setattr(StreamingBatch, "push", push_late)
            refused = await answer_to(running, sound(3).tobytes())
            await honest.send(sound(2)[16000:].tobytes())
            await honest.send(json.dumps({"type": "finish"}))
            return refused, [json.loads(message) async for message in honest]

    (message, code), messages = asyncio.run(beside_another())
    assert removed and "not in this batch" in message and code == 1008
    assert messages[:-1] == expected(pipe, sound(2))[1:]
    running.wait_until_empty()
    assert asyncio.run(talk(running, sound(2)))[1:-1] == expected(pipe, sound(2))


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"\x00\x00", "a token is needed"),
        ('{"type": "start"}', "a token is needed"),
        ('{"type": "start", "token": "sesame"}', "is not the one"),
        ('{"type": "start", "token": 7}', "is not the one"),
    ],
)
def test_who_shows_no_token_is_sent_away(guarded, first, reason):
    message, code = asyncio.run(answer_to(guarded, first))
    assert reason in message and code == 1008
    assert guarded.metrics("secret")['entropy_asr_refusals_total{code="1008"}'] == 1
    assert guarded.metrics("secret")["entropy_asr_streams_total"] == 0


def test_the_token_is_shown_in_a_header_or_in_the_first_message(guarded, pipe):
    async def by_header():
        async with guarded.connect(additional_headers={"Authorization": "Bearer secret"}) as client:
            await client.send(sound(0).tobytes())
            await client.send(json.dumps({"type": "finish"}))
            return [json.loads(message) async for message in client]

    assert asyncio.run(by_header())[1:-1] == expected(pipe, sound(0))
    assert asyncio.run(talk(guarded, sound(0), token="secret"))[1:-1] == expected(pipe, sound(0))


def test_a_stream_that_is_too_long_is_ended(guarded):
    start = json.dumps({"type": "start", "token": "secret"})
    message, code = asyncio.run(answer_to(guarded, start, sound(1).tobytes(), sound(2).tobytes()))
    assert "at most 2 seconds" in message and code == 1008
    guarded.wait_until_empty()
    assert guarded.metrics("secret")["entropy_asr_audio_seconds_total"] == pytest.approx(1.7)


def test_connections_that_begin_nothing_are_counted(guarded, pipe):
    async def main():
        idle = [await guarded.connect() for _ in range(3)]
        refused = await answer_to(guarded)
        for client in idle:
            await client.close()
        return refused

    message, code = asyncio.run(main())
    assert "more than 3 connections" in message and code == 1013
    guarded.wait_for("connections", 0)
    assert asyncio.run(talk(guarded, sound(3), token="secret"))[1:-1] == expected(pipe, sound(3))


def test_metrics_tell_what_the_server_did(guarded):
    asyncio.run(talk(guarded, sound(4), token="secret"))
    guarded.wait_until_empty()
    metrics = guarded.metrics("secret")
    names = ("connections", "streams", "audio_seconds", "failed_steps", "refusals")
    assert [metrics[f"entropy_asr_{name}_total"] for name in names] == [1, 1, pytest.approx(1.7), 0, 0]
    assert metrics["entropy_asr_busy_seconds_total"] > 0
    assert (metrics["entropy_asr_streams"], metrics["entropy_asr_max_streams"]) == (0, 2)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        guarded.metrics()
    assert guarded.health()["status"] == "ok"  # which anyone may ask


def test_files_sent_as_pcm_get_an_error_and_others_are_served(running, pipe):
    async def main():
        async with running.connect() as client:
            for start in range(0, 4000, 2):
                piece = (b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + bytes(4000))[start : start + 2]
                with suppress(websockets.ConnectionClosed):
                    await client.send(piece)
            messages = []
            with suppress(websockets.ConnectionClosed):
                while True:
                    messages.append(json.loads(await client.recv()))
        return messages, await talk(running, sound(3))

    refused, served = asyncio.run(main())
    assert refused[-1]["type"] == "error" and "WAV file, not raw PCM" in refused[-1]["message"]
    assert served[-1]["type"] == "done"
