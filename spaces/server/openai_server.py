# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""OpenAI's `audio/transcriptions` over HTTP: any client of theirs, with this server as its `base_url`.

- `POST /v1/audio/transcriptions`: a form, see `openai_request.py`; `prompt` holds hints, words or phrases with commas
  between them. Answers as text, json, verbose_json, srt, vtt, or with `stream` as server-sent events.
- `GET /v1/models` and `GET /v1/models/NAME`: the model, and its adapters, each with the model as its `parent`.
- `GET /health`: requests at work and the limit; needs no token. `GET /metrics`: for Prometheus.

What is wrong is said as OpenAI says it, `{"error": {"message", "type", "param", "code"}}`, with status 400 (a field
or the audio), 401 (the token), 404 (the model or the address), 408 (the body stops or is slow), 413 (the file is
too large), 429 (too many requests at a time) or 500 (the server failed). Requests take turns on the model; one whose
client has gone is ended.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from entropy_asr.modeling import EntropyASRPipeline

from .metrics import Counts, gauge_lines, metrics_response
from .openai_answers import make_answer
from .openai_errors import CLIENT_GONE, HANDLERS, OVERLOADED, OpenAIError, server_failed
from .openai_request import TranscriptionRequest, check_model_name, parse_form
from .openai_transcriber import Job, Transcriber, measured_seconds
from .settings import OpenAISettings
from .tokens import is_right, shown_token


IDLE_SECONDS = 60.0
# Of a form, beside its file.
MAX_FIELD_BYTES = 2**20
# A body that comes more slowly, its first minute apart, would keep the place of another request for days.
MIN_BYTES_PER_SECOND = 2**12
COUNTED = {
    "requests": "Requests for transcriptions, refused ones included.",
    "admitted_requests": "Requests that were read.",
    "audio_seconds": "Seconds of audio that were to be transcribed.",
    "audio_bytes": "Bytes of files that were to be transcribed.",
}


class Endpoint:
    """The model, its limits, and what is at work."""

    def __init__(self, pipeline: EntropyASRPipeline, settings: OpenAISettings):
        self.settings = settings
        self.name, self.adapters = settings.served_name, pipeline.adapters
        self.transcriber = Transcriber(pipeline)
        self.started = int(time.time())
        self.num_requests = 0
        self.counts = Counts(COUNTED)

    @property
    def max_bytes(self) -> int:
        """Largest file."""
        return self.settings.max_megabytes * 2**20

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """The model as OpenAI lists models, and its adapters as vLLM does, by what requests call them."""
        parents = {self.name: {}} | {name: {"parent": self.name} for name in self.adapters}
        shared = {"object": "model", "created": self.started, "owned_by": "entropy-asr"}
        return {name: {"id": name, **shared, **parent} for name, parent in parents.items()}

    def check_token(self, request: Request) -> None:
        """Refuse who does not show the token.

        Raises:
            OpenAIError: it is missing or another one.
        """
        token = shown_token(request.headers.get("authorization", ""))
        if not is_right(token, self.settings.api_key):
            what = "the API key is not the one that this server takes" if token else "an API key is needed"
            headers = {"WWW-Authenticate": "Bearer"}
            raise OpenAIError(f"{what} (Authorization: Bearer KEY)", None, "invalid_api_key", 401, headers=headers)

    def too_large(self) -> OpenAIError:
        """What a client is told of a file that is too large."""
        megabytes = self.settings.max_megabytes
        return OpenAIError(
            f"the file is larger than the {megabytes} MiB that this server takes", "file", "file_too_large", 413
        )

    def admit(self) -> None:
        """Count a request; [`leave`] counts it out.

        Raises:
            OpenAIError: there are as many as there may be.
        """
        if self.num_requests >= self.settings.max_requests:
            message = f"{self.num_requests} requests are at work, as many as this server takes at a time: try again"
            headers = {"Retry-After": "1"}
            raise OpenAIError(message, None, "rate_limit_exceeded", 429, OVERLOADED, headers)
        self.num_requests += 1

    def leave(self) -> None:
        """A request has its answer."""
        self.num_requests -= 1


def _bounded(receive: Receive, endpoint: Endpoint) -> Receive:
    """A body's messages until it is too large, too slow, or does not go on."""
    num_bytes, begun = 0, time.monotonic()

    async def receive_bounded() -> Message:
        nonlocal num_bytes
        left = begun + IDLE_SECONDS + num_bytes / MIN_BYTES_PER_SECOND - time.monotonic()
        try:
            message = await asyncio.wait_for(receive(), min(IDLE_SECONDS, left))
        except TimeoutError as error:
            slow = f"the body comes at less than {MIN_BYTES_PER_SECOND} bytes a second"
            message = slow if left < IDLE_SECONDS else f"nothing was sent for {IDLE_SECONDS:.0f} seconds"
            raise OpenAIError(message, None, "request_timeout", 408) from error
        num_bytes += len(message.get("body", b""))
        if num_bytes > endpoint.max_bytes + MAX_FIELD_BYTES:
            raise endpoint.too_large()
        return message

    return receive_bounded


@asynccontextmanager
async def _read_form(request: Request, endpoint: Endpoint) -> AsyncIterator[FormData]:
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        other = f", not {kind}" if kind else ""
        raise OpenAIError(f"the body must be multipart/form-data{other}", code="invalid_body")
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > endpoint.max_bytes + MAX_FIELD_BYTES:
        raise endpoint.too_large()
    bounded = Request(request.scope, _bounded(request.receive, endpoint))
    async with bounded.form(max_part_size=MAX_FIELD_BYTES) as form:
        yield form


async def _read_request(request: Request, endpoint: Endpoint) -> tuple[TranscriptionRequest, bytes, float]:
    """What is asked for, the file, and its seconds."""
    async with _read_form(request, endpoint) as form:
        wanted, file = parse_form(form, [endpoint.name], endpoint.adapters)
        if file.size > endpoint.max_bytes:
            raise endpoint.too_large()
        endpoint.transcriber.check(wanted)
        audio = await file.read()
    return wanted, audio, await run_in_threadpool(measured_seconds, audio, wanted.name, endpoint.settings.max_seconds)


async def transcribe(request: Request) -> Response:
    """A recording's text."""
    endpoint: Endpoint = request.app.state.endpoint
    endpoint.counts.add("requests")
    endpoint.check_token(request)
    endpoint.admit()
    endpoint.counts.add("admitted_requests")
    try:
        wanted, audio, seconds = await _read_request(request, endpoint)
    except BaseException:
        endpoint.leave()
        raise
    endpoint.counts.add("audio_seconds", seconds)
    endpoint.counts.add("audio_bytes", len(audio))
    if wanted.stream:
        return await _stream(request, endpoint, wanted, audio)
    result = await _outcome(request, _start(endpoint, Job(wanted, audio)))
    if result is None:
        return Response(status_code=CLIENT_GONE)
    return make_answer(wanted, result, seconds)


def _start(endpoint: Endpoint, job: Job) -> Job:
    """Hand a job to the model; its request counts until the model is done with it."""
    loop = asyncio.get_running_loop()

    def leave(future: Future) -> None:
        with suppress(RuntimeError):  # the server has been closed meanwhile
            loop.call_soon_threadsafe(endpoint.leave)

    endpoint.transcriber.submit(job).add_done_callback(leave)
    return job


async def _outcome(request: Request, job: Job) -> dict[str, Any] | None:
    """A job's result; None where the client has gone."""
    work = asyncio.wrap_future(job.result)
    await _wait_while_connected(request, work, job)
    return work.result() if work.done() and not work.cancelled() else None


async def _wait_while_connected(request: Request, work: asyncio.Future, job: Job) -> None:
    """Wait for a part of a job; a job whose client goes is abandoned."""
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not work.done():
            work.cancel()
            job.abandon()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class EventStream(StreamingResponse):
    """Server-sent events of a job, which is abandoned where they are not read to their end."""

    def __init__(self, events: AsyncIterator[str], job: Job):
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self.job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.job.abandon()


async def _stream(request: Request, endpoint: Endpoint, wanted: TranscriptionRequest, audio: bytes) -> Response:
    """The text while it is written; what cannot be transcribed is refused before the first event."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[str | Future] = asyncio.Queue()

    def put(piece: str | Future) -> None:
        with suppress(RuntimeError):  # the server has been closed meanwhile
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

    job = _start(endpoint, Job(wanted, audio, put))
    job.result.add_done_callback(put)
    first = asyncio.ensure_future(pieces.get())
    await _wait_while_connected(request, first, job)
    if not first.done() or job.result.cancelled():
        return Response(status_code=CLIENT_GONE)
    if isinstance(first.result(), Future):
        first.result().result()  # raises where it failed
    return EventStream(_events(first.result(), pieces), job)


async def _events(piece: str | Future, pieces: asyncio.Queue) -> AsyncIterator[str]:
    while isinstance(piece, str):
        yield _event({"type": "transcript.text.delta", "delta": piece})
        piece = await pieces.get()
    try:
        yield _event({"type": "transcript.text.done", "text": piece.result()["text"]})
    except OpenAIError as error:
        yield _event(error.body)
    except Exception:
        yield _event(server_failed().body)
        raise


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


async def list_models(request: Request) -> JSONResponse:
    """The models that requests may name."""
    endpoint: Endpoint = request.app.state.endpoint
    endpoint.check_token(request)
    return JSONResponse({"object": "list", "data": [*endpoint.models.values()]})


async def show_model(request: Request) -> JSONResponse:
    """One model."""
    endpoint: Endpoint = request.app.state.endpoint
    endpoint.check_token(request)
    name = request.path_params["name"]
    check_model_name(name, endpoint.models)
    return JSONResponse(endpoint.models[name])


async def health(request: Request) -> JSONResponse:
    """Load of the server."""
    endpoint: Endpoint = request.app.state.endpoint
    return JSONResponse(
        {"status": "ok", "requests": endpoint.num_requests, "max_requests": endpoint.settings.max_requests}
    )


async def metrics(request: Request) -> Response:
    """Counters and gauges for Prometheus."""
    endpoint: Endpoint = request.app.state.endpoint
    endpoint.check_token(request)
    gauges = {
        "requests": ("Requests at work, waiting ones included.", endpoint.num_requests),
        "max_requests": ("Requests that may be at work at a time.", endpoint.settings.max_requests),
    }
    return metrics_response(gauge_lines(gauges) + endpoint.counts.lines())


def build_app(pipeline: EntropyASRPipeline, settings: OpenAISettings) -> Starlette:
    """The server as an ASGI application.

    Args:
        pipeline: Of the model that is served, with its adapters.
        settings: Its name, the token, and the limits.

    Raises:
        ImportError: what reads forms is not installed.
        ValueError: an adapter has the name of the model.
    """
    if settings.served_name in pipeline.adapters:
        raise ValueError(
            f"{settings.served_name!r} is the name of the model and of an adapter: no request could tell."
        )
    if find_spec("python_multipart") is None:
        raise ImportError("OpenAI's requests are forms, which need python-multipart: pip install python-multipart")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.endpoint = Endpoint(pipeline, settings)
        yield
        app.state.endpoint.transcriber.close()

    routes = [
        Route("/v1/audio/transcriptions", transcribe, methods=["POST"]),
        Route("/v1/models", list_models),
        Route("/v1/models/{name:path}", show_model),
        Route("/health", health),
        Route("/metrics", metrics),
    ]
    return Starlette(routes=routes, exception_handlers=HANDLERS, lifespan=lifespan)
