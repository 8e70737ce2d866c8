# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How many real-time streams the WebSocket server keeps up with.

Run by hand: `python tests/benchmarks/benchmark_server.py FILES... [--streams 10 25 50] [--seconds 60] [--model M]`.
Each client says the recordings in an order of its own with pauses of 1 to 2 s, in messages of 100 ms as they would be
recorded. The lag of a text is the time from when its end could be known (the end of its padding and what is left of
the silence that ends a segment) to its arrival.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request

import numpy as np
import psutil
import websockets

from entropy_asr.modeling import EndpointSettings, load_audio


PORTION = 1600
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


async def talk(address: str, samples: np.ndarray, delay: float) -> tuple[list[float], float, float, int]:
    """Lags of a client's texts, its largest delay in sending, seconds heard by the server, partial updates."""
    await asyncio.sleep(delay)
    lags, held_up, num_partial = [], 0.0, 0
    async with websockets.connect(address, max_size=None) as client:
        start = time.monotonic()

        async def send() -> None:
            nonlocal held_up
            for index in range(0, len(samples), PORTION):
                due = start + (index + PORTION) / 16000
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await client.send(samples[index : index + PORTION].tobytes())
                held_up = max(held_up, time.monotonic() - due)
            await client.send(json.dumps({"type": "finish"}))

        sending = asyncio.create_task(send())
        async for message in client:
            update = json.loads(message)
            if update["type"] == "final":
                lags.append(time.monotonic() - start - min(update["end"] + KNOWN_AFTER, len(samples) / 16000))
            num_partial += update["type"] == "partial"
        await sending
    return lags, held_up, update.get("seconds", 0.0), num_partial


async def measure(port: int, count: int, recordings: list[np.ndarray], seconds: float, process: psutil.Process) -> str:
    said = [speak(recordings, seed, seconds) for seed in range(count)]
    address, used = f"ws://127.0.0.1:{port}/v1/stream", sum(process.cpu_times()[:2])
    start = time.monotonic()
    results = await asyncio.gather(*(talk(address, samples, 0.64 * i / count) for i, samples in enumerate(said)))
    share = (sum(process.cpu_times()[:2]) - used) / (time.monotonic() - start)
    lags = np.concatenate([lags for lags, *_ in results])
    lost = sum(len(samples) / 16000 - heard for samples, (_, _, heard, _) in zip(said, results, strict=True))
    median, high, most = np.percentile(lags, [50, 95, 100])
    memory = process.memory_info().rss / 2**20
    return (
        f"{count:4} streams: {len(lags)} texts, lag median {median:.2f} s, p95 {high:.2f} s, max {most:.2f} s; "
        f"sending held up {max(held for _, held, _, _ in results):.2f} s; audio lost {lost:.2f} s; "
        f"{sum(partial for *_, partial in results)} partial updates; server {share:.2f} cores, {memory:.0f} MiB"
    )


def wait_until_ready(port: int) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the server does not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--streams", nargs="+", type=int, default=[10, 25, 50])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--port", type=int, default=8799)
    parser.add_argument("--model")
    args = parser.parse_args()
    recordings = [load_audio(file) for file in args.files]
    command = [sys.executable, "-m", "entropy_asr.trainers.cli", "serve", "--port", str(args.port), "--device", "cpu"]
    command += ["--max_streams", str(max(args.streams))] + (["--model", args.model] if args.model else [])
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until_ready(args.port)
            print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before", flush=True)
            for count in args.streams:
                work = measure(args.port, count, recordings, args.seconds, psutil.Process(server.pid))
                print(asyncio.run(work), f"load {os.getloadavg()[0]:.1f}", flush=True)
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
