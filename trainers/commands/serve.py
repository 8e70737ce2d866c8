# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr serve`: streaming recognition over WebSockets."""

import argparse
from typing import Any

from .checks import check_model, check_port, need_extra
from .models import load_model
from .options import add_command, add_streaming_options, positive


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(commands, "serve", run, "Serve streaming recognition over WebSockets (extra: serve).")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8765, help="default: %(default)s")
    parser.add_argument("--max_streams", type=positive, default=64, metavar="N", help="default: %(default)s")
    add_streaming_options(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    need_extra("serve", "serve")
    if args.confidence:
        need_extra("g2p", "--confidence")
    check_model(args.model)
    check_port(args.host, args.port)
    pipeline = load_model(args)
    from entropy_asr.spaces.server.server import build_app, make_batch, serve
    from entropy_asr.spaces.server.settings import ServerSettings

    given = {name: getattr(args, name) for name in ServerSettings.__dataclass_fields__ if name != "model"}
    serve(build_app(make_batch(pipeline, ServerSettings(**given))), args.host, args.port)
    return 0
