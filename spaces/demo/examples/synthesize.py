# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Makes the clips beside this file with espeak-ng: nobody's voice. `python synthesize.py`, with the extra `g2p`."""

from pathlib import Path

import numpy as np
import soundfile

from entropy_asr.trainers.synthesis import SAMPLING_RATE, Voice, synthesize


# Chosen among thousands of sentences and voices: the bundled checkpoint writes these texts, the last one only if it
# listens for the hotword. Its Mandarin is from human voices alone, of which few of espeak-ng's remind it.
CLIPS = {
    "english": ("i don't know what to do", Voice("en", "gmw/en-US", "f3", rate=150)),
    "mandarin": ("一样大", Voice("zh", "sit/cmn", "Alicia", pitch=87, pitch_range=90, rate=180)),
    "hotword": ("four six", Voice("en", "gmw/en", "m1", rate=130)),
}


def clip(name: str) -> np.ndarray:
    """Samples `(num_samples,)` of a clip, int16 at `SAMPLING_RATE`."""
    return (synthesize(*CLIPS[name]) * 32767).astype(np.int16)


if __name__ == "__main__":
    for name in CLIPS:
        soundfile.write(Path(__file__).with_name(f"{name}.flac"), clip(name), SAMPLING_RATE)
