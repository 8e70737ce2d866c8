# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Makes the clips of the demo with espeak-ng, nobody's voice; needs the extra `g2p`.

python tests/benchmarks/make_demo_examples.py
"""

from pathlib import Path

import numpy as np
import soundfile

from entropy_asr.trainers.data.synthesis import SAMPLING_RATE, Voice, synthesize


FOLDER = Path(__file__).parents[2] / "spaces" / "demo" / "examples"
# Chosen among thousands of sentences and voices: the bundled checkpoint writes these texts, the last one only if it
# listens for the hotword. Its Mandarin is from human voices alone, of which few of espeak-ng's remind it.
CLIPS = {
    "english": ("i don't know what to do", Voice("en", "gmw/en-US", "f3", rate=150)),
    "mandarin": ("汽车", Voice("zh", "sit/cmn", "steph", pitch=87, pitch_range=70, rate=160)),
    "hotword": ("i like robert", Voice("en", "gmw/en-US", "m2", rate=110)),
}


def clip(name: str) -> np.ndarray:
    """Samples `(num_samples,)` of a clip, int16 at `SAMPLING_RATE`."""
    return (synthesize(*CLIPS[name]) * 32767).astype(np.int16)


if __name__ == "__main__":
    for name in CLIPS:
        soundfile.write(FOLDER / f"{name}.flac", clip(name), SAMPLING_RATE)
