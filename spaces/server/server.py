# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Streaming recognition over WebSockets, all connections batched through one model.

Protocol, at `ws://HOST:PORT/v1/stream`; messages of text are JSON objects:

1. The client may send, first, `{"type": "start", "sampling_rate": 16000, "language": "en", "hotwords": ["Kaldi"],
   "adapter": "law"}`; every field but the type is optional. Without it, audio is mono at 16 kHz and the model decides
   the language. `adapter` is one of those that the server was started with; without, the model is as it is. Where the
   server wants a token, the client shows it as `Authorization: Bearer TOKEN`, or, from a browser, which sends no such
   header, as `"token"` of `start`.
2. The server sends `{"type": "ready", "chunk_ms": 640, "sampling_rate": 16000}`.
3. The client sends binary messages of raw mono PCM (16 bit, little endian), of any length up to 1 MiB. The bytes of
   a file (WAV, Ogg, WebM, ...) are none: they are refused by the format's name.
4. The server sends `{"type": "partial" or "final", "segment", "start", "end", "phonemes", "text", "stable_text",
   "revised", "flags"}`, times in seconds of the stream, as segments go on and when they end. Partial ones have a text
   with `preview_chunks`: no later one of the segment takes back its beginning "stable_text", and "revised" are the
   characters of the segment's last text that this one takes back. Final ones have "confidence" with `confidence`,
   "language" and "language_probability" with `return_language`.
5. The client sends `{"type": "finish"}`; the server sends what is left, then `{"type": "done", "seconds"}`, and
   closes.

What is wrong is said by `{"type": "error", "message"}` before the connection is closed with code 1003 (not the
protocol), 1008 (a request that cannot be honoured, a token that is missing, nothing sent for a minute, updates not
read, a stream that is too long), 1011 (the server failed) or 1013 (all streams or connections are taken). A client
that sends faster than it is served is read from more slowly, its pings included; nothing is dropped. `GET /health`
tells the number of streams and the load, with status 503 where the server has failed; it needs no token. `GET
/metrics` is Prometheus'.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from entropy_asr.modeling.containers_entropy_asr import StreamBeginning
from entropy_asr.modeling.streaming_entropy_asr import Stream, StreamingBatch, StreamingUpdate
from entropy_asr.modeling.vad_entropy_asr import SAMPLING_RATE, EndpointSettings

from .metrics import Counts, gauge_lines, metrics_response
from .settings import ServerSettings, check_hotwords
from .stream_messages import BUSY, FAILED, REFUSED, ProtocolError, parse_audio, parse_request, update_message
from .tokens import is_right, shown_token


# Audio of a connection that waits for the model, in seconds, from which on nothing more is read from it.
MAX_WAITING_SECONDS = 5.0
MAX_MESSAGE_BYTES = 2**20
# Updates that a client has not taken; one that does not read is disconnected.
MAX_UNREAD_UPDATES = 1000
IDLE_SECONDS = 60.0
# A model that fails so often in a row, as on a GPU that is lost, works again only in another process.
MAX_FAILED_STEPS = 3
# For the last words to a client that may not be listening.
FAREWELL_SECONDS = 5.0
# For what is at work, or not read, when the server is told to stop.
STOP_SECONDS = 10
NOT_OF_THE_STREAM = ("type", "token")
COUNTED = {
    "connections": "Connections that were made.",
    "streams": "Streams that have begun.",
    "refusals": "Connections that were ended with an error, by the code.",
    "failed_steps": "Steps of the model that failed.",
    "audio_seconds": "Seconds of audio that were received.",
    "busy_seconds": "Seconds in which the model worked.",
}

logger = logging.getLogger(__name__)


class Session:
    """One connection's stream, and what passes between the connection and the engine."""

    def __init__(self, stream: Stream, rate: int):
        self.stream = stream
        self.rate = rate
        self.updates: asyncio.Queue[StreamingUpdate | None] = asyncio.Queue(MAX_UNREAD_UPDATES)
        self.audio: list[np.ndarray] = []
        self.num_waiting = 0
        self.seconds = 0.0
        self.is_finished = False
        self.has_ended = False
        self.failure: ProtocolError | None = None
        self.has_failed = asyncio.Event()
        self.has_room = asyncio.Event()
        self.has_room.set()

    @property
    def seconds_waiting(self) -> float:
        """Audio that arrived and that the model has not taken."""
        return self.num_waiting / self.rate + self.stream.seconds_waiting

    def take(self) -> list[np.ndarray]:
        """What arrived since the last time."""
        arrived, self.audio, self.num_waiting = self.audio, [], 0
        return arrived

    async def push(self, samples: np.ndarray) -> None:
        """Hand audio to the engine; waits while much of it is left, which slows down the client."""
        self.audio.append(samples)
        self.num_waiting += len(samples)
        self.seconds += len(samples) / self.rate
        if self.seconds_waiting > MAX_WAITING_SECONDS:
            self.has_room.clear()
        await self.has_room.wait()

    def fail(self, failure: ProtocolError) -> None:
        """End the connection from the engine's side."""
        self.failure = failure
        self.has_failed.set()

    def put(self, update: StreamingUpdate | None) -> None:
        """Queue an update for the client, `None` behind the last one."""
        try:
            self.updates.put_nowait(update)
        except asyncio.QueueFull:
            self.fail(ProtocolError("updates were not read", REFUSED))


class Engine:
    """Steps a [`StreamingBatch`] in a thread of its own, whenever one of its streams has something to do.

    Only the engine touches the batch: what connections bring is handed over between steps.
    """

    def __init__(self, batch: StreamingBatch, settings: ServerSettings):
        self.batch, self.settings = batch, settings
        self.sessions: dict[Stream, Session] = {}
        self.num_connections = 0
        self.counts = Counts(COUNTED)
        self.started = time.monotonic()
        self.failed_in_a_row = 0
        self._wake = asyncio.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="entropy-asr")
        self._stepping = asyncio.Lock()

    async def join(self, request: dict[str, Any]) -> Session:
        """Add a stream.

        Raises:
            ProtocolError: there is no room, or the request cannot be honoured.
        """
        if isinstance(hotwords := request.get("hotwords"), list):
            try:
                check_hotwords(hotwords)
            except ValueError as error:
                raise ProtocolError(str(error), REFUSED) from error
        join = partial(self.batch.join, **request)
        async with self._stepping:
            try:
                stream = await asyncio.get_running_loop().run_in_executor(self._executor, join)
            except RuntimeError as error:
                raise ProtocolError(str(error), BUSY) from error
            except (ValueError, TypeError, ImportError) as error:
                raise ProtocolError(str(error), REFUSED) from error
            self.sessions[stream] = Session(stream, request.get("sampling_rate", SAMPLING_RATE))
            self.counts.add("streams")
        self.notify()  # it may have looked for work while the batch was changing
        return self.sessions[stream]

    async def leave(self, session: Session) -> None:
        """Remove a stream, whatever state it is in."""
        async with self._stepping:
            del self.sessions[session.stream]
            if session.stream in self.batch.streams:
                self.batch.leave(session.stream)

    def notify(self) -> None:
        """Tell the engine that a session has brought something."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled. An error of the model ends the connections it was working for, not the server."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._hand_over() or self.batch.has_work:
                try:
                    await self._step()
                    self.failed_in_a_row = 0
                except Exception:
                    logger.exception("a step failed")
                    self.failed_in_a_row += 1
                    self.counts.add("failed_steps")
                    for session in self.sessions.values():
                        session.fail(ProtocolError("the server failed", FAILED))
                    await asyncio.sleep(1)  # they leave now

    async def _step(self) -> None:
        async with self._stepping:
            start = time.monotonic()
            updates = await asyncio.get_running_loop().run_in_executor(self._executor, self.batch.step)
            self.counts.add("busy_seconds", time.monotonic() - start)
        self._distribute(updates)

    def _hand_over(self) -> bool:
        """Pass to the batch what came in; whether anything did."""
        any_audio = False
        for session in self.sessions.values():
            try:
                for samples in session.take():
                    self.batch.push(session.stream, samples)
                    any_audio = True
                if session.is_finished and not session.stream.is_finished:
                    self.batch.finish(session.stream)
            except ValueError as error:  # such as a stream that has left: it costs its client alone
                session.fail(ProtocolError(str(error), REFUSED))
        return any_audio

    def _distribute(self, updates: list[tuple[Stream, StreamingUpdate]]) -> None:
        for stream, update in updates:
            if stream in self.sessions:
                self.sessions[stream].put(update)
        for session in self.sessions.values():
            if session.seconds_waiting <= MAX_WAITING_SECONDS:
                session.has_room.set()
            if self.batch.is_done(session.stream) and not session.has_ended:
                session.has_ended = True
                session.put(None)


async def _receive(socket: WebSocket, timeout: float | None) -> dict[str, Any]:
    try:
        message = await asyncio.wait_for(socket.receive(), timeout)
    except TimeoutError as error:
        raise ProtocolError(f"nothing was sent for {IDLE_SECONDS:.0f} seconds", REFUSED) from error
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    return message


async def _read(socket: WebSocket, message: dict[str, Any], session: Session, engine: Engine) -> None:
    """Take audio until the client finishes, beginning with its first message."""
    is_first = True
    beginning, heard = StreamBeginning(), time.monotonic()
    while not session.is_finished:
        if message.get("bytes") is not None:
            samples = parse_audio(message["bytes"], beginning)
            _check_length(session, len(samples), engine)
            engine.notify()
            await session.push(samples)
            heard = time.monotonic() if len(samples) else heard  # nothing is no sign of life
        elif parse_request(message.get("text"))["type"] == "finish":
            session.is_finished = True
            engine.notify()
        elif not is_first:
            raise ProtocolError("`start` must be the first message")
        message = await _receive(socket, None if session.is_finished else heard + IDLE_SECONDS - time.monotonic())
        is_first = False
    raise ProtocolError("nothing may follow `finish`")


def _check_length(session: Session, num_samples: int, engine: Engine) -> None:
    """Count audio that arrived, and refuse what is more than a stream may have."""
    limit, seconds = engine.settings.max_seconds, num_samples / session.rate
    if session.seconds + seconds > limit:
        raise ProtocolError(f"a stream is at most {limit:g} seconds long here: begin another", REFUSED)
    engine.counts.add("audio_seconds", seconds)


async def _write(socket: WebSocket, session: Session) -> None:
    """Send updates until all are sent."""
    while (update := await session.updates.get()) is not None:
        await _send(socket, update_message(update))
    await _send(socket, {"type": "done", "seconds": round(session.seconds, 3)})


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    try:
        await asyncio.wait_for(socket.send_json(message), IDLE_SECONDS)
    except TimeoutError as error:
        raise ProtocolError(f"nothing was read for {IDLE_SECONDS:.0f} seconds", REFUSED) from error


async def _watch(session: Session) -> None:
    await session.has_failed.wait()
    raise session.failure


async def _serve_session(socket: WebSocket, engine: Engine) -> None:
    """A connection from its first message to its last."""
    first = await _receive(socket, IDLE_SECONDS)
    request = {} if first.get("bytes") is not None else parse_request(first.get("text"))
    token = request.get("token", shown_token(socket.headers.get("authorization", "")))
    if not is_right(token, engine.settings.api_key):
        what = "the token is not the one that this server takes" if token else "a token is needed"
        raise ProtocolError(f"{what} (Authorization: Bearer TOKEN, or `token` of `start`)", REFUSED)
    session = await engine.join({name: value for name, value in request.items() if name not in NOT_OF_THE_STREAM})
    chunk_ms = 1000 * engine.batch.chunk_samples // SAMPLING_RATE
    tasks = []
    try:
        await socket.send_json({"type": "ready", "chunk_ms": chunk_ms, "sampling_rate": session.rate})
        work = (_read(socket, first, session, engine), _write(socket, session), _watch(session))
        tasks += [asyncio.create_task(part) for part in work]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.leave(session)


async def stream_endpoint(socket: WebSocket) -> None:
    """One connection: whatever it does, it costs no other one."""
    engine: Engine = socket.app.state.engine
    engine.counts.add("connections")
    engine.num_connections += 1
    try:
        await socket.accept()
        if engine.num_connections > engine.settings.max_connections:
            raise ProtocolError(f"more than {engine.settings.max_connections} connections", BUSY)
        await _serve_session(socket, engine)
        await socket.close()
    except WebSocketDisconnect:
        return
    except RuntimeError:  # how sending to a client that is gone ends
        if WebSocketState.DISCONNECTED not in (socket.client_state, socket.application_state):
            raise
    except ProtocolError as error:
        engine.counts.add("refusals", label=f'code="{error.code}"')
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            await asyncio.wait_for(_close(socket, error), FAREWELL_SECONDS)
    finally:
        engine.num_connections -= 1


async def _close(socket: WebSocket, error: ProtocolError) -> None:
    await socket.send_json({"type": "error", "message": str(error)})
    await socket.close(error.code)


async def health(request: Request) -> JSONResponse:
    """Load of the server: `busy` is the share of its time that the model worked."""
    engine: Engine = request.app.state.engine
    has_failed = request.app.state.work.done() or engine.failed_in_a_row >= MAX_FAILED_STEPS
    load = {
        "status": "failed" if has_failed else "ok",
        "streams": len(engine.sessions),
        "max_streams": engine.batch.max_streams,
        "connections": engine.num_connections,
        "busy": round(engine.counts["busy_seconds"] / max(1e-9, time.monotonic() - engine.started), 3),
        "seconds_waiting": round(_longest_wait(engine), 3),
    }
    return JSONResponse(load, status_code=503 if has_failed else 200)


def _longest_wait(engine: Engine) -> float:
    return max((session.seconds_waiting for session in engine.sessions.values()), default=0.0)


async def metrics(request: Request) -> Response:
    """Counters and gauges for Prometheus, to those who show the token."""
    engine: Engine = request.app.state.engine
    if not is_right(shown_token(request.headers.get("authorization", "")), engine.settings.api_key):
        return JSONResponse({"error": "a token is needed"}, 401, {"WWW-Authenticate": "Bearer"})
    gauges = {
        "streams": ("Streams at work.", len(engine.sessions)),
        "max_streams": ("Streams that may be at work at a time.", engine.batch.max_streams),
        "connections": ("Connections that are open.", engine.num_connections),
        "seconds_waiting": (
            "Longest audio of a stream that the model has not taken, in seconds.",
            _longest_wait(engine),
        ),
    }
    return metrics_response(gauge_lines(gauges) + engine.counts.lines())


def build_app(batch: StreamingBatch, settings: ServerSettings | None = None) -> Starlette:
    """The server as an ASGI application.

    Args:
        batch: What all streams share.
        settings: The token, and the limits; those of the batch are its own.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.engine = Engine(batch, settings or ServerSettings())
        app.state.work = asyncio.create_task(app.state.engine.run())
        yield
        app.state.work.cancel()

    routes = [WebSocketRoute("/v1/stream", stream_endpoint), Route("/health", health), Route("/metrics", metrics)]
    return Starlette(routes=routes, lifespan=lifespan)


def make_batch(pipeline: Any, settings: ServerSettings) -> StreamingBatch:
    """The batch that all streams share.

    Raises:
        ValueError: settings that do not fit.
        ImportError: confidence without the extra `g2p`.
    """
    endpoints = EndpointSettings(min_silence=settings.min_silence, padding=min(0.3, settings.min_silence))
    return StreamingBatch(
        pipeline,
        chunk_ms=settings.chunk_ms,
        left_chunks=settings.left_chunks,
        max_streams=settings.max_streams,
        endpoints=endpoints,
        preview_chunks=settings.preview_chunks,
        return_confidence=settings.confidence or None,
        return_language=settings.return_language or None,
    )


def make_server(app: Starlette, host: str, port: int) -> uvicorn.Server:
    """The server of an application of [`build_app`], to be run."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_max_queue=8,
        # A few hundred bytes would become messages of a megabyte; sound hardly gets smaller.
        ws_per_message_deflate=False,
        # The answer to a ping waits behind audio that is not read yet: IDLE_SECONDS tells who has gone.
        ws_ping_timeout=None,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return uvicorn.Server(config)


def serve(app: Starlette, host: str, port: int) -> None:
    """Serve until interrupted."""
    make_server(app, host, port).run()
