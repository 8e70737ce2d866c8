# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""An ASGI application on a free port, in a thread."""

import json
import socket
import threading
import time
import urllib.request

from entropy_asr.spaces.server import server


class RunningApp:
    """The application, served until it is stopped."""

    def __init__(self, app):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uvicorn = server.make_server(app, "127.0.0.1", self.port)
        self.uvicorn.config.log_level = "error"
        self.thread = threading.Thread(target=self.uvicorn.run, daemon=True)
        self.thread.start()
        deadline = time.monotonic() + 20
        while not self.uvicorn.started:
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.01)

    def health(self) -> dict:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health") as answer:
            return json.load(answer)

    def metrics(self, token: str = "") -> dict[str, float]:
        """What Prometheus would read, with the token where one is wanted."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/metrics", headers=headers)
        with urllib.request.urlopen(request) as answer:
            lines = answer.read().decode().splitlines()
        samples = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return {name: float(value) for name, value in samples}

    def wait_for(self, field: str, value: int) -> None:
        """Until /health says so."""
        deadline = time.monotonic() + 20
        while self.health()[field] != value:
            assert time.monotonic() < deadline, self.health()
            time.sleep(0.02)

    def stop(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join(10)
