# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A recording of hours, joined from known utterances: memory, error rate against its parts, what is lost or doubled.

Run by hand: `python tests/benchmarks/benchmark_long_form.py DATA_DIR [--minutes 120] [--model M] [--work_dir D]`.
English test utterances of fsdd_digits, speechocean762 and librispeech_subset are laid out with gaps of 0.8 to 2.5 s in
noise, and transcribed in processes of their own: a minute of them, and all. Then (not with `--only_memory`) each
utterance is transcribed alone, as cut from the recording with 0.3 s on both sides. What is done is kept in
`--work_dir`: a run that was stopped goes on there.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from datasets import Audio, load_dataset
from rapidfuzz.distance import Levenshtein

from entropy_asr.modeling import load_audio, load_pipeline


SETS = ("fsdd_digits", "speechocean762", "librispeech_subset")
RATE, MARGIN, WINDOW = 16000, 4800, 512
NOISE = 0.001  # 60 dB below full scale


def write_recording(data_dir: Path, seconds: float, path: Path) -> list[tuple[int, int, str]]:
    """Write the recording block by block; returns first and last sample and text of each utterance."""
    rows = []
    for name in SETS:
        files = str(data_dir / name / "data" / "test-*.parquet")
        data = load_dataset("parquet", data_files=files, split="train").cast_column("audio", Audio(decode=False))
        rows += [(row["audio"]["bytes"], row["text"]) for row in data]
    rng = np.random.default_rng(0)
    places, position = [], 0
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as file:
        for index in np.concatenate([rng.permutation(len(rows)) for _ in range(20)]):
            audio, text = rows[index]
            speech, gap = load_audio(audio), int(RATE * rng.uniform(0.8, 2.5))
            sound = np.concatenate([np.zeros(gap, dtype=np.float32), speech])
            file.write((sound + NOISE * rng.normal(size=len(sound))).clip(-1, 1))
            places.append((position + gap, position + len(sound), text))
            position += len(sound)
            if position > seconds * RATE:
                break
        file.write(NOISE * rng.normal(size=RATE))
    return places


def transcribe(model: str, path: str) -> dict:
    """What a process of its own does: chunks, seconds and peak memory."""
    pipe = load_pipeline(model, device="cpu")
    start = time.perf_counter()
    result = pipe(path, return_timestamps=True, language="en", chunk_length_s=30, progress=sys.stderr.isatty())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"chunks": result["chunks"], "seconds": time.perf_counter() - start, "peak_mib": peak}


def run_child(model: str, path: Path) -> dict:
    command = [sys.executable, __file__, "--child", model, str(path)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])


def assign(chunks: list[dict], places: list[tuple[int, int, str]]) -> tuple[list[str], int]:
    """Text of the segments that overlap each utterance most, and how many segments overlap none."""
    texts, extra = [""] * len(places), 0
    bounds = np.array([(start, end) for start, end, _ in places])
    for chunk in chunks:
        start, end = (time * RATE for time in chunk["timestamp"])
        overlaps = np.minimum(bounds[:, 1], end) - np.maximum(bounds[:, 0], start)
        best = int(overlaps.argmax())
        if overlaps[best] <= 0:
            extra += 1
        else:
            texts[best] = f"{texts[best]} {chunk['text']}".strip()
    return texts, extra


def error_rate(texts: list[str], places: list[tuple[int, int, str]]) -> float:
    references = [reference.lower().split() for _, _, reference in places]
    pairs = [(text.lower().split(), reference) for text, reference in zip(texts, references, strict=True)]
    return 100 * sum(Levenshtein.distance(*pair) for pair in pairs) / sum(len(reference) for _, reference in pairs)


def coverage(chunks: list[dict], places: list[tuple[int, int, str]]) -> tuple[list[int], float]:
    """Utterances, by number, that no segment touches, and the share of the segments' audio that two of them have."""
    bounds = np.array([[round(time * RATE) for time in chunk["timestamp"]] for chunk in chunks])
    touched = [((bounds[:, 0] < end) & (bounds[:, 1] > start)).any() for start, end, _ in places]
    lost = np.flatnonzero(~np.array(touched)).tolist()
    doubled = np.maximum(0, bounds[:-1, 1] - bounds[1:, 0]).sum() / (bounds[:, 1] - bounds[:, 0]).sum()
    return lost, doubled


def level_above_noise(recording: Path, start: int, end: int) -> float:
    """Level of half of an utterance's windows over that of the noise that was added to everything, in dB.

    The median, since clicks are loud and no speech.
    """
    samples, _ = soundfile.read(recording, start=start, stop=end)
    powers = np.square(samples[: len(samples) // WINDOW * WINDOW]).reshape(-1, WINDOW).mean(-1)
    return 10 * np.log10(max(np.median(powers) / NOISE**2 - 1, 1e-3))


def once(path: Path, make: Callable[[], Any]) -> Any:
    """What `make` gives, from the file of an earlier run where there is one."""
    if not path.is_file():
        result = make()
        path.write_text(json.dumps(result))
    return json.loads(path.read_text())


def transcribe_alone(model: str, recording: Path, places: list[tuple[int, int, str]], kept: Path) -> list[str]:
    """Texts of the utterances, cut out of the recording; each is kept as soon as it is there."""
    texts = [json.loads(line) for line in kept.read_text().splitlines()] if kept.is_file() else []
    pipe = load_pipeline(model, device="cpu")
    samples = np.memmap(recording, dtype="<i2", mode="r", offset=44)  # behind the header of a WAV file
    parts = (samples[max(0, start - MARGIN) : end + MARGIN] for start, end, _ in places[len(texts) :])
    with kept.open("a") as file:
        for result in pipe((np.array(part) for part in parts), batch_size=8, language="en"):
            texts.append(result["text"])
            print(json.dumps(result["text"]), file=file, flush=True)
    return texts


def report(args: argparse.Namespace, folder: Path) -> None:
    recording = folder / "long.wav"
    once(folder / "minute_places.json", lambda: write_recording(args.data_dir, 60, folder / "minute.wav"))
    places = once(folder / "places.json", lambda: write_recording(args.data_dir, 60 * args.minutes, recording))
    minute = once(folder / "minute.json", lambda: run_child(args.model, folder / "minute.wav"))
    long = once(folder / "long.json", lambda: run_child(args.model, recording))
    hours, growth = places[-1][1] / RATE / 3600, long["peak_mib"] - minute["peak_mib"]
    print(f"{hours:.2f} h, {len(places)} utterances, {len(long['chunks'])} segments, {long['seconds']:.0f} s")
    print(f"peak memory: a minute {minute['peak_mib']:.0f} MiB, all {long['peak_mib']:.0f} MiB, {growth:.0f} more")
    lost, doubled = coverage(long["chunks"], places)
    texts, extra = assign(long["chunks"], places)
    print(
        f"utterances without a segment {len(lost)}, segments without an utterance {extra}, "
        f"audio in two segments {doubled}"
    )
    levels = [level_above_noise(recording, *places[number][:2]) for number in range(len(places))]
    for number in lost:
        start, _, text = places[number]
        softer = sum(level < levels[number] for level in levels)
        print(
            f"  {text!r} at {start / RATE:.1f} s: {levels[number]:.1f} dB above the noise that was added; "
            f"{softer} of {len(levels)} utterances stand out less"
        )
    if not args.only_memory:
        alone = transcribe_alone(args.model, recording, places, folder / "alone.jsonl")
        whole, parts = error_rate(texts, places), error_rate(alone, places)
        print(f"WER: of the recording {whole:.2f}, of its parts {parts:.2f}, {whole - parts:+.2f} points")


def main() -> None:
    if sys.argv[1] == "--child":
        print(json.dumps(transcribe(*sys.argv[2:])))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    sys.stdout.reconfigure(line_buffering=True)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--work_dir", type=Path, help="keep what is done here; of one model and length")
    parser.add_argument("--only_memory", action="store_true")
    parser.add_argument("--model", default=str(Path(__file__).parents[2] / "spaces" / "demo" / "checkpoint"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = args.work_dir or Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        report(args, folder)


if __name__ == "__main__":
    main()
