# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Entry point of the Space; settings: README.md beside this file. `entropy-asr serve` is the same by options."""

from starlette.applications import Starlette

from entropy_asr.modeling import load_pipeline
from entropy_asr.spaces.environment import read_settings
from entropy_asr.spaces.server import openai_server, server
from entropy_asr.spaces.server.settings import OpenAISettings, ServerSettings, parse_adapters


def load_app(settings: ServerSettings) -> Starlette:
    """The server as an ASGI application, its model loaded."""
    adapters = parse_adapters(settings.adapters)
    pipeline = load_pipeline(settings.model, device=settings.device, dtype=settings.dtype, adapters=adapters)
    if settings.openai:
        return openai_server.build_app(pipeline, read_settings(OpenAISettings, model=settings.model))
    return server.build_app(server.make_batch(pipeline, settings), settings)


def main(settings: ServerSettings) -> None:
    """Serve until interrupted."""
    server.serve(load_app(settings), settings.host, settings.port)


if __name__ == "__main__":
    main(read_settings(ServerSettings))
