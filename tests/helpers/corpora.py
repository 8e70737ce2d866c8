# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Small corpora on disk, one of their rows damaged, and what a stand-in of the model hears in them."""

from functools import partial
from pathlib import Path

from audio_rows import encode, tone
from datasets import Audio, Dataset
from fake_pipeline import FakePipeline


# Where a transcription may be killed: at any line of these.
KILLED_IN = ("trainers/transcription/", "commands/transcribe_corpus.py", "runs/locks.py", "runs/records.py")


def corpus_row(number: int, hundredths: int | None = None) -> dict:
    """A row with an `id` and a recording; its length is drawn from the number unless it is given."""
    hundredths = hundredths or 10 + 7 * number % 13
    audio = {"bytes": encode(tone(hundredths / 100), container="WAV", subtype="PCM_16"), "path": f"{number}.wav"}
    return {"audio": audio, "text": f"said {number}", "language": "en", "id": number}


def write_corpus(folder: Path, num_rows: int = 23, num_files: int = 3, bad: tuple[int, ...] = (4,)) -> Path:
    """Parquet files of a split `train` with row groups of four rows; the audio of bad rows is none."""
    rows = [corpus_row(number) for number in range(num_rows)]
    for number in bad:
        rows[number]["audio"]["bytes"] = b"no recording"
    folder.mkdir(parents=True)
    dataset = Dataset.from_list(rows).cast_column("audio", Audio(decode=False))
    for index in range(num_files):
        part = dataset.shard(num_files, index, contiguous=True)
        part.to_parquet(folder / f"train-{index:05d}-of-{num_files:05d}.parquet", batch_size=4)
    return folder


def heard(number: int) -> str:
    """What the stand-in makes of that row."""
    return f"length {10 + 7 * number % 13}"


def load_recognizer():
    """The stand-in as what recognises, for processes of their own too."""
    return partial(FakePipeline(), batch_size=8, generate_kwargs={})
