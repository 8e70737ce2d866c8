# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Error rates of a speech recogniser of transformers, as `entropy-asr evaluate` measures ours.

```shell
python tests/benchmarks/evaluate_peer.py openai/whisper-base --name "Whisper-base" --dataset DATA/librispeech_subset
```

Same rows, same normaliser, greedy decoding. The peer is told the language (English where nobody speaks), which ours is
not: some folders of Whisper cannot detect it. Text in traditional characters is written in
simplified ones first, since which of the two a model prefers is no error of hearing.
"""

import argparse
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import opencc
import torch
from datasets import Dataset
from transformers import pipeline

from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.evaluation.conditions import MADE_NON_SPEECH, conditions_of, evaluate_under
from entropy_asr.trainers.evaluation.disturbances import made_non_speech
from entropy_asr.trainers.runs.stage_records import versions


HAN = re.compile(r"[\u3400-\u9fff]")


class Peer:
    """A stock pipeline, called as ours is.

    Args:
        model: Folder or Hub id.

    Attributes:
        language: What the peer is told is spoken.
    """

    def __init__(self, model: str):
        self.pipeline = pipeline("automatic-speech-recognition", model, dtype=torch.float32, device="cpu")
        self.simplified = opencc.OpenCC("t2s")
        self.language = "en"

    def __call__(self, arrays: list, batch_size: int, generate_kwargs: dict[str, Any]) -> list[dict[str, str]]:
        greedy = {"num_beams": 1, "do_sample": False, "language": self.language, "task": "transcribe"}
        outputs = self.pipeline(list(arrays), batch_size=batch_size, generate_kwargs=greedy | generate_kwargs)
        return [{"text": self._one_script(output["text"])} for output in outputs]

    def _one_script(self, text: str) -> str:
        return self.simplified.convert(text) if HAN.search(text) else text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--name", required=True)
    parser.add_argument("--dataset", nargs="*", default=[])
    parser.add_argument(
        "--non_speech", type=int, default=0, help="so many made sounds without speech, a test set more"
    )
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--output", type=Path, required=True, help="JSON file; sets that it holds are not run again")
    args = parser.parse_args()
    peer = Peer(args.model)
    parameters = peer.pipeline.model.num_parameters()
    report = json.loads(args.output.read_text()) if args.output.is_file() else {"results": {}}
    report |= {"name": args.name, "parameters": parameters, "versions": versions()}
    for name, load in test_sets(args.dataset, args.non_speech).items():
        if name in report["results"]:
            continue
        rows = load()
        peer.language = rows[0]["language"].replace(NON_SPEECH, "en")
        score, result = evaluate_under(peer, rows, conditions_of(), args.batch_size, description=name)
        report["results"][name] = result
        args.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(name, score.to_dict()["by_language"], flush=True)


def test_sets(datasets: list[str], non_speech: int) -> dict[str, Callable[[], Dataset]]:
    """What loads each test set, by its name."""
    sources = [DataSource(path=path, split="test") for path in datasets]
    found = {source.name: partial(load_source, source) for source in sources}
    return found | ({MADE_NON_SPEECH: partial(made_non_speech, non_speech)} if non_speech else {})


if __name__ == "__main__":
    main()
