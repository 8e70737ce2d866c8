# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Seconds and memory of the entropy allocation metric, each figure in a process of its own.

    python tests/benchmarks/benchmark_entropy_allocation.py [--threads 2] [--only MEASUREMENT ...] [--utterances 1000]

- add: 200 utterances of 250 x 256, which took `evaluate` 5 s through Arrow files.
- moments: frame-level spectrum and CKA of a million frames of dimension 512, in batches of 500.
- probe: the linear probe on 200,000 frames of 80 classes, three splits and a control.
- logistic_regression: the probe's own fit beside scikit-learn's, 50,000 frames of dimension 512 in 80 classes.
- utterances: the paper's three figures of 1,000 utterances of 750 x 1280, added one by one.

Printed for each: wall and CPU seconds of what is measured, peak memory of the process in GiB before and after, and
what was computed.
"""

import argparse
import json
import subprocess
import sys


FRAME = """
import contextlib, json, pathlib, resource, sys, time
import evaluate, numpy as np, torch
import entropy_asr.spaces

torch.set_num_threads({threads})
torch.manual_seed(0)
FOLDER = str(pathlib.Path(entropy_asr.spaces.__file__).parent / "entropy_allocation")
found = {{}}

def peak_gib():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)

@contextlib.contextmanager
def measured():
    found["peak_gib_before"] = peak_gib()
    found["begun"], cpu = time.perf_counter(), time.process_time()
    yield
    found["seconds"] = round(time.perf_counter() - found.pop("begun"), 2)
    found["cpu_seconds"] = round(time.process_time() - cpu, 2)
    found["peak_gib"] = peak_gib()

{code}
print(json.dumps(found))
"""

ADD = """
metric = evaluate.load(FOLDER)
frames = [torch.randn(250, 256) for _ in range(200)]
with measured():
    metric.add_batch(predictions=frames)
"""

MOMENTS = """
from entropy_asr.spaces.entropy_allocation.moments import FrameMoments
batches = [(torch.randn(500, 512), torch.randn(500, 512)) for _ in range(20)]
moments = FrameMoments()
with measured():
    for index in range(2000):
        moments.update(*batches[index % 20])
    found["nse"], found["cka"] = moments.nse(), moments.cka_debiased()
found["frames"] = moments.count
"""

PROBE = """
from entropy_asr.spaces.entropy_allocation.probes import Examples, accessible_information
labels = torch.randint(0, 80, (200_000,))
mixing = torch.randn(512, 512) * torch.logspace(0, -1.5, 512)[:, None] / 10
frames = (0.15 * torch.randn(80, 512)[labels] + torch.randn(200_000, 512)) @ mixing
with measured():
    examples = Examples(frames, labels, np.arange(200_000) // 200)
    result = accessible_information(examples, ["linear"])["linear"]
found["information"], found["control"] = result["information"], result["shuffled_control"]
"""

UTTERANCES = """
metric = evaluate.load(FOLDER, metrics=["nse", "pai", "csai"])
rng = np.random.default_rng(0)
base = torch.randn(750, 1280)
with measured():
    for index in range({utterances}):
        frames = base.roll(index, 1) * (1 + index / 1000)
        metric.add(prediction=frames, phonemes=rng.integers(0, 60, 100), semantics=rng.normal(size=1024))
    found["seconds_adding"] = round(time.perf_counter() - found["begun"], 2)
    found["nse"] = metric.compute()["nse"]
"""

# Loss: cross-entropy in nats a row plus the penalty, the same for both.
LOGISTIC_REGRESSION = """
from sklearn.linear_model import LogisticRegression
from entropy_asr.spaces.entropy_allocation.probes import fit_linear
labels = torch.randint(0, 80, (50_000,))
mixing = torch.randn(512, 512) * torch.logspace(0, -1.5, 512)[:, None] / 10
frames = (0.15 * torch.randn(80, 512)[labels] + torch.randn(50_000, 512)) @ mixing
frames = (frames - frames.mean(0)) / frames.std(0)

def loss(weight, bias):
    entropy = torch.nn.functional.cross_entropy(frames.double() @ weight.double() + bias.double(), labels)
    return float(entropy + weight.double().square().sum() / (2 * len(labels)))

with measured():
    begun = time.process_time()
    found["loss"] = loss(*fit_linear(frames, labels, 80, 1.0))
    found["cpu_seconds_ours"] = round(time.process_time() - begun, 2)
    begun = time.process_time()
    peer = LogisticRegression(C=1.0, max_iter=200).fit(frames.numpy(), labels.numpy())
    found["loss_scikit_learn"] = loss(torch.tensor(peer.coef_.T), torch.tensor(peer.intercept_))
    found["cpu_seconds_scikit_learn"] = round(time.process_time() - begun, 2)
"""

MEASUREMENTS = {
    "add": ADD,
    "moments": MOMENTS,
    "probe": PROBE,
    "logistic_regression": LOGISTIC_REGRESSION,
    "utterances": UTTERANCES,
}


def measure(name: str, threads: int, utterances: int) -> dict[str, float]:
    """Figures of one measurement, from a process of its own."""
    code = MEASUREMENTS[name].replace("{utterances}", str(utterances))
    code = FRAME.format(threads=threads, code=code)
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument("--utterances", type=int, default=1000, help="of the last measurement")
    args = parser.parse_args()
    for name in args.only:
        found = measure(name, args.threads, args.utterances)
        print(json.dumps({"measurement": name, "threads": args.threads, **found}), flush=True)


if __name__ == "__main__":
    main()
