# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A pipeline that needs no model, and recordings for it."""

from types import SimpleNamespace

import numpy as np
import soundfile
import torch

from entropy_asr.modeling import AudioError, load_audio


class FakePipeline:
    """Tells the number of hundredths of a second in a recording, and refuses recordings below 50 ms."""

    def __init__(self):
        self.calls: list[dict] = []
        self.looping = False
        self.adapters: dict[str, str] = {}
        self.model = SimpleNamespace(
            num_parameters=lambda: 1234, dtype=torch.float32, device=torch.device("cpu"), training=False
        )

    def load_adapter(self, path, name):
        self.adapters[name] = path

    def __call__(self, items, batch_size, generate_kwargs, **options):
        self.calls.append({"count": 0, "batch_size": batch_size, "generate_kwargs": generate_kwargs, **options})
        for number, item in enumerate(items):
            self.calls[-1]["count"] += 1
            try:
                samples = load_audio(item)
                if len(samples) < 800:
                    raise AudioError("the recording is shorter than one frame")
                yield self.result(len(samples) // 160, **options)
            except AudioError as error:
                yield {"text": "", "error": f"item {number}: {error}"}

    def result(self, hundredths, return_timestamps=None, return_flags=False, **options):
        result = {"text": f"length {hundredths}"}
        if return_timestamps:
            times = ("length", (0.0, 0.05)), (f" {hundredths}", (0.05, hundredths / 100))
            result["chunks"] = [{"text": text, "timestamp": time} for text, time in times]
        if self.looping and return_flags:
            result["flags"] = ["length_limit"]
        return result


def write_wav(path, hundredths: int = 10, sampling_rate: int = 16000, channels: int = 1) -> str:
    shape = (hundredths * sampling_rate // 100, channels)
    soundfile.write(path, np.full(shape, 0.1, np.float32), sampling_rate, subtype="FLOAT")
    return str(path)
