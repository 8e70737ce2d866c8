# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recordings guided by coverage (atheris, libFuzzer): what reaches new lines of the readers is mutated further.

python fuzz_coverage.py RUNS SEED SCRATCH FINDINGS, started by `fuzz_inputs.py --coverage RUNS`; writes its counts to
SCRATCH/counts.json.
"""

import json
import os
import resource
import sys
import time
import traceback
from collections import Counter
from pathlib import Path


os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).parents[1] / "helpers"))

import atheris
from bounded_calls import Bounds


READERS = ("audio", "audio_files_entropy_asr", "containers_entropy_asr", "file_parts_entropy_asr")
READERS += ("flac_entropy_asr", "mpeg_entropy_asr", "channels_entropy_asr")
with atheris.instrument_imports(include=[f"entropy_asr.modeling.{name}" for name in READERS]):
    from fuzz_areas import Audio


# Counts are kept after so many inputs: libFuzzer ends the process without a word to Python.
KEPT_EVERY = 50
LONGEST_INPUT = 12_000


class Counting:
    """Uses inputs, and counts what became of them."""

    def __init__(self, area: Audio, runs: int, scratch: Path, findings: Path):
        self.area, self.runs, self.findings, self.counts_file = area, runs, findings, scratch / "counts.json"
        self.kinds: Counter[str] = Counter()
        self.number, self.slowest = 0, 0.0

    def __call__(self, data: bytes) -> None:
        value, began = ("bytes", bytes(data)), time.monotonic()
        try:
            self.area.run(value)
            kind, problem = "accepted", None
        except Exception as error:
            problem = self.area.judge(value, error)
            kind = "refused" if problem is None else "findings"
            if problem is not None:
                self._write(value, f"{problem}\n{traceback.format_exc()}")
        self.kinds[kind] += 1
        self.number += 1
        self.slowest = max(self.slowest, time.monotonic() - began)
        if self.number % KEPT_EVERY == 0 or self.number >= self.runs:
            self._keep()

    def _write(self, value: tuple[str, bytes], text: str) -> None:
        self.findings.mkdir(parents=True, exist_ok=True)
        path = self.findings / f"audio-files-by-coverage-{self.number:05d}.txt"
        path.write_text(f"{text}\n{value!r}\n", encoding="utf-8", errors="backslashreplace")

    def _keep(self) -> None:
        counts = {name: self.kinds[name] for name in ("accepted", "refused", "findings")}
        figures = {"inputs": self.number, "slowest": self.slowest}
        self.counts_file.write_text(json.dumps(counts | figures))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(runs: int, seed: int, scratch: Path, findings: Path) -> None:
    area = Audio()
    area.prepare(scratch, runs, seed)
    corpus = scratch / "corpus"
    corpus.mkdir()
    for number, data in enumerate(area.seeds):
        (corpus / str(number)).write_bytes(data)
    limits = [f"-runs={runs}", f"-seed={seed + 1}", f"-max_len={LONGEST_INPUT}"]
    limits += [f"-rss_limit_mb={round(_peak()) + Bounds.megabytes}", "-timeout=60", f"-artifact_prefix={findings}/"]
    findings.mkdir(parents=True, exist_ok=True)
    atheris.Setup([sys.argv[0], *limits, str(corpus)], Counting(area, runs, scratch, findings))
    atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
