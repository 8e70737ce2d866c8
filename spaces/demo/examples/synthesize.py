# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Makes the clips beside this file with espeak-ng: nobody's voice. `python synthesize.py`, with the extra `g2p`."""

from pathlib import Path

import numpy as np
import soundfile

from entropy_asr.trainers.synthesis import SAMPLING_RATE, Voice, synthesize


CLIPS = {
    "english": ("the old man went back to the house and sat down by the fire", Voice("en", "gmw/en-US", "f3")),
    "mandarin": ("我们明天早上去学校看老师", Voice("zh", "sit/cmn", "f2")),
}


def clip(name: str) -> np.ndarray:
    """Samples `(num_samples,)` of a clip, int16 at `SAMPLING_RATE`."""
    return (synthesize(*CLIPS[name]) * 32767).astype(np.int16)


if __name__ == "__main__":
    for name in CLIPS:
        soundfile.write(Path(__file__).with_name(f"{name}.flac"), clip(name), SAMPLING_RATE)
