# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr serve`: streaming recognition over WebSockets, or OpenAI's transcriptions over HTTP."""

import argparse
import os
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from entropy_asr.spaces.server.settings import OpenAISettings, ServerSettings, parse_adapters

from ..runs.errors import CommandError
from .checks import check_model, check_port, need_extra
from .models import default_model, load_model
from .options import add_command, add_streaming_options, positive


API_KEY = "ENTROPY_ASR_API_KEY"
# Options of one kind of server alone.
STREAMING = (
    *("max_streams", "max_connections", "chunk_ms", "left_chunks", "min_silence", "confidence"),
    *("return_language", "preview_chunks"),
)
OPENAI = ("model_name", "max_requests", "max_megabytes")
# Of both.
SHARED = ("api_key", "max_seconds")


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    text = "Serve streaming recognition over WebSockets, or OpenAI's audio/transcriptions (extra: serve)."
    parser = add_command(commands, "serve", run, text)
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8765, help="default: %(default)s")
    parser.add_argument(
        "--adapters",
        nargs="+",
        default=[],
        metavar="NAME=M",
        help="LoRA adapters (folders or Hub ids) beside the model: streams choose one by its name as `adapter`, "
        "OpenAI's requests as `model`",
    )
    streams = parser.add_argument_group("streams")
    streams.add_argument("--max_streams", type=positive, default=64, metavar="N", help="default: %(default)s")
    streams.add_argument(
        "--max_connections",
        type=positive,
        default=ServerSettings.max_connections,
        metavar="N",
        help="connections, those that have not begun a stream included; default: %(default)s",
    )
    from_environment = f"(default: {API_KEY} of the environment, or none)"
    parser.add_argument("--api_key", metavar="KEY", help=f"token that clients must show {from_environment}")
    seconds = f"{ServerSettings.max_seconds:g}; of --openai {OpenAISettings.max_seconds:g}"
    parser.add_argument(
        "--max_seconds", type=positive, metavar="S", help=f"longest stream or recording (default: {seconds})"
    )
    add_streaming_options(parser)
    add_openai_options(parser)
    parser.set_defaults(streaming_defaults={name: parser.get_default(name) for name in STREAMING})


def add_openai_options(parser: argparse.ArgumentParser) -> None:
    """`--openai`, and the options of that server."""
    group = parser.add_argument_group("OpenAI's requests")
    group.add_argument(
        "--openai", action="store_true", help="serve OpenAI's POST /v1/audio/transcriptions, in place of streams"
    )
    group.add_argument("--model_name", metavar="NAME", help="what requests call the model (default: its own name)")
    limits = {
        "max_requests": ("N", "requests at a time, waiting ones included"),
        "max_megabytes": ("MIB", "largest file"),
    }
    for name, (metavar, text) in limits.items():
        text = f"{text} (default: {getattr(OpenAISettings, name):g})"
        group.add_argument(f"--{name}", type=positive, metavar=metavar, help=text)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    check_options(args)
    need_extra("serve", "serve")
    if args.confidence:
        need_extra("g2p", "--confidence")
    check_model(args.model)
    adapters = parse_adapters(",".join(args.adapters))
    for path in adapters.values():
        check_model(path, "--adapters")
    check_port(args.host, args.port)
    run_server = serve_openai if args.openai else serve_streams
    pipeline = load_model(args)
    for name, path in adapters.items():
        pipeline.load_adapter(path, name)
    run_server(args, pipeline)
    return 0


def check_options(args: argparse.Namespace) -> None:
    """Refuse options of the other kind of server, and forms that nothing here could read."""
    if args.openai:
        misplaced = [name for name in STREAMING if getattr(args, name) != args.streaming_defaults[name]]
    else:
        misplaced = [name for name in OPENAI if getattr(args, name) is not None]
    if misplaced:
        reason = "is of streams, which --openai does not serve" if args.openai else "needs --openai"
        raise CommandError(f"--{misplaced[0]} {reason}")
    if args.openai and find_spec("python_multipart") is None:
        raise CommandError("--openai needs python-multipart, which reads forms: pip install python-multipart")


def serve_streams(args: argparse.Namespace, pipeline: Any) -> None:
    """Serve streams over WebSockets."""
    from entropy_asr.spaces.server.server import build_app, make_batch, serve

    loaded = ("model", "adapters")  # and in the pipeline
    fields = [name for name in ServerSettings.__dataclass_fields__ if name not in loaded]
    settings = ServerSettings(**_given(args, fields))
    serve(build_app(make_batch(pipeline, settings), settings), args.host, args.port)


def serve_openai(args: argparse.Namespace, pipeline: Any) -> None:
    """Serve OpenAI's requests."""
    from entropy_asr.spaces.server.openai_server import build_app
    from entropy_asr.spaces.server.server import serve

    settings = OpenAISettings(args.model or str(default_model()), **_given(args, (*OPENAI, *SHARED)))
    serve(build_app(pipeline, settings), args.host, args.port)


def _given(args: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Options that have values; the token may be a variable, which no list of processes shows."""
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    given.setdefault("api_key", os.environ.get(API_KEY) or None)
    return given
