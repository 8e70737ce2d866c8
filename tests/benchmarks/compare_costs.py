# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a second of speech costs: models of ours and peers of transformers in one run, on the same recordings.

```shell
python tests/benchmarks/compare_costs.py --dataset DATA/librispeech_subset \
  --ours spaces/demo/checkpoint --peers openai/whisper-base --output tests/benchmarks/costs.json
```

Every recording of the first `--rows` is transcribed by all models in turn, one at a time, greedily; the processor
seconds of all threads are divided by its length, and medians over recordings are kept. Ours are also fed it as a
stream in chunks of 640 ms. Memory is the peak of a process of its own that does the same with
one model.
README's table is made from the file: `python tests/benchmarks/readme_results.py`.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from evaluate_peer import Peer
from huggingface_hub import snapshot_download

from entropy_asr.modeling import StreamingTranscriber, load_pipeline
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.sources import load_source
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.runs.stage_records import versions


CHUNK = round(0.64 * 16000)
Transcribe = Callable[[np.ndarray], object]


def ways(model: str, is_ours: bool) -> tuple[int, dict[str, Transcribe]]:
    """Number of parameters of a model, and the ways to transcribe with it by name."""
    if not is_ours:
        peer = Peer(model)
        return peer.pipeline.model.num_parameters(), {"offline": lambda samples: peer([samples], 1, {})}
    pipe = load_pipeline(model, device="cpu")

    def stream(samples: np.ndarray) -> None:
        transcriber = StreamingTranscriber(pipe)
        for start in range(0, len(samples), CHUNK):
            transcriber.push(samples[start : start + CHUNK])
        transcriber.finish()

    return pipe.model.num_parameters(), {"offline": lambda samples: pipe(samples), "streaming": stream}


def processor_seconds(call: Transcribe, samples: np.ndarray) -> float:
    """Processor seconds of all threads that a second of this recording costs."""
    start = time.process_time()
    call(samples)
    return (time.process_time() - start) / (len(samples) / 16000)


def measure(models: dict[str, dict[str, Transcribe]], recordings: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """Median costs of each model by way; all models in turn, each recording begins with the next one."""
    steps = [(name, way, call) for name, calls in models.items() for way, call in calls.items()]
    costs: dict[tuple[str, str], list[float]] = {(name, way): [] for name, way, _ in steps}
    for _, _, call in steps:
        call(recordings[0])  # what is only slow once is not counted
    for turn, samples in enumerate(recordings):
        start = turn % len(steps)
        for name, way, call in steps[start:] + steps[:start]:
            costs[name, way].append(processor_seconds(call, samples))
    return {name: {way: float(np.median(costs[name, way])) for way in calls} for name, calls in models.items()}


def name_of(model: str) -> str:
    """What a model is called: what its results say, or its folder."""
    results = Path(model) / "results.json"
    return json.loads(results.read_text(encoding="utf-8"))["name"] if results.is_file() else Path(model).name


def weight_bytes(model: str) -> int:
    """Size of a model's weights on disk."""
    folder = Path(model) if Path(model).is_dir() else Path(snapshot_download(model))
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def peak_mib(args: argparse.Namespace, model: str, is_ours: bool) -> float:
    """Peak memory of a process that loads this model alone and transcribes the recordings."""
    command = [sys.executable, __file__, "--dataset", args.dataset, "--rows", str(args.rows), "--child"]
    command += ["--threads", str(args.threads), "--ours" if is_ours else "--peers", model]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return float(lines[-1])


def load_recordings(path: str, num_rows: int) -> list[np.ndarray]:
    """Float32 waveforms `(num_samples,)` of the first test rows."""
    rows = SpeechDataset(load_source(DataSource(path=path, split="test", max_rows=num_rows)))
    return [rows[index]["samples"] for index in range(len(rows))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", nargs="*", default=[], help="folders or Hub ids of models of this project")
    parser.add_argument("--peers", nargs="*", default=[], help="folders or Hub ids of speech models of transformers")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="JSON file for the table")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recordings = load_recordings(args.dataset, args.rows)
    models = dict.fromkeys(args.ours, True) | dict.fromkeys(args.peers, False)
    if args.child:
        for model, is_ours in models.items():
            call = ways(model, is_ours)[1]["offline"]
            for samples in recordings:
                call(samples)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    # First: a process begins with the peak of the one that starts it.
    peaks = {model: peak_mib(args, model, is_ours) for model, is_ours in models.items()}
    found = {model: ways(model, is_ours) for model, is_ours in models.items()}
    costs = measure({model: calls for model, (_, calls) in found.items()}, recordings)
    report = {
        "dataset": Path(args.dataset).name,
        "recordings": len(recordings),
        "threads": args.threads,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "versions": versions(),
        "models": {
            name_of(model): {
                "parameters": found[model][0],
                "megabytes": weight_bytes(model) / 1e6,
                "peak_mib": peaks[model],
                "seconds_per_second": costs[model],
            }
            for model in found
        },
    }
    text = json.dumps(report, indent=1) + "\n"
    print(text)
    if args.output is not None:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
