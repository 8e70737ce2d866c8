# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Results of a recipe that the tests of cards describe."""

import json
from pathlib import Path


REPORT = {
    "name": "tiny",
    "command": "entropy-asr recipe tiny",
    "languages": ["en", "zh"],
    "parameters": 9_000_000,
    "dtype": "bfloat16",
    "compute_dtype": "float32",
    "data": ["fsdd_digits", "espeak-ng"],
    "training": {"encoder": {"seconds": 600.0, "steps": 10, "loss": [[5, 4.0], [10, 3.25]]}},
    "results": {
        "fsdd_digits": {"utterances": 500, "wer": 0.123, "cer": None, "nonempty_share": 1.0},
        "esc10_noise": {"utterances": 80, "wer": None, "cer": None, "nonempty_share": 0.1},
    },
}


def write_report(directory: Path, **changes) -> None:
    (directory / "results.json").write_text(json.dumps({**REPORT, **changes}), encoding="utf-8")
