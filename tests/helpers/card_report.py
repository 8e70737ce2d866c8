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


# Of an entropy allocation report.
PAI = {
    "num_utterances": 40,
    "pca_size": {"u": 7, "P": 6},
    "ridge": 0.001,
    "interval": [1.01, 1.49],
    "chance": {"mean": 0.38, "spread": 0.05},
    "table": [{"pca_size": 3, "ridge": 0.01, "pai": 0.71, "chance": 0.12}],
}
FIGURES = {
    "nse": 0.4321,
    "pai": 1.25,
    "details": {"nse": {"num_utterances": 40}, "pai": PAI},
    "text_cka": {"layers": [0.1, 0.25], "adaptor": 0.4, "chance": {"mean": 0.06, "spread": 0.01}},
    "ledger": {
        "num_utterances": 10,
        "num_tokens": 321,
        "nats_per_token_left": {"uniform": 8.3, "prior": 6.5, "encoder": 3.2, "full": 1.1},
        "is_prior_broken": False,
        "allocation": {"encoder": 3.3, "llm": 2.1, "left": 1.1},
    },
}
RESULT = {
    "data": {"num_utterances": 40, "seconds": 61.7, "languages": ["en"], "left_out": 3},
    "models": {"tinier": FIGURES, "tiny": {**FIGURES, "same_frames_as": "tinier"}},
    "cka": {"names": ["tinier", "tiny"], "num_frames": 1542, "biased": [[1, 1]] * 2, "debiased": [[1, 1]] * 2},
}
ALLOCATION = {"definitions": "As the paper has them.", "command": "entropy-asr report", "datasets": {"digits": RESULT}}
