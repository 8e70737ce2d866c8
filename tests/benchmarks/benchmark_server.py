# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How many real-time streams the WebSocket server keeps up with.

    python tests/benchmarks/benchmark_server.py --data_dir ../shared/data [--streams 10 25 50] [--seconds 60]

Each client says test utterances (fsdd_digits, speechocean762) in an order of its own with pauses of 1 to 2 s, in
messages of 100 ms as they would be recorded. The lag of a text is the time from when its end could be known (the end
of its padding and what is left of the silence that ends a segment) to its arrival. The server keeps up where nothing
is lost (audio, texts of segments that voice activity detection finds in the same audio), no client is held up in
sending by more than a second, and 95 percent of the texts lag by at most `--max_lag` seconds. Counts are tried in
order until one is too many; then between it and the last that was not.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import psutil
import websockets

from entropy_asr.modeling import EndpointSettings, detect_speech, load_audio
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import load_source


SETS, ROWS = ("fsdd_digits", "speechocean762"), 40
PORTION = 1600
MAX_HELD_UP, REFINEMENTS = 1.0, 2
# From the end of a segment, padding included, to the silence that ends it.
KNOWN_AFTER = EndpointSettings().min_silence - EndpointSettings().padding


def speak(recordings: list[np.ndarray], seed: int, seconds: float) -> np.ndarray:
    """What one client says, as int16 samples."""
    rng = np.random.default_rng(seed)
    parts, length = [], 0
    while length < 16000 * seconds:
        parts += [np.zeros(int(rng.integers(16000, 32000))), recordings[rng.integers(len(recordings))]]
        length = sum(map(len, parts))
    sound = np.concatenate([*parts, np.zeros(16000)])[: round(16000 * (seconds + 1))]
    return (32767 * (sound + 0.0005 * rng.normal(size=len(sound))).clip(-1, 1)).astype(np.int16)


async def talk(address: str, samples: np.ndarray, delay: float) -> dict[str, Any]:
    """Lags of a client's texts, its largest delay in sending, seconds heard by the server, partial updates."""
    await asyncio.sleep(delay)
    measured: dict[str, Any] = {"lags": [], "held_up": 0.0, "partial": 0}
    # A server that does not keep up answers pings late: how late texts are is to be measured, not ended.
    async with websockets.connect(address, max_size=None, ping_timeout=None) as client:
        start = time.monotonic()

        async def send() -> None:
            for index in range(0, len(samples), PORTION):
                due = start + (index + PORTION) / 16000
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await client.send(samples[index : index + PORTION].tobytes())
                measured["held_up"] = max(measured["held_up"], time.monotonic() - due)
            await client.send(json.dumps({"type": "finish"}))

        sending = asyncio.create_task(send())
        async for message in client:
            update = json.loads(message)
            if update["type"] == "error":
                raise SystemExit(f"the server refuses: {update['message']}")
            if update["type"] == "final":
                known = min(update["end"] + KNOWN_AFTER, len(samples) / 16000)
                measured["lags"].append(time.monotonic() - start - known)
            measured["partial"] += update["type"] == "partial"
        await sending
    return measured | {"heard": update.get("seconds", 0.0)}


async def measure(
    port: int, count: int, recordings: list[np.ndarray], seconds: float, process: psutil.Process
) -> dict[str, float]:
    """Figures of so many clients at a time."""
    said = [speak(recordings, seed, seconds) for seed in range(count)]
    expected = sum(len(detect_speech(load_audio(samples))) for samples in said)
    address, used = f"ws://127.0.0.1:{port}/v1/stream", sum(process.cpu_times()[:2])
    start = time.monotonic()
    clients = await asyncio.gather(*(talk(address, samples, 0.64 * i / count) for i, samples in enumerate(said)))
    cores = (sum(process.cpu_times()[:2]) - used) / (time.monotonic() - start)
    lags = np.concatenate([client["lags"] for client in clients])
    median, high, most = np.percentile(lags, [50, 95, 100]).tolist() if len(lags) else [0.0] * 3
    return {
        "streams": count,
        "texts": len(lags),
        "texts_lost": expected - len(lags),
        "audio_lost_s": sum(map(len, said)) / 16000 - sum(client["heard"] for client in clients),
        "lag_median_s": median,
        "lag_p95_s": high,
        "lag_max_s": most,
        "held_up_s": max(client["held_up"] for client in clients),
        "partial_updates": sum(client["partial"] for client in clients),
        "server_cores": cores,
        "server_mib": process.memory_info().rss / 2**20,
        "load": os.getloadavg()[0],
    }


def keeps_up(figures: dict[str, float], max_lag: float) -> bool:
    lost = figures["texts_lost"] != 0 or figures["audio_lost_s"] > 0.01
    return not lost and figures["held_up_s"] <= MAX_HELD_UP and figures["lag_p95_s"] <= max_lag


def search(counts: list[int], fits: Callable[[int], bool]) -> int:
    """Largest count that fits: of those given, and of a few between the last that does and the first that does not."""
    best = 0
    for count in counts:
        if not fits(count):
            for _ in range(REFINEMENTS):
                if count - best > 1:
                    middle = (best + count) // 2
                    best, count = (middle, count) if fits(middle) else (best, middle)
            return best
        best = count
    return best


def wait_until_ready(port: int, server: subprocess.Popen, log: BinaryIO) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
            return
        except OSError:
            time.sleep(0.2)
        if server.poll() is not None:
            break
    log.seek(0)
    raise SystemExit(f"the server does not start: {log.read().decode()[-1000:]}")


def load_recordings(data_dir: Path) -> list[np.ndarray]:
    """Evenly spaced rows of the test splits."""
    recordings = []
    for name in SETS:
        rows = load_source(DataSource(path=str(data_dir / name), split="test"))
        recordings += [read_samples(rows[int(index)]) for index in np.linspace(0, len(rows) - 1, ROWS)]
    return recordings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--streams", nargs="+", type=int, default=[10, 25, 50])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--max_lag", type=float, default=1.0)
    parser.add_argument("--port", type=int, default=8799)
    parser.add_argument("--model")
    args = parser.parse_args()
    recordings = load_recordings(args.data_dir)
    command = [
        sys.executable,
        "-m",
        "entropy_asr.trainers.commands.cli",
        "serve",
        "--port",
        str(args.port),
        "--device",
        "cpu",
    ]
    command += ["--max_streams", str(max(args.streams))] + (["--model", args.model] if args.model else [])
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            wait_until_ready(args.port, server, log)
            print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f} before", flush=True)

            def fits(count: int) -> bool:
                work = measure(args.port, count, recordings, args.seconds, psutil.Process(server.pid))
                figures = asyncio.run(work)
                fit = keeps_up(figures, args.max_lag)
                print(json.dumps({name: round(value, 3) for name, value in figures.items()} | {"keeps_up": fit}))
                sys.stdout.flush()
                return fit

            print(f"keeps up with {search(sorted(args.streams), fits)} streams")
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
