# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whether the WebSocket server stays as it is for an hour: honest clients, and beside them some that do wrong.

    python tests/benchmarks/soak_server.py --data_dir ../shared/data --limit 25 [--minutes 60] [--share 0.8]

`--limit` is what `benchmark_server.py` found for the machine. So large a share of it are honest clients, who say test
utterances as there, one conversation after the other. Beside them one client each vanishes in the middle of a word,
stalls (says nothing, or reads nothing), floods (sends half a minute at once) and sends garbage, again and again.
Memory, threads, open files and /health are written down all the while. At the end all leave; the server is stopped.

It prints, and writes to `tests/benchmarks/results/soak_server.json`, what honest clients got (texts in time, lags at
the beginning and at the end, audio lost), how memory went, and what was left; the exit status is 1 where `faults`
names something.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import websockets
from benchmark_server import MAX_HELD_UP, load_recordings, speak, talk, wait_until_ready


RESULTS = Path(__file__).parent / "results" / "soak_server.json"
TALK_SECONDS, FLOOD_SECONDS = 60, 30
# Of streams beside the honest ones.
SPARE = 8
STOP_SECONDS = 60
CLEAN_EXITS = (0, -signal.SIGTERM, 128 + signal.SIGTERM)
# What goes wrong with a connection that the server ends, or cannot take.
REFUSALS = (websockets.ConnectionClosed, websockets.InvalidHandshake, OSError, EOFError)
REFUSED_WITH = (1003, 1008, 1009, 1013)
GARBAGE = (
    "no json",
    "[" * 100000,
    '{"type": "stop"}',
    '{"type": "start", "langauge": "en"}',
    '{"type": "start", "language": "xx"}',
    '{"type": "start", "sampling_rate": 1e999}',
    json.dumps({"type": "start", "hotwords": ["a"] * 2000}),
    b"\x00\x01\x02",
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0",
    bytes(2**20 + 2),
)


class Soak:
    """Clients of one server until a moment, and what came of them."""

    def __init__(self, port: int, recordings: list[np.ndarray], end: float):
        self.port, self.recordings, self.end = port, recordings, end
        self.address = f"ws://127.0.0.1:{port}/v1/stream"
        self.start = time.monotonic()
        self.counts: Counter[str] = Counter()
        self.lags: list[tuple[float, float]] = []  # when, and by how much, in seconds
        self.held_up: list[float] = []
        self.lost_seconds = 0.0
        self.refusals: list[str] = []

    @property
    def is_over(self) -> bool:
        """Whether no client begins anything more."""
        return time.monotonic() >= self.end

    async def be_honest(self, number: int) -> None:
        """Say one conversation after the other."""
        for seed in range(number, 1 << 30, 1000):
            if self.is_over:
                return
            seconds = min(TALK_SECONDS, max(5.0, self.end - time.monotonic()))
            said = speak(self.recordings, seed, seconds)
            self.counts["conversations"] += 1
            try:
                measured = await talk(self.address, said, random.uniform(0, 0.64))
            except (*REFUSALS, SystemExit) as error:
                self.counts["conversations that failed"] += 1
                self.refusals.append(str(error))
                await asyncio.sleep(1)
                continue
            self.lags += [(time.monotonic() - self.start, lag) for lag in measured["lags"]]
            self.held_up.append(measured["held_up"])
            self.lost_seconds += len(said) / 16000 - measured["heard"]

    async def do_again(self, name: str, act: Callable[[], Awaitable[None]], pause: float) -> None:
        """Let a client that does wrong begin again and again, with pauses of up to twice so many seconds."""
        while not self.is_over:
            self.counts[name] += 1
            with suppress(*REFUSALS):
                await act()
            await asyncio.sleep(min(random.uniform(0, 2 * pause), max(0.0, self.end - time.monotonic())))

    async def vanish(self) -> None:
        """Speak, and go without a word."""
        client = await websockets.connect(self.address, max_size=None)
        for _ in range(random.randrange(40)):
            await client.send((32767 * random.choice(self.recordings)[:1600]).astype("<i2").tobytes())
            await asyncio.sleep(0.1)
        client.transport.abort()

    async def stall(self) -> None:
        """Begin nothing, or speak and then neither speak nor read, until the server has enough of it."""
        seconds = min(75.0, max(1.0, self.end - time.monotonic()))
        if random.random() < 0.5:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            await asyncio.sleep(seconds / 3)
            writer.close()
            return
        async with websockets.connect(self.address, max_size=None, max_queue=1, close_timeout=1) as client:
            await client.send(bytes(32000))
            await asyncio.sleep(seconds)

    async def flood(self) -> None:
        """Send as fast as the server takes it; all of it has to be taken."""
        said = speak(self.recordings, random.randrange(1 << 30), FLOOD_SECONDS).tobytes()
        async with websockets.connect(self.address, max_size=None, ping_timeout=None) as client:
            for start in range(0, len(said), 1 << 19):
                await client.send(said[start : start + (1 << 19)])
            await client.send('{"type": "finish"}')
            async for message in client:
                last = json.loads(message)
        if last["type"] != "done" or abs(last["seconds"] - len(said) / 32000) > 0.01:
            self.counts["floods that lost something"] += 1

    async def send_garbage(self) -> None:
        """Send what is not of the protocol, which has to be refused."""
        if random.random() < 0.2:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(random.randbytes(1000) + b"\r\n\r\n")
            await reader.read(1000)
            writer.close()
            return
        async with websockets.connect(self.address, max_size=None) as client:
            await client.send(random.choice(GARBAGE))
            answers = ["nothing"]
            with suppress(websockets.ConnectionClosed):
                async for message in client:
                    answers.append(message)
        if client.close_code not in REFUSED_WITH:
            self.counts["garbage that was taken"] += 1
            self.refusals.append(f"{client.close_code}: {answers[-1][:200]}")

    async def run(self, num_honest: int) -> None:
        """All of them, until they have left."""
        wrong = {"vanished": (self.vanish, 1.0), "stalled": (self.stall, 1.0)}
        wrong |= {"flooded": (self.flood, 30.0), "garbage": (self.send_garbage, 0.5)}
        honest = [self.be_honest(number) for number in range(num_honest)]
        await asyncio.gather(*honest, *(self.do_again(name, *how) for name, how in wrong.items()))


def ask_health(port: int) -> dict[str, Any]:
    """What /health says; the reason where it says nothing."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        return {"status": str(error)}


async def watch(soak: Soak, process: psutil.Process, every: float, samples: list[dict[str, Any]]) -> None:
    """Write down how the server is, until cancelled."""
    while True:
        health = await asyncio.to_thread(ask_health, soak.port)
        taken = {"seconds": round(time.monotonic() - soak.start), "mib": round(process.memory_info().rss / 2**20, 1)}
        taken |= {"threads": process.num_threads(), "files": process.num_fds(), "texts": len(soak.lags)} | health
        samples.append(taken)
        print(json.dumps(taken), flush=True)
        await asyncio.sleep(every)


async def soak_for(soak: Soak, process: psutil.Process, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the clients; samples of the server, the last one when all have left."""
    samples: list[dict[str, Any]] = []
    watching = asyncio.create_task(watch(soak, process, args.every, samples))
    await soak.run(max(1, round(args.share * args.limit)))
    watching.cancel()
    await asyncio.sleep(5)
    samples.append({"left": True, "files": process.num_fds()} | ask_health(soak.port))
    return samples


def stop(server: subprocess.Popen, log: Any) -> dict[str, Any]:
    """How the server ends when it is told to."""
    begun = time.monotonic()
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(STOP_SECONDS)
    log.seek(0)
    written = log.read().decode(errors="replace")
    seconds = round(time.monotonic() - begun, 1)
    return {"exit_code": server.poll(), "seconds": seconds, "tracebacks": written.count("Traceback (most recent")}


def summary(soak: Soak, samples: list[dict[str, Any]], stopped: dict[str, Any], args: argparse.Namespace) -> dict:
    """Figures of a run, and what is wrong with them."""
    lags = [lag for _, lag in soak.lags]
    quarter = (soak.end - soak.start) / 4
    parts = {
        "first_quarter": [lag for when, lag in soak.lags if when < quarter],
        "last_quarter": [lag for when, lag in soak.lags if when > 3 * quarter],
    }
    memory = [sample["mib"] for sample in samples if "mib" in sample]
    settled = memory[len(memory) // 4 :]
    growth = statistics.median(settled[len(settled) // 2 :]) - statistics.median(settled[: len(settled) // 2 + 1])
    left = samples[-1]
    figures = {
        "minutes": args.minutes,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "honest_clients": max(1, round(args.share * args.limit)),
        "honest_texts": len(lags),
        "honest_texts_in_time": round(np.mean(np.array(lags) <= args.max_lag).item(), 4) if lags else 0.0,
        "lag_p95_s": {name: round(float(np.percentile(part, 95)), 3) for name, part in parts.items() if part},
        "held_up_s": round(max(soak.held_up, default=0.0), 3),
        "audio_lost_s": round(soak.lost_seconds, 3),
        "clients": dict(soak.counts),
        "mib": {"first": memory[0], "last": memory[-1], "most": max(memory), "growth": round(growth, 1)},
        "stop": stopped,
    }
    checks = {
        "honest conversations failed": soak.counts["conversations that failed"] > 0,
        "honest texts were late": figures["honest_texts_in_time"] < 0.95,
        "honest clients were held up": figures["held_up_s"] > MAX_HELD_UP,
        "audio was lost": soak.lost_seconds > 0.01 or soak.counts["floods that lost something"] > 0,
        "garbage was taken": soak.counts["garbage that was taken"] > 0,
        "memory grew": growth > args.max_growth,
        "something was left": (left.get("streams"), left.get("connections"), left["status"]) != (0, 0, "ok"),
        "the server did not stop": stopped["exit_code"] not in CLEAN_EXITS,
        "its log has tracebacks": stopped["tracebacks"] > 0,
    }
    faults = [name for name, is_so in checks.items() if is_so]
    return {**figures, "faults": faults, "refusals": sorted(set(soak.refusals))[:20], "samples": samples}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--limit", type=int, required=True, help="streams that the machine keeps up with")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--share", type=float, default=0.8, help="honest clients, of the limit")
    parser.add_argument("--max_lag", type=float, default=1.0, help="of a text that is in time, in seconds")
    parser.add_argument("--max_growth", type=float, default=100, help="MiB between the middle and the end")
    parser.add_argument("--every", type=float, default=30, help="seconds between samples")
    parser.add_argument("--port", type=int, default=8798)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    command = [sys.executable, "-m", "entropy_asr.trainers.commands.cli", "serve", "--device", "cpu"]
    command += ["--port", str(args.port), "--max_streams", str(args.limit + SPARE)]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            recordings = load_recordings(args.data_dir)
            wait_until_ready(args.port, server, log)
            soak = Soak(args.port, recordings, time.monotonic() + 60 * args.minutes)
            samples = asyncio.run(soak_for(soak, psutil.Process(server.pid), args))
            stopped = stop(server, log)
        finally:
            server.kill()
    result = summary(soak, samples, stopped, args)
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in result.items() if name != "samples"}, indent=1))
    sys.exit(bool(result["faults"]))


if __name__ == "__main__":
    main()
