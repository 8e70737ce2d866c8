# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Text while one speaks: how soon, how much of it stands, how much is taken back, and what it costs.

    python tests/benchmarks/benchmark_partial_text.py --data_dir ../shared/data [--model M] [--rows 30] [--output F]

Development rows, as streams of chunks, three ways: without previews, with previews that are decoded from the start
each time (`stable_previews=False`), and with previews that go on from what two in a row have in common. For each:

- error rate of the final texts, in percent;
- first text: seconds of speech behind which it came (median), and the share of its characters that the final text has;
- shown: mean share of the final text's length that partial texts have, those of the last chunk included;
- revisions: how many an utterance, characters that they took back, and the most at once;
- work: steps of the language model behind the speech (each computes at least one token) and the tokens that they
  compute, and processor milliseconds (`OMP_NUM_THREADS=1`) of all decoding, a second of speech; and of the final text
  alone, an utterance.

`--output` keeps all of it as JSON; `feature_tables.py` makes the page's table of that.
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline, load_pipeline
from entropy_asr.modeling.streaming_state_entropy_asr import StreamingUpdate, common_length
from entropy_asr.modeling.streaming_transcriber_entropy_asr import StreamingTranscriber
from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.evaluation.error_rates import score_transcripts


SETS = ("speechocean762", "aishell_sample")
WAYS = {
    "none": {},
    "from the start": {"preview_chunks": 1, "stable_previews": False},
    "stable": {"preview_chunks": 1},
}


@dataclass
class Work:
    """Of the language model behind the speech: forward passes, and the tokens in them."""

    steps: int = 0
    tokens: int = 0


@dataclass
class Heard:
    """One utterance as a stream: its updates with text, and what they took."""

    seconds: float
    updates: list[StreamingUpdate] = field(default_factory=list)
    decode_seconds: float = 0.0
    final_seconds: float = 0.0

    @property
    def text(self) -> str:
        return self.updates[-1].text

    @property
    def partial(self) -> list[StreamingUpdate]:
        return [update for update in self.updates[:-1] if update.text]


@contextmanager
def counted(pipe: EntropyASRPipeline) -> Iterator[Work]:
    """Counts what `generate` asks of the model; speech is prefilled below it."""
    work = Work()

    def count(module: torch.nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
        work.steps += 1
        work.tokens += output.logits.shape[0] * _num_inputs(kwargs)

    handle = pipe.model.register_forward_hook(count, with_kwargs=True)
    yield work
    handle.remove()


def _num_inputs(kwargs: dict[str, Any]) -> int:
    given = kwargs.get("inputs_embeds") if kwargs.get("input_ids") is None else kwargs["input_ids"]
    return given.shape[1]


def listen(pipe: EntropyASRPipeline, samples: np.ndarray, language: str, options: dict[str, Any]) -> Heard:
    """One utterance in portions of 100 ms."""
    stream = StreamingTranscriber(pipe, language, use_vad=False, guards={"no_speech": False}, **options)
    stream.batch.clock = time.process_time
    heard = Heard(len(samples) / 16000)
    for start in range(0, len(samples), 1600):
        heard.updates += [update for update in stream.push(samples[start : start + 1600]) if update.text is not None]
    before = stream.batch.seconds["decode"]
    heard.updates += [update for update in stream.finish() if update.text is not None]
    heard.decode_seconds = stream.batch.seconds["decode"]
    heard.final_seconds = heard.decode_seconds - before
    return heard


def summary(heard: list[Heard], work: Work, texts: list[str], language: str) -> dict[str, float]:
    counts = score_transcripts(texts, [one.text for one in heard], language)
    seconds = sum(one.seconds for one in heard)
    report = {
        "error_rate": 100 * (counts.cer if language == "zh" else counts.wer),
        "steps a second": work.steps / seconds,
        "tokens a second": work.tokens / seconds,
        "decoding, ms a second": 1000 * sum(one.decode_seconds for one in heard) / seconds,
        "final text, ms": 1000 * sum(one.final_seconds for one in heard) / len(heard),
    }
    early = [one for one in heard if one.partial]
    if early:
        first = [(one.partial[0], one.text) for one in early]
        kept = sum(common_length(update.text, text) for update, text in first)
        shown = [len(update.text) / max(1, len(one.text)) for one in early for update in one.partial]
        revised = [update.revised for one in heard for update in one.updates if update.revised]
        report |= {
            "first text, s": float(np.median([update.end - update.start for update, _ in first])),
            "of it kept": kept / sum(len(update.text) for update, _ in first),
            "shown": float(np.mean(shown)),
            "revisions": len(revised) / len(heard),
            "characters taken back": sum(revised) / len(heard),
            "most at once": max(revised, default=0),
        }
    return {name: round(value, 3) for name, value in report.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--chunk_ms", type=int, default=640)
    parser.add_argument("--output", type=Path, help="the measurements, as JSON")
    args = parser.parse_args()
    model = args.model or default_model()
    pipe = load_pipeline(model, device="cpu")
    kept: dict[str, Any] = {"kind": "partial_text", "model": Path(model).name, "chunk_ms": args.chunk_ms, "sets": {}}
    for name in args.sets:
        data = load_source(DataSource(path=str(args.data_dir / name), split="dev", max_rows=args.rows))
        audio, language = [read_samples(row) for row in data], data["language"][0]
        listen(pipe, audio[0], language, WAYS["stable"])  # what is made once
        for way, options in WAYS.items():
            with counted(pipe) as work:
                heard = [listen(pipe, one, language, {"chunk_ms": args.chunk_ms, **options}) for one in audio]
            found = {"rows": len(heard), **summary(heard, work, data["text"], language)}
            kept["sets"].setdefault(name, {})[way] = found
            print(json.dumps({"set": name, "previews": way} | found), flush=True)
    if args.output is not None:
        args.output.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
