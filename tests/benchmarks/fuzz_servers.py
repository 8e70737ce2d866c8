# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Areas of fuzzing whose inputs are what clients send: frames of WebSockets, and OpenAI's forms.

The applications are called as a server calls them, without sockets; what they answer must be text that can be sent.
"""

import asyncio
import io
import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from bounded_calls import Refused
from drawn_examples import draw_examples
from fuzz_areas import Area, sound
from hypothesis import strategies as st
from mutations import mutated_bytes, mutated_text, mutated_value, pick
from small_models import build_model, build_tokenizer, small_config

from entropy_asr.modeling import EndpointSettings, EntropyASRFeatureExtractor, EntropyASRPipeline, EntropyASRProcessor
from entropy_asr.modeling.streaming_entropy_asr import StreamingBatch
from entropy_asr.spaces.server import openai_server, server
from entropy_asr.spaces.server.settings import OpenAISettings, ServerSettings
from entropy_asr.spaces.server.stream_messages import BUSY, NOT_THE_PROTOCOL, REFUSED


# Longer than any answer of a small model takes.
PATIENCE = 100.0
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
LANGUAGES = st.sampled_from(["en", "English", "zh", "none", "auto", "xx", "", "中文"])
STARTS = st.fixed_dictionaries(
    {"type": st.just("start")},
    optional={
        "sampling_rate": st.sampled_from([16000, 8000, 48000, 0, -1, 1, 10**9, 1.5, "16000", None]) | st.integers(),
        "language": LANGUAGES | JSON,
        "hotwords": st.lists(st.sampled_from(["Kaldi", "北京", "", "a", "שלום", "\ud800"]), max_size=3) | JSON,
        "adapter": st.none() | st.just("law") | JSON,
        "token": JSON,
    },
)


def small_pipeline() -> EntropyASRPipeline:
    """A model of a few thousand parameters at random weights, which writes two tokens."""
    tokenizer = build_tokenizer(["<|im_start|>", "<|im_end|>", "<|audio|>"])
    processor = EntropyASRProcessor.from_components(EntropyASRFeatureExtractor(), tokenizer, small_config())
    pipeline = EntropyASRPipeline(model=build_model(small_config()), processor=processor)
    pipeline.model.generation_config.max_new_tokens = 2
    return pipeline


class ServerArea(Area):
    """An application that lives in a process of fuzzing."""

    expected = (Refused,)

    def prepare(self, folder: Path, count: int, seed: int) -> None:
        super().prepare(folder, count, seed)
        self.pipeline = small_pipeline()
        self.pipeline(sound(16000, 0.2)[:, 0], return_timestamps="word", hotwords=["Kaldi"])  # imports what it needs
        self._app: Any = None

    @abstractmethod
    def build(self) -> Any:
        """The application."""

    @abstractmethod
    async def talk(self, value: Any) -> None:
        """Send an input; raises `Refused` where the answer says what is wrong."""

    def run(self, value: Any) -> None:
        if self._app is None:  # threads and loops do not pass through a fork
            self._app, self._loop = self.build(), asyncio.new_event_loop()
            self._lifespan = self._app.router.lifespan_context(self._app)
            self._loop.run_until_complete(self._lifespan.__aenter__())
        self._loop.run_until_complete(asyncio.wait_for(self.talk(value), PATIENCE))


class Frames(ServerArea):
    """Sequences of WebSocket messages, text and binary."""

    name = "WebSocket frames"

    def prepare(self, folder: Path, count: int, seed: int) -> None:
        super().prepare(folder, count, seed)
        self.starts = draw_examples(STARTS, count, seed)
        self.sound = (32767 * sound(16000, 0.7)[:, 0]).astype("<i2").tobytes()
        file = io.BytesIO()
        soundfile.write(file, sound(16000, 0.1), 16000, format="WAV")
        self.file = file.getvalue()

    def build(self) -> Any:
        limits = {
            "use_vad": False,
            "endpoints": EndpointSettings(max_segment=5),
            "generate_kwargs": {"max_new_tokens": 2},
        }
        batch = StreamingBatch(self.pipeline, max_streams=2, preview_chunks=1, **limits)
        return server.build_app(batch, ServerSettings(max_seconds=2.0))

    def draw(self, rng: np.random.Generator, number: int) -> list[str | bytes]:
        frames: list[str | bytes] = []
        if rng.random() < 0.8:
            start = self.starts[number % len(self.starts)]
            frames.append(json.dumps(start) if rng.random() < 0.6 else self._text(rng, start))
        for _ in range(int(rng.integers(4))):
            frames.append(self._frame(rng))
        return [*frames, json.dumps({"type": "finish"})] if rng.random() < 0.7 else frames

    @staticmethod
    def _text(rng: np.random.Generator, message: Any) -> str:
        if rng.random() < 0.4:
            return mutated_text(rng, json.dumps(message))
        return json.dumps(mutated_value(rng, message), ensure_ascii=bool(rng.random() < 0.5))

    def _frame(self, rng: np.random.Generator) -> str | bytes:
        kind = rng.random()
        if kind < 0.5:
            return self.sound[: 2 * int(rng.integers(len(self.sound) // 2))]
        if kind < 0.8:
            return mutated_bytes(rng, pick(rng, (self.sound[:2000], self.file, b"")), [self.file])
        if kind < 0.9:
            return pick(rng, ("", "[" * 5000, "null", "1", '"start"', "{}", '{"type": "finish", "type": "start"}'))
        return self._text(rng, {"type": pick(rng, ("start", "finish"))})

    async def talk(self, value: list[str | bytes]) -> None:
        waiting = [{"type": "websocket.connect"}, *map(_message, value)]
        waits = value and value[-1] == json.dumps({"type": "finish"})
        closed, sent = asyncio.Event(), []

        async def receive() -> dict[str, Any]:
            if waiting:
                return waiting.pop(0)
            if waits:
                await closed.wait()
            return {"type": "websocket.disconnect", "code": 1000}

        async def send(message: dict[str, Any]) -> None:
            message.get("text", "").encode("utf-8")
            sent.append(message)
            if message["type"] == "websocket.close":
                closed.set()

        scope = {"type": "websocket", "path": "/v1/stream", "headers": [], "query_string": b"", "subprotocols": []}
        await self._app(
            {**scope, "root_path": "", "scheme": "ws", "client": ("test", 1), "server": ("test", 80)}, receive, send
        )
        check_conversation(sent)


def _message(frame: str | bytes) -> dict[str, Any]:
    # A server has decoded the text of a frame, so that there is no half of a character in it.
    text = None if isinstance(frame, bytes) else frame.encode("utf-8", "replace").decode()
    return {"type": "websocket.receive", "text": text, "bytes": frame if text is None else None}


def check_conversation(sent: list[dict[str, Any]]) -> None:
    """What a server sent is an end in peace, or says what was wrong, in a line."""
    texts = [json.loads(message["text"]) for message in sent if message["type"] == "websocket.send"]
    codes = [message.get("code", 1000) for message in sent if message["type"] == "websocket.close"]
    assert len(codes) <= 1, codes
    errors = [text["message"] for text in texts if text["type"] == "error"]
    if errors:
        assert codes[0] in (NOT_THE_PROTOCOL, REFUSED, BUSY), (codes, errors)
        raise Refused(errors[0])
    assert codes in ([], [1000]), codes


def mostly(good: list[str], bad: list[str]) -> st.SearchStrategy:
    """One of the good ones four times out of five or so."""
    return st.sampled_from([*good * (1 + 4 * len(bad) // len(good)), *bad])


FIELDS = st.fixed_dictionaries(
    {"model": mostly(["tiny"], ["whisper-1", "", "\ud7ff"])},
    optional={
        "language": mostly(["en", "English", "zh", "中文"], ["none", "auto", "xx", "\0"]),
        "prompt": st.sampled_from(["Kaldi, 北京", "...", "שלום", "New York"]) | st.text(max_size=30),
        "response_format": mostly(["json", "text", "srt", "verbose_json", "vtt"], ["diarized_json", "x"]),
        "temperature": mostly(["0", "0.5", "1", "1e-9"], ["2", "-1", "nan", "inf", "a"]),
        "stream": mostly(["true", "false", "1"], ["maybe"]),
        "timestamp_granularities[]": mostly(["word", "segment"], ["letter"]),
        "languages[]": mostly(["en", "zh"], ["xx", ""]),
        "keywords[]": st.text(max_size=10),
        "chunking_strategy": mostly(["auto"], ["server_vad"]),
    },
)


class Forms(ServerArea):
    """Bodies of `POST /v1/audio/transcriptions`."""

    name = "OpenAI requests"

    def prepare(self, folder: Path, count: int, seed: int) -> None:
        super().prepare(folder, count, seed)
        self.forms = draw_examples(FIELDS, count, seed)
        self.files = []
        for container in ("WAV", "FLAC", "OGG"):
            file = io.BytesIO()
            soundfile.write(file, sound(16000, 0.15), 16000, format=container)
            self.files.append(file.getvalue())

    def build(self) -> Any:
        return openai_server.build_app(
            self.pipeline, OpenAISettings(model_name="tiny", max_megabytes=1, max_seconds=3)
        )

    def draw(self, rng: np.random.Generator, number: int) -> tuple[str, bytes]:
        audio = pick(rng, self.files)
        audio = audio if rng.random() < 0.7 else mutated_bytes(rng, audio, self.files)
        fields = self.forms[number % len(self.forms)]
        parts = [(f'name="{name}"', text.encode("utf-8", "replace")) for name, text in fields.items()]
        named = pick(rng, ("talk.wav", "a/b.flac", "", "\u4e2d.ogg", "https://a.b/c.wav", "x" * 500))
        parts.append((f'name="file"; filename="{named}"', audio))
        if rng.random() < 0.1:
            parts.append(pick(rng, parts))
        body = b"".join(
            b"--frontier\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + data + b"\r\n"
            for head, data in parts
        )
        body += b"--frontier--\r\n"
        kind = pick(
            rng, ("multipart/form-data; boundary=frontier",) * 12 + ("multipart/form-data", "application/json", "")
        )
        return kind, body if rng.random() < 0.7 else mutated_bytes(rng, body, [body])

    async def talk(self, value: tuple[str, bytes]) -> None:
        kind, body = value
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        scope = {"type": "http", "method": "POST", "path": "/v1/audio/transcriptions", "headers": headers}
        scope |= {
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": ("test", 80),
            "client": ("test", 1),
        }
        waiting, ended, sent = [{"type": "http.request", "body": body, "more_body": False}], asyncio.Event(), []

        async def receive() -> dict[str, Any]:
            if not waiting:
                await ended.wait()
                return {"type": "http.disconnect"}
            return waiting.pop()

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        try:
            await self._app(scope, receive, send)
        finally:
            ended.set()
        check_answer(sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]))


def check_answer(status: int, body: bytes) -> None:
    """An answer is a text, or an error of the client's that says what was wrong, in a line."""
    text = body.decode("utf-8")
    if status == 200:
        return
    assert 400 <= status < 500, (status, text)
    raise Refused(json.loads(text)["error"]["message"])


def server_areas() -> Sequence[Area]:
    return Frames(), Forms()
