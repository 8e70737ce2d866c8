# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How long visitors of the demo wait: for the page, for the first answer, for a 10 s clip, and 20 of them at once.

    python tests/benchmarks/benchmark_demo.py

The demo is started as `entropy-asr demo` in a process of its own, with the bundled checkpoint and no network. Times
are wall times; the machine's cores are printed with them.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio_client
import numpy as np
import soundfile

import entropy_asr.spaces


EXAMPLE = Path(entropy_asr.spaces.__file__).parent / "demo" / "examples" / "english.flac"


def start(port: int, cache: Path) -> subprocess.Popen:
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": str(cache)}
    command = [sys.executable, "-m", "entropy_asr.trainers.commands.cli", "demo"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str, process: subprocess.Popen) -> None:
    while process.poll() is None:
        try:
            if urllib.request.urlopen(url, timeout=60).status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"the demo ended with status {process.returncode}")


def connect(url: str) -> gradio_client.Client:
    return gradio_client.Client(url, verbose=False, download_files=False, httpx_kwargs={"timeout": 120})


def ask(client: gradio_client.Client, path: Path) -> float:
    """Seconds to the answer."""
    started = time.perf_counter()
    client.predict(gradio_client.handle_file(str(path)), "en", "", None, api_name="/transcribe")
    return time.perf_counter() - started


def measure(url: str, process: subprocess.Popen, folder: Path, started: float, users: int, repeats: int) -> None:
    wait_for(url, process)
    print(f"page after {time.perf_counter() - started:.1f} s")
    client = connect(url)
    ask(client, EXAMPLE)
    print(f"first answer after {time.perf_counter() - started:.1f} s")
    samples, rate = soundfile.read(EXAMPLE, dtype="float32")
    clip = folder / "clip.wav"
    soundfile.write(clip, np.resize(samples, 10 * rate), rate)
    seconds = [ask(client, clip) for _ in range(repeats)]
    print(f"10 s clip: median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s of {repeats}")
    with ThreadPoolExecutor(users) as pool:
        clients = list(pool.map(lambda _: connect(url), range(users)))
        seconds = list(pool.map(lambda client: ask(client, EXAMPLE), clients))
    length = len(samples) / rate
    print(f"{users} users at once, a {length:.1f} s clip each: all answered, the last in {max(seconds):.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        port, started = free_port(), time.perf_counter()
        process = start(port, Path(folder) / "cache")
        try:
            measure(f"http://127.0.0.1:{port}", process, Path(folder), started, args.users, args.repeats)
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()
